"""The benchmark: what one process of the central system does per second, beside what the machine allows at most.

__main__       the command line
scenarios      what is measured, in which order; each returns figures
driver         the load generator, a process of its own: stations, sessions, the clock
frames         what a station says: ready-made texts, no validation
link           the station's end of a WebSocket, as cheap as can be
server         the server under test: prepared, started, stopped, and its ledger counted afterwards
echo           the limit of the sockets: a server that only says everything again
commit_floor   the limit of the disk: durable commits of one row
engine_alone   the engine without sockets: cost and statements per batch
postgres       a PostgreSQL of the benchmark's own
machine        what this machine is, and what a process costs on it
report         figures as a table, as Markdown and as JSON
"""
