"""THE MESSAGE LOG: every frame of the last days, both ways, as people look it up. Knows no meaning of any message.

tables      the table, and where it lies: on SQLite in a file of its own, on PostgreSQL in the database
entries     what a frame becomes: kind, action, duration, the text without its secrets. Pure
recorder    takes frames without delaying anybody, and writes them in a thread of its own
store       writes, purges
reading     searches, pages, streams
export      a message as a line of JSON
"""
