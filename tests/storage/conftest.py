"""Fixtures of the storage tests: what goes through storage's own doors is tried on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgres_server import Postgres
from storages import empty
from study import Study

Places = Callable[[str], Path | str]


@pytest.fixture(params=["sqlite", "postgresql"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Places]:
    """Return where a database of this name is kept: a file, or a database of its own on a server."""
    if request.param == "sqlite":
        yield lambda name: tmp_path / name
        return
    server: Postgres = request.getfixturevalue("postgres")
    made: dict[str, str] = {}

    def place(name: str) -> str:
        if name not in made:
            made[name] = server.fresh(of=empty(server))
        return server.url(made[name])

    yield place
    for database in made.values():
        server.drop(database)


@pytest.fixture
def in_file(tmp_path: Path) -> Iterator[Callable[..., Study]]:
    """Make studies in a file, for what is about files."""
    yield from _studies(lambda name: tmp_path / name)


@pytest.fixture
def study(places: Places) -> Iterator[Callable[..., Study]]:
    """Make studies that are closed after the test, on each database."""
    yield from _studies(places)


def _studies(places: Places) -> Iterator[Callable[..., Study]]:
    made: list[Study] = []

    def make(*seeds: str, name: str = "a.db", **more: object) -> Study:
        # Settings of several types, by name.
        made.append(Study(places(name), *seeds, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.db.close()
