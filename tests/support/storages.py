"""Where the tests keep a database: in a file, or on a server."""

from __future__ import annotations

from postgres_server import Postgres

from storage.database import Database

_EMPTY: dict[int, str] = {}


def empty(server: Postgres) -> str:
    """Return a database of this server with all tables and no rows, made once, to be copied."""
    found = _EMPTY.get(id(server))
    if found is None:
        found = _EMPTY[id(server)] = server.fresh()
        Database.open(server.url(found), now=lambda: 0.0).close()
    return found
