"""What is logged, always on stderr: by a command nothing, unless --debug asks for it; by the server what is set."""

import logging
import sys

import structlog
from structlog.typing import Processor


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


def _bound_logger(level: int) -> type[structlog.typing.FilteringBoundLogger]:
    return structlog.make_filtering_bound_logger(level)


def _for_people() -> Processor:
    """Return a renderer whose tracebacks show no values: a key or a password may be among them."""
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _configure(level: int, renderer: Processor) -> None:
    exceptions: list[Processor] = []
    if isinstance(renderer, structlog.processors.JSONRenderer):
        exceptions = [structlog.processors.format_exc_info]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *exceptions,
            renderer,
        ],
        wrapper_class=_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
