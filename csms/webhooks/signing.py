"""The signature of a body, as the Standard Webhooks specification writes it. Pure; time and secret are arguments."""

import base64
import hmac
import secrets
from datetime import datetime
from hashlib import sha256

_PREFIX = "whsec_"
_BYTES = 24


def new_secret() -> str:
    """Make a secret; both sides keep it."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def headers(secret: str, delivery_id: str, moment: datetime, body: bytes) -> dict[str, str]:
    """Return the headers of a delivery. The receiver computes HMAC-SHA256 over `id.timestamp.body` and compares, and
    refuses a timestamp that is not of now.
    """
    timestamp = str(int(moment.timestamp()))
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature(secret, delivery_id, timestamp, body)}",
    }


def signature(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """Return the signature in base64."""
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = b".".join((delivery_id.encode(), timestamp.encode(), body))
    return base64.b64encode(hmac.new(key, signed, sha256).digest()).decode()
