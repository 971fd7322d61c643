"""A fault of ours: a report that can be sent to us, without secrets, values of variables or people's names in paths."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cli.exits import Exit
from cli.failure import Failure
from cli.redaction import Redaction
from cli.version import version


def reported(error: BaseException, *, command: str, now: Callable[[], float], redaction: Redaction) -> Failure:
    """Save the traceback and return what to tell."""
    path = _save(_text(error, command, now, redaction), now)
    kept = "No report could be saved." if path is None else f"A report without secrets: {path}"
    return Failure(
        code="fault",
        message=f"followgraph failed in a way it should not ({type(error).__name__})",
        meaning="What was committed is safe; credits in flight, if any, are listed as uncertain.",
        hint=f"{kept} Look it over, then send it to us. `followgraph status` says where the database stands.",
        exit_code=Exit.FAULT,
    )


def _text(error: BaseException, command: str, now: Callable[[], float], redaction: Redaction) -> str:
    # TracebackException keeps no local variables unless asked: they hold handles and settings.
    trace = "".join(traceback.TracebackException.from_exception(error).format())
    head = (
        f"followgraph {version()} · Python {platform.python_version()} · {platform.system()} {platform.machine()}"
        f" · SQLite {sqlite3.sqlite_version}\ncommand: {command}\ntime: {_moment(now)}\n\n"
    )
    return redaction.mask(head + trace).replace(str(Path.home()), "~")


def _moment(now: Callable[[], float]) -> str:
    return datetime.fromtimestamp(now(), UTC).strftime("%Y%m%dT%H%M%SZ")


def _save(text: str, now: Callable[[], float]) -> Path | None:
    """Write the report, readable by its owner only, in the current folder or else in the temporary one."""
    for folder in (Path(), Path(tempfile.gettempdir())):
        path = folder / f"followgraph-fault-{_moment(now)}-{os.getpid()}.txt"
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
        except OSError:
            continue
        return path.absolute()
    return None
