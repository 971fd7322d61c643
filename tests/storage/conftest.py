"""Fixtures of the storage tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from study import Study


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Callable[..., Study]]:
    """Make studies that are closed after the test."""
    made: list[Study] = []

    def make(*seeds: str, name: str = "a.db", **more: object) -> Study:
        # Settings of several types, by name.
        made.append(Study(tmp_path / name, *seeds, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.db.close()
