"""Keeps the keys and passwords of commands sealed in the database, from the wish until the command is decided.

Wraps the rules of an installation: facts are sealed before they are written and opened after they are loaded, so no
rule knows of it. A secret that cannot be opened here makes a call that cannot be sent. Also brings what keys that we
make are derived from.
"""

import dataclasses
import secrets
from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection as Sql

from csms.charging.command_queue import KEY_SECRET, SECRETS, asks_for_key
from csms.charging.engine import Rules
from csms.charging.facts import CommandSecret
from csms.charging.working_set import Names, WorkingSet
from csms.sealing import Sealer


def sealed(rules: Rules, sealer: Sealer) -> Rules:
    """Return `rules` that keep secrets sealed."""
    writer = rules.writers[CommandSecret]

    def write(connection: Sql, kept: Sequence[CommandSecret], now: datetime) -> None:
        writer(connection, [_replaced(one, sealer.seal(one.payload_json)) for one in kept], now)

    def opened(connection: Sql, names: Names, working_set: WorkingSet) -> None:  # noqa: ARG001 - every loader takes these
        kept = working_set.more.get(SECRETS)
        if kept:
            working_set.more[SECRETS] = {key: sealer.open(text) or _unsendable() for key, text in kept.items()}
        if any(asks_for_key(one) for one in working_set.commands.values()):
            working_set.more[KEY_SECRET] = {KEY_SECRET: sealer.derive(KEY_SECRET)}

    writers = {**rules.writers, CommandSecret: write}
    return dataclasses.replace(rules, loaders=(*rules.loaders, opened), writers=writers)


def _replaced(one: CommandSecret, payload_json: str) -> CommandSecret:
    return msgspec.structs.replace(one, payload_json=payload_json)


def _unsendable() -> str:
    """Return a payload that is no call of any action, with a value that nobody can guess as a key."""
    return msgspec.json.encode({"value": secrets.token_hex()}).decode()
