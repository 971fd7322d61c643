"""Every parser of foreign input, as a function of bytes that returns, or raises what its callers know how to tell.

Anything else it raises is a fault of ours. `corpus/` holds inputs that were found to matter, one folder a target.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cli import config
from cli.config import ConfigError
from crawler import seeding
from crawler.policy import retry_after_s
from crawler.purchase import facts
from crawler.replay import replay
from socialfetch import errors as api_errors
from socialfetch.client import Reply, _raise_for, read_page
from socialfetch.handle import InvalidHandle, parse
from socialfetch.scrubbing import FIELDS, scrubbed
from socialfetch.simulator import edge_list
from socialfetch.simulator.errors import UnreadableGraph
from storage import dataset, errors, holders, outputs, runs, secret, snapshot
from storage.archive import Bodies
from storage.database import Database
from storage.holders import Span

Target = Callable[[bytes], object]

_FOLDER = Path(tempfile.mkdtemp(prefix="followgraph-fuzz-"))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)


def _file(content: bytes, name: str = "input") -> Path:
    path = _FOLDER / name
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def page(content: bytes) -> object:
    """An answer of the API, read and translated for the database."""
    try:
        read = read_page(content)
    except api_errors.Malformed:
        return None
    return [facts(account) for account in read.accounts]


def scrub(content: bytes) -> object:
    """An archived answer, cleaned of some people and fields: what is left is read like any other."""
    try:
        before = read_page(content)
        cleaned, gone = scrubbed(content, lambda handle, _: 1 if handle.startswith("a") else None, left_out=[*FIELDS])
    except api_errors.Malformed:
        return None
    after = read_page(cleaned)
    assert not any(account.handle.strip().removeprefix("@").lower().startswith("a") for account in after.accounts)
    assert after.credits_charged == before.credits_charged
    return gone


def refusal(content: bytes) -> object:
    """An answer that is an error, its headers included."""
    text = content.decode("latin-1")
    try:
        _raise_for(Reply(status=429, headers={"retry-after": text, "date": text}, body=content))
    except api_errors.SocialFetchError as error:
        return retry_after_s(error.retry_after, now=1e9)
    return None


def handle(content: bytes) -> object:
    """A handle or address as somebody wrote it."""
    try:
        return parse(content.decode("utf-8", "surrogateescape"))
    except (InvalidHandle, ValueError):
        return None


def edges(content: bytes) -> object:
    """An edge list, plain or gzip."""
    try:
        return edge_list.read(_file(content, "edges.tsv"))
    except UnreadableGraph:
        return None


def settings(content: bytes) -> object:
    """A config.toml."""
    try:
        return config.load(_file(content, "config.toml"), {}, {})
    except ConfigError as error:
        return str(error)


def variable(content: bytes) -> object:
    """A value in the environment."""
    text = content.decode("utf-8", "surrogateescape").replace("\0", "")
    try:
        return config.load(None, {config.variable(key): text for key in ("crawl.rate", "policy.retain_until")}, {})
    except ConfigError as error:
        return str(error)


def key(content: bytes) -> object:
    """A file that is to be a project key."""
    try:
        return secret.read(_file(content, "project.key"))
    except errors.KeyUnusable:
        return None


def sums(content: bytes) -> object:
    """A folder's checksums."""
    folder = _FOLDER / "sums"
    folder.mkdir(exist_ok=True)
    (folder / dataset.SUMS).write_bytes(content)
    try:
        return dataset.check(folder)
    except (OSError, ValueError):
        return None


def noted(content: bytes) -> object:
    """The list of what was exported."""
    database = _FOLDER / "listed.db"
    outputs.list_of(database).write_bytes(content)
    return holders.find(database, [Span(since=-(2**70), until=2**70)])


def frozen(content: bytes) -> object:
    """A snapshot of somebody, against a database of ours."""
    try:
        taken = json.loads(content)
        with _empty().read() as conn:
            return snapshot.compare(conn, taken, bytes(32) if "rows" in taken else None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None


def journal(content: bytes) -> object:
    """A note of the journal of somebody's database, which is replayed: the first line names the act."""
    act, _, details = content.decode("utf-8", "replace").partition("\n")
    for beside in _FOLDER.glob("journal-*"):
        beside.unlink()
    paths = _FOLDER / "journal-source.db", _FOLDER / "journal-target.db"
    for path, before in zip(paths, _before_the_first_page(), strict=True):
        path.write_bytes(before)
    with closing(sqlite3.connect(paths[0])) as conn, conn:
        conn.execute("INSERT INTO journal (ledger_id, act, details) VALUES (0, ?, ?)", (act, details))
    source = Database.open(paths[0], now=lambda: 0.0, mode="read")
    target = Database.open(paths[1], now=lambda: 0.0, mode="write")
    try:
        return replay(source, target)
    except errors.DatabaseError as error:
        return str(error)
    finally:
        source.close()
        target.close()


@cache
def _before_the_first_page() -> tuple[bytes, bytes]:
    """Return a database with seeds and a run that has bought nothing, and an empty one."""
    seeded, empty = _FOLDER / "seeded.db", _FOLDER / "unwritten.db"
    about: dict[str, Any] = {"strategy": "flow", "settings": {}, "host": "here", "pid": 1, "now": 1.0}
    opened = Database.open(seeded, now=lambda: 0.0)
    seeding.seed(opened, ["ada", "ben", "eve"], now=1.0)
    opened.transact(lambda conn: runs.start(conn, budget=9, new_run=True, rng_seed=1, fresh_rng_seed=1, **about))
    opened.close()
    Database.open(empty, now=lambda: 0.0).close()
    return seeded.read_bytes(), empty.read_bytes()


def body(content: bytes) -> object:
    """A compressed answer out of an archive."""
    with _empty().read() as conn:
        try:
            return Bodies(conn).read(1, None, content)
        except errors.ArchiveUnreadable:
            return None


def database(content: bytes) -> object:
    """A file that is to be a database."""
    path = _FOLDER / "foreign.db"
    for beside in _FOLDER.glob("foreign.db*"):
        beside.unlink()
    path.write_bytes(content)
    try:
        opened = Database.open(path, now=lambda: 0.0, mode="read")
    except errors.DatabaseError:
        return None
    try:
        with opened.read() as conn:
            return conn.execute(sa.text("SELECT count(*) FROM accounts")).scalar_one()
    except errors.DatabaseError:
        return None
    finally:
        opened.close()


def _empty() -> Database:
    path = _FOLDER / f"empty{os.getpid()}.db"
    if not path.exists():
        Database.open(path, now=lambda: 0.0).close()
    found = _OPEN.get(path)
    if found is None:
        found = _OPEN[path] = Database.open(path, now=lambda: 0.0, mode="read")
    return found


_OPEN: dict[Path, Database] = {}

TARGETS: dict[str, Target] = {
    each.__name__: each
    for each in (
        page,
        scrub,
        refusal,
        handle,
        edges,
        settings,
        variable,
        key,
        sums,
        noted,
        frozen,
        journal,
        body,
        database,
    )
}
