"""Whatever is lost or refused while a key is changed: the station can always come back with the key that it holds."""

import itertools
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.billing.books import Books, Decision
from csms.billing.money import Currency
from csms.charging import admission, command_queue, follow_ups
from csms.charging.command_queue import KEY_SECRET, MASKED_KEY, SECRETS, AnswerCommand, ClaimCommand
from csms.charging.facts import ChargePoint, Command, Policy
from csms.charging.stations import Admitted, ChangeKey, Connect, change_key, hash_key
from csms.charging.working_set import WorkingSet

NOW = datetime(2026, 5, 1, tzinfo=UTC)
SALT = "00" * 16
FIRST = bytes(range(20))
# What becomes of a call that carries a key: it or its answer is lost, on a link that breaks or that stays.
LOSSES = ("call lost", "answer lost", "answer to a key for the next boot lost")
ANSWERS = ("Accepted", "Rejected", "NotSupported", "RebootRequired", "call error")
STEPS = (*LOSSES, *ANSWERS, "boots", "is asked anew", "is given a chosen key", "reconnects")


class Played:
    """A central system of rules alone, and a station that takes keys as it likes."""

    def __init__(self, *, repeatable: bool) -> None:
        self.repeatable = repeatable
        hashed = hash_key(FIRST, SALT)
        self.working_set = WorkingSet(Books(Currency("EUR", 2)), Policy(50, 60, 3600, 3600, 60, 1, "UTC", 11_000))
        self.working_set.charge_points[1] = ChargePoint(1, "CP1", 1, SALT, hashed, "Accepted", None)
        self.working_set.identities["CP1"] = 1
        self.working_set.more = {SECRETS: {}, KEY_SECRET: {KEY_SECRET: b"s" * 32}}
        self.held, self.after_boot = FIRST, FIRST
        self.sent: set[bytes] = set()

    def apply(self, decision: Decision) -> object:
        self.working_set.take(decision.intents)
        return decision.outcome

    def ask(self, chosen: bytes | None = None) -> None:
        number = len(self.working_set.commands) + 1
        value = MASKED_KEY if chosen is None else "***"
        payload = msgspec.json.encode({"key": "AuthorizationKey", "value": value}).decode()
        command = Command(
            number, 1, "ChangeConfiguration", payload, "queued", "x", self.repeatable, NOW, NOW + timedelta(days=1)
        )
        self.working_set.commands[number] = command
        if chosen is not None:
            self.working_set.more[SECRETS][number] = payload.replace("***", chosen.hex())

    def next_call(self) -> Command | None:
        salt = f"{len(self.sent) + 1:032x}"
        found = self.apply(command_queue.claim(ClaimCommand(1, new_salt=salt), self.working_set, NOW))
        assert found is None or isinstance(found, Command)
        return found

    def step(self, what: str) -> None:
        if what == "boots":
            self.held = self.after_boot
        elif what == "is asked anew":
            self.ask()
        elif what == "is given a chosen key":
            self.ask(b"chosen by a person")
        elif what != "reconnects":
            self.exchange(what)
        if what in {"boots", "reconnects"}:
            assert self.comes(self.held)

    def exchange(self, what: str) -> None:
        call = self.next_call()
        if call is None:
            return
        key = bytes.fromhex(msgspec.json.decode(call.payload_json)["value"])
        self.sent.add(key)
        if what in {"answer lost", "Accepted"}:
            self.held = self.after_boot = key
        elif what in {"answer to a key for the next boot lost", "RebootRequired"}:
            self.after_boot = key
        said = AnswerCommand(call.command_id, call.attempts, "timed out", None, "no answer")
        if what == "call error":
            said = AnswerCommand(call.command_id, call.attempts, "failed", "{}", "InternalError")
        elif what in ANSWERS:
            state = "accepted" if what in {"Accepted", "RebootRequired"} else "rejected"
            said = AnswerCommand(call.command_id, call.attempts, state, f'{{"status":"{what}"}}')
        self.apply(follow_ups.answered(said, self.working_set, NOW))

    def comes(self, key: bytes) -> bool:
        asked = Connect("CP1", key, "192.0.2.1", adopt=False, new_salt=SALT)
        return isinstance(self.apply(admission.connect(asked, self.working_set, NOW)), Admitted)

    def may_come(self, key: bytes) -> bool:
        asked = Connect("CP1", key, "192.0.2.1", adopt=False, new_salt=SALT)
        return isinstance(admission.connect(asked, self.working_set, NOW).outcome, Admitted)


def play(steps: tuple[str, ...] | list[str], *, repeatable: bool) -> Played:
    """Play the steps; after each of them the station is let in with the key that it has."""
    played = Played(repeatable=repeatable)
    played.ask()
    for one in steps:
        played.step(one)
        assert played.may_come(played.held), steps
        assert played.may_come(played.after_boot), steps
    return played


@pytest.mark.parametrize("repeatable", [True, False])
def test_a_station_comes_back_with_its_key_after_any_four_mishaps(repeatable: bool) -> None:  # noqa: FBT001 - a parameter
    for steps in itertools.product(STEPS, repeat=4):
        played = play(steps, repeatable=repeatable)
        assert played.may_come(played.held), steps
        assert played.may_come(played.after_boot), steps


@given(steps=st.lists(st.sampled_from(STEPS), max_size=30), repeatable=st.booleans())
def test_a_station_comes_back_with_its_key_after_any_mishaps(steps: list[str], *, repeatable: bool) -> None:
    played = play(steps, repeatable=repeatable)
    assert played.may_come(played.held)
    assert played.may_come(played.after_boot)


def test_a_lost_key_is_sent_again_and_not_another_one() -> None:
    played = play(["answer lost", "call lost", "is asked anew", "Rejected", "call lost"], repeatable=True)
    assert len(played.sent) == 1
    assert played.comes(played.held)
    assert not played.may_come(FIRST)


def test_after_a_refusal_of_a_key_that_was_sent_once_the_next_one_is_fresh() -> None:
    played = play(["Rejected", "is asked anew", "Accepted"], repeatable=True)
    assert len(played.sent) == 2
    assert not played.may_come(FIRST)


def test_another_key_is_not_sent_while_one_may_have_been_taken() -> None:
    played = play(["call lost", "is given a chosen key", "Accepted"], repeatable=False)
    (lost, refused) = played.working_set.commands.values()
    assert (lost.state, refused.state) == ("timed out", "failed")
    assert "may have taken an earlier key" in (refused.failure or "")
    assert played.held == FIRST


def test_a_key_set_by_hand_ends_the_offer() -> None:
    played = play(["call lost", "is asked anew"], repeatable=False)
    (lost,) = played.sent
    by_hand = ChangeKey("CP1", 1, SALT, hash_key(b"by hand", SALT))
    played.apply(change_key(by_hand, played.working_set, NOW))
    assert (played.may_come(b"by hand"), played.may_come(lost), played.may_come(FIRST)) == (True, False, False)
    played.held = played.after_boot = b"by hand"
    played.step("Accepted")
    assert played.held != lost
    assert played.comes(played.held)
