"""The rules of an installation: charging's own, and those of operations.

A family of operations adds its inputs to `_DECIDERS`, what follows from the answer of a command to `_FOLLOW_UPS`, what
has to be loaded to `_LOADERS` and the rows that its facts become to `_WRITERS`. Lists only; decides nothing.
"""

from collections import ChainMap

from csms.charging import engine, follow_ups
from csms.charging.command_queue import AnswerCommand
from csms.charging.engine import Decide, Rules
from csms.charging.follow_ups import Rule
from csms.charging.store import Loader, Writer

_DECIDERS: dict[type, Decide] = {}

# What follows from a final answer (accepted, rejected, failed, timed out), by the action that was asked for.
_FOLLOW_UPS: dict[str, tuple[Rule, ...]] = {}

_LOADERS: tuple[Loader, ...] = ()

# Facts are written in this order, each kind set-wise: two processes then never wait for each other in a circle.
_WRITERS: dict[type, Writer] = {}

_DECIDERS[AnswerCommand] = follow_ups.answering(_FOLLOW_UPS)
RULES = Rules(
    deciders=ChainMap(_DECIDERS, engine.DECIDERS),
    loaders=_LOADERS,
    writers=_WRITERS,
)
