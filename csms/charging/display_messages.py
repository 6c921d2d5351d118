"""What a charge point's display is told while a customer is there: the price for them, the running and the final cost.

Pure; messages of the vendor `org.openchargealliance.costmsg`, whose data is JSON in a string. Sent only to charge
points that report `CustomDisplayCostAndPrice`. Decides nothing about money: what is shown is what was computed.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from csms.billing.bands import Band, Span, band_at, divide
from csms.billing.books import Decision, JournalEntry, normalize_id_tag
from csms.billing.idling import CHARGING_W, grace_of
from csms.billing.money import Currency
from csms.billing.tariffs import Tariff, decode_tariff
from csms.charging import closing, display, unplugging
from csms.charging.authorization import Authorization, Authorize
from csms.charging.command_queue import DISPLAY
from csms.charging.display import ENCODER, ChargingPrice
from csms.charging.display_texts import LANGUAGES, Language, cost_text, price_text
from csms.charging.facts import UNNUMBERED, Command, Transaction
from csms.charging.forecast import credit_minor
from csms.charging.metering import Metered, MeterValues
from csms.charging.receipt_links import token_of
from csms.charging.transactions import Started, StartTransaction, Stopped, StopTransaction
from csms.charging.working_set import Names, WorkingSet

VENDOR = "org.openchargealliance.costmsg"
_USEFUL = {"SetUserPrice": 60, "RunningCost": 120, "FinalCost": 600}  # for so many seconds
_HISTORY = timedelta(minutes=5)  # who was charged that long ago looks at no display
_AHEAD = timedelta(days=8)  # bands repeat each week
_FAR_WH = 10**9
_MINUTES_PER_HOUR = 60
_S_PER_MINUTE = 60


class _AtAChargePoint(Protocol):
    @property
    def charge_point_id(self) -> int: ...


Asked = TypeVar("Asked", bound=_AtAChargePoint)
Outcome = TypeVar("Outcome")
Rule = Callable[[Asked, WorkingSet, datetime], Decision[Outcome]]


class Text(msgspec.Struct, frozen=True):
    """A text in a language."""

    format: str
    language: str
    content: str


class UserPrice(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """SetUserPrice: what charging costs whoever holds this card."""

    id_token: str
    price_text: str
    price_text_extra: tuple[Text, ...] = ()


class IdlePrice(msgspec.Struct, frozen=True, rename="camel"):
    """Prices while the car is full."""

    grace_minutes: int
    hour_price: Decimal


class NextPeriod(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The prices that follow, and when."""

    at_time: str
    charging_price: ChargingPrice
    idle_price: IdlePrice | None = None


class Trigger(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """When the charge point shall send a reading, so that the next cost is exact."""

    at_time: str | None = None
    at_energy_kwh: Decimal | None = msgspec.field(name="atEnergykWh", default=None)  # of the register
    at_power_kw: Decimal | None = msgspec.field(name="atPowerkW", default=None)
    at_cp_status: tuple[str, ...] = msgspec.field(name="atCPStatus", default=())


class RunningCost(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """RunningCost: what a transaction costs so far."""

    transaction_id: int
    timestamp: str
    meter_value: int
    cost: Decimal
    state: str
    charging_price: ChargingPrice
    idle_price: IdlePrice | None = None
    next_period: NextPeriod | None = None
    trigger_meter_value: Trigger | None = None


class FinalCost(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """FinalCost: what a transaction cost."""

    transaction_id: int
    cost: Decimal
    price_text: str
    price_text_extra: tuple[Text, ...] = ()
    qr_code_text: str | None = None


class ConnectorUnplugged(msgspec.Struct, frozen=True):
    """A charge point tells that the car of a transaction is unplugged: time after that costs nothing."""

    charge_point_id: int
    transaction_id: int
    happened_at: datetime

    def name(self, names: Names) -> None:
        """Say what must be loaded: with the review item also what was taken so far, and the readings."""
        names.transaction_ids.add(self.transaction_id)
        names.review_keys.add(unplugging.review_key(self.transaction_id))
        names.open_at.add(self.charge_point_id)


def unplugged(said: ConnectorUnplugged, working_set: WorkingSet, now: datetime) -> Decision[None]:
    """Note it on the transaction, if it is one of this charge point's. A charge that it corrects is shown anew."""
    one = working_set.transactions.get(said.transaction_id)
    if one is None or one.charge_point_id != said.charge_point_id:
        return Decision(None)
    intents = unplugging.unplugged_at(one, said.happened_at, said, working_set, now)
    taken = sum(_taken_by(one, each) for each in intents if isinstance(each, JournalEntry))
    if not taken or said.charge_point_id not in working_set.displays or _is_history(one, now):
        return Decision(None, intents)
    return Decision(None, (*intents, *_final(one, one.cost_minor + taken, working_set, now)))


def _taken_by(one: Transaction, entry: JournalEntry) -> int:
    """Return what an entry took from the account of a transaction; negative: what it gave back."""
    return sum(
        each.amount_minor if each.debit_account_id == one.account_id else -each.amount_minor for each in entry.transfers
    )


def _is_history(one: Transaction, now: datetime) -> bool:
    return one.ended_at is None or now - one.ended_at > _HISTORY


def shown(
    decide: Rule[Asked, Outcome],
    say: Callable[[Asked, Decision[Outcome], WorkingSet, datetime], tuple[Command, ...]],
) -> Rule[Asked, Outcome]:
    """Add to a rule what the display is told of its decision, where there is a display."""

    def deciding(asked: Asked, working_set: WorkingSet, now: datetime) -> Decision[Outcome]:
        decision = decide(asked, working_set, now)
        if asked.charge_point_id not in working_set.displays:
            return decision
        return Decision(decision.outcome, (*decision.intents, *say(asked, decision, working_set, now)))

    return deciding


def after_authorize(
    asked: Authorize, decision: Decision[Authorization], working_set: WorkingSet, now: datetime
) -> tuple[Command, ...]:
    """Say what charging costs this customer."""
    account = working_set.books.account_of(normalize_id_tag(asked.id_tag))
    if decision.outcome.status != "Accepted" or account is None:
        return ()
    charge_point = working_set.charge_points[asked.charge_point_id]
    tariff = display.shown_tariff(charge_point, account.group_id, working_set, now)
    if tariff is None:
        return ()
    texts = _texts(
        asked.charge_point_id,
        account.account_id,
        working_set,
        lambda language: price_text(tariff, working_set.books.currency, language),
    )
    message = UserPrice(asked.id_tag, *texts)
    return (_command("SetUserPrice", message, asked.charge_point_id, None, now),)


def after_start(
    _asked: StartTransaction, decision: Decision[Started], working_set: WorkingSet, now: datetime
) -> tuple[Command, ...]:
    """Say that a transaction costs nothing yet, and under which prices."""
    one = _written(decision)
    accepted = decision.outcome.authorization.status == "Accepted"
    return _running(one, working_set, now) if one is not None and accepted else ()


def after_meter_values(
    _asked: MeterValues, decision: Decision[Metered], working_set: WorkingSet, now: datetime
) -> tuple[Command, ...]:
    """Say what it costs by now, where that changed."""
    one = _written(decision)
    if one is None or one.state != "open":
        return ()
    before = working_set.transactions.get(one.transaction_id)
    shows_the_same = before is not None and _shown_of(before) == _shown_of(one)
    return () if shows_the_same else _running(one, working_set, now)


def _shown_of(one: Transaction) -> tuple[int, int, bool]:
    return one.register_wh, one.cost_minor, _is_idle(one)


def _is_idle(one: Transaction) -> bool:
    draws_little = one.idle_since is not None or (one.power_w is not None and one.power_w < CHARGING_W)
    return draws_little and not one.is_suspended


def after_stop(
    _asked: StopTransaction, decision: Decision[Stopped], working_set: WorkingSet, now: datetime
) -> tuple[Command, ...]:
    """Say what it cost in the end; nothing where a person has to find out, since "nothing to pay" may not be true."""
    one = _written(decision)
    if one is None or one.state != "ended" or _is_history(one, now):
        return ()
    if one.uncharged_reason in {*closing.WAITING, closing.NO_ACCOUNT}:
        return ()
    return _final(one, 0 if one.uncharged_reason is not None else one.cost_minor, working_set, now)


def _final(one: Transaction, cost_minor: int, working_set: WorkingSet, now: datetime) -> tuple[Command, ...]:
    currency = working_set.books.currency
    texts = _texts(
        one.charge_point_id,
        one.account_id,
        working_set,
        lambda language: cost_text(cost_minor, one.energy_wh, currency, language),
    )
    policy = working_set.policy
    link = None
    if policy.receipt_base:
        link = policy.receipt_base + token_of(one.transaction_id, one.natural_key, policy.receipt_key)
    message = FinalCost(one.transaction_id, display.units(cost_minor, currency), *texts, link)
    older = _superseded(one, working_set, now)
    return (*older, _command("FinalCost", message, one.charge_point_id, one, now))


def _running(one: Transaction, working_set: WorkingSet, now: datetime) -> tuple[Command, ...]:
    if one.account_id is None or not one.tariff_json or now - one.register_at > _HISTORY:
        return ()
    currency = working_set.books.currency
    tariff = decode_tariff(one.tariff_json)
    zone = ZoneInfo(tariff.time_zone)
    following = _next_period(tariff, zone, now, currency)
    message = RunningCost(
        one.transaction_id,
        _moment(one.register_at),
        one.register_wh,
        display.units(one.cost_minor, currency),
        "Idle" if _is_idle(one) else "Charging",
        _charging_price(tariff, band_at(now, tariff.bands, zone), currency),
        _idle_price(tariff),
        following,
        _trigger(tariff, following, _credit_ends_at(one, tariff, now, working_set)),
    )
    older = _superseded(one, working_set, now)
    return (*older, _command("RunningCost", message, one.charge_point_id, one, now))


def _charging_price(tariff: Tariff, band: Band | None, currency: Currency) -> ChargingPrice:
    if band is None:
        return display.charging_price(tariff, currency)
    flat_fee = display.units(tariff.start_fee_minor, currency)
    return ChargingPrice(
        k_wh_price=band.rate_per_kwh, hour_price=band.rate_per_minute * _MINUTES_PER_HOUR, flat_fee=flat_fee
    )


def _idle_price(tariff: Tariff) -> IdlePrice | None:
    if not tariff.rate_per_idle_minute:
        return None
    return IdlePrice(grace_of(tariff.idle_grace_s) // _S_PER_MINUTE, tariff.rate_per_idle_minute * _MINUTES_PER_HOUR)


def _next_period(tariff: Tariff, zone: ZoneInfo, now: datetime, currency: Currency) -> NextPeriod | None:
    """Return when the next band begins, and its prices; None where prices do not change."""
    at, present = now, band_at(now, tariff.bands, zone)
    for piece in divide(Span(now, now + _AHEAD, 0), tariff.bands, zone) if tariff.bands else ():
        if piece.band != present:
            prices = _charging_price(tariff, piece.band, currency)
            begun = msgspec.structs.replace(prices, flat_fee=Decimal(0))  # the fee of the start is due once
            return NextPeriod(_moment(at), begun, _idle_price(tariff))
        at += timedelta(seconds=int(piece.seconds), microseconds=int(piece.seconds % 1 * 1_000_000))
    return None


def _trigger(tariff: Tariff, following: NextPeriod | None, at_energy_kwh: Decimal | None) -> Trigger | None:
    """Ask for a reading where the price changes: at the next period, where the car stops or begins to draw, and where
    the credit ends.
    """
    at_time = None if following is None else following.at_time
    if tariff.rate_per_idle_minute:
        statuses = ("Charging", "SuspendedEV", "SuspendedEVSE", "Finishing")
        return Trigger(at_time, at_energy_kwh, Decimal(CHARGING_W).scaleb(-3), statuses)
    return None if at_time is None and at_energy_kwh is None else Trigger(at_time, at_energy_kwh)


def _credit_ends_at(one: Transaction, tariff: Tariff, now: datetime, working_set: WorkingSet) -> Decimal | None:
    """Return the register (kWh) at which the credit ends at the present price; None where energy costs nothing.

    Time costs, too, so the credit may end before; later it cannot.
    """
    credit = credit_minor(one, working_set) if one.transaction_id in working_set.transactions else None
    if credit is None:
        account = working_set.books.accounts.get(one.account_id or 0)
        credit = None if account is None else account.available_minor
    band = band_at(now, tariff.bands, ZoneInfo(tariff.time_zone))
    rate = tariff.rate_per_kwh if band is None else band.rate_per_kwh
    if credit is None or rate <= 0:
        return None
    left = display.units(max(0, credit - max(one.cost_minor, tariff.start_fee_minor)), working_set.books.currency)
    free_wh = max(0, tariff.free_wh - one.energy_wh)
    more_wh = min(free_wh + int(left / rate * 1000), _FAR_WH)
    return Decimal(one.register_wh + more_wh).scaleb(-3)


def _texts(
    charge_point_id: int, account_id: int | None, working_set: WorkingSet, write: Callable[[Language], str]
) -> tuple[str, tuple[Text, ...]]:
    """Return a text in the customer's language, and in the others that the display knows."""
    first = language_of(account_id, working_set)
    known = display.tags_of(working_set.displays[charge_point_id])
    others = tuple(Text("UTF8", tag, write(one)) for tag, one in known if one != first)
    return write(first), others


def language_of(account_id: int | None, working_set: WorkingSet) -> Language:
    """Return a customer's language, or that of the installation."""
    told = working_set.languages.get(account_id) if account_id is not None else None
    return next((one for one in LANGUAGES if one == told), working_set.policy.language)


def _superseded(one: Transaction, working_set: WorkingSet, now: datetime) -> tuple[Command, ...]:
    """Return the running costs that still wait, expired: only the newest is worth sending."""
    failure = "a newer cost took its place"
    waiting = [each for each in working_set.commands.values() if each.transaction_id == one.transaction_id]
    return tuple(
        msgspec.structs.replace(each, state="expired", answered_at=now, failure=failure)
        for each in waiting
        if each.state == "queued" and each.action == "DataTransfer" and each.requested_by == DISPLAY
    )


def _written(decision: Decision[Any]) -> Transaction | None:
    """Return the transaction that a decision moves; None where it changes none."""
    transaction_id = getattr(decision.outcome, "transaction_id", None)
    found = [one for one in decision.intents if isinstance(one, Transaction) and one.transaction_id == transaction_id]
    return found[-1] if found else None


def _command(
    message_id: str,
    data: msgspec.Struct,
    charge_point_id: int,
    one: Transaction | None,
    now: datetime,
) -> Command:
    payload = {"vendorId": VENDOR, "messageId": message_id, "data": ENCODER.encode(data).decode()}
    return Command(
        UNNUMBERED,
        charge_point_id,
        "DataTransfer",
        msgspec.json.encode(payload).decode(),
        "queued",
        DISPLAY,
        repeatable=False,
        created_at=now,
        expires_at=now + timedelta(seconds=_USEFUL[message_id]),
        transaction_id=None if one is None else one.transaction_id,
    )


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
