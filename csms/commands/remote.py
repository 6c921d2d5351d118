"""The family of remote transactions: RemoteStartTransaction and RemoteStopTransaction (OCPP 1.6, 5.11 and 5.12)."""

from csms.billing.books import normalize_id_tag
from csms.charging.command_queue import QueueCommand
from csms.commands.requests import ask
from csms.handlers.messages import RemoteStartTransaction, RemoteStopTransaction


def remote_start(charge_point_id: int, id_tag: str, connector_id: int | None, requested_by: str) -> QueueCommand:
    """Ask a charge point to start for a card. Not repeated when the answer is lost: it might start twice."""
    call = RemoteStartTransaction(id_tag=normalize_id_tag(id_tag), connector_id=connector_id)
    return ask(charge_point_id, "RemoteStartTransaction", call, requested_by)


def remote_stop(charge_point_id: int, transaction_id: int, requested_by: str) -> QueueCommand:
    """Ask a charge point to stop a transaction; repeating it is harmless."""
    call = RemoteStopTransaction(transaction_id=transaction_id)
    return ask(charge_point_id, "RemoteStopTransaction", call, requested_by)
