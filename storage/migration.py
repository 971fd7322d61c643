"""Leads a database to the newest schema: a fresh one from nothing, an older one after a backup copy, forward only."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from storage import driver, errors, schema


def bring_to_head(engine: sa.Engine, path: Path, *, now: Callable[[], float]) -> None:
    """Create or upgrade the tables in one transaction. Raises NewerSchema or NotADatabase, the file untouched."""
    with engine.begin() as conn:
        version = driver.schema_version(conn, path)
    if version == schema.HEAD:
        return
    if version is not None:
        if version > schema.HEAD:
            raise errors.NewerSchema(
                f"{path} was written by a newer followgraph (schema {version}, known: {schema.HEAD})"
            )
        copy(path, path.with_name(f"{path.name}.schema-{version}.{int(now())}.backup"))
    _upgrade(engine)


def copy(path: Path, target: Path) -> None:
    """Make a consistent copy of a database, also while a crawl writes to it."""
    target.touch(mode=0o600, exist_ok=False)
    with driver.translated():
        source = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            sink = sqlite3.connect(target)
            try:
                source.backup(sink)
            finally:
                sink.close()
        finally:
            source.close()


def _upgrade(engine: sa.Engine) -> None:
    from alembic import command  # noqa: PLC0415 - a fifth of a second that only a new or an old database needs
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as conn:
        config.attributes["connection"] = conn
        command.upgrade(config, "head")
        conn.exec_driver_sql(f"PRAGMA application_id = {schema.APPLICATION_ID}")
