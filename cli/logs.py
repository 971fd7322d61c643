"""Logs on standard error: console lines on a terminal, JSON lines elsewhere.

Events are named `noun.past_participle`. Every line passes two nets: secrets are masked, foreign text is escaped.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from cli.escaping import escaped
from cli.redaction import Redaction
from cli.stream import Stream

Format = Literal["auto", "console", "json"]


def is_console(form: Format, stream: Stream) -> bool:
    """Tell whether logs on this stream are lines for people."""
    return form == "console" or (form == "auto" and stream.isatty())


def configure(
    *, form: Format, level: str, stream: Stream, colour: bool, now: Callable[[], float], redaction: Redaction
) -> None:
    """Set up structlog, and lead what libraries log into it. `level` is the least that is written."""
    console = is_console(form, stream)
    # Pretty tracebacks with local variables would print handles and settings: an exception is one text.
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=colour, exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _Timestamp(now),
            structlog.processors.format_exc_info,
            _Nets(redaction, escape=console),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", stream)),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    if not any(isinstance(handler, _FromLibraries) for handler in root.handlers):
        root.addHandler(_FromLibraries())
    # Never lower: SQLAlchemy and aiohttp would write every statement and request, handles and all.
    root.setLevel(logging.WARNING)


class _Timestamp:
    """UTC, ISO 8601, milliseconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        moment = datetime.fromtimestamp(self._now(), UTC).isoformat(timespec="milliseconds")
        event["timestamp"] = moment.replace("+00:00", "Z")
        return event


class _Nets:
    """Masks secrets everywhere; escapes control and bidirectional signs where JSON does not do it."""

    def __init__(self, redaction: Redaction, *, escape: bool) -> None:
        self._redaction = redaction
        self._escape = escape

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {self._safe(name): self._safe(value) for name, value in event.items()}

    def _safe(self, value: Any) -> Any:
        match value:
            case str():
                masked = self._redaction.mask(value)
                return escaped(masked) if self._escape else masked
            case bool() | int() | float() | None:
                return value
            case dict():
                return {str(self._safe(str(name))): self._safe(inner) for name, inner in value.items()}
            case list() | tuple():
                return [self._safe(inner) for inner in value]
            case _:
                return self._safe(str(value))


class _FromLibraries(logging.Handler):
    """What aiohttp, asyncio or alembic log becomes one event of ours, without their tracebacks unless asked for."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        logger: FilteringBoundLogger = structlog.get_logger()
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = str(record.msg)
        error = record.exc_info[1] if record.exc_info else None
        cause = {} if error is None else {"cause": type(error).__name__}
        logger.log(record.levelno, "library.logged", library=record.name, message=message, **cause)
