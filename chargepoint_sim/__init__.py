"""A simulated OCPP 1.6J charge point, for any central system: a library for tests and four commands for people.

    __main__.py       commands: session, run, interactive, fleet
    options.py        the options they share, each habit a switch among them
    terminal.py       what the commands print, the lines they read, how a signal ends them
    session.py        one station, one transaction, a summary
    console.py        a station that a person or a script commands line by line; inside.py shows what it holds
    fleet.py          many stations that charge for ever

    station.py        Station: the parts put together; what tests hold
    people.py  proofs.py  watching.py  parts.py     its methods: people's, about certificates, to look and wait
    uplink.py         connect, boot, notice the end, connect again
    dialling.py       one attempt to connect: address, password, TLS, and why it failed
    link.py           the frames on one WebSocket connection
    calls/            every call of the central system, and its answer
    delivery.py       empties the outbox, tells statuses
    maintenance.py    heartbeats, clock-aligned readings, triggered messages
    firmware.py       updates: fetched, checked, installed;  uploads.py   diagnostics and logs, brought
    transfer.py       one file over HTTP(S) or FTP(S)

    acts.py           cables, cards, remote starts, reservations, availability, faults
    transactions.py   begin, let energy flow, read the meter, end
    smart_charging.py set, clear and compose charging profiles
    authorization.py  who may charge: asks, or answers from the local list and the cache
    security.py       profiles, passwords and certificates: how to dial, what holds
    security_events.py  the security log and what of it must be told

    car.py  meter.py  connector.py  profiles.py  configuration.py  outbox.py  local_list.py  certificates.py
    own_keys.py  signatures.py  logbook.py  vendors.py  frames.py               state and arithmetic; no I/O
    answers.py  clock.py  errors.py  events.py  habits.py  nameplate.py  storage.py   values, time, the state file

It shares no code with the central system in this repository.
"""

from chargepoint_sim.car import Car, random_car
from chargepoint_sim.clock import Clock
from chargepoint_sim.connector import ConnectorSpec, ConnectorView, ac, dc
from chargepoint_sim.errors import SimulatorError
from chargepoint_sim.events import Event, Record
from chargepoint_sim.habits import Habits, Timing
from chargepoint_sim.nameplate import Nameplate
from chargepoint_sim.security import Given
from chargepoint_sim.station import Station

__all__ = [
    "Car",
    "Clock",
    "ConnectorSpec",
    "ConnectorView",
    "Event",
    "Given",
    "Habits",
    "Nameplate",
    "Record",
    "SimulatorError",
    "Station",
    "Timing",
    "ac",
    "dc",
    "random_car",
]
