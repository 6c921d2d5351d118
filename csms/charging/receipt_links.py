"""The link to the receipt of a transaction, which its driver gets as a QR code. Pure.

A token says which transaction, and proves with a keyed hash that whoever has it was told it; it cannot be guessed, and
nothing of it is stored. Knows neither pages nor where the key comes from.
"""

import hmac
from base64 import urlsafe_b64encode

_MAC_BYTES = 16
_LONGEST_NUMBER = 8  # hex digits of 31 bits


def token_of(transaction_id: int, natural_key: str, key: bytes) -> str:
    """Return the token of a transaction: its number in hex, a point, 22 letters and digits."""
    mac = hmac.digest(key, f"receipt {transaction_id} {natural_key}".encode(), "sha256")[:_MAC_BYTES]
    return f"{transaction_id:x}.{urlsafe_b64encode(mac).decode().rstrip('=')}"


def transaction_of(token: str) -> int | None:
    """Return which transaction a token claims to be about, None where it is no token."""
    number, point, mac = token.partition(".")
    is_hex = bool(number) and all(one in "0123456789abcdef" for one in number)
    if not point or not mac or not is_hex or len(number) > _LONGEST_NUMBER:
        return None
    found = int(number, 16)
    return found if 0 < found < 2**31 else None


def is_genuine(token: str, transaction_id: int, natural_key: str, key: bytes) -> bool:
    """Tell whether a token is that of a transaction."""
    return hmac.compare_digest(token.encode(), token_of(transaction_id, natural_key, key).encode())
