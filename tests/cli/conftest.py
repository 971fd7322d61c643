"""The command run in this process, as a shell would run it."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from cli.main import main


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command left behind: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON object that `--json` promises, alone on standard output."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        found: dict[str, Any] = json.loads(lines[0])
        assert found["schema"] == 1
        return found


Run = Callable[..., Ran]
Simulate = Callable[..., str]
Shell = Callable[..., "subprocess.Popen[bytes]"]

ENVIRON = {
    **{name: text for name, text in os.environ.items() if not name.startswith(("FOLLOWGRAPH_", "SOCIALFETCH_"))},
    "PYTHONPATH": str(Path(__file__).parents[2]),
}
"""What a process of its own gets: nothing that the person who runs the tests has set for their own studies."""


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Undo what a command sets up for the rest of its process."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `followgraph ARGUMENTS` in an empty folder with nothing in its environment but `environ`."""
    monkeypatch.chdir(tmp_path)

    def command(*arguments: object, environ: Mapping[str, str] | None = None) -> Ran:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments], environ or {})
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return command


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Start `followgraph ARGUMENTS` as a process of its own, in the same folder as `run`."""

    def start(*arguments: str, environ: Mapping[str, str] | None = None, **streams: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "cli.main", *arguments]
        return subprocess.Popen(command, cwd=tmp_path, env={**ENVIRON, **(environ or {})}, **streams)

    return start


@pytest.fixture
def simulate(shell: Shell) -> Iterator[Simulate]:
    """Start `followgraph simulate` and return the address it printed; all are stopped and must end well."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> str:
        process = shell("simulate", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert line.endswith("\n")
        return line.strip()

    yield start
    for number, process in enumerate(running):
        process.send_signal(signal.SIGTERM if number % 2 else signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0
        assert out == b""
        assert b"stopped" in err
        assert b"Traceback" not in err
