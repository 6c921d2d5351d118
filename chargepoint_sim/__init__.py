"""A simulated OCPP 1.6J charge point, for any central system: a library for tests and three commands for people.

    __main__.py       commands: session, run, fleet
    terminal.py       what the commands print, the lines they read, how a signal ends them
    session.py        one station, one transaction, a summary
    console.py        a station that a person or a script commands line by line
    fleet.py          many stations that charge for ever

    station.py        Station: the parts put together; what tests hold
    uplink.py         connect, boot, notice the end, connect again
    link.py           one WebSocket connection and the frames on it
    calls.py          every call of the central system, and its answer
    delivery.py       empties the outbox, tells statuses
    maintenance.py    heartbeats, clock-aligned readings, triggered messages, updates and diagnostics (statuses only)

    acts.py           cables, cards, remote starts, reservations, availability, faults
    transactions.py   begin, let energy flow, read the meter, end
    authorization.py  who may charge: asks, or answers from the local list and the cache

    car.py  meter.py  connector.py  profiles.py  configuration.py  outbox.py     state and arithmetic; no I/O
    answers.py  clock.py  errors.py  events.py  habits.py  storage.py            values, time, events, the state file

It shares no code with the central system in this repository. The security extensions are not simulated, and updates and
diagnostics go through their status notifications without moving a byte.
"""

from chargepoint_sim.car import Car, random_car
from chargepoint_sim.clock import Clock
from chargepoint_sim.connector import ConnectorSpec, ConnectorView, ac, dc
from chargepoint_sim.errors import SimulatorError
from chargepoint_sim.events import Event, Record
from chargepoint_sim.habits import Habits, Timing
from chargepoint_sim.station import Station

__all__ = [
    "Car",
    "Clock",
    "ConnectorSpec",
    "ConnectorView",
    "Event",
    "Habits",
    "Record",
    "SimulatorError",
    "Station",
    "Timing",
    "ac",
    "dc",
    "random_car",
]
