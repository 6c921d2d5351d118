"""What is logged, always on stderr: by a command nothing, unless --debug asks for it; by the server what is set."""

import logging
import sys
from collections import Counter
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import Processor

from csms.clock import Seconds, monotonic_s

_WINDOW_S = 60.0
_PER_SOURCE = 20  # lines that say the same of the same charge point or address, in a window
_PER_EVENT = 500  # lines that say the same of whomever
_ERRORS = frozenset({"error", "exception", "critical"})
_NOISY = ("uvicorn", "websockets")  # they complain of what strangers send


def show() -> None:
    """Log everything."""
    _configure(logging.DEBUG, _for_people())


def hide() -> None:
    """Log nothing, where nobody asked for it: a command says itself what people have to know."""
    if not structlog.is_configured():
        _configure(logging.CRITICAL, _for_people())


def of_server(level: str, form: str) -> None:
    """Log for people (`console`) or for machines (`json`), from `level` on; --debug given before wins."""
    if structlog.is_configured() and structlog.get_config()["wrapper_class"] is _bound_logger(logging.DEBUG):
        return
    _configure(
        logging.getLevelNamesMapping()[level.upper()],
        structlog.processors.JSONRenderer() if form == "json" else _for_people(),
    )


def traceback() -> None:
    """Log the error that is being handled."""
    structlog.get_logger().exception("command failed")


class Sparing:
    """Leaves lines out that repeat themselves, so that nobody fills the disk from outside; errors always stay.

    The first line of the next window says how many were left out.
    """

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._said: Counter[object] = Counter()
        self._left_out = 0
        self._until_s: Seconds = 0.0

    def __call__(self, _: object, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return the line, or drop it."""
        if method in _ERRORS:
            return line
        now_s = monotonic_s()
        if now_s >= self._until_s:
            self._said.clear()
            self._until_s = now_s + _WINDOW_S
            if self._left_out:
                line["lines_left_out"] = self._left_out
            self._left_out = 0
        event = line.get("event")
        source = (event, line.get("charge_point"), line.get("address"))
        if self._said[event] >= _PER_EVENT or self._said[source] >= _PER_SOURCE:
            self._left_out += 1
            raise structlog.DropEvent
        self._said[event] += 1
        self._said[source] += 1
        return line


class _Libraries(logging.Handler):
    """Brings what libraries log into our own log, in its form."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; the complaints of servers about their peers are no errors of ours."""
        log = structlog.get_logger()
        event, library = record.getMessage().partition("\n")[0][:300], record.name
        if record.name.startswith(_NOISY):
            log.info(event, library=library, error=str(record.exc_info[1]) if record.exc_info else None)
        elif record.levelno >= logging.ERROR:
            log.error(event, library=library, exc_info=record.exc_info)
        else:
            log.warning(event, library=library)


def _bound_logger(level: int) -> type[structlog.typing.FilteringBoundLogger]:
    return structlog.make_filtering_bound_logger(level)


def _for_people() -> Processor:
    """Return a renderer whose tracebacks show no values: a key or a password may be among them."""
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _configure(level: int, renderer: Processor) -> None:
    exceptions: list[Processor] = []
    if isinstance(renderer, structlog.processors.JSONRenderer):
        exceptions = [structlog.processors.format_exc_info]
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING, force=True)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            Sparing(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *exceptions,
            renderer,
        ],
        wrapper_class=_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
