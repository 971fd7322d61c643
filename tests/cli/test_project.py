from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.template import render

if TYPE_CHECKING:
    from conftest import Run


def test_init(run: Run, tmp_path: Path) -> None:
    """init makes the folder with settings, seeds and .gitignore, and the other commands take what it made."""
    ran = run("init", "a/study", "--json")
    assert ran.code == 0
    assert ran.document["path"] == "a/study/config.toml"
    folder = tmp_path / "a/study"
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "config.toml", "seeds.txt"]
    assert (folder / "config.toml").read_text() == render()
    assert run("--config", folder / "config.toml", "doctor").code == 0
    empty = run("seed", "--file", folder / "seeds.txt")
    assert empty.code == 2
    assert "names no account" in empty.err


def test_init_here(run: Run, tmp_path: Path) -> None:
    """Without a folder init works in the current one, and tells people what it made and what to do next."""
    ran = run("init")
    assert ran.code == 0
    assert (tmp_path / "config.toml").exists()
    assert "created" in ran.out
    assert "followgraph doctor" in ran.out


@pytest.mark.parametrize("name", ["config.toml", "seeds.txt"])
def test_nothing_is_overwritten(run: Run, tmp_path: Path, name: str) -> None:
    """Where a file is already there, even as a dangling link, init names it, changes nothing and exits with 2."""
    (tmp_path / name).write_text("mine")
    ran = run("init")
    assert ran.code == 2
    assert name in ran.err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    assert run("init").code == 2
    assert not (tmp_path / "nowhere").exists()


def test_a_gitignore_stays(run: Run, tmp_path: Path) -> None:
    """A .gitignore that is already there is kept as it is, with a word on what to add."""
    (tmp_path / ".gitignore").write_text("mine")
    ran = run("init")
    assert ran.code == 0
    assert (tmp_path / ".gitignore").read_text() == "mine"
    assert "WARN" in ran.out


def test_no_place(run: Run, tmp_path: Path) -> None:
    """A folder that cannot be made is bad input, and nothing is left behind."""
    (tmp_path / "file").write_text("")
    ran = run("init", "file/study")
    assert ran.code == 2
    assert "cannot be written" in ran.err


def test_init_ignores_the_settings_around_it(run: Run) -> None:
    """init begins a study even where the environment holds a mistake: it uses no settings."""
    assert run("init", environ={"FOLLOWGRAPH_ZZZ": "1"}).code == 0
