"""What a batch loaded and what it wants written.

Decisions read the working set and return intents; `take` applies each intent, so that the next input of the batch
sees it. Knows the facts of charging, hands money's intents on to the books, and does no input or output.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from msgspec.structs import asdict, replace

from csms.billing.books import Books, MoneyNames
from csms.charging.facts import (
    UNNUMBERED,
    Alarm,
    AlarmOver,
    AuthorizationRefusal,
    ChainBreak,
    ChargePoint,
    ClockSkew,
    Command,
    Connection,
    ConnectionGone,
    ConnectorStatus,
    KeyChange,
    NewChargePoint,
    Point,
    Policy,
    Reading,
    Register,
    RelativeReadings,
    Resolution,
    ReviewItem,
    Running,
    Seen,
    SmartCharging,
    StationGroup,
    StopLag,
    StoredReview,
    TariffAssignment,
    TariffVersion,
    Transaction,
    UnknownChargePoint,
    Watch,
)
from csms.charging.points import Turn, points_of
from csms.charging.setting_facts import KeyOffer, ProfileReached, Setting, SettingsState, Unplugged

if TYPE_CHECKING:
    from csms.charging.transactions import StopTransaction


@dataclass(slots=True)
class Names(MoneyNames):
    """What the inputs of a batch name. Whoever names a charge point's open transactions names their accounts too."""

    charge_point_ids: set[int] = field(default_factory=set)
    identities: set[str] = field(default_factory=set)
    transaction_ids: set[int] = field(default_factory=set)
    natural_keys: set[str] = field(default_factory=set)
    stop_keys: set[str] = field(default_factory=set)
    stops: list["StopTransaction"] = field(default_factory=list)
    parked_keys: set[str] = field(default_factory=set)  # under which a stop that fits nothing is kept for a person
    open_at: set[int] = field(default_factory=set)  # charge points whose open transactions may be meant
    metered: dict[int, int] = field(default_factory=dict)  # the charge point by the transaction id of its readings
    registers_at: set[int] = field(default_factory=set)
    review_keys: set[str] = field(default_factory=set)
    command_ids: set[int] = field(default_factory=set)
    commands_at: set[int] = field(default_factory=set)
    tariffs: bool = False  # and what else decides whether a transaction may begin
    places_of_transactions: bool = False  # the charge points of the named transactions, with their groups
    settings_at: set[int] = field(default_factory=set)  # charge points whose settings are looked after
    new_transactions: int = 0
    new_commands: int = 0
    new_charge_points: int = 0
    more: dict[str, set[Any]] = field(default_factory=dict)  # what rules beside charging's own name, by their loader


@dataclass(slots=True)
class WorkingSet:
    """The facts of one unit of work."""

    books: Books
    policy: Policy
    charge_points: dict[int, ChargePoint] = field(default_factory=dict)
    identities: dict[str, int] = field(default_factory=dict)
    transactions: dict[int, Transaction] = field(default_factory=dict)
    natural_keys: dict[str, int] = field(default_factory=dict)
    stop_keys: dict[str, int] = field(default_factory=dict)
    overtaken: dict[int, tuple[datetime, int]] = field(default_factory=dict)  # when and where the next one began
    parked: set[str] = field(default_factory=set)  # the parked keys that are taken, decided by a person or not
    ambiguous: set[str] = field(default_factory=set)  # keys of stops that fit more orphans than the batch can end
    orphaned_at: set[tuple[int, int]] = field(default_factory=set)  # connectors with orphans that are not loaded
    commands: dict[int, Command] = field(default_factory=dict)
    tariffs: dict[str, list[TariffVersion]] = field(default_factory=dict)
    tariff_names: dict[int, str] = field(default_factory=dict)
    default_tariff: str | None = None
    assignments: list[TariffAssignment] = field(default_factory=list)
    station_groups: dict[int, StationGroup] = field(default_factory=dict)
    smart_charging: dict[int, SmartCharging] = field(default_factory=dict)  # where limits go on without a link
    station_groups_of: dict[int, set[int]] = field(default_factory=dict)  # by account group, where it is limited
    running: dict[int, list[Running]] = field(default_factory=dict)  # by account
    midnight: datetime | None = None  # the day's first, where a group limits what is spent in a day
    todays: dict[int, list[Transaction]] = field(default_factory=dict)  # of those accounts, unfinished or ended today
    points_at_midnight: dict[int, list[Point | Turn]] = field(default_factory=dict)  # of those that ran over it
    points: dict[int, list[Point | Turn]] = field(default_factory=dict)  # of transactions whose price depends on them
    settings: dict[int, dict[str, Setting]] = field(default_factory=dict)  # by charge point and case-folded key
    charging_at: set[int] = field(default_factory=set)  # charge points with settings that have an open transaction
    displays: dict[int, str] = field(default_factory=dict)  # languages by charge point that shows costs
    languages: dict[int, str] = field(default_factory=dict)  # of customers, by account, where there is a display
    time_zones: dict[int, str] = field(default_factory=dict)  # of their sites
    free_transaction_ids: list[int] = field(default_factory=list)
    free_command_ids: list[int] = field(default_factory=list)
    free_charge_point_ids: list[int] = field(default_factory=list)

    new_transactions: set[int] = field(default_factory=set)
    changed_transactions: set[int] = field(default_factory=set)
    new_commands: set[int] = field(default_factory=set)
    unnumbered_commands: list[Command] = field(default_factory=list)
    changed_commands: set[int] = field(default_factory=set)
    new_charge_points: set[int] = field(default_factory=set)
    changed_charge_points: set[int] = field(default_factory=set)
    readings: dict[tuple[int, int, datetime, int], Reading] = field(default_factory=dict)
    review_items: dict[str, ReviewItem] = field(default_factory=dict)
    reviews: dict[str, StoredReview] = field(default_factory=dict)  # of those that were asked for
    resolutions: dict[str, Resolution] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)  # transactions that end in this batch
    revived: set[int] = field(default_factory=set)  # transactions that were taken for over, and are not
    spared: set[int] = field(default_factory=set)  # transactions that are not to be stopped any more
    registers: dict[tuple[int, int], Register] = field(default_factory=dict)
    changed_registers: set[tuple[int, int]] = field(default_factory=set)
    broken_chains: set[int] = field(default_factory=set)
    relative_readings: set[int] = field(default_factory=set)
    clock_skews: dict[int, ClockSkew] = field(default_factory=dict)
    alarms_over: set[str] = field(default_factory=set)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    connectors: dict[tuple[int, int], ConnectorStatus] = field(default_factory=dict)
    refusals: dict[tuple[int, str], AuthorizationRefusal] = field(default_factory=dict)
    connections: dict[int, Connection] = field(default_factory=dict)
    key_changes: list[KeyChange] = field(default_factory=list)
    gone: list[ConnectionGone] = field(default_factory=list)
    seen: dict[int, Seen] = field(default_factory=dict)
    stop_lags: dict[int, StopLag] = field(default_factory=dict)
    unknown: dict[str, UnknownChargePoint] = field(default_factory=dict)
    changed_settings: set[tuple[int, str]] = field(default_factory=set)
    settings_states: dict[int, SettingsState] = field(default_factory=dict)
    key_offers: dict[int, KeyOffer] = field(default_factory=dict)
    profiles_reached: list[ProfileReached] = field(default_factory=list)
    unplugged: list[Unplugged] = field(default_factory=list)
    more: dict[str, dict[Any, Any]] = field(default_factory=dict)  # what loaders beside charging's own brought
    more_facts: dict[type, list[Any]] = field(default_factory=dict)  # facts that writers beside charging's own take

    def unfinished(self, charge_point_id: int) -> list[Transaction]:
        """Return the open transactions of a charge point, and those orphans that may be meant, oldest first."""
        found = [
            one for one in self.transactions.values() if one.charge_point_id == charge_point_id and one.state != "ended"
        ]
        return sorted(found, key=lambda one: one.transaction_id)

    def station_group_of(self, charge_point_id: int) -> StationGroup | None:
        """Return the group of a charge point, if it has one."""
        group_id = self.charge_points[charge_point_id].group_id
        return None if group_id is None else self.station_groups.get(group_id)

    def next_transaction_id(self) -> int:
        """Return the id of the transaction that begins next in this batch."""
        return self.free_transaction_ids[len(self.new_transactions)]

    def next_charge_point_id(self) -> int:
        """Return the id of the charge point that is created next in this batch."""
        return self.free_charge_point_ids[len(self.new_charge_points)]

    def decided_commands(self) -> set[int]:
        """Return the commands of this batch of which it is known now what became of them."""
        changed = self.changed_commands | self.new_commands
        return {key for key in changed if self.commands[key].state not in {"queued", "sent"}}

    def watches(self) -> dict[int, Watch]:
        """Return when the guard looks at the transactions of this batch that began, changed or ended."""
        return {key: watch_of(self.transactions[key]) for key in self.new_transactions | self.changed_transactions}

    def take(self, intents: tuple[Any, ...]) -> None:
        """Apply intents in order."""
        for intent in intents:
            if self.books.take(intent):
                continue
            taker = _TAKERS.get(type(intent))
            if taker is None:
                self.more_facts.setdefault(type(intent), []).append(intent)
            else:
                taker(self, intent)


def _take_transaction(working_set: WorkingSet, one: Transaction) -> None:
    key = one.transaction_id
    known = key in working_set.transactions and key not in working_set.new_transactions
    is_running = one.authorization_status == "Accepted" and not known and key not in working_set.new_transactions
    if one.account_id is not None and is_running:
        running = Running(
            key, one.account_id, one.id_tag, one.charge_point_id, one.connector_id, one.started_at, one.recorded_at
        )
        working_set.running.setdefault(one.account_id, []).append(running)
    (working_set.changed_transactions if known else working_set.new_transactions).add(key)
    if one.needs_spans and not known:
        working_set.points.setdefault(key, [])  # its readings may come in the same batch
    if known and one.state == "ended" and working_set.transactions[key].state != "ended":
        working_set.ended.add(key)
    if known and one.state == "open" and working_set.transactions[key].state != "open":
        working_set.revived.add(key)
    if known and one.stop_requested_at is None and working_set.transactions[key].stop_requested_at is not None:
        working_set.spared.add(key)
    working_set.transactions[key] = one
    working_set.natural_keys[one.natural_key] = key
    if one.stop_key is not None:
        working_set.stop_keys[one.stop_key] = key


def _take_command(working_set: WorkingSet, one: Command) -> None:
    if one.command_id == UNNUMBERED:
        working_set.unnumbered_commands.append(one)
        return
    key = one.command_id
    known = key in working_set.commands and key not in working_set.new_commands
    (working_set.changed_commands if known else working_set.new_commands).add(key)
    working_set.commands[key] = one


def _take_charge_point(working_set: WorkingSet, one: ChargePoint) -> None:
    if one.charge_point_id not in working_set.new_charge_points:
        working_set.changed_charge_points.add(one.charge_point_id)
    working_set.charge_points[one.charge_point_id] = one


def _take_new_charge_point(working_set: WorkingSet, new: NewChargePoint) -> None:
    one = new.charge_point
    working_set.new_charge_points.add(one.charge_point_id)
    working_set.charge_points[one.charge_point_id] = one
    working_set.identities[one.identity] = one.charge_point_id


def _take_key_change(working_set: WorkingSet, one: KeyChange) -> None:
    working_set.key_changes.append(one)
    _know(working_set, one)


def _take_reading(working_set: WorkingSet, one: Reading) -> None:
    if one.transaction_id is not None and one.transaction_id in working_set.points:
        told = (one.happened_at, one.register_wh, one.power_w, one.flags)
        working_set.points[one.transaction_id] += points_of([told])
    working_set.readings.setdefault((one.charge_point_id, one.connector_id, one.happened_at, one.digest), one)


def _take_status(working_set: WorkingSet, one: ConnectorStatus) -> None:
    working_set.connectors[one.charge_point_id, one.connector_id] = one


def _take_connection(working_set: WorkingSet, one: Connection) -> None:
    working_set.connections[one.charge_point_id] = one


def _take_review(working_set: WorkingSet, one: ReviewItem) -> None:
    working_set.review_items.setdefault(one.key, one)
    working_set.parked.add(one.key)


def _take_resolution(working_set: WorkingSet, one: Resolution) -> None:
    working_set.resolutions.setdefault(one.key, one)


def _take_register(working_set: WorkingSet, one: Register) -> None:
    working_set.registers[one.charge_point_id, one.connector_id] = one
    working_set.changed_registers.add((one.charge_point_id, one.connector_id))


def _take_chain_break(working_set: WorkingSet, one: ChainBreak) -> None:
    working_set.broken_chains.add(one.charge_point_id)
    for key in [key for key in working_set.registers if key[0] == one.charge_point_id]:
        del working_set.registers[key]
        working_set.changed_registers.discard(key)


def _take_relative(working_set: WorkingSet, one: RelativeReadings) -> None:
    working_set.relative_readings.add(one.charge_point_id)


def _take_skew(working_set: WorkingSet, one: ClockSkew) -> None:
    working_set.clock_skews[one.charge_point_id] = one


def _take_alarm(working_set: WorkingSet, one: Alarm) -> None:
    working_set.alarms[one.key] = one
    working_set.alarms_over.discard(one.key)


def _take_alarm_over(working_set: WorkingSet, one: AlarmOver) -> None:
    working_set.alarms.pop(one.key, None)
    working_set.alarms_over.add(one.key)


def _take_refusal(working_set: WorkingSet, one: AuthorizationRefusal) -> None:
    working_set.refusals[one.charge_point_id, one.id_tag] = one


def _take_gone(working_set: WorkingSet, one: ConnectionGone) -> None:
    live = working_set.connections.get(one.charge_point_id)
    if live is not None and live.connection_id == one.connection_id:
        del working_set.connections[one.charge_point_id]
    working_set.gone.append(one)


def _take_seen(working_set: WorkingSet, one: Seen) -> None:
    working_set.seen[one.charge_point_id] = one


def _take_stop_lag(working_set: WorkingSet, one: StopLag) -> None:
    working_set.stop_lags[one.charge_point_id] = one


def _take_unknown(working_set: WorkingSet, one: UnknownChargePoint) -> None:
    working_set.unknown[one.identity] = one


def _take_setting(working_set: WorkingSet, one: Setting) -> None:
    key = one.key.casefold()
    working_set.settings.setdefault(one.charge_point_id, {})[key] = one
    working_set.changed_settings.add((one.charge_point_id, key))


def _take_settings_state(working_set: WorkingSet, one: SettingsState) -> None:
    working_set.settings_states[one.charge_point_id] = one
    _know(working_set, one)


def _take_key_offer(working_set: WorkingSet, one: KeyOffer) -> None:
    working_set.key_offers[one.charge_point_id] = one
    _know(working_set, one)


def _take_profile_reached(working_set: WorkingSet, one: ProfileReached) -> None:
    working_set.profiles_reached.append(one)
    _know(working_set, one)


def _take_unplugged(working_set: WorkingSet, one: Unplugged) -> None:
    working_set.unplugged.append(one)
    known = working_set.transactions.get(one.transaction_id)
    if known is not None and known.charge_point_id == one.charge_point_id and known.unplugged_at is None:
        working_set.transactions[one.transaction_id] = replace(known, unplugged_at=one.unplugged_at)


def _know(working_set: WorkingSet, one: SettingsState | KeyOffer | ProfileReached | KeyChange) -> None:
    """Let later inputs of the batch see what is written beside the charge point's own row."""
    known = working_set.charge_points.get(one.charge_point_id)
    if known is not None:
        working_set.charge_points[one.charge_point_id] = replace(known, **asdict(one))


def watch_of(one: Transaction) -> Watch:
    """Return when the guard looks at a transaction."""
    moments = [at for at in (one.guard_at, one.zombie_at) if at is not None and one.state == "open"]
    return Watch(one.charge_point_id, one.account_id, min(moments, default=None))


class _Taker(Protocol):
    def __call__(self, working_set: WorkingSet, one: Any, /) -> None: ...  # noqa: ANN401 - each taker knows its fact


_TAKERS: dict[type, _Taker] = {
    Transaction: _take_transaction,
    Command: _take_command,
    ChargePoint: _take_charge_point,
    NewChargePoint: _take_new_charge_point,
    KeyChange: _take_key_change,
    Reading: _take_reading,
    ConnectorStatus: _take_status,
    Connection: _take_connection,
    ConnectionGone: _take_gone,
    ReviewItem: _take_review,
    Resolution: _take_resolution,
    Register: _take_register,
    ChainBreak: _take_chain_break,
    RelativeReadings: _take_relative,
    ClockSkew: _take_skew,
    Alarm: _take_alarm,
    AlarmOver: _take_alarm_over,
    AuthorizationRefusal: _take_refusal,
    Seen: _take_seen,
    StopLag: _take_stop_lag,
    UnknownChargePoint: _take_unknown,
    Setting: _take_setting,
    SettingsState: _take_settings_state,
    KeyOffer: _take_key_offer,
    ProfileReached: _take_profile_reached,
    Unplugged: _take_unplugged,
}
