"""ENERGY: who may charge, what a meter said, when a transaction is the same one.

engine                  gathers, loads, decides, writes, commits once, answers
working_set             what a batch loaded, and what it wants written
authorization, transactions, metering, credit_guard, command_queue, stations     pure decisions
store, models           set-wise reads and writes; tables
"""
