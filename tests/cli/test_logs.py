from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
import structlog

from cli import logs
from cli.redaction import Redaction
from cli.stream import Stream

KEY = "sfk_live_0123456789abcdef"


class Terminal(io.StringIO):
    """A text stream with a person before it."""

    def isatty(self) -> bool:
        return True


def configured(stream: io.StringIO, form: logs.Format = "auto", level: str = "info", *, colour: bool = False) -> Any:
    redaction = Redaction()
    redaction.add(KEY)
    logs.configure(form=form, level=level, stream=Stream(stream), colour=colour, now=lambda: 1.5, redaction=redaction)
    return structlog.get_logger()


def test_json_lines_where_nobody_watches() -> None:
    """Away from a terminal each event is one JSON object with its time in UTC."""
    stream = io.StringIO()
    configured(stream).info("page.committed", edges=3)
    assert json.loads(stream.getvalue()) == {
        "event": "page.committed",
        "level": "info",
        "edges": 3,
        "timestamp": "1970-01-01T00:00:01.500Z",
    }


def test_console_on_a_terminal() -> None:
    """On a terminal, and where it was asked for, an event is a line for people, coloured only if wanted."""
    for stream, form in ((Terminal(), "auto"), (io.StringIO(), "console")):
        # The form is a literal there, a parameter here.
        configured(stream, form).info("page.committed", edges=3)  # type: ignore[arg-type]
        assert "page.committed" in stream.getvalue()
        assert "edges=3" in stream.getvalue()
        assert "\x1b" not in stream.getvalue()
    stream = Terminal()
    configured(stream, colour=True).info("page.committed")
    assert "\x1b[" in stream.getvalue()


def test_level() -> None:
    """Below the level nothing is written."""
    stream = io.StringIO()
    logger = configured(stream, level="warning")
    logger.info("page.committed")
    logging.getLogger("aiohttp").info("hello")
    assert stream.getvalue() == ""
    logger.warning("limiter.blocked")
    assert "limiter.blocked" in stream.getvalue()


@pytest.mark.parametrize("form", ["console", "json"])
def test_the_key_is_masked(form: logs.Format) -> None:
    """Wherever a secret turns up in an event, it is masked."""
    stream = io.StringIO()
    logger = configured(stream, form)
    logger.info(f"a.{KEY}", text=f"x {KEY}", **{KEY: 1}, deep={"a": [KEY, (KEY,)], KEY: None}, odd=ValueError(KEY))
    logging.getLogger("aiohttp").error("sent %s", KEY)
    try:
        raise ValueError(KEY)
    except ValueError:
        logger.exception("a.failed")
    assert KEY not in stream.getvalue()
    assert stream.getvalue().count("[secret]") >= 7


@pytest.mark.parametrize("form", ["console", "json"])
def test_foreign_text_is_harmless(form: logs.Format) -> None:
    """A handle cannot command the terminal, hide or turn a line around."""
    stream = io.StringIO()
    configured(stream, form).info("account.listed", handle="a\x1b[31m\x9b\u202eb\nc")
    shown = stream.getvalue()
    assert not any(sign in shown for sign in "\x1b\x9b\u202e")
    assert "\\u202e" in shown
    assert shown.count("\n") == 1


def test_libraries_log_here() -> None:
    """What libraries log becomes an event, without their traceback."""
    stream = io.StringIO()
    configured(stream)
    try:
        raise ValueError("inside")
    except ValueError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved")
    event = json.loads(stream.getvalue())
    assert event["event"] == "library.logged"
    assert event["library"] == "asyncio"
    assert event["cause"] == "ValueError"
    assert "Traceback" not in stream.getvalue()


def test_libraries_stay_quiet_in_debug() -> None:
    """Asking for our details does not make libraries write theirs: they would hold handles."""
    stream = io.StringIO()
    configured(stream, level="debug").debug("page.parsed")
    logging.getLogger("sqlalchemy.engine").info("SELECT")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["page.parsed"]
