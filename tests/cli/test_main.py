from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.main import _COMMANDS
from cli.stream import Stream

if TYPE_CHECKING:
    from conftest import Run, Shell

ROOT = Path(__file__).parents[2]
COMMANDS = list(_COMMANDS)
KEY = "sfk_live_0123456789abcdef"


def test_no_command_prints_help(run: Run) -> None:
    """Without a command the help page is printed, with every command on it."""
    ran = run()
    assert ran.code == 0
    assert all(f" {command} " in ran.out for command in COMMANDS)
    assert run("--help").out == ran.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(run: Run, command: str) -> None:
    """Every command has a help page that names what it takes and what every command takes."""
    ran = run(command, "--help")
    assert ran.code == 0, ran.err
    assert f"followgraph {command}" in ran.out
    assert "--config" in ran.out
    assert "session" not in ran.out.lower()


def test_help_is_quick(tmp_path: Path) -> None:
    """The help page loads none of the libraries that commands need."""
    code = "import sys; from cli.main import main; main(['--help']); print(sorted(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for library in ("aiohttp", "networkx", "sqlalchemy", "pydantic", "structlog", "numpy", "asyncio"):
        assert f"'{library}'" not in shown


def test_version(run: Run) -> None:
    """--version prints the version and nothing else."""
    ran = run("--version")
    assert ran.code == 0
    assert re.fullmatch(r"(\d+\.\d+\.\d+\S*|unknown)\n", ran.out)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sed"], 'unknown command: "sed"; did you mean seed?'),
        (["zzz"], 'unknown command: "zzz"'),
        (["zzz", "--help"], 'unknown command: "zzz"'),
        (["--confg", "x", "status"], "did you mean --config?"),
        (["--budget", "5", "crawl"], "stands after its command"),
        (["seed", "--fil", "x"], "Did you mean --file?"),
        (["seed", "--file"], "requires an argument"),
        (["status", "extra"], "extra"),
        (["--config"], "requires an argument"),
        (["simulate", "--accounts", "many"], '--accounts: "many" is not a whole number'),
        (["simulate", "--accounts", "2.7"], '--accounts: "2.7" is not a whole number'),
        (["crawl", "--budget", "2.7"], '--budget: "2.7" is not a whole number'),
        (["crawl", "--max-depth", "2.7"], '--max-depth: "2.7" is not a whole number'),
        (["plan", "--budget", "2.5"], "is not a whole number: write digits alone, such as 20"),
        (["crawl", "--rate", "fast"], "--rate"),
        (["plan", "--region", ""], '--region: [""] is not allowed (a part of it is empty); give a list such as'),
        (["crawl", "--region", "DE", "--region", ""], '--region: ["DE", ""] is not allowed'),
        (["crawl", "--language", " "], '--language: [" "] is not allowed'),
        (["plan", "--budget-per-depth", ""], '--budget-per-depth: "" is not allowed (empty); give a list of whole'),
        (["plan", "--handle-pattern", ""], '--handle-pattern: "" is not allowed (empty: no handle matches it)'),
        (["plan", "--verified", "maybe"], '--verified takes no value, and "maybe" is given'),
        (["crawl", "--verified=maybe"], "Write --verified alone, or leave it out."),
        (["seed", "@a", "--file", "x", "--json=1.5"], "Write --json alone, or leave it out."),
        (["export", "--format", "gexff", "--output", "x"], "Choose from"),
        (["--log-level", "loud", "status"], "--log-level"),
        (["status", "--log-format", "xml"], "--log-format"),
        (["--db", "", "status"], "--db"),
    ],
)
def test_wrong_usage(run: Run, arguments: list[str], told: str) -> None:
    """Wrong usage is told in three parts, points to the help and ends with exit code 2; --json tells it too."""
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith("error: ")
    assert told in ran.err
    assert "Nothing was changed and no credit was spent." in ran.err
    as_json = run("--json", *arguments)
    assert as_json.code == 2
    assert as_json.document["exit_code"] == 2
    assert set(as_json.document["error"]) >= {"code", "message", "hint"}


def test_globals_stand_anywhere(run: Run) -> None:
    """Options of every command may stand before or after it."""
    assert run("seed", "@a").code == 0
    before, after = run("--json", "--db", "followgraph.db", "status"), run("status", "--db", "followgraph.db", "--json")
    assert before.code == after.code == 0
    assert before.document == after.document
    assert run("status", "--db", "other.db").code == 5


def test_after_two_dashes_all_is_given(run: Run) -> None:
    """After -- nothing is an option: a handle may begin with a dash or read like one."""
    ran = run("seed", "--json", "--", "-x", "--json")
    assert ran.document["added"] == 2


def test_configuration_error(run: Run, tmp_path: Path) -> None:
    """Mistakes in the configuration end every command with exit code 2 and are all told."""
    (tmp_path / "config.toml").write_text("[crawl]\nrate = 0\nzzz = 1\n")
    ran = run("--json", "status")
    assert ran.code == 2
    assert ran.document["error"]["code"] == "config_error"
    assert "config.toml: crawl.rate: 0 is not allowed" in ran.document["error"]["message"]
    assert "2 mistakes" in ran.err
    assert run("--config", "other.toml", "status").err.startswith("error: other.toml: cannot be read")


def test_missing_database(run: Run) -> None:
    """A database that is not there ends a reading command with exit code 5, and is not made."""
    for command in (["status"], ["export", "--format", "csv", "--output", "out"]):
        ran = run(*command)
        assert ran.code == 5
        assert "there is no database at followgraph.db" in ran.err
    assert not Path("followgraph.db").exists()


@pytest.mark.parametrize(
    "content", [b"not a database, but long enough to be one", b"SQLite format 3\0" + b"\xff" * 9000]
)
def test_somebody_elses_file(run: Run, tmp_path: Path, content: bytes) -> None:
    """A file that is no database of ours ends the command with exit code 5 and stays as it is."""
    (tmp_path / "x.db").write_bytes(content)
    for command in ("status", "doctor"):
        assert run("--db", "x.db", command).code == 5
    assert run("--db", "x.db", "seed", "@a").code == 5
    assert (tmp_path / "x.db").read_bytes() == content


class Faulty(Mapping[str, str]):
    """An environment that breaks, with a secret in its complaint."""

    def __getitem__(self, name: str) -> str:
        if name == "SOCIALFETCH_API_KEY":
            return KEY
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError(f"broken near {KEY} in {Path.home()}")

    def __len__(self) -> int:
        return 1


def test_a_fault_of_ours(run: Run, tmp_path: Path) -> None:
    """A fault of ours shows no traceback, saves one without secrets, readable by its owner only, and exits with 1."""
    ran = run("seed", "@somebody", "--json", environ=Faulty())
    assert ran.code == 1
    assert "Traceback" not in ran.err + ran.out
    assert KEY not in ran.err + ran.out
    (report,) = tmp_path.glob("followgraph-fault-*.txt")
    assert str(report) in ran.document["error"]["hint"]
    text = report.read_text()
    assert "RuntimeError: broken near [secret] in ~" in text
    assert "command: seed" in text
    assert "somebody" not in text
    assert KEY not in text
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


def test_interrupted(shell: Shell, tmp_path: Path) -> None:
    """Ctrl-C in a command that has nothing to drain ends it with exit code 130 and without a traceback."""
    os.mkfifo(tmp_path / "seeds")
    process = shell("seed", "--file", "seeds", "--json", stdout=-1, stderr=-1)
    with (tmp_path / "seeds").open("wb"):  # opens when the command does
        process.send_signal(signal.SIGINT)
    # Closed with the signal on its way: one that comes just before read(2) begins would wait for the read to end.
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert json.loads(out)["exit_code"] == 130


def test_reader_goes_away(run: Run, shell: Shell) -> None:
    """A reader of standard output that has read enough changes neither the exit code nor standard error."""
    run("seed", "@a")
    for arguments in (["status"], ["status", "--json"], ["--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        process = shell(*arguments, stdout=writing, stderr=-1)
        os.close(writing)
        _, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_behind_standard_output(run: Run, shell: Shell) -> None:
    """A result that cannot be written is an error, not a silence."""
    run("seed", "@a")
    for arguments in (["status"], ["status", "--json"]):
        with Path("/dev/full").open("wb") as full:
            process = shell(*arguments, stdout=full, stderr=-1)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 2
        assert err.startswith(b"error: standard output cannot be written")


def test_standard_error_that_cannot_be_written(shell: Shell) -> None:
    """A broken standard error does not change how a command ends."""
    with Path("/dev/full").open("wb") as full:
        process = shell("seed", "a b", stdout=-1, stderr=full)
    process.communicate(timeout=120)
    assert process.returncode == 2


def test_narrow_encoding(run: Run, shell: Shell) -> None:
    """A terminal that knows ASCII only gets escapes, not an error."""
    run("seed", "@a")
    process = shell("status", environ={"PYTHONIOENCODING": "ascii"}, stdout=-1)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"\\xb7" in out


def test_streams_that_are_closed(run: Run, shell: Shell) -> None:
    """A caller that closed the standard streams gets the exit code all the same."""
    run("seed", "@a")
    for arguments, code in ((["status", "--json"], 0), (["nope"], 2)):
        process = shell(*arguments, preexec_fn=lambda: os.closerange(0, 3))
        assert process.wait(timeout=120) == code


@pytest.mark.parametrize("width", [40, 80])
def test_what_is_too_long_goes_on_under_itself_on_a_terminal_only(
    run: Run, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """A command stays whole, to be copied; who reads a pipe gets whole lines."""
    run("seed", "@a")
    piped = run("plan", "--budget", 2000).out
    monkeypatch.setattr(Stream, "isatty", lambda _: True)
    shown = run("plan", "--budget", 2000, environ={"COLUMNS": str(width), "NO_COLOR": "1", "TERM": "xterm"}).out
    lines = [line for line in shown.splitlines() if "followgraph crawl" not in line]
    assert all(len(line) <= width for line in lines)
    assert any(len(line) > 80 for line in piped.splitlines())
    assert shown.split() == piped.split()
    assert not any(line.lstrip().startswith("·") for line in lines)


def test_colour(run: Run) -> None:
    """Colour is for terminals or FORCE_COLOR, and NO_COLOR switches it off whatever else is said."""
    assert "\x1b" not in run("doctor").out
    assert "\x1b[" in run("doctor", environ={"FORCE_COLOR": "1"}).out
    assert "\x1b" not in run("doctor", environ={"FORCE_COLOR": "1", "NO_COLOR": "1"}).out
    plain, coloured = run("doctor"), run("doctor", environ={"FORCE_COLOR": "1"})
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured.out) == plain.out
