from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Run


def test_seed(run: Run) -> None:
    """Handles and profile addresses become seeds; those known are counted, not added twice."""
    first = run("seed", "@Alice", "bob", "https://www.tiktok.com/@carol?lang=en", "BOB", "--json")
    assert first.code == 0
    assert first.document == {"schema": 1, "added": 3, "known": 0, "repeated": 1, "kept_out": 0, "rejected": []}
    again = run("seed", "alice", "@dave", "--json")
    assert (again.document["added"], again.document["known"]) == (1, 1)
    assert run("status", "--json").document["frontier"]["queued"] == 4


def test_seed_from_a_file(run: Run, tmp_path: Path) -> None:
    """A file has one a line; blank lines, comments, a byte order mark and Windows line ends are passed over."""
    (tmp_path / "seeds.txt").write_bytes(b"\xef\xbb\xbf# my seeds\r\n\r\n@alice # a friend\r\n  bob\r\n#@carol\r\n")
    ran = run("seed", "dave", "--file", "seeds.txt", "--json")
    assert ran.code == 0
    assert ran.document["added"] == 3


def test_seed_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash reads standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"alice\nbob\n")))
    assert run("seed", "--file", "-", "--json").document["added"] == 2


def test_all_or_nothing(run: Run, tmp_path: Path) -> None:
    """If one seed is no handle, all such are listed with line and reason, none is stored, and the exit code is 2."""
    (tmp_path / "seeds.txt").write_bytes(b"good\nb d\n\xff\xfe\n" + b"x" * 200 + b"\nhttps://x.com/@y\n")
    ran = run("seed", "fine", "...", "--file", "seeds.txt", "--json")
    assert ran.code == 2
    found = ran.document
    assert (found["added"], found["known"], found["exit_code"]) == (0, 0, 2)
    assert found["error"]["code"] == "rejected_seeds"
    assert [each["line"] for each in found["rejected"]] == [None, 2, 3, 4, 5]
    assert found["rejected"][0]["given"] == "..."
    assert all(each["reason"] for each in found["rejected"])
    assert not (tmp_path / "followgraph.db").exists()


def test_many_rejected(run: Run, tmp_path: Path) -> None:
    """People are shown the first twenty rejected seeds and the number of the others."""
    (tmp_path / "seeds.txt").write_text("a b\n" * 100)
    ran = run("seed", "--file", "seeds.txt")
    assert "100 seeds are no handles" in ran.err
    assert "and 80 more" in ran.err
    assert len(ran.err.splitlines()) == 24


def test_hostile_handles(run: Run) -> None:
    """A seed that holds terminal commands, markup or reversed text is shown as harmless text."""
    ran = run("seed", "\x1b]0;owned\x07\x1b[31m", "[bold red]x[/]", "a\u202eb", "c\udcff")
    assert ran.code == 2
    assert not any(sign in ran.err for sign in "\x1b\x07\u202e")
    assert "\\x1b]0;owned\\x07" in ran.err
    assert "[bold red]x[/]" in ran.err


def test_no_seeds(run: Run, tmp_path: Path) -> None:
    """Naming nobody is bad input, and so is a file that cannot be read."""
    assert "no account was named" in run("seed").err
    (tmp_path / "empty").write_text("\n# nobody\n")
    empty = run("seed", "--file", "empty").err
    assert "empty names no account" in empty
    assert "Write accounts into it, one a line" in empty
    assert "followgraph seed" not in empty  # which is what was typed
    assert "No such file" in run("seed", "--file", "nope").err
    assert run("seed", "--file", tmp_path).code == 2


def test_no_place_for_the_database(run: Run) -> None:
    """A database that cannot be made ends the command with exit code 5."""
    ran = run("--db", "no/such/folder/x.db", "seed", "@a")
    assert ran.code == 5
