"""The credit guard's rules, played on a clock of the test's own: when it looks, asks, claims credit and stops."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from sqlalchemy import insert, select, update

from csms.billing import models as money_models
from csms.charging import models
from csms.charging.command_queue import AnswerCommand, ClaimCommand, QueueCommand
from csms.charging.engine import Engine
from csms.charging.forecast import taken_at
from csms.charging.stations import Open
from csms.config import Settings
from csms.installation import open_installation
from tests.support.evening import KW, NOON, POLICY, Evening
from tests.support.world import add_tariff


def after(evening: Evening, seconds: float) -> datetime:
    """Return a moment so long after now."""
    return evening.now + timedelta(seconds=seconds)


# --- looking and asking -----------------------------------------------------------------------------------------------


def test_a_transaction_that_begins_is_looked_at_soon_and_asked_for_a_reading(evening: Evening) -> None:
    evening.issue(500)
    one = evening.start()
    assert NOON < evening.row(one).guard_at <= NOON + timedelta(seconds=15)
    evening.look_when_due(one)
    assert evening.actions() == ["TriggerMessage"]


def test_a_credit_without_end_in_sight_asks_the_station_for_nothing(evening: Evening) -> None:
    evening.issue(45_000)
    one = evening.start()
    for _ in range(5):
        evening.look_when_due(one)
        evening.read(one, 27, 10 * KW)
    assert evening.actions() == []
    assert evening.row(one).guard_at > after(evening, 60)


def test_looks_become_more_frequent_towards_the_end_and_a_few_readings_are_asked_for(evening: Evening) -> None:
    evening.issue(500)  # 5,000 s at 10 kW
    one = evening.start()
    stopped = evening.charge({one: 10 * KW}, interval_s=300)
    assert (stopped[one] - NOON).total_seconds() == pytest.approx(5000, abs=10)
    asked_at = evening.asked_at()
    gaps = [(after - before).total_seconds() for before, after in pairwise(asked_at)]
    assert 3 <= len(asked_at) <= 12
    assert gaps[0] > 10 * gaps[-1]


def test_a_reading_that_comes_by_itself_soon_enough_is_not_asked_for(evening: Evening) -> None:
    evening.issue(100)
    one = evening.start()
    evening.look_when_due(one)
    asked = len(evening.actions())
    for number in range(1, 96):  # 10 kW, a reading each ten seconds, up to 950 of 1,000 s
        evening.now = NOON + timedelta(seconds=10 * number)
        evening.read(one, round(number * 10 * 10 * KW / 3600), 10 * KW)
        if evening.row(one).guard_at <= after(evening, 5):
            evening.look_when_due(one)
    assert len(evening.actions()) == asked


def test_a_station_that_did_not_answer_is_not_asked_again(evening: Evening) -> None:
    evening.issue(500)
    one = evening.start()
    evening.look_when_due(one)
    assert evening.actions() == ["TriggerMessage"]
    for number in range(1, 16):  # a reading each five minutes
        evening.now = NOON + timedelta(seconds=300 * number)
        evening.read(one, round(number * 300 * 10 * KW / 3600), 10 * KW)
        while evening.row(one).guard_at < NOON + timedelta(seconds=300 * (number + 1)):
            evening.look_when_due(one)
    assert evening.row(one).answers_probes is False
    assert evening.actions() == ["TriggerMessage"]


# --- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag_ms", [200, 1000, 9000])
def test_the_stop_is_sent_so_much_earlier_as_the_link_and_the_station_need(evening: Evening, lag_ms: int) -> None:
    evening.issue(100)  # 1,000 s at 10 kW
    one = evening.start()
    evening.pass_s(960)
    evening.read(one, 2666, 10 * KW)
    while "RemoteStopTransaction" not in evening.actions():
        evening.look_when_due(one, lag_ms)
    left_s = 1000 - (evening.now - NOON).total_seconds()
    assert left_s == pytest.approx(lag_ms / 1000 + 1.5 + 5, abs=2)  # half a cent is five seconds


def test_the_time_a_station_takes_to_stop_is_learned_quickly_up_and_slowly_down(evening: Evening) -> None:
    learned = []
    for number, took_s in enumerate((4, 8, 4)):
        tag = f"CARD{number}"
        evening.issue(100, tag)
        one = evening.start(id_tag=tag)
        evening.pass_s(900)
        assert evening.read(one, 2800, 10 * KW).stop_requested
        evening.pass_s(took_s)
        evening.stop(one, 2811)
        with evening.database.reading() as connection:
            statement = select(models.charge_point.c.stop_lag_ms).where(models.charge_point.c.id == 1)
            learned.append(connection.execute(statement).scalar_one())
    assert learned == [4000, 6000, 5750]


def test_a_reading_that_shows_the_credit_used_up_stops_at_once_and_its_repeat_does_not_stop_again(
    evening: Evening,
) -> None:
    evening.issue(100)
    one = evening.start()
    evening.pass_s(900)
    assert evening.read(one, 2800, 10 * KW).stop_requested
    for _ in range(3):
        assert not evening.read(one, 2800, 10 * KW).stop_requested
    evening.pass_s(5)
    assert not evening.read(one, 2810, 10 * KW).stop_requested
    assert evening.actions() == ["RemoteStopTransaction"]


def test_a_station_that_says_nothing_is_stopped_when_it_could_have_used_the_credit_up(evening: Evening) -> None:
    evening.issue(100)  # 454 s at 22 kW
    one = evening.start()
    while "RemoteStopTransaction" not in evening.actions():
        evening.look_when_due(one)
    assert (evening.now - NOON).total_seconds() == pytest.approx(454, abs=10)
    assert evening.actions() == ["TriggerMessage", "RemoteStopTransaction"]


def test_a_message_that_waited_in_a_queue_is_not_taken_for_fresh(evening: Evening) -> None:
    evening.issue(100)
    one = evening.start()
    evening.pass_s(300)
    evening.read(one, 800, 10 * KW)
    evening.pass_s(300)
    evening.read(one, 900, 10 * KW, at=after(evening, -240))  # taken four minutes ago
    assert evening.row(one).heard_at == pytest.approx(after(evening, -240), abs=timedelta(seconds=2))


def test_a_wrong_clock_of_the_station_makes_no_reading_old(evening: Evening) -> None:
    evening.issue(500)
    one = evening.start()
    for _ in range(3):
        evening.pass_s(60)
        evening.read(one, 100 + round((evening.now - NOON).total_seconds()), 10 * KW, at=after(evening, 7200))
    assert evening.row(one).heard_at == evening.now


def test_a_clock_that_was_set_back_is_caught_up_with(evening: Evening) -> None:
    evening.issue(500)
    one = evening.start()
    evening.pass_s(60)
    evening.read(one, 100, 10 * KW)
    facts = evening.row(one)
    late = [taken_at(facts, facts.register_at + timedelta(seconds=60 * n), after(evening, 60 * n + 5)) for n in (1, 20)]
    assert [after(evening, 60 * n + 5) - at for n, at in zip((1, 20), late, strict=True)] == [
        pytest.approx(timedelta(seconds=4), abs=timedelta(seconds=1)),
        timedelta(0),
    ]


def test_the_price_of_the_next_band_counts_for_the_end_of_the_credit(settings: Settings) -> None:
    installation = open_installation(settings)
    bands = '[{"name":"dear","weekdays":[0,1,2,3,4,5,6],"begin_minute":735,"end_minute":1440,"rate_per_kwh":"3.60"}]'
    changes = {"rate_per_kwh": Decimal("0.36"), "rate_per_minute": Decimal(0), "start_fee_minor": 0}
    add_tariff(installation, bands_json=bands, time_zone="UTC", **changes)
    evening = Evening(installation)
    evening.issue(150)  # 90 cents until 12:15, then 60 cents: a minute at 10 kW
    one = evening.start()
    while "RemoteStopTransaction" not in evening.actions():
        evening.look_when_due(one)
        evening.pass_s(0.5)
        evening.read(one, round((evening.now - NOON).total_seconds() * 10 * KW / 3600), 10 * KW)
    assert (evening.now - NOON).total_seconds() == pytest.approx(960, abs=6)
    installation.database.close()


# --- one account, several transactions --------------------------------------------------------------------------------


@pytest.mark.parametrize("watts", [(10 * KW, 10 * KW), (4 * KW, 20 * KW)])
def test_two_transactions_on_an_account_together_stop_within_what_it_has(
    evening: Evening, watts: tuple[int, int]
) -> None:
    evening.issue(300)
    ids = evening.start(1), evening.start(2)
    stopped = evening.charge(dict(zip(ids, watts, strict=True)), interval_s=60)
    wh = sum((stopped[each] - NOON).total_seconds() * power / 3600 for each, power in zip(ids, watts, strict=True))
    assert 290 <= wh * 0.036 <= 300.5


def test_a_change_of_the_account_asks_the_station_for_nothing_and_wakes_nobody_twice(evening: Evening) -> None:
    evening.issue(500)
    one = evening.start()
    evening.look_when_due(one)
    evening.pass_s(1)
    evening.read(one, 3, 10 * KW)
    before = evening.row(one)
    for _ in range(10):
        assert evening.look(one)
    assert evening.row(one) == before
    assert evening.actions() == ["TriggerMessage"]


def test_credit_that_goes_elsewhere_brings_the_next_look_forward(evening: Evening) -> None:
    evening.issue(10_000)
    one = evening.start()
    evening.pass_s(600)
    evening.read(one, 1666, 10 * KW)
    far = evening.row(one).guard_at
    evening.change(money_models.ledger_account, debits_minor=9_920)  # of 100.00 there is 0.80 left: 200 s
    evening.look(one)
    assert evening.row(one).guard_at < far
    assert evening.row(one).guard_at < after(evening, 200)


def test_a_top_up_before_the_stop_lets_the_transaction_go_on(evening: Evening) -> None:
    evening.issue(100)
    one = evening.start()
    evening.pass_s(960)
    evening.read(one, 2666, 10 * KW)
    evening.top_up(100)
    evening.pass_s(40)
    evening.look(one)
    assert evening.row(one).stop_requested_at is None
    assert "RemoteStopTransaction" not in evening.actions()


def test_the_days_limit_of_an_account_group_ends_a_transaction_as_credit_does(evening: Evening) -> None:
    evening.issue(1000)
    with evening.database.unit_of_work() as connection:
        group = {"name": "careful", "daily_spend_minor": 100, "created_at": NOON}
        number = connection.execute(
            insert(money_models.account_group).returning(money_models.account_group.c.id), group
        )
        accounts = update(money_models.ledger_account).where(money_models.ledger_account.c.id >= 1000)
        connection.execute(accounts.values(group_id=number.scalar_one()))
    one = evening.start()
    evening.pass_s(900)
    evening.read(one, 2500, 10 * KW)
    assert evening.row(one).stop_requested_at is None
    while "RemoteStopTransaction" not in evening.actions():
        evening.look_when_due(one)
        assert evening.now < NOON + timedelta(seconds=1001)


# --- a stop that is not obeyed ----------------------------------------------------------------------------------------


def _exhausted(evening: Evening) -> int:
    evening.issue(100)
    one = evening.start()
    evening.pass_s(900)
    evening.read(one, 2800, 10 * KW)
    return one


def test_a_stop_that_is_not_obeyed_is_asked_for_again_each_time_later(evening: Evening) -> None:
    one = _exhausted(evening)
    waits = []
    for _ in range(7):
        before = evening.now
        evening.look_when_due(one)
        waits.append((evening.now - before).total_seconds())
    assert waits == [15, 30, 60, 120, 240, 300, 300]
    assert evening.actions() == ["RemoteStopTransaction"] * 8


def test_a_look_before_its_time_does_not_ask_for_another_stop(evening: Evening) -> None:
    one = _exhausted(evening)
    for _ in range(5):
        evening.look(one)
    assert evening.row(one).stop_attempts == 1


@pytest.mark.parametrize("allowed", [True, False])
def test_the_connector_is_unlocked_after_some_attempts_only_where_the_group_allows_it(
    evening: Evening, *, allowed: bool
) -> None:
    with evening.database.unit_of_work() as connection:
        group = {"id": 7, "name": "hall", "unlock_when_stop_fails": allowed, "created_at": NOON}
        connection.execute(insert(models.station_group), group)
        connection.execute(update(models.charge_point).values(group_id=7))
    one = _exhausted(evening)
    evening.look_when_due(one)
    assert "UnlockConnector" not in evening.actions()
    evening.look_when_due(one)
    assert ("UnlockConnector" in evening.actions()) is allowed


def test_a_transaction_that_does_not_stop_raises_one_alarm_that_counts(evening: Evening) -> None:
    one = _exhausted(evening)
    for _ in range(5):
        evening.look_when_due(one)
    with evening.database.reading() as connection:
        (alarm,) = connection.execute(select(models.alarm)).all()
    assert (alarm.kind, alarm.transaction_id, alarm.attempts) == ("transaction does not stop", one, 3)
    assert "told to stop 6 times" in alarm.text
    assert alarm.cleared_at is None
    evening.stop(one, evening.row(one).register_wh)
    with evening.database.reading() as connection:
        (over,) = connection.execute(select(models.alarm)).all()
    assert over.cleared_at is not None


# --- a stop that a top-up makes needless ------------------------------------------------------------------------------


def _commands(evening: Evening) -> list[tuple[str, str]]:
    table = models.command.c
    with evening.database.reading() as connection:
        rows = connection.execute(select(table.action, table.state).order_by(table.id)).all()
    return [(row.action, row.state) for row in rows]


def test_a_stop_that_has_not_been_sent_is_taken_back_by_a_top_up(evening: Evening) -> None:
    one = _exhausted(evening)
    evening.top_up(500)
    evening.look(one)
    assert _commands(evening) == [("RemoteStopTransaction", "expired")]
    assert evening.row(one).stop_requested_at is None
    assert evening.row(one).guard_at == evening.now
    stopped = evening.charge({one: 10 * KW}, interval_s=60)
    assert (stopped[one] - NOON).total_seconds() > 900 + 4000
    assert evening.row(one).stop_attempts == 1


def test_a_stop_on_its_way_that_a_top_up_makes_needless_is_not_sent_again(evening: Evening) -> None:
    one = _exhausted(evening)
    sent = evening.engine.execute(ClaimCommand(1))
    evening.top_up(500)
    evening.look(one)
    assert _commands(evening) == [("RemoteStopTransaction", "sent")]
    evening.engine.execute(AnswerCommand(sent.command_id, sent.attempts, "failed", None, "the connection ended"))
    assert _commands(evening) == [("RemoteStopTransaction", "failed")]


@pytest.mark.parametrize("is_on_its_way", [False, True])
def test_a_station_that_comes_back_after_a_top_up_is_not_told_to_stop(evening: Evening, *, is_on_its_way: bool) -> None:
    one = _exhausted(evening)
    if is_on_its_way:
        evening.engine.execute(ClaimCommand(1))
    evening.top_up(500)
    evening.pass_s(20)
    (opened,) = evening.run(Open(1, "next", "another node", "127.0.0.1", "ocpp1.6"))
    assert not opened.commands_wait
    assert opened.watches[one].guard_at == evening.now
    assert _commands(evening) == [("RemoteStopTransaction", "expired")]
    assert evening.row(one).stop_requested_at is None


def test_a_station_that_comes_back_without_credit_is_told_to_stop(evening: Evening) -> None:
    one = _exhausted(evening)
    evening.engine.execute(ClaimCommand(1))
    evening.top_up(3)  # ten seconds at the maximum power of the station
    (opened,) = evening.run(Open(1, "next", "another node", "127.0.0.1", "ocpp1.6"))
    assert opened.commands_wait
    assert _commands(evening) == [("RemoteStopTransaction", "queued")]
    assert evening.row(one).stop_requested_at is not None


def test_a_refused_stop_is_not_repeated_where_a_top_up_came_and_its_alarm_is_over(evening: Evening) -> None:
    one = _exhausted(evening)
    for _ in range(4):
        evening.look_when_due(one)
    attempts = len(evening.actions())
    evening.top_up(1000)
    evening.look_when_due(one)
    assert len(evening.actions()) == attempts
    assert evening.row(one).stop_attempts == 0
    with evening.database.reading() as connection:
        (alarm,) = connection.execute(select(models.alarm)).all()
    assert alarm.cleared_at is not None


def test_a_stop_that_a_person_asked_for_is_not_taken_back(evening: Evening) -> None:
    one = _exhausted(evening)
    asked = '{"transactionId":' + f"{one}" + "}"
    evening.engine.execute(QueueCommand(1, "RemoteStopTransaction", asked, "operator", transaction_id=one))
    evening.top_up(500)
    evening.look(one)
    assert [state for _, state in _commands(evening)] == ["expired", "queued"]


def test_a_stop_because_no_current_is_drawn_stays_whatever_is_paid_in(evening: Evening) -> None:
    evening.issue(500)
    one = evening.start()
    evening.change(models.charging_transaction, stop_below_w=100, stop_after_s=60)
    for seconds in (10, 80):
        evening.now = NOON + timedelta(seconds=seconds)
        evening.read(one, 100, 0)
    evening.top_up(500)
    evening.look(one)
    assert evening.row(one).stop_requested_at is not None
    assert _commands(evening) == [("RemoteStopTransaction", "queued")]


# --- derived state ----------------------------------------------------------------------------------------------------


def test_an_ended_transaction_is_not_watched_any_more(evening: Evening) -> None:
    one = _exhausted(evening)
    evening.pass_s(2)
    evening.stop(one, 2810)
    assert evening.row(one).guard_at is None
    assert not evening.look(one)
    assert not evening.look(4711)


def test_whoever_the_station_connects_to_is_told_when_to_look(evening: Evening) -> None:
    evening.issue(500)
    one = evening.start()
    (opened,) = evening.run(Open(1, "next", "another node", "127.0.0.1", "ocpp1.6"))
    assert opened.watches[one].guard_at == evening.row(one).guard_at


def test_back_off_and_attempts_are_the_policys(evening: Evening, make_settings: Callable[..., Settings]) -> None:
    changes = {"stop_retry_s": 2, "stop_retry_max_s": 3, "alarm_after_attempts": 2}
    policy = msgspec.structs.replace(POLICY, **changes)
    evening.engine = Engine(
        evening.database, evening.installation.currency, policy, lambda: evening.now, batch_max=500, queue_max=10
    )
    one = _exhausted(evening)
    evening.look_when_due(one)
    assert (evening.now - NOON).total_seconds() == 902
    assert evening.row(one).guard_at == after(evening, 3)
    with evening.database.reading() as connection:
        assert len(connection.execute(select(models.alarm)).all()) == 1
