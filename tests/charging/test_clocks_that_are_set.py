"""A station's clock that is set back while a car charges: whatever is told, a right clock is not taken for one that was
set, and where a station answers what it is asked nobody else is.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import assume, example, given
from hypothesis import strategies as st

from csms.billing.books import Books, Card, PrepaidAccount
from csms.billing.money import Currency
from csms.charging.closing import SET_BACK, WAITING
from csms.charging.engine import DECIDERS
from csms.charging.facts import ChargePoint, Transaction
from csms.charging.metering import MeterValue, MeterValues, Sample
from csms.charging.transactions import StartTransaction, StopTransaction
from csms.charging.working_set import WorkingSet
from tests.support.evening import POLICY

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
START_WH, ROUNDING_WH = 1_000, 500


class Session(msgspec.Struct, frozen=True):
    """A session of so many intervals; its clock is set back in one of them, and readings wait and slip."""

    power_w: int
    share_percent: int  # of the power, which the car takes
    interval_s: int
    intervals: int
    set_at_s: int
    set_back_s: int
    waits_s: tuple[int, ...] = ()  # of the readings, in the order in which they are taken and told
    slips_wh: tuple[int, ...] = ()
    stop_slip_wh: int = 0

    @property
    def length_s(self) -> int:
        """When it is stopped: just before another reading would come."""
        return self.interval_s * self.intervals + self.interval_s - 1

    def register_wh(self, at_s: int) -> int:
        """What its meter shows."""
        return START_WH + self.power_w * self.share_percent * at_s // 360_000

    def clock(self, at_s: int) -> datetime:
        """What its clock shows."""
        return NOON + timedelta(seconds=at_s - self.set_back_s * (at_s >= self.set_at_s))


class Play:
    """Tells the decisions what happens in a session, and answers what they ask."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.world = WorkingSet(Books(Currency("EUR", 2)), POLICY)
        self.world.books.accounts[1] = PrepaidAccount(1, 0, 10**9, 0)
        self.world.books.cards["A"] = Card("A", "A", 1, "active", None)
        point = ChargePoint(1, "CP1", 0, None, None, "Accepted", None, max_power_w=session.power_w)
        self.world.charge_points[1] = point
        self.world.free_transaction_ids.append(1)

    def run(self) -> Transaction:
        """Return how it ends."""
        session, told_s = self.session, 0
        self._tell(1, StartTransaction(1, 1, "A", START_WH, session.clock(0), "start"))
        for number in range(1, session.intervals + 1):
            at_s = number * session.interval_s
            told_s = max(told_s + 1, at_s + _of(session.waits_s, number))
            asked = self._read(told_s, at_s, _of(session.slips_wh, number), "Sample.Periodic")
            if asked:
                self._read(told_s + 2, told_s + 1, _of(session.slips_wh, number), "Trigger")
        end_s = session.length_s
        meter_stop_wh = session.register_wh(end_s) + session.stop_slip_wh
        stop = StopTransaction(1, 1, None, meter_stop_wh, session.clock(end_s), "stop", None)
        self._tell(max(end_s, told_s) + 1, stop)
        return self.world.transactions[1]

    def _read(self, told_s: int, at_s: int, slip_wh: int, context: str) -> bool:
        """Tell a reading; return whether another one is asked for."""
        register_wh = self.session.register_wh(at_s) + slip_wh
        value = MeterValue(self.session.clock(at_s), (Sample(str(register_wh), context=context),), f"{at_s} {context}")
        self._tell(told_s, MeterValues(1, 1, 1, (value,)))
        questions = [one for one in self.world.unnumbered_commands if one.action == "TriggerMessage"]
        self.world.unnumbered_commands.clear()
        return bool(questions)

    def _tell(self, told_s: int, said: Any) -> None:
        self.world.take(DECIDERS[type(said)](said, self.world, NOON + timedelta(seconds=told_s)).intents)


def _of(each: tuple[int, ...], number: int) -> int:
    return each[number % len(each)] if each else 0


sessions = st.builds(
    Session,
    power_w=st.sampled_from([3_700, 22_000, 50_000, 150_000, 350_000]),
    share_percent=st.integers(10, 90),
    interval_s=st.sampled_from([60, 300, 900]),
    intervals=st.integers(2, 12),
    set_at_s=st.integers(1, 3_000),
    set_back_s=st.integers(30, 7_200),
)
waits = st.lists(st.sampled_from([0, 0, 1, 15, 70, 400, 2_000]), max_size=5).map(tuple)
slips = st.lists(st.sampled_from([0, 0, 0, 400, 3_000, 20_000, 90_000, -700]), max_size=5).map(tuple)


@given(session=sessions, waits=waits, slips=slips)
def test_a_right_clock_is_never_found_to_have_been_set_back(
    session: Session, waits: tuple[int, ...], slips: tuple[int, ...]
) -> None:
    right = msgspec.structs.replace(session, set_back_s=0, waits_s=waits, slips_wh=slips)
    assert SET_BACK not in Play(right).run().flags


@example(session=Session(50_000, 90, 300, 2, 300, 200))
@given(session=sessions)
def test_a_clock_that_was_set_back_asks_nobody_where_questions_are_answered(session: Session) -> None:
    last_s = session.interval_s * session.intervals
    assume(session.set_at_s + session.set_back_s < last_s)  # its last reading is later than all before, by its clock
    one = Play(session).run()
    assert one.uncharged_reason not in WAITING
    assert one.energy_wh == session.register_wh(session.length_s) - START_WH


@given(session=sessions, waits=waits, slips=slips, stop_slip_wh=st.sampled_from([0, 400, 3_000, 20_000]))
def test_a_clock_that_was_set_back_lets_nothing_be_charged_that_cannot_be_by_ours(
    session: Session, waits: tuple[int, ...], slips: tuple[int, ...], stop_slip_wh: int
) -> None:
    told = msgspec.structs.replace(session, waits_s=waits, slips_wh=slips, stop_slip_wh=stop_slip_wh)
    one = Play(told).run()
    assert one.end_recorded_at is not None
    passed_s = int((one.end_recorded_at - one.recorded_at).total_seconds())
    most_wh = told.power_w * passed_s * 11 // 36_000 + ROUNDING_WH
    assert one.uncharged_reason in WAITING or one.energy_wh <= most_wh
