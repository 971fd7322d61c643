"""The documents keep up with the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.flags import Flags
from cli.main import _COMMANDS
from cli.settings import every
from cli.stops import REASONS
from crawler.strategies.registry import NAMES

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def test_the_readme_names_every_command_stop_reason_and_strategy() -> None:
    """What a user can type or be told stands in the README."""
    readme = (ROOT / "README.md").read_text()
    words = [f"followgraph {command}" for command in _COMMANDS if command != "demo"] + ["make demo", "make test"]
    missing = [word for word in [*words, *(f"`{name}`" for name in (*REASONS, *NAMES))] if word not in readme]
    assert missing == []


def test_where_a_strategy_is_chosen_its_name_is_told() -> None:
    """The setting in config.toml says what each strategy is for, and the help page names it."""
    told = {"config.toml": every()["crawl.strategy"].description or "", "crawl --help": Flags.__doc__ or ""}
    missing = [(place, name) for place, text in told.items() for name in NAMES if not re.search(rf"\b{name}\b", text)]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_a_document_names_exists(document: Path) -> None:
    """Paths of tests and modules in the documents are real, as are the tests named after `::`."""
    text = document.read_text()
    for path, name in re.findall(
        r"`((?:tests/|storage/|crawler/|scenarios/|socialfetch/|cli/)[\w/]+\.py)(?:::(\w+))?", text
    ):
        places = [ROOT / path, ROOT / "tests" / path]
        found = [place for place in places if place.exists()]
        assert found, f"{document.name} names {path}"
        if name:
            assert any(f"def {name}(" in place.read_text() for place in found), f"{document.name} names {path}::{name}"


def test_the_architecture_fits_on_its_page() -> None:
    """A map that nobody reads to its end is no map."""
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 200
