"""What our processes log: one event a line on stderr, JSON for machines, colours for people on a terminal.

Nothing of ours logs a personal value. The last processor masks whatever looks like one all the same, in messages,
in fields and in traces, ours and those of libraries.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from cdp.model import mask
from cdp.scrub import looks_personal, scrub_json

QUIET = ("httpx", "httpcore", "alembic", "clickhouse_connect", "asyncio", "uvicorn")
"""Libraries whose everyday news nobody needs."""


def configure_logs(level: str) -> None:
    """Set up structlog and the standard library's logging. Calling it again replaces the former set-up."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        mask_personal,
    ]
    renderer = _renderer()
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=_to_stderr,
    )
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, mask_personal, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def mask_personal(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The event with masks in the place of phone numbers, e-mail addresses, ID numbers and VINs."""
    known = {name: value for name, value in event.items() if not name.startswith("_")}
    document = _document(known)
    if not looks_personal(document):
        return event
    event.update(msgspec.json.decode(scrub_json(document, _masked)))
    return event


class _Stderr(logging.Handler):
    """Writes to what stderr is now, not to what it was at the start."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


def _document(event: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(event, enc_hook=repr)
    except (TypeError, ValueError):
        return msgspec.json.encode({name: ascii(value) for name, value in event.items()})


def _masked(_kind: str, value: str) -> str:
    return mask(value)


def _renderer() -> Processor:
    if sys.stderr.isatty():
        return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer(serializer=_line)


def _line(event: EventDict, **_options: Any) -> str:
    return _document(dict(event)).decode()


def _to_stderr(*_arguments: Any) -> structlog.WriteLogger:
    return structlog.WriteLogger(sys.stderr)
