"""The command line, for people and for scripts.

program                                  what commands there are; exit statuses; errors as one sentence
refusals, logs                           how a command says no; what it logs
arguments                                what was typed, read and checked
output                                   tables, facts and JSON
opening                                  the installation a command works on
serving, migrating, demo                 csms serve, migrate, demo
cards, tariffs, ledger                   the money
stations, transactions                   the energy
commands                                 calls to stations, and what came back
reservations, local_lists                what is kept for cards, and which cards stations know
firmware, diagnostics                    files to and from stations
staff, desks, sites                      people and places
api_keys                                 keys for programs of others
"""

from csms.cli.program import main

__all__ = ["main"]
