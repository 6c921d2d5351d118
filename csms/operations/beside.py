"""Rules that add to a decision of charging what it means for operations. Pure.

Charging decides first. A rule beside it sees its decision and returns one with more in it; a defect of the rule costs
no more than that: a station that is answered with an internal error may throw its transaction away.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from csms.billing.books import Decision
from csms.charging.working_set import WorkingSet

log = structlog.get_logger()

Decide = Callable[[Any, WorkingSet, datetime], Decision[Any]]
Extra = Callable[[Any, Decision[Any], WorkingSet, datetime], Decision[Any]]


def beside(decide: Decide, *extras: Extra) -> Decide:
    """Return `decide` with what each of `extras` makes of its decision; one that raises makes nothing of it."""

    def decided(asked: Any, working_set: WorkingSet, now: datetime) -> Decision[Any]:  # noqa: ANN401 - any input
        decision = decide(asked, working_set, now)
        for extra in extras:
            decision = _with(extra, asked, decision, working_set, now)
        return decision

    return decided


def _with(
    extra: Extra,
    asked: Any,  # noqa: ANN401 - any input
    decision: Decision[Any],
    working_set: WorkingSet,
    now: datetime,
) -> Decision[Any]:
    try:
        return extra(asked, decision, working_set, now)
    except Exception:
        log.exception("rule beside charging failed", input=type(asked).__name__, rule=extra.__name__)
        return decision
