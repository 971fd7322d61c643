"""Every parser of foreign input, as a function of bytes that returns, or raises what its callers know how to tell.

Anything else it raises is a fault of ours. `corpus/` holds inputs that were found to matter, one folder a target.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from cli import config
from cli.config import ConfigError
from crawler.policy import retry_after_s
from crawler.purchase import facts
from socialfetch import errors as api_errors
from socialfetch.client import Reply, _raise_for, read_page
from socialfetch.handle import InvalidHandle, parse
from socialfetch.scrubbing import FIELDS, scrubbed
from socialfetch.simulator import edge_list
from socialfetch.simulator.errors import UnreadableGraph
from storage import dataset, errors, holders, outputs, secret, snapshot
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
            return snapshot.compare(conn, taken)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None


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
    for each in (page, scrub, refusal, handle, edges, settings, variable, key, sums, noted, frozen, body, database)
}
