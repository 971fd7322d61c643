from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

from cli.config import load
from cli.settings import Settings, every, sections
from cli.template import render

ROOT = Path(__file__).parents[2]


def test_the_file_at_the_root_is_this_text() -> None:
    """config.toml at the root of the repository is what `followgraph init` writes."""
    assert (ROOT / "config.toml").read_text() == render()


def test_untouched_it_changes_nothing(tmp_path: Path) -> None:
    """Every setting is commented out: the file as it is written leaves every setting at its default."""
    (tmp_path / "config.toml").write_text(render())
    configuration = load(tmp_path / "config.toml", {}, {})
    assert configuration.settings == Settings()
    assert {configuration.whence(key) for key in every()} == {"the default"}


def test_it_lists_every_setting_at_its_default(tmp_path: Path) -> None:
    """With every setting switched on, the file holds exactly the model's keys, and all of them at their defaults.

    Settings without a default show an example that is allowed.
    """
    text = re.sub(r"^#(?=[a-z])", "", render(), flags=re.MULTILINE)
    assert {name: list(table) for name, table in tomllib.loads(text).items()} == {
        name: list(section.model_fields) for name, section in sections().items()
    }
    (tmp_path / "all.toml").write_text(text)
    found = load(tmp_path / "all.toml", {}, {}).settings.model_dump()
    for key, field in every().items():
        section, _, name = key.partition(".")
        if field.default is not None:
            assert found[section][name] == field.default, key
        else:
            assert found[section][name] is not None, key


def test_every_setting_says_why() -> None:
    """Every setting stands under a comment, and no line is wider than the house's."""
    lines = render().splitlines()
    for before, line in pairwise(lines):
        if re.match(r"#[a-z]", line):
            assert before.startswith("# "), line
    assert max(map(len, lines)) <= 120
