"""Authorize (OCPP 1.6, 4.1): may this card charge? The true reason of a refusal is stored, since 1.6 has no word for
it.
"""

from csms.charging import authorization
from csms.handlers.exchange import Exchange
from csms.handlers.messages import Authorize, AuthorizeResult, IdTagInfo
from csms.handlers.timestamps import write_timestamp


async def handle(call: Authorize, exchange: Exchange) -> AuthorizeResult:
    """Answer with the status of the card, a short expiry and the id that the account's cards share."""
    verdict = await exchange.submit(authorization.Authorize(exchange.charge_point_id, call.id_tag))
    return AuthorizeResult(id_tag_info=id_tag_info(verdict))


def id_tag_info(verdict: authorization.Authorization) -> IdTagInfo:
    """Write an authorization as OCPP's idTagInfo."""
    return IdTagInfo(
        status=verdict.status,
        expiry_date=None if verdict.expires_at is None else write_timestamp(verdict.expires_at),
        parent_id_tag=verdict.parent_id_tag,
    )
