"""DataTransfer (OCPP 1.6, 4.3): messages of vendors. Built in is the vendor of the price and cost messages, of whose
messages a charge point sends one: that a connector was unplugged. Others are registered by an operator.
"""

from typing import Annotated

import msgspec

from csms.charging import display_messages
from csms.handlers.exchange import Exchange
from csms.handlers.messages import DataTransfer, DataTransferResult
from csms.handlers.timestamps import read_timestamp
from csms.operations.data_transfers import TakeDataTransfer


class ConnectorUnplugged(msgspec.Struct, frozen=True, rename="camel"):
    """The data of the message of that name, as JSON in a string."""

    transaction_id: Annotated[int, msgspec.Meta(gt=0, lt=2**31)]
    timestamp: str


_UNPLUGGED = msgspec.json.Decoder(ConnectorUnplugged)


async def handle(call: DataTransfer, exchange: Exchange) -> DataTransferResult:
    """Answer as the vendor is registered: the message is taken or not, or it or its vendor is not known."""
    if call.vendor_id.casefold() == display_messages.VENDOR:
        return await _shown(call, exchange)
    taken = TakeDataTransfer(exchange.charge_point_id, call.vendor_id, call.message_id, call.data)
    return DataTransferResult(status=await exchange.submit(taken))


async def _shown(call: DataTransfer, exchange: Exchange) -> DataTransferResult:
    """Store what is known of displays; data that cannot be read are rejected."""
    if call.message_id != "ConnectorUnplugged":
        return DataTransferResult(status="UnknownMessageId")
    try:
        said = _UNPLUGGED.decode((call.data or "").encode())
    except msgspec.MsgspecError:
        return DataTransferResult(status="Rejected")
    read = read_timestamp(said.timestamp, exchange.now)
    fact = display_messages.ConnectorUnplugged(exchange.charge_point_id, said.transaction_id, read.happened_at)
    await exchange.submit(fact)
    return DataTransferResult(status="Accepted")
