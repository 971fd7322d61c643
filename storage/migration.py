"""Leads a database to the newest schema: an older one after a backup copy, migration by migration, forward only.

A new file gets its tables from their definitions at once, which comes to the same and needs no Alembic.
Invariant: an upgrade is one transaction, done while nobody crawls; one that fails leaves the file as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from storage import backup, driver, errors, lock, postgres, schema
from storage.backup import Copied


def bring_to_head(engine: sa.Engine, path: Path, *, now: Callable[[], float]) -> Copied | None:
    """Create or upgrade the tables in one transaction; returns the copy made before an upgrade.

    Raises NewerSchema or NotADatabase, the file untouched, LockedByCrawl while a crawl works on an older database, and
    UpgradeFailed.
    """
    if not _is_older(engine, path):
        return None
    held = lock.take_beside(path)
    try:
        if not _is_older(engine, path):  # somebody else was quicker
            return None
        with engine.begin() as conn:
            version = driver.schema_version(conn, path)
        copied = backup.beside(path, f"schema-{version}", now=now)
        try:
            _upgrade(engine)
        except Exception as error:
            told = driver.translate(error)
            if isinstance(told, errors.DatabaseError):
                raise told from error
            raise errors.UpgradeFailed(
                f"{path} could not be upgraded from schema {version} to {schema.HEAD} ({type(error).__name__})",
                copy=copied.path,
            ) from error
        return copied
    finally:
        held.release()


def _is_older(engine: sa.Engine, path: Path) -> bool:
    """Tell whether there are older tables to upgrade; an empty file gets its tables here and now."""
    with engine.begin() as conn:  # in one: whoever begins with the same new file meanwhile waits, and finds the tables
        version = driver.refuse_others(conn, path)
        if version is None:
            _create(conn)
            return False
    return version < schema.HEAD


def _create(conn: sa.Connection) -> None:
    for definition in _definitions():
        conn.exec_driver_sql(definition)
    conn.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (schema.HEAD,))
    conn.exec_driver_sql(f"PRAGMA application_id = {schema.APPLICATION_ID}")


@cache
def _definitions() -> list[str]:
    """Return what makes every table and index of SQLite's."""
    made: list[sa.schema.ExecutableDDLElement] = []
    for table in schema.metadata.sorted_tables:
        made.append(CreateTable(table))
        made += [CreateIndex(index) for index in sorted(table.indexes, key=lambda index: str(index.name))]
    version = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
    return [version, *(str(each.compile(dialect=sqlite.dialect())) for each in made)]


def _upgrade(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        _migrate(conn)


def bring_server_to_head(engine: sa.Engine, readers: sa.Engine, name: str) -> None:
    """Create or upgrade the tables of a database on a server, in one transaction and in its turn.

    No copy is made before: that is `pg_dump`'s work. Raises NewerSchema and NotADatabase.
    """
    with readers.connect() as conn:  # without the turn: mostly there is nothing to do
        if driver.refuse_others(conn, name) == schema.HEAD:
            return
    with engine.begin() as conn:
        if driver.refuse_others(conn, name) != schema.HEAD:
            _migrate(conn)
            postgres.finish(conn)


def _migrate(conn: sa.Connection) -> None:
    from alembic import command  # noqa: PLC0415 - a fifth of a second that only an old database needs
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
