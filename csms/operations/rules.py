"""The rules of an installation: charging's own, and those of operations.

A family of operations adds its inputs to `_DECIDERS`, what follows from the answer of a command to `_FOLLOW_UPS`, what
has to be loaded to `_LOADERS` and the rows that its facts become to `_WRITERS`. Lists only; decides nothing.
"""

from collections import ChainMap

from csms.charging import engine, follow_ups
from csms.charging.command_queue import AnswerCommand
from csms.charging.credit_guard import GuardDue
from csms.charging.engine import Decide, Rules
from csms.charging.follow_ups import Rule
from csms.charging.stations import Boot, StatusNotification
from csms.charging.store import Loader, Writer
from csms.charging.transactions import StartTransaction
from csms.operations import (
    charging_profiles,
    charging_profiles_store,
    reservations,
    reservations_store,
    transfer_progress,
    transfer_store,
    transfers,
)

_DECIDERS: dict[type, Decide] = {
    Boot: transfer_progress.watching_boots(engine.DECIDERS[Boot]),
    transfers.QueueTransfer: transfers.queue_transfer,
    transfers.ReviewTransfers: transfers.review,
    transfer_progress.TransferStatus: transfer_progress.said_status,
    StartTransaction: reservations.using(engine.DECIDERS[StartTransaction]),
    StatusNotification: reservations.watching(engine.DECIDERS[StatusNotification]),
    reservations.ExpireReservations: reservations.expire,
    GuardDue: charging_profiles.bounded(engine.DECIDERS[GuardDue]),
}

# What follows from a final answer (accepted, rejected, failed, timed out), by the action that was asked for.
_FOLLOW_UPS: dict[str, tuple[Rule, ...]] = {
    "ReserveNow": (reservations.after_reserve,),
    "CancelReservation": (reservations.after_cancel,),
    "SetChargingProfile": (charging_profiles.after_set,),
    "ClearChargingProfile": (charging_profiles.after_clear,),
    "GetCompositeSchedule": (charging_profiles.after_composite,),
    "RemoteStartTransaction": (charging_profiles.after_remote_start,),
    **dict.fromkeys(transfers.FAMILIES, (transfers.answered,)),
}

_LOADERS: tuple[Loader, ...] = (charging_profiles_store.load, reservations_store.load, transfer_store.load)

# Facts are written in this order, each kind set-wise: two processes then never wait for each other in a circle.
_WRITERS: dict[type, Writer] = {
    reservations.Reservation: reservations_store.write,
    charging_profiles.ProfilesCleared: charging_profiles_store.write_cleared,
    charging_profiles.ProfileInstalled: charging_profiles_store.write_installed,
    charging_profiles.CompositeAnswered: charging_profiles_store.write_composites,
    charging_profiles.LimitRefused: charging_profiles_store.write_refusals,
    charging_profiles.LimitTaken: charging_profiles_store.write_taken,
    **transfer_store.WRITERS,
}

_DECIDERS[AnswerCommand] = follow_ups.answering(_FOLLOW_UPS)
RULES = Rules(
    deciders=ChainMap(_DECIDERS, engine.DECIDERS),
    loaders=_LOADERS,
    writers=_WRITERS,
)
