from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Run

ASKED = ("analyse", "--engine", "spark", "--input", "in", "--output", "out", "--json")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--programs", "pagerank,leiden"), "programs"),
        (("--programs", ","), "programs"),
        (("--damping", "1"), "damping"),
        (("--tolerance", "0"), "tolerance"),
        (("--turns", "0"), "turns"),
        (("--spark", "driver.memory=4g"), "spark_setting"),
    ],
)
def test_options_that_mean_nothing(run: Run, tmp_path: Path, words: tuple[str, ...], code: str) -> None:
    """Each is bad input, told before anything is started."""
    ran = run(*ASKED, *words)
    assert ran.code == 2
    assert ran.document["error"]["code"] == code
    assert not (tmp_path / "out").exists()


def test_without_pyspark(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named."""
    real = importlib.util.find_spec
    monkeypatch.setattr("cli.analysing.find_spec", lambda name: None if name == "pyspark" else real(name))
    ran = run(*ASKED)
    assert ran.code == 2
    assert "pip install 'followgraph[spark]'" in ran.err


@pytest.mark.parametrize("name", ["PATH", "JAVA_HOME"])
def test_without_java(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Spark's own page of errors is spared."""
    found: Any = object()
    monkeypatch.setattr("cli.analysing.find_spec", lambda name: found)
    ran = run(*ASKED, environ={name: str(tmp_path)})
    assert ran.code == 2
    assert ran.document["error"]["code"] == "no_java"
