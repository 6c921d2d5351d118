"""A station under a person's or a script's command, line by line.

Reads lines, calls the station, writes lines. Knows no standard input: lines come from an async iterator.
"""

from __future__ import annotations

import asyncio
import shlex
from typing import TYPE_CHECKING

from chargepoint_sim.car import Car
from chargepoint_sim.connector import ERROR_CODES, NO_ERROR
from chargepoint_sim.errors import SimulatorError
from chargepoint_sim.inside import shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from chargepoint_sim.station import Station

HELP = """\
plug [CONNECTOR] [SOC%] [KWH]    a car comes, its battery at SOC % of KWH (30 %, 60 kWh)
card TAG [CONNECTOR]             a card is held to the reader: starts, or stops (`swipe` is the same)
unplug [CONNECTOR]               the cable is taken out
fault CODE [CONNECTOR]           something breaks (GroundFailure, ...); NoError repairs it
tamper                           the housing is opened
cut | restore                    the network goes, and comes back
reset [soft]                     the station starts again
boot                             a BootNotification is sent
sign                             a certificate is asked for (SignCertificate)
data VENDOR [MESSAGE] [DATA]     a DataTransfer is sent
event TYPE [TEXT]                a security event is told
status                           what every connector shows
show WHAT                        list, cache, reservations, profiles, certificates, display, or a configuration key
wait STATUS [CONNECTOR] [S]      wait until a connector shows it (Charging, ...), or the outbox is empty (Delivered)
sleep S                          wait
help | quit"""
WORDS = (
    *("plug", "card", "swipe", "unplug", "fault", "tamper", "cut", "restore", "reset", "boot", "sign", "data", "event"),
    *("status", "show", "wait", "sleep", "help", "quit", "soft", "delivered", "online", NO_ERROR, *ERROR_CODES),
    *("list", "cache", "reservations", "profiles", "certificates", "display"),
    *("Available", "Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing", "Reserved", "Unavailable"),
)
MAX_WAIT_S = 60.0


class Console:
    """Commands for one station. write: takes one line of text."""

    def __init__(self, station: Station, write: Callable[[str], None]) -> None:
        self._station = station
        self._write = write
        self._commands: dict[str, Callable[[list[str]], Awaitable[None]]] = {
            "plug": self._plug,
            "card": self._card,
            "unplug": self._unplug,
            "fault": self._fault,
            "swipe": self._card,
            "tamper": self._tamper,
            "cut": self._cut,
            "restore": self._restore,
            "reset": self._reset,
            "boot": self._boot,
            "sign": self._sign,
            "data": self._data,
            "event": self._event,
            "status": self._status,
            "show": self._show,
            "wait": self._wait,
            "sleep": self._sleep,
            "help": self._help,
        }

    async def run(self, lines: AsyncIterator[str]) -> int:
        """Obey until the lines end or say quit. Returns how many could not be obeyed."""
        failures = 0
        async for line in lines:
            try:
                words = shlex.split(line, comments=True)
            except ValueError:
                self._write("a quotation mark has no partner")
                failures += 1
                continue
            if not words:
                continue
            if words[0] in {"quit", "exit"}:
                break
            failures += not await self._obey(words[0], words[1:])
        return failures

    async def _obey(self, name: str, words: list[str]) -> bool:
        command = self._commands.get(name)
        if command is None:
            self._write(f"there is no command {name}; help lists them")
            return False
        try:
            await command(words)
        except (SimulatorError, TimeoutError) as error:
            self._write(str(error))
        except (ValueError, IndexError):
            self._write(f"{name} cannot take {' '.join(words) or 'no words'}; help shows how it is written")
        else:
            return True
        return False

    async def _plug(self, words: list[str]) -> None:
        numbers = [float(word.rstrip("%")) for word in words]
        connector_id, soc, kwh = [*numbers, *(1.0, 30.0, 60.0)[len(numbers) :]]
        self._station.plug_in(int(connector_id), Car(battery_wh=kwh * 1000, soc=min(1.0, max(0.0, soc / 100))))

    async def _card(self, words: list[str]) -> None:
        verdict = await self._station.present_card(_connector(words, 1), words[0])
        if not verdict.accepted:
            self._write(f"card {words[0]} was refused with {verdict.info.status} by the {verdict.source}")

    async def _unplug(self, words: list[str]) -> None:
        self._station.unplug(_connector(words, 0))

    async def _fault(self, words: list[str]) -> None:
        self._station.fault(_connector(words, 1), words[0] if words else NO_ERROR)

    async def _cut(self, _words: list[str]) -> None:
        self._station.cut_link()

    async def _restore(self, _words: list[str]) -> None:
        self._station.restore_link()

    async def _reset(self, words: list[str]) -> None:
        await self._station.reset(hard=words[:1] != ["soft"])

    async def _tamper(self, _words: list[str]) -> None:
        self._station.tamper()

    async def _boot(self, _words: list[str]) -> None:
        await self._station.uplink.boot_again()

    async def _sign(self, _words: list[str]) -> None:
        await self._station.sign_certificate()

    async def _data(self, words: list[str]) -> None:
        message_id, data = [*words[1:3], None, None][:2]
        status = await self._station.send_data(words[0], message_id, data)
        self._write(f"{words[0]}: {status}")

    async def _event(self, words: list[str]) -> None:
        self._station.security_events.happened(words[0], " ".join(words[1:]))

    async def _show(self, words: list[str]) -> None:
        for line in shown(self._station, words[0]):
            self._write(line)

    async def _status(self, _words: list[str]) -> None:
        link = "online" if self._station.is_online else "offline"
        self._write(f"{self._station.identity} is {link}, {len(self._station.outbox)} messages waiting")
        for outlet in self._station.acts.outlets:
            view = self._station.connector(outlet.connector_id)
            soc = "" if view.soc is None else f", battery {view.soc * 100:.0f} %"
            held = "" if view.id_tag is None else f", {view.energy_wh / 1000:.3f} kWh for {view.id_tag}"
            power = f"{view.power_w / 1000:.1f} kW, register {view.register_wh} Wh"
            self._write(f"connector {view.connector_id}: {view.status}, {power}{held}{soc}")

    async def _wait(self, words: list[str]) -> None:
        timeout_s = float(words[2]) if words[2:] else MAX_WAIT_S
        if words[0].lower() == "delivered":
            await self._station.wait_delivered(timeout_s)
        elif words[0].lower() == "online":
            await self._station.wait_online(timeout_s)
        else:
            await self._station.wait_for_status(_connector(words, 1), words[0], timeout_s)

    async def _sleep(self, words: list[str]) -> None:
        await asyncio.sleep(max(0.0, float(words[0])))

    async def _help(self, _words: list[str]) -> None:
        self._write(HELP)


def _connector(words: list[str], place: int) -> int:
    return int(words[place]) if words[place:] else 1
