"""What happens in the demo, one line per event: read from the database again and again, and told where it changed.

Reads what the portal reads, so what it tells is stored. Knows neither stations nor drivers.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec
from sqlalchemy import Connection

from csms import clock
from csms.billing.money import format_amount
from csms.billing.reports import EntryView, find_card, list_entries
from csms.charging.overview import (
    RefusalView,
    StationView,
    TransactionView,
    list_refusals,
    list_stations,
    list_transactions,
)
from csms.cli.output import kwh
from csms.installation import Installation

Mood = Literal["good", "plain", "busy", "bad", "money"]

_LATEST = 50
_PROGRESS_S = 8


class Line(msgspec.Struct, frozen=True):
    """One event, for people; the moment is in the zone of this machine."""

    at: datetime
    place: str
    text: str
    mood: Mood = "plain"


class Watcher:
    """Remembers what it told, and tells what is new."""

    def __init__(self, installation: Installation, tell: Callable[[Line], None], portal: str, command: str) -> None:
        """Begin with what is stored now as known. `command` is how a person types `csms` for this world."""
        self._installation = installation
        self._tell_line = tell
        self._portal = portal
        self._command = command
        self._online: dict[str, datetime | None] = {}
        self._transactions: dict[int, TransactionView] = {}
        self._progress: dict[int, datetime] = {}
        self._refusals: dict[tuple[str, str], RefusalView] = {}
        self._last_entry = 0
        with installation.database.reading() as connection:
            for one in list_transactions(connection, limit=_LATEST):
                self._transactions[one.transaction_id] = one
            for refusal in list_refusals(connection, limit=_LATEST):
                self._refusals[refusal.charge_point, refusal.id_tag] = refusal
            self._last_entry = max((one.entry_id for one in list_entries(connection, limit=1)), default=0)

    def look(self) -> None:
        """Read once and tell what changed since the last look."""
        with self._installation.database.reading() as connection:
            for station in list_stations(connection, limit=_LATEST):
                self._station(station)
            for entry in reversed(list_entries(connection, limit=_LATEST)):
                self._entry(entry)
            for refusal in reversed(list_refusals(connection, limit=_LATEST)):
                self._refusal(connection, refusal)
            for one in reversed(list_transactions(connection, limit=_LATEST)):
                self._transaction(connection, one)

    def _station(self, one: StationView) -> None:
        before = self._online.get(one.identity)
        self._online[one.identity] = one.connected_at
        if one.connected_at is not None and before != one.connected_at:
            self._tell(one.identity, "is online", "good")
        elif one.connected_at is None and before is not None:
            self._tell(one.identity, "is offline", "bad")

    def _entry(self, entry: EntryView) -> None:
        if entry.entry_id <= self._last_entry:
            return
        self._last_entry = entry.entry_id
        if entry.event not in {"top up", "card issued"} or not entry.transfers:
            return
        transfer = entry.transfers[0]
        what = "topped up with" if entry.event == "top up" else "issued with"
        self._tell(
            "cash", f"{transfer.credit_name} {what} {self._money(transfer.amount_minor)} by {entry.actor}", "money"
        )

    def _refusal(self, connection: Connection, one: RefusalView) -> None:
        key = (one.charge_point, one.id_tag)
        if self._refusals.get(key) == one:
            return
        self._refusals[key] = one
        text = f"card {one.id_tag} refused: {one.reason}"
        if one.reason == "no credit":
            card = find_card(connection, one.id_tag)
            left = "" if card is None else f" ({self._money(card.available_minor)} available)"
            text += f"{left}. Top it up at {self._portal} or with: {self._command} card top-up {one.id_tag} 20.00"
        self._tell(one.charge_point, text, "bad")

    def _transaction(self, connection: Connection, one: TransactionView) -> None:
        before = self._transactions.get(one.transaction_id)
        if before == one:
            return
        self._transactions[one.transaction_id] = one
        number, place = one.transaction_id, f"{one.charge_point}/{one.connector_id}"
        if before is None:
            verdict = "accepted" if one.refusal is None else f"not accepted ({one.refusal})"
            left = "" if one.available_minor is None else f", credit {self._money(_credit(one))}"
            self._tell(place, f"card {one.id_tag} {verdict}: transaction {number} begins{left}", "good")
        if one.stop_requested_at is not None and (before is None or before.stop_requested_at is None):
            self._tell(place, f"transaction {number} is being stopped: its cost has reached the credit", "bad")
        if one.state == "ended" and (before is None or before.state != "ended"):
            self._ended(connection, one, place)
        elif one.state == "open" and one.energy_wh and self._is_due(number):
            power = "" if not one.power_w else f" at {one.power_w // 1000}.{one.power_w % 1000 // 100} kW"
            costs = (
                f"{kwh(one.energy_wh)}{power}, {self._money(one.cost_minor)}, credit left {self._money(_credit(one))}"
            )
            self._tell(place, f"transaction {number}: {costs}", "busy")

    def _ended(self, connection: Connection, one: TransactionView, place: str) -> None:
        cost = self._money(one.cost_minor) if one.uncharged_reason is None else f"nothing ({one.uncharged_reason})"
        text = f"transaction {one.transaction_id} ended ({one.stop_reason}): {kwh(one.energy_wh)}, charged {cost}"
        card = find_card(connection, one.id_tag)
        if card is not None:
            text += f"; balance of {one.id_tag} now {self._money(card.balance_minor)}"
        self._tell(place, text, "money")

    def _is_due(self, transaction_id: int) -> bool:
        now = clock.now()
        last = self._progress.get(transaction_id)
        if last is not None and (now - last).total_seconds() < _PROGRESS_S:
            return False
        self._progress[transaction_id] = now
        return True

    def _money(self, amount_minor: int) -> str:
        return f"{format_amount(amount_minor, self._installation.currency)} {self._installation.currency.code}"

    def _tell(self, place: str, text: str, mood: Mood) -> None:
        self._tell_line(Line(clock.now().astimezone(), place, text, mood))


def _credit(one: TransactionView) -> int:
    return one.credit_minor if one.credit_minor is not None else 0
