"""OPERATIONS: what is done to stations beside charging, and what they tell of themselves.

What an operator wants goes out as a command; the effect on our own tables is a pure function of the command and its
answer, wherever it was asked for. Knows the facts of charging and its engine; charging knows nothing of it.

rules           what the engine decides, follows up, loads and writes beside charging: the table of contents
"""
