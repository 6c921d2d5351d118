"""The rules of an installation: charging's own, and those of operations.

A family of operations adds its inputs to `_DECIDERS`, what charging's own decisions mean for it to `_BESIDE`, what
follows from the answer of a command to `_FOLLOW_UPS`, what has to be loaded to `_LOADERS` and the rows that its facts
become to `_WRITERS`. Lists only; decides nothing.
"""

from collections import ChainMap

from csms.billing.cards import JoinCard
from csms.charging import engine, follow_ups
from csms.charging.command_ends import CancelCommand, ExpireCommands, cancel, expire
from csms.charging.command_queue import AnswerCommand, ClaimCommand
from csms.charging.credit_guard import GuardDue
from csms.charging.engine import Decide, Rules
from csms.charging.facts import CommandSecret
from csms.charging.follow_ups import Rule
from csms.charging.stations import Boot, ChangeKey, Connect, Open, StatusNotification
from csms.charging.store import Loader, Writer
from csms.charging.transactions import StartTransaction
from csms.operations import (
    campaign_alarms,
    certificates,
    charging_profiles,
    charging_profiles_store,
    commands,
    commands_store,
    configuration,
    core,
    core_store,
    data_transfers,
    event_store,
    link_security,
    local_lists,
    local_lists_keeping,
    local_lists_store,
    reservations,
    reservations_store,
    security_events,
    security_store,
    transfer_progress,
    transfer_store,
    transfers,
    webhook_alarms,
)
from csms.operations.beside import Extra, beside

_DECIDERS: dict[type, Decide] = {
    commands.QueueBatch: commands.queue_batch,
    commands.StopBatch: commands.stop_batch,
    CancelCommand: cancel,
    data_transfers.TakeDataTransfer: data_transfers.take,
    ExpireCommands: expire,
    transfers.QueueTransfer: transfers.queue_transfer,
    transfers.ReviewTransfers: transfers.review,
    transfer_progress.TransferStatus: transfer_progress.said_status,
    reservations.ExpireReservations: reservations.expire,
    local_lists_keeping.KeepList: local_lists_keeping.keep,
    security_events.SecurityNotification: security_events.notified,
    certificates.AskForCertificate: certificates.ask,
    certificates.IssueCertificate: certificates.issue,
    webhook_alarms.NoteWebhook: webhook_alarms.note,
    campaign_alarms.NoteCampaign: campaign_alarms.note,
    link_security.SetProfile: link_security.set_profile,
    link_security.AskRenewal: link_security.ask_renewal,
    link_security.NoteEnds: link_security.note_ends,
}

# What charging's decisions mean for operations: the rules that run after charging's own, in this order.
_BESIDE: dict[type, tuple[Extra, ...]] = {
    Boot: (transfer_progress.watching_boots, commands.answering_resets),
    StartTransaction: (reservations.using,),
    StatusNotification: (reservations.watching,),
    JoinCard: (local_lists_keeping.replacing,),
    GuardDue: (charging_profiles.bounded,),
    Connect: (certificates.noting,),
    ChangeKey: (link_security.noting_key,),
}

# What may end a command: its answer, or else its time, an operator, the charge point's reconnecting or its boot.
_ENDS = (AnswerCommand, ClaimCommand, CancelCommand, ExpireCommands, commands.StopBatch, Boot, Open)

# What follows from the end of a command (accepted, rejected, failed, timed out, expired), by the action that was asked
# for. A command that was answered late ends twice.
_FOLLOW_UPS: dict[str, tuple[Rule, ...]] = {
    "GetConfiguration": (configuration.after_report,),
    "ChangeConfiguration": (configuration.after_change, link_security.after_change),
    "ChangeAvailability": (core.after_availability,),
    "UnlockConnector": (core.after_unlock,),
    "Reset": (core.after_act,),
    "ClearCache": (core.after_act,),
    "TriggerMessage": (core.after_trigger,),
    "ExtendedTriggerMessage": (core.after_trigger,),
    "DataTransfer": (core.after_data_transfer,),
    "ReserveNow": (reservations.after_reserve,),
    "CancelReservation": (reservations.after_cancel,),
    "GetLocalListVersion": (local_lists_keeping.after_version,),
    "SendLocalList": (local_lists_keeping.after_send,),
    "SetChargingProfile": (charging_profiles.after_set,),
    "ClearChargingProfile": (charging_profiles.after_clear,),
    "GetCompositeSchedule": (charging_profiles.after_composite,),
    "RemoteStartTransaction": (charging_profiles.after_remote_start,),
    "CertificateSigned": (certificates.after_signed,),
    "InstallCertificate": (certificates.after_install,),
    "GetInstalledCertificateIds": (certificates.after_report,),
    "DeleteCertificate": (certificates.after_delete,),
    **dict.fromkeys(transfers.FAMILIES, (transfers.answered,)),
}

_LOADERS: tuple[Loader, ...] = (
    commands_store.load,
    core_store.load,
    charging_profiles_store.load,
    reservations_store.load,
    local_lists_store.load,
    transfer_store.load,
    security_store.load,
)

# Facts are written in this order, each kind set-wise: two processes then never wait for each other in a circle.
_WRITERS: dict[type, Writer] = {
    commands.Batch: commands_store.write_batches,
    commands.BatchStopped: commands_store.write_stops,
    CommandSecret: commands_store.write_secrets,
    commands.SecretOver: commands_store.forget_secrets,
    core.AvailabilityOfAll: core_store.forget_wanted,
    core.WantedAvailability: core_store.write_wanted,
    core.Outcome: core_store.write_outcomes,
    data_transfers.DataTransferTaken: core_store.write_transfers,
    reservations.Reservation: reservations_store.write,
    local_lists.StationList: local_lists_store.write,
    local_lists_keeping.CardReplaced: local_lists_store.write_replaced,
    charging_profiles.ProfilesCleared: charging_profiles_store.write_cleared,
    charging_profiles.ProfileInstalled: charging_profiles_store.write_installed,
    charging_profiles.CompositeAnswered: charging_profiles_store.write_composites,
    charging_profiles.LimitRefused: charging_profiles_store.write_refusals,
    charging_profiles.LimitTaken: charging_profiles_store.write_taken,
    **transfer_store.WRITERS,
    **security_store.WRITERS,
}

for _kind, _extras in _BESIDE.items():
    _DECIDERS[_kind] = beside(engine.DECIDERS[_kind], *_extras)

for _kind in _ENDS:
    _decide = _DECIDERS.get(_kind) or engine.DECIDERS[_kind]
    _DECIDERS[_kind] = follow_ups.ending(_decide, _FOLLOW_UPS, (commands.forget_secret,))

RULES = Rules(
    deciders=ChainMap(_DECIDERS, engine.DECIDERS),
    loaders=_LOADERS,
    writers=_WRITERS,
    recorders=(event_store.record,),
)
