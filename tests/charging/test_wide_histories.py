"""Wider random histories: places, groups, tariffs that change, displays, clocks, boots, guards, commands and cards.

Time goes on here, and messages carry timestamps of stations' clocks, right, wrong or none. After each commit `verify`
finds nothing, and plain arithmetic that knows neither it nor the rules finds the same: what the stops said is what was
charged, once, for its price, and whatever waits is in the queue of the person who decides.
"""

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from hypothesis.stateful import run_state_machine_as_test as explore
from sqlalchemy import select, update

from csms.billing import account_groups, cards, customers, models, prepaid, price_lists
from csms.billing.chart_of_accounts import CLEARING_COMMAND_LINE
from csms.charging import assignments, groups, reviews
from csms.charging.authorization import Authorize
from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.charging.credit_guard import GuardDue
from csms.charging.display_messages import ConnectorUnplugged
from csms.charging.doubts import DoubtCharge
from csms.charging.engine import Input
from csms.charging.facts import ConnectorStatus
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.models import charge_point, review_item
from csms.charging.stations import Boot, Disconnect, Open, StatusNotification
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.handlers.timestamps import read_timestamp
from tests.support.wide_world import CARDS, LIMITS, TAX, WideWorld

seconds = st.sampled_from([0, 0, 0, -20, -300, -1800, -7200, -90_000, 240, 5000])
broken = st.sampled_from(["", "1970-01-01T00:00:00Z", "soon", "2026-03-28T13:30:00", "9999-12-31T23:59:59-01:00"])
stations = st.integers(1, 2)
connectors = st.sampled_from([1, 1, 1, 2, 2, 0, 99])
id_tags = st.sampled_from([*CARDS, *CARDS, "A2", "A3", "aa", "NOBODY"])
registers = st.sampled_from([0, 0, 1, 100, 5000, 20_000, -1, -(2**31), 2**31 - 1]) | st.integers(0, 30_000)
amounts = st.sampled_from([1, 60, 300, 2000, 0, -5])
powers = st.sampled_from([None, None, 0, 40, 3700, 11_000, 10**12])
contexts = st.sampled_from([None, None, "Sample.Periodic", "Trigger"])
rates = st.sampled_from(["0", "0.41", "0.333333", "2"]).map(Decimal)
STATUSES = ("Available", "Preparing", "Charging", "SuspendedEV", "SuspendedEVSE", "Finishing", "Faulted")


def samples(
    register: int | str, power_w: int | None, unit: str | None, context: str | None = None
) -> tuple[Sample, ...]:
    """Return what a meter says, its register perhaps in kWh, perhaps signed, perhaps because it was asked."""
    if unit == "kWh":
        register = str(Decimal(register) / 1000)
    signed = "SignedData" if unit == "signed" else None
    read = [Sample(str(register), None, unit, context=context, format=signed)]
    return (*read, *([] if power_w is None else [Sample(str(power_w), "Power.Active.Import")]))


class WideHistories(WideWorld):
    """What stations and people do, sense or nonsense."""

    # --- stations -----------------------------------------------------------------------------------------------------

    def _text(self, seconds_: int) -> str:
        return (self.now + timedelta(seconds=seconds_)).isoformat().replace("+00:00", "Z")

    def _starts(self, station: int, connector: int, id_tag: str, meter: int, text: str) -> None:
        def said(now: datetime) -> Input:
            read = read_timestamp(text, now)
            return StartTransaction(station, connector, id_tag, meter, read.happened_at, text, read.flags)

        self._do(said)

    @rule(station=stations, connector=connectors, id_tag=id_tags, meter=registers, back=seconds)
    def start(self, station: int, connector: int, id_tag: str, meter: int, back: int) -> None:
        """A transaction begins, perhaps while another is open, perhaps long ago."""
        self._starts(station, connector, id_tag, meter, self._text(back))

    @rule(station=stations, connector=connectors, id_tag=id_tags, meter=registers, text=broken)
    def start_with_a_broken_clock(self, station: int, connector: int, id_tag: str, meter: int, text: str) -> None:
        """A transaction begins at a moment that nobody knows."""
        self._starts(station, connector, id_tag, meter, text)

    def _reads(self, station: int, connector: int, transaction_id: int | None, *told: Any) -> None:
        def said(now: datetime) -> Input:
            values = [(read_timestamp(text, now), read) for text, read in told]
            written = [MeterValue(at.happened_at, read, repr(read), "; ".join(at.flags)) for at, read in values]
            return MeterValues(station, connector, transaction_id, tuple(written))

        self._do(said)

    @rule(
        station=stations,
        connector=connectors,
        data=st.data(),
        register=registers | st.sampled_from(["1e14", "-0.5", "NaN"]),
        power_w=powers,
        back=seconds,
        unit=st.sampled_from([None, None, "Wh", "signed"]),
        context=contexts,
    )
    def read(
        self,
        station: int,
        connector: int,
        data: st.DataObject,
        register: int | str,
        power_w: int | None,
        back: int,
        unit: str | None,
        context: str | None,
    ) -> None:
        """Readings come, for any transaction or for none."""
        transaction_id = data.draw(st.sampled_from([*self.ids, None]))
        self._reads(station, connector, transaction_id, (self._text(back), samples(register, power_w, unit, context)))

    @precondition(lambda self: bool(self.running))
    @rule(
        data=st.data(),
        more_wh=st.sampled_from([0, 3, 40, 400, 4000]),
        power_w=powers,
        relative=st.booleans(),
        back=st.sampled_from([0, 0, -300]),
        context=contexts,
    )
    def charge_on(
        self, data: st.DataObject, more_wh: int, power_w: int | None, back: int, context: str | None, *, relative: bool
    ) -> None:
        """A transaction goes on as transactions do; some stations count from its start, some clocks are set."""
        key = data.draw(st.sampled_from(sorted(self.running)))
        begun, register = self.running[key]
        self.running[key] = begun, register + more_wh
        told = register + more_wh - (begun.meter_start_wh if relative else 0)
        unit = data.draw(st.sampled_from([None, "kWh"]))
        said = (self._text(back), samples(told, power_w, unit, context))
        self._reads(begun.charge_point_id, begun.connector_id, key, said)

    def _stops(
        self, station: int, key: int, id_tag: str | None, meter: int, text: str, last: tuple[Sample, ...] | None
    ) -> None:
        def said(now: datetime) -> Input:
            read = read_timestamp(text, now)
            values = () if last is None else (MeterValue(read.happened_at, last, repr(last)),)
            return StopTransaction(station, key, id_tag, meter, read.happened_at, text, None, values, read.flags)

        self._do(said)

    @precondition(lambda self: bool(self.running))
    @rule(data=st.data(), more_wh=st.sampled_from([0, 0, 7, 500, 5000, -8, -600]), back=seconds)
    def finish(self, data: st.DataObject, more_wh: int, back: int) -> None:
        """A transaction ends as transactions do, perhaps told late."""
        key = data.draw(st.sampled_from(sorted(self.running)))
        begun, register = self.running.pop(key)
        meter = max(-(2**31), min(2**31 - 1, register + more_wh))
        last = data.draw(st.sampled_from([None, samples(meter, None, None)]))
        self._stops(begun.charge_point_id, key, begun.id_tag, meter, self._text(back), last)

    @rule(
        station=stations,
        connector=st.integers(1, 2),
        tag=st.sampled_from(CARDS),
        register=st.sampled_from([None, 0, 100_000]),
        drawn_wh=st.lists(st.sampled_from([0, 30, 90, 700, 4000]), min_size=1, max_size=3),
        minutes=st.sampled_from([1, 20, 45]),
        told_late=st.booleans(),
    )
    def whole_session(
        self,
        station: int,
        connector: int,
        tag: str,
        register: int | None,
        drawn_wh: list[int],
        minutes: int,
        *,
        told_late: bool,
    ) -> None:
        """A car comes, charges and leaves as cars do, on a meter that goes on from where it stood."""
        self._run(0)
        meter = self.meters.get((station, connector), 0) if register is None else register
        known = set(self.running)
        self._starts(station, connector, tag, meter, self._text(0))
        self._run(1)
        begun = set(self.running) - known
        for drawn in drawn_wh:
            self.now += timedelta(minutes=minutes)
            meter += drawn
            for key in begun:
                self._reads(station, connector, key, (self._text(0), samples(meter, None, None)))
        self.meters[station, connector] = meter
        text = self._text(0)
        self.now += timedelta(hours=5) if told_late else timedelta(0)
        for key in begun:
            self._stops(station, key, None, meter, text, None)

    @rule(
        station=stations,
        data=st.data(),
        id_tag=st.none() | id_tags,
        meter=registers,
        back=seconds,
        text=st.none() | broken,
    )
    def stop(
        self, station: int, data: st.DataObject, id_tag: str | None, meter: int, back: int, text: str | None
    ) -> None:
        """A transaction ends: a known one, one that is to come, another station's, or one that ended before."""
        last = data.draw(st.sampled_from([None, samples(meter, 0, None), samples(100, None, None)]))
        key = data.draw(st.sampled_from(self.ids))
        self._stops(station, key, id_tag, meter, self._text(back) if text is None else text, last)

    @rule(station=stations, connector=connectors, status=st.sampled_from(STATUSES), back=seconds)
    def notify(self, station: int, connector: int, status: str, back: int) -> None:
        """A connector says what it is, in the middle of anything."""
        at = self.now + timedelta(seconds=back)
        said = StatusNotification(ConnectorStatus(station, connector, status, "NoError", "", "", at), at)
        self._do(lambda _: said)

    @precondition(lambda self: self.has_begun)
    @rule(station=stations, data=st.data(), back=seconds)
    def unplug(self, station: int, data: st.DataObject, back: int) -> None:
        """A station with a display tells that a car is gone."""
        key, text = data.draw(st.sampled_from([one for one in self.ids if one > 0])), self._text(back)
        self._do(lambda now: ConnectorUnplugged(station, key, read_timestamp(text, now).happened_at))

    @precondition(lambda self: self.has_begun)
    @rule(station=stations, serial=st.sampled_from(["", "other"]), back_to_zero=st.booleans())
    def boot(self, station: int, serial: str, *, back_to_zero: bool) -> None:
        """A station starts again, perhaps with another meter, perhaps one that counts from zero again."""
        self._do(lambda _: Boot(station, "Acme", "One", serial, ""))
        if back_to_zero:
            here = {key: one for key, (one, _) in self.running.items() if one.charge_point_id == station}
            self.running.update({key: (one, 0) for key, one in here.items()})

    @precondition(lambda self: self.has_begun)
    @rule(station=stations, there=st.booleans())
    def link(self, station: int, *, there: bool) -> None:
        """A station connects, or its connection ends."""
        opened, gone = Open(station, "c", "n", "::1", "ocpp1.6"), Disconnect(station, "c", self.now)
        self._wish(opened if there else gone)

    @precondition(lambda self: self.has_begun)
    @rule(station=stations, state=st.sampled_from(["accepted", "rejected", "timed out", "failed"]), late=st.booleans())
    def answer(self, station: int, state: Any, *, late: bool) -> None:
        """The next command is sent, and the station takes it, refuses it, or says nothing."""
        self._run(0)
        claimed = self.nodes[0].engine.execute(ClaimCommand(station))
        if claimed is not None:
            said = None if state in {"timed out", "failed"} else f'{{"status":"{state.title()}"}}'
            self._wish(AnswerCommand(claimed.command_id, claimed.attempts, state, said, is_late=late))

    @precondition(lambda self: self.has_begun)
    @rule(transaction_id=st.integers(1, 6), lag_ms=st.sampled_from([50, 5000]))
    def look(self, transaction_id: int, lag_ms: int) -> None:
        """The alarm clock rings."""
        self._wish(GuardDue(transaction_id, lag_ms))

    @rule(station=stations, id_tag=id_tags)
    def authorize(self, station: int, id_tag: str) -> None:
        """A card is held up."""
        self._wish(Authorize(station, id_tag))

    # --- people -------------------------------------------------------------------------------------------------------

    @rule(tag=st.sampled_from([*CARDS, "A2"]), amount=amounts)
    def top_up(self, tag: str, amount: int) -> None:
        """A cashier books what was typed, sense or nonsense."""
        key, limits = f"form-{next(self.forms)}", self.nodes[0].limits
        self._wish(prepaid.TopUp(tag, amount, CLEARING_COMMAND_LINE, key, "test", limits), again=True)

    @rule(tag=st.sampled_from([*CARDS, "A2"]), new=st.sampled_from(["A2", "A3"]), replaces=st.booleans())
    def join(self, tag: str, new: str, *, replaces: bool) -> None:
        """A card joins another on its account, or takes its place, in the middle of anything."""
        self._wish(cards.JoinCard(tag, new, new, replaces, "test"))

    @rule(
        tag=st.sampled_from([*CARDS, "A2"]), change=st.sampled_from(["active", "blocked", "lost", "expired", "never"])
    )
    def change_card(self, tag: str, change: Any) -> None:
        """A card is blocked or found again, expires or does not."""
        at = self.now + timedelta(seconds=1) if change == "expired" else None
        expires = cards.SetExpiry(tag, at, "test")
        self._wish(expires if change in {"expired", "never"} else prepaid.ChangeCardState(tag, change, "test"))

    @rule(account=st.sampled_from(CARDS), group=st.sampled_from([None, 1, 2, 3]), erased=st.booleans())
    def change_account(self, account: str, group: int | None, *, erased: bool) -> None:
        """An account gets other limits; its customer is entered, or erased."""
        with self.nodes[0].database.unit_of_work() as connection:
            found = select(models.card.c.account_id).where(models.card.c.id_tag == account)
            key = connection.execute(found).scalar_one()
            account_groups.put_account(connection, key, group)
            self.groups[key] = group
            self.is_changed = True
            if erased:
                customers.erase_customer(connection, key, actor="test", reason="asked", now=self.now)
            else:
                told = customers.Customer("Maria", language="bg")
                customers.set_customer(connection, key, told, actor="test", now=self.now)

    @rule(group=st.integers(1, 3), overdraft_minor=st.sampled_from([0, 1, 120, 2500]))
    def allow(self, group: int, overdraft_minor: int) -> None:
        """A group of accounts is allowed more overdraft, or less, while cars charge."""
        limits = msgspec.structs.replace(LIMITS[group - 1], overdraft_minor=overdraft_minor)
        with self.nodes[0].database.unit_of_work() as connection:
            assert account_groups.change_account_group(connection, group, f"group {group}", limits)
        self.overdrafts[group] = overdraft_minor
        self.is_changed = True

    @rule(station=stations, place=st.sampled_from([None, 1, 2, 3]), shows_cost=st.booleans())
    def move(self, station: int, place: int | None, *, shows_cost: bool) -> None:
        """A station gets into another group: free of charge, for the staff."""
        with self.nodes[0].database.unit_of_work() as connection:
            groups.put_station(connection, f"CP{station}", place)
            changed = update(charge_point).where(charge_point.c.id == station).values(shows_cost=shows_cost)
            connection.execute(changed)

    @rule(
        name=st.sampled_from(["plain", "by time", "young", "other"]),
        per_kwh=rates,
        per_minute=rates,
        idle=st.booleans(),
        default=st.booleans(),
        later=st.sampled_from([0, 3600]),
    )
    def price(self, name: str, per_kwh: Decimal, per_minute: Decimal, later: int, *, idle: bool, default: bool) -> None:
        """A tariff gets another version, while cars charge."""
        rate, at = (Decimal("0.07") if idle else Decimal(0)), self.now + timedelta(seconds=later)
        new = price_lists.NewTariff(
            name, per_kwh, per_minute, 7, TAX, default, rate_per_idle_minute=rate, free_wh=90, valid_from=at,
            maximum_minor=1200,
        )  # fmt: skip
        with self.nodes[0].database.unit_of_work() as connection:
            price_lists.add_tariff(connection, new, self.now, self.tax)

    @rule(
        name=st.sampled_from([None, "plain", "by time", "young"]),
        group=st.none() | st.integers(1, 3),
        place=st.none() | st.integers(1, 3),
        station=st.none() | stations,
    )
    def assign(self, name: str | None, group: int | None, place: int | None, station: int | None) -> None:
        """A tariff applies somewhere, or no more."""
        scope = assignments.Scope(group, None if station else place, station)
        with self.nodes[0].database.unit_of_work() as connection:
            if name is None:
                assignments.unassign(connection, scope)
            else:
                assignments.assign(connection, name, scope, self.now)

    @precondition(lambda self: self.has_begun)
    @rule(
        data=st.data(),
        decision=st.sampled_from(reviews.CHOICES),
        energy_wh=st.sampled_from([None, 0, 70, 2500, -5]),
        tag=st.sampled_from([*CARDS, "A2", "NOBODY"]),
        back=st.none() | seconds,
    )
    def resolve(
        self, data: st.DataObject, decision: reviews.Choice, energy_wh: int | None, tag: str, back: int | None
    ) -> None:
        """A person decides about something in the queue, sense or nonsense, in doubt or not."""
        with self.nodes[0].database.reading() as connection:
            ordered = select(review_item.c.key, review_item.c.resolved_at).order_by(review_item.c.key)
            found = connection.execute(ordered).all()
        if not found:
            return
        key = data.draw(st.sampled_from([row.key for row in found if row.resolved_at is None] or [found[0].key]))
        asked = reviews.ResolveReview(key, decision, "seen on the meter", "test", f"form-{next(self.forms)}")
        if decision in {"correct", "assign"}:
            at = None if back is None else self.now + timedelta(seconds=back)
            asked = msgspec.structs.replace(asked, energy_wh=energy_wh, ended_at=at)
        if decision == "assign":
            asked = msgspec.structs.replace(asked, id_tag=tag)
        if decision == "match":
            asked = msgspec.structs.replace(asked, transaction_id=data.draw(st.sampled_from(self.ids)))
        self._wish(asked, again=True)

    @precondition(lambda self: self.has_begun)
    @rule(transaction_id=st.integers(1, 4))
    def doubt(self, transaction_id: int) -> None:
        """A person doubts what was charged, or that nothing was."""
        self._wish(DoubtCharge(transaction_id, "asked", "test", f"form-{next(self.forms)}"), again=True)


@pytest.mark.timeout(1200)
def test_no_wide_history_leaves_a_wrong_cent_on_sqlite(sqlite_template: Path, tmp_path: Path, histories: int) -> None:
    numbers = count()

    class OnSqlite(WideHistories):
        events: ClassVar[set[str]] = set()

        def __init__(self) -> None:
            super().__init__()
            path = tmp_path / f"{next(numbers)}.sqlite3"
            shutil.copy(sqlite_template, path)
            self.url = f"sqlite:///{path}"

    explore(OnSqlite, settings=_options(histories))
    assert OnSqlite.events >= {"card issued", "top up", "settle"}


@pytest.mark.timeout(1200)
def test_no_wide_history_leaves_a_wrong_cent_on_postgresql(
    fresh_postgresql_url: Callable[[], str], histories: int
) -> None:
    class OnPostgresql(WideHistories):
        events: ClassVar[set[str]] = set()

        def __init__(self) -> None:
            super().__init__()
            self.url = fresh_postgresql_url()

    explore(OnPostgresql, settings=_options(max(15, histories // 3)))
    assert OnPostgresql.events >= {"card issued", "top up", "settle"}


def _options(examples: int) -> settings:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=examples, stateful_step_count=40, deadline=None, suppress_health_check=checks)
