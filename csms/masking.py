"""Takes keys and passwords out of JSON texts before anybody keeps or shows them: frames, payloads, answers. Pure.

Knows names and forms in which charge points carry secrets (AuthorizationKey of the Security Whitepaper, vendors'
own), and no action. When in doubt it hides too much: what is shown to people is not what is executed.
"""

import json
import re
from typing import Any, TypeAlias

MASK = "***"

_Json: TypeAlias = Any

# What a text must contain before it is worth a look; in lower case. A backslash may hide any of the others.
_HINTS = (
    *(
        b"\\",
        b"://",
        b"authorization",
        b"pass",
        b"secret",
        b"credential",
        b"private",
        b"api",
        b"shared",
        b"psk",
        b"pwd",
    ),
    *(b'key"', b"pin", b'puk"', b"token", b"vpn", b"wifi", b"wpa", b"basic", b"securitykey"),
)
_SECRET_NAME = re.compile(
    r"(authorization|private|api|shared|vpn|wifi|wpa)[\W_]*key|securitykey|basic[\W_]*auth[\W_]*key|(wifi|wpa)\w*[\W_]*psk"
    r"|sim[\W_]*pin|(auth|access)[\W_]*token|pass[\W_]*(word|wd|phrase)|secret|credential",
    re.IGNORECASE,
)
# What the name of a configuration key ends in when its value is a secret.
_ENDS = ("key", "psk", "pin", "puk", "token", "secret", "password", "passphrase", "passwd", "pwd", "pass")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_TAIL = re.compile(r"[A-Z]{2,}([a-z]+)")
_PUBLIC = re.compile(r"public[\W_]*key", re.IGNORECASE)  # of a meter, for everybody to check its values
_NAME = re.compile(r"[\w .,:/-]{1,100}")
_TOLD_BY = frozenset({"value", "val", "data", "newvalue", "defaultvalue"})  # beside a name, these carry what it means
_USER_INFO = re.compile(r"""([a-z][a-z0-9+.-]*://)[^\s"'<>]*@""", re.IGNORECASE)
_QUERY = re.compile(r"([?&;][^=&#\s]*(?:pass|token|secret|key|sig|auth|cred)[^=&#\s]*=)[^&#\s]+", re.IGNORECASE)
_ONE_TIME = re.compile(r"(/files/(?:firmware|uploads)/)[A-Za-z0-9_-]{16,}")  # our own links to files
_ASSIGNED = re.compile(rf"(?:{_SECRET_NAME.pattern})\w*\W*[=:]\s*\S.*", re.IGNORECASE | re.DOTALL)
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_OPENING = ("{", "[")
_DEEPEST = 8  # JSON within texts of JSON


class _AmbiguousError(ValueError):
    """An object has a name twice: which of the two counts is anybody's guess."""


def masked(text: str) -> str:
    """Return a JSON text with every key and password replaced; the very same text where it holds none.

    A text that is not JSON and may hold one is replaced as a whole.
    """
    if not may_hold_secrets(text.encode(errors="replace")):
        return text
    return _masked(text, 0)


def masked_text(text: str) -> str:
    """Return a text that is not JSON, such as an address, without keys and passwords."""
    return _hide_in_text(text, 0)


def is_secret_key(name: str) -> bool:
    """Tell whether the value of a configuration key of this name is a secret."""
    bare = name.strip().rstrip("0123456789_-. []")
    if _PUBLIC.search(bare):
        return False
    if _SECRET_NAME.search(bare):
        return True
    words = _WORDS.findall(bare)
    if not words:
        return False
    tail = _TAIL.search(bare)
    if words[-1].lower() in _ENDS or (tail is not None and bare.endswith(tail[1]) and tail[1] in _ENDS):
        return True
    return (bare.islower() or bare.isupper()) and bare.lower().endswith(_ENDS)


def may_hold_secrets(data: bytes) -> bool:
    """Tell quickly whether a text has to be looked at; False is certain."""
    lower = data.lower()
    for hint in _HINTS:  # noqa: SIM110 - every frame comes along here, and a generator costs more than the search
        if hint in lower:
            return True
    return False


def _masked(text: str, depth: int) -> str:
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return _unreadable(text)
    try:
        hidden = _hide(value, depth)
    except RecursionError:
        return _unreadable(text)
    return text if hidden == value else json.dumps(hidden, ensure_ascii=False, separators=(",", ":"))


def _object(pairs: list[tuple[str, _Json]]) -> dict[str, _Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _AmbiguousError("a name twice")
    return found


def _unreadable(text: str) -> str:
    """Show what is not JSON only if it names nothing secret, not even in escapes."""
    plain = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text).lower()
    if any(hint.decode() in plain for hint in _HINTS[1:]):
        return f"(not shown, for a key may be in it: {len(text)} characters that are not JSON)"
    return text


def _hide(value: _Json, depth: int) -> _Json:
    if isinstance(value, str):
        return _hide_in_text(value, depth)
    if isinstance(value, list):
        return [_hide(one, depth) for one in value]
    if isinstance(value, dict):
        return _hide_in_object(value, depth)
    return value


def _hide_in_object(found: dict[str, _Json], depth: int) -> dict[str, _Json]:
    names_secret = any(isinstance(one, str) and _is_secret_name(one) for one in found.values()) or any(
        isinstance(one, str) and name.strip().lower() == "key" and is_secret_key(one) for name, one in found.items()
    )
    return {
        name: _hide_all(one)
        if _is_secret_name(name) or (names_secret and name.strip().lower() in _TOLD_BY)
        else _hide(one, depth)
        for name, one in found.items()
    }


def _is_secret_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and _SECRET_NAME.search(name) is not None


def _hide_all(value: _Json) -> _Json:
    """Replace every text and number, whatever they mean; a switch or nothing tells nobody a key."""
    if isinstance(value, dict):
        return {name: _hide_all(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_hide_all(one) for one in value]
    return value if value is None or isinstance(value, bool) or value == "" else MASK


def _hide_in_text(text: str, depth: int) -> str:
    if text.lstrip().startswith(_OPENING) and depth < _DEEPEST:
        inner = _masked(text, depth + 1)
        if inner != text or _is_json(text):
            return inner
    if "://" in text:
        text = _QUERY.sub(rf"\1{MASK}", _USER_INFO.sub(rf"\1{MASK}@", text))
        text = _ONE_TIME.sub(rf"\1{MASK}", text)
    return _ASSIGNED.sub(MASK, text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
