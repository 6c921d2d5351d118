"""How a command says no: in one sentence on stderr, with an exit status.

Texts that stations and people sent are shown without control characters, so that none of them steers a terminal.
"""

import unicodedata

import typer


class Refusal(Exception):  # noqa: N818 - an answer, not a mistake of the program
    """What was asked cannot be done as things stand; the sentence says what to do instead."""

    exit_status = 1


class WrongArgument(Refusal):
    """What was typed is wrong in itself; the sentence says what is allowed."""

    exit_status = 2


def complain(text: str) -> None:
    """Print what went wrong."""
    typer.echo(plain(text), err=True)


def plain(text: str) -> str:
    """Return a text without control characters; line breaks stay, and the blanks of typography become common ones."""
    return "".join(_plain(one) for one in text)


def _plain(one: str) -> str:
    if one.isprintable() or one == "\n":
        return one
    return " " if unicodedata.category(one) == "Zs" else "\N{REPLACEMENT CHARACTER}"
