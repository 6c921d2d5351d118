"""Lets another node act in the middle of a unit of work, at any of its statements."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from csms.charging.engine import Engine

_LONGEST_S = 0.05  # what is not done by then waits for a lock, and for the end of the unit of work


@contextmanager
def met(engine: Engine, after_statements: int, act: Callable[[], object]) -> Iterator[None]:
    """Let `act` be done after so many statements of the engine; it is, or it waits until the engine has committed."""
    database, left, threads = engine._database.engine, [after_statements], list[threading.Thread]()

    def count_down(*_: Any) -> None:
        left[0] -= 1
        if left[0] == -1:
            threads.append(threading.Thread(target=act))
            threads[0].start()
            threads[0].join(_LONGEST_S)

    event.listen(database, "after_cursor_execute", count_down)
    try:
        yield
    finally:
        event.remove(database, "after_cursor_execute", count_down)
        for one in threads:
            one.join()
