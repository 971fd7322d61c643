"""Secrets and strangers: keys are in no output, log, file or process title; what is written is its owner's only."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Run, Shell, Simulate

API_KEY = "sfk_4f9c2d7ab1e84f06"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


def everything(tmp_path: Path, run: Run, url: str, home: dict[str, str]) -> str:
    """Use every command on a study once; returns all that they printed."""
    environ = {**home, "SOCIALFETCH_API_KEY": API_KEY}
    (tmp_path / "optout.txt").write_text("@nobody.here\n")
    said = []
    for arguments in (
        ("init", "study"),
        ("seed", "@u1", "@u2", "--db", "study/a.db"),
        (
            "crawl",
            "--budget",
            "30",
            "--api-url",
            url,
            "--db",
            "study/a.db",
            "--log-level",
            "debug",
            "--log-format",
            "json",
        ),
        ("optout", "--file", "optout.txt", "--db", "study/a.db"),
        ("forget", "@u2", "--db", "study/a.db"),
        ("status", "--db", "study/a.db", "--json"),
        ("policy", "show", "--db", "study/a.db", "--json"),
        ("doctor", "--api-url", url, "--db", "study/a.db"),
        ("report", "--db", "study/a.db", "--output", "study/report"),
        ("export", "--format", "csv", "--output", "study/out", "--db", "study/a.db", "--pseudonymise"),
        ("export", "--dataset", "study/data", "--db", "study/a.db"),
        ("snapshot", "one", "--db", "study/a.db"),
        ("backup", "study/copy.db", "--db", "study/a.db"),
        ("forget", "@u3", "--key", "nowhere.key", "--db", "study/a.db"),
    ):
        ran = run(*arguments, environ=environ)
        assert ran.code in {0, 5}, ran.err
        said.append(ran.out + ran.err)
    return "\n".join(said)


def test_no_secret_leaves_and_no_stranger_reads(
    run: Run, simulate: Simulate, tmp_path: Path, home: dict[str, str]
) -> None:
    """After every command: neither key is in anything printed or written, and every file is its owner's only."""
    os.umask(0o022)
    said = everything(tmp_path, run, simulate("--accounts", "200", "--key", API_KEY), home)
    [key] = (tmp_path / "home").rglob("*.key")
    secrets = [API_KEY, key.read_text().strip()]
    assert not [secret for secret in secrets if secret in said]
    files = [path for path in (tmp_path / "study").rglob("*") if path.is_file()]
    assert len(files) > 20
    for path in files:
        content = path.read_bytes()
        for secret in secrets:
            assert secret.encode() not in content, path
            if len(secret) == 64:
                assert bytes.fromhex(secret) not in content, path
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_process_list_shows_no_key(shell: Shell, simulate: Simulate, tmp_path: Path) -> None:
    """Whoever lists the processes of the machine sees neither the key nor where it would stand."""
    url = simulate("--accounts", "200", "--key", API_KEY, "--latency", "300")
    process = shell(
        "crawl", "--seed", "u1", "--budget", "50", "--api-url", url, "--db", "a.db",
        environ={"SOCIALFETCH_API_KEY": API_KEY}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        time.sleep(1.5)
        folder = Path("/proc") / str(process.pid)
        assert API_KEY.encode() not in (folder / "cmdline").read_bytes()
        assert API_KEY.encode() not in (folder / "comm").read_bytes()
        assert (folder / "environ").stat().st_mode & 0o077 == 0
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
