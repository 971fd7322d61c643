"""Leads a database to the newest schema: a fresh one from nothing, an older one after a backup copy, forward only.

Invariant: an upgrade is one transaction, done while nobody crawls; one that fails leaves the file as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

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
    with engine.begin() as conn:
        version = driver.refuse_others(conn, path)
    if version is None:
        _upgrade(engine)
        return False
    return version < schema.HEAD


def _upgrade(engine: sa.Engine) -> None:
    with engine.begin() as conn:
        _migrate(conn)
        conn.exec_driver_sql(f"PRAGMA application_id = {schema.APPLICATION_ID}")


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
    from alembic import command  # noqa: PLC0415 - a fifth of a second that only a new or an old database needs
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
