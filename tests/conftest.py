"""Settings of the whole suite."""

from __future__ import annotations

from collections.abc import Iterator

import postgres_server
import pytest
from hypothesis import settings
from postgres_server import Postgres

settings.register_profile("quick", max_examples=25)
settings.register_profile("thorough", max_examples=600)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Give a PostgreSQL server, started by the first test that asks for it."""
    with postgres_server.postgres() as found:
        yield found
