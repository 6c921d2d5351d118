"""Which names a person would take for one and the same: upper case, and how many blanks, make no difference. Pure."""

from collections.abc import Iterable


def alike(name: str, others: Iterable[str]) -> str | None:
    """Return the first of `others` that reads like a name, as it is written there; None where none does."""
    wanted = _folded(name)
    return next((other for other in others if _folded(other) == wanted), None)


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()
