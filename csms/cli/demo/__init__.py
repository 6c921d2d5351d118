"""`csms demo`: a small world in which cars charge, for looking at.

world       its site, desk, tariff, stations, cards and people, made once
drivers     simulated stations as processes of their own, and who drives to them
watching    what happens, read from the database, one line per event
running     starts all of it, stops all of it
"""

from csms.cli.demo.running import demo

__all__ = ["demo"]
