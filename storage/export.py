"""The graph for other programs: streaming reads of accounts and current follows, and the files made of them.

A follow is current until a later complete visit of its source no longer lists it; its times are those at which the
visits began that listed it first and last. Invariant: a file stands under its name only when it is whole.

OutputNotWritable            a file could not be written; `path`, `problem` and `hint` say where, why, what to do
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from errno import EDQUOT, ENOSPC
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TextIO, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from storage import aggregate, graphfiles
from storage.graphfiles import Kind, Place, Rank, Table
from storage.pseudonyms import Bare, Mask
from storage.schema import Completeness, Outcome, State, accounts, follows, frontier, ledger, past_follows, visits
from storage.statement import Lookup

Format = Literal["csv", "parquet", "graphml", "gexf", "graphology", "edgelist"]
FORMATS: tuple[Format, ...] = get_args(Format)

Row = tuple[Any, ...]
Places = Callable[[str], Place | None]
"""Gives the place of an account in a drawing by its id as text, None where it has none."""
Ranks = Callable[[str], Rank | None]
"""Gives the rank of an account by its id as text, None where nobody has any."""

ACCOUNT_COLUMNS: dict[str, Kind] = {
    "id": "text",
    "label": "text",
    "role": "text",
    "completeness": "text",
    "depth": "count",
    "followers_reported": "count",
    "following_reported": "count",
    "followers_observed": "count",
    "following_observed": "count",
    "first_seen": "time",
    "last_seen": "time",
}
"""Words of an exported account. `label` is the handle without @; `role` is seed, expanded (a list of it was read, whole
or not) or boundary (none was: whom it follows is unknown, so `following_observed` is missing and not 0)."""

FOLLOW_COLUMNS: dict[str, Kind] = {"source": "text", "target": "text", "first_seen": "time", "last_seen": "time"}

BARE = Bare()

_BATCH = 65_536


class OutputNotWritable(Exception):
    """A file could not be written. `problem` says what happened, `hint` what to do about it."""

    def __init__(self, path: Path, problem: str, *, hint: str) -> None:
        super().__init__(f"{path} cannot be written: {problem}")
        self.path = path
        self.problem = problem
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished export: where it is, the accounts known and the current follows written."""

    path: Path
    accounts: int
    edges: int


STANDINGS = ("complete", "capped", "partial", "hidden", "private", "not_found", "failed", "skipped", "waiting")
"""What is known of an account's own list; each known account has exactly one. Waiting: no page came yet."""

CURRENT = follows.c.ended_visit.is_(None)

_FIRST, _LAST = visits.alias("first_visit"), visits.alias("last_visit")
_LATEST = sa.func.coalesce(follows.c.last_visit, follows.c.first_visit)
_DATED = (
    sa.select(follows.c.src, follows.c.dst, _FIRST.c.started_at, _LAST.c.started_at)
    .outerjoin(_FIRST, _FIRST.c.id == follows.c.first_visit)
    .outerjoin(_LAST, _LAST.c.id == _LATEST)
    .where(CURRENT)
    .order_by(follows.c.src, follows.c.dst)
)

# The last visit that brought a list speaks for an account: what was read last month is known, though hidden today.
_NEWEST = (
    sa.select(visits.c.account_id, sa.func.max(visits.c.id).label("id"))
    .where(visits.c.completeness.in_(Completeness.LISTED), visits.c.pages > 0)
    .group_by(visits.c.account_id)
    .subquery("newest")
)
_LIST = visits.alias("list")
UNLISTED = (Completeness.HIDDEN, Completeness.PRIVATE, Completeness.NOT_FOUND)
_COMPLETENESS = sa.case(
    (_LIST.c.id.is_not(None), _LIST.c.completeness),
    (frontier.c.completeness.in_(UNLISTED), frontier.c.completeness),
    else_=None,
)
_STANDING = sa.func.coalesce(
    _COMPLETENESS,
    sa.case((frontier.c.state == State.FAILED, "failed"), (frontier.c.state == State.SKIPPED, "skipped")),
    "waiting",
)
_KNOWN = (
    accounts.outerjoin(frontier, frontier.c.account_id == accounts.c.id)
    .outerjoin(_NEWEST, _NEWEST.c.account_id == accounts.c.id)
    .outerjoin(_LIST, _LIST.c.id == _NEWEST.c.id)
)
_FACTS = (
    accounts.c.id,
    accounts.c.handle,
    _STANDING,
    frontier.c.depth,
    accounts.c.followers,
    accounts.c.following,
    accounts.c.first_seen_at,
)
_ENTERING = (
    sa.select(follows.c.dst, sa.func.count().label("n"), sa.func.max(_LAST.c.started_at).label("at"))
    .outerjoin(_LAST, _LAST.c.id == _LATEST)
    .where(CURRENT)
    .group_by(follows.c.dst)
    .subquery("entering")
)
_LEAVING = (
    sa.select(follows.c.src, sa.func.count().label("n")).where(CURRENT).group_by(follows.c.src).subquery("leaving")
)
_EXPORTED = (
    sa.select(
        *_FACTS, accounts.c.updated_at, _LIST.c.started_at, _ENTERING.c.at, _ENTERING.c.n, _LEAVING.c.n.label("out")
    )
    .select_from(
        _KNOWN.outerjoin(_ENTERING, _ENTERING.c.dst == accounts.c.id).outerjoin(
            _LEAVING, _LEAVING.c.src == accounts.c.id
        )
    )
    .order_by(accounts.c.id)
)


def credit_rows(conn: sa.Connection) -> Iterator[tuple[int | None, int]]:
    """Yield (account id, credits charged) of the ledger; the id is NULL for what belongs to no account."""
    charged = sa.func.sum(ledger.c.charged)
    return _rows(conn, sa.select(ledger.c.account_id, charged).group_by(ledger.c.account_id))


def page_times(conn: sa.Connection) -> tuple[int | None, int | None]:
    """Return when the first and the last page came, in Unix seconds."""
    came = sa.select(sa.func.min(ledger.c.at), sa.func.max(ledger.c.at)).where(ledger.c.outcome == Outcome.SETTLED)
    first, last = next(_rows(conn, came))
    return first, last


def failure_rows(conn: sa.Connection) -> Iterator[tuple[str | None, int]]:
    """Yield (reason, number of accounts) of the entries that failed, by reason."""
    reason = frontier.c.reason
    failed = sa.select(reason, sa.func.count()).where(frontier.c.state == State.FAILED)
    return _rows(conn, failed.group_by(reason).order_by(reason))


def ended_follows(conn: sa.Connection) -> int:
    """Return how many follows were seen once and are not current."""
    gone = sa.select(sa.func.count()).select_from(follows).where(~CURRENT).scalar_subquery()
    past = sa.select(sa.func.count()).select_from(past_follows).scalar_subquery()
    return int(conn.execute(sa.select(gone + past)).scalar_one())


def display_names(conn: sa.Connection, ids: Iterable[int]) -> dict[int, str]:
    """Return the names that the accounts gave themselves, where they did. Foreign text: escape it."""
    names = Lookup(accounts.c.id, lambda wanted: sa.select(accounts.c.id, accounts.c.display_name).where(wanted))
    return {key: name for key, name in names.run(conn, ids) if name}


def _rows(conn: sa.Connection, query: sa.Select[*tuple[Any, ...]]) -> Iterator[Any]:
    """Yield the driver's own tuples: SQLAlchemy's rows would cost as much again (research/graph.md, section 3)."""
    text = str(query.compile(dialect=conn.dialect, compile_kwargs={"literal_binds": True}))
    cursor: Any = conn.exec_driver_sql(text).cursor
    return iter(cursor)


def exported_accounts(conn: sa.Connection, mask: Mask) -> Iterator[Row]:
    """Yield every known account, by id, in the order of ACCOUNT_COLUMNS; times in Unix seconds."""
    return mask.accounts(_exported_accounts(conn))


def _exported_accounts(conn: sa.Connection) -> Iterator[Row]:
    for key, handle, standing, depth, followers, following, first, updated, read, listed, entering, leaving in _rows(
        conn, _EXPORTED
    ):
        expanded = standing in Completeness.LISTED
        yield (
            str(key),
            None if handle is None else _sound(handle),
            "seed" if depth == 0 else "expanded" if expanded else "boundary",
            standing if expanded or standing in UNLISTED else None,
            depth,
            followers,
            following,
            entering or 0,
            (leaving or 0) if expanded else None,
            first,
            max(at for at in (first, updated, read, listed) if at is not None),
        )


def exported_follows(conn: sa.Connection, mask: Mask) -> Iterator[Row]:
    """Yield every current follow, by source and target, in the order of FOLLOW_COLUMNS; times in Unix seconds."""
    return mask.follows((str(source), str(target), first, last) for source, target, first, last in _rows(conn, _DATED))


def write(
    conn: sa.Connection,
    format: Format,
    path: Path,
    mask: Mask = BARE,
    *,
    places: Places | None = None,
    ranks: Ranks | None = None,
) -> Exported:
    """Write the graph to `path`, replacing what stood there only when the new files are whole.

    csv and parquet make a folder with `accounts` and `follows`, all others one file, compressed by gzip where its name
    ends in .gz. The counts are the accounts known, also where the format has no place for those without a follow, and
    the follows written. Every row passes through `mask`; ids are texts, as pseudonyms are. gexf and graphology draw the
    accounts at their `places` and tell their `ranks`. Raises OutputNotWritable.
    """
    if format in DRAWN:
        return Exported(path, *_write_drawn(conn, format, path, mask, places=places, ranks=ranks))
    return Exported(path, *_WRITERS[format](conn, path, mask))


def write_counts(conn: sa.Connection, format: Literal["csv", "parquet"], folder: Path) -> Exported:
    """Write counts instead of people, `counts.csv` or `counts.parquet`, into a folder. Raises OutputNotWritable."""
    with replacing(folder / f"counts.{format}") as temporary:
        if format == "csv":
            with temporary.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(aggregate.COLUMNS)
                writer.writerows([cell(value) for value in row] for row in aggregate.tables(conn))
        else:
            columns = zip(*aggregate.tables(conn), strict=True)
            pq.write_table(pa.table(dict(zip(aggregate.COLUMNS, columns, strict=True))), temporary)
    known = conn.execute(sa.select(sa.func.count()).select_from(accounts)).scalar_one()
    current = conn.execute(sa.select(sa.func.count()).select_from(follows).where(CURRENT)).scalar_one()
    return Exported(folder, known, current)


def files(done: Exported) -> list[Path]:
    """Return the files of an export."""
    place = done.path.resolve()  # `a/../b` is b, whether or not there is an a
    if not place.is_dir():
        return [place]
    names = [f"{stem}.{suffix}" for stem in ("accounts", "follows", "counts") for suffix in ("csv", "parquet")]
    return [place / name for name in names if (place / name).exists()]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name in the same folder; it takes the place of `path` when the block ends well.

    Only the owner may read the file: the graph of real people is personal data. Raises OutputNotWritable.
    """
    target = path.resolve()
    temporary: Path | None = None
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            raise OutputNotWritable(path, "there is something else than a file", hint="Name a file with --output.")
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb+") as file:  # the rename must not reach the disk before the content
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise _not_writable(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def require_writable(folder: Path) -> None:
    """Find out, before the work for it, whether files can be written into a folder, there or not yet; it is not made.

    Raises OutputNotWritable.
    """
    try:
        there = next(each for each in (folder, *folder.parents) if each.exists())
        # Tried, not asked for: by its rights root may write anywhere, even into /proc.
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise _not_writable(folder, error) from error


def _not_writable(path: Path, error: OSError) -> OutputNotWritable:
    full = error.errno in {ENOSPC, EDQUOT}
    hint = "Free some space" if full else "Make the folder writable, or name another place with --output"
    reason = error.strerror or str(error)
    return OutputNotWritable(path, reason, hint=f"{hint}; what stood there before is untouched.")


def cell(value: object) -> object:
    """Return a CSV cell that no spreadsheet takes for a formula: such text gets a leading apostrophe.

    https://owasp.org/www-community/attacks/CSV_Injection
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _sound(text: str) -> str:
    """Return text that UTF-8 can carry."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


@lru_cache(maxsize=65_536)
def _iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _texts(columns: dict[str, Kind], rows: Iterable[Row]) -> Iterator[list[Any]]:
    """Yield the rows with their times as ISO 8601 in UTC."""
    times = [index for index, kind in enumerate(columns.values()) if kind == "time"]
    for row in rows:
        values = list(row)
        for index in times:
            if values[index] is not None:
                values[index] = _iso(values[index])
        yield values


def _write_csv(conn: sa.Connection, folder: Path, mask: Mask) -> tuple[int, int]:
    def fill(path: Path, columns: dict[str, Kind], rows: Iterator[Row]) -> int:
        count = 0
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)  # ends lines with CR LF (RFC 4180), and so quotes both in cells
            writer.writerow(columns)
            for count, row in enumerate(_texts(columns, rows), start=1):  # noqa: B007 - the last number is the count
                writer.writerow([cell(value) for value in row])
        return count

    return _write_pair(conn, folder, "csv", mask, fill)


def parquet_schema(columns: dict[str, Kind]) -> pa.Schema:
    """Return the types of an exported table: texts, 64-bit counts, times in UTC."""
    types = {"text": pa.string(), "count": pa.int64(), "time": pa.timestamp("s", tz="UTC")}
    return pa.schema([(name, types[kind]) for name, kind in columns.items()])


def parquet_batches(columns: dict[str, Kind], rows: Iterator[Row]) -> Iterator[pa.RecordBatch]:
    """Yield the rows as typed batches."""
    schema = parquet_schema(columns)
    while batch := list(islice(rows, _BATCH)):
        values = zip(*batch, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(values, schema, strict=True)]
        yield pa.record_batch(arrays, schema=schema)


def _write_parquet(conn: sa.Connection, folder: Path, mask: Mask) -> tuple[int, int]:
    def fill(path: Path, columns: dict[str, Kind], rows: Iterator[Row]) -> int:
        count = 0
        with pq.ParquetWriter(path, parquet_schema(columns), compression="zstd") as writer:
            for batch in parquet_batches(columns, rows):
                writer.write_batch(batch)
                count += len(batch)
        return count

    return _write_pair(conn, folder, "parquet", mask, fill)


def _write_pair(
    conn: sa.Connection,
    folder: Path,
    suffix: str,
    mask: Mask,
    fill: Callable[[Path, dict[str, Kind], Iterator[Row]], int],
) -> tuple[int, int]:
    if folder.exists() and not folder.is_dir():
        raise OutputNotWritable(folder, "there is a file of this name", hint="Name a folder with --output.")
    with replacing(folder / f"accounts.{suffix}") as first, replacing(folder / f"follows.{suffix}") as second:
        return (
            fill(first, ACCOUNT_COLUMNS, exported_accounts(conn, mask)),
            fill(second, FOLLOW_COLUMNS, exported_follows(conn, mask)),
        )


def _write_edgelist(conn: sa.Connection, path: Path, mask: Mask) -> tuple[int, int]:
    count = 0
    with _opened(path) as file:
        pairs = _labelled(conn) if mask is BARE else ((row[0], row[1]) for row in exported_follows(conn, mask))
        for count, (follower, followed) in enumerate(pairs, start=1):  # noqa: B007 - as above
            file.write(f"{_sound(follower)}\t{_sound(followed)}\n")
    return conn.execute(sa.select(sa.func.count()).select_from(accounts)).scalar_one(), count


def _labelled(conn: sa.Connection) -> Iterator[tuple[str, str]]:
    """Yield every current follow by its handles, sorted."""

    def written(account: sa.FromClause) -> sa.ColumnElement[str]:
        # A handle with a separator in it would be two fields or two lines.
        broken = sa.or_(*(account.c.handle.contains(separator) for separator in "\t\n\r"), account.c.handle.is_(None))
        return sa.case((broken, sa.literal("id:") + sa.cast(account.c.id, sa.Text)), else_=account.c.handle)

    source, target = accounts.alias("source"), accounts.alias("target")
    labels = written(source), written(target)
    query = (
        sa.select(*labels)
        .select_from(follows.join(source, source.c.id == follows.c.src).join(target, target.c.id == follows.c.dst))
        .where(CURRENT)
        .order_by(*labels)
    )
    return _rows(conn, query)


def _write_graphml(conn: sa.Connection, path: Path, mask: Mask) -> tuple[int, int]:
    with _opened(path) as file:
        accounts = Table(ACCOUNT_COLUMNS, _texts(ACCOUNT_COLUMNS, exported_accounts(conn, mask)))
        return graphfiles.graphml(file, accounts, _follow_table(conn, mask))


def _write_drawn(
    conn: sa.Connection, format: Format, path: Path, mask: Mask, *, places: Places | None, ranks: Ranks | None
) -> tuple[int, int]:
    # Rank and place go through the mask with their row: they are found by the true id, and come in the mask's order.
    rows = mask.accounts(
        (*row, ranks(row[0]) if ranks else None, places(row[0]) if places else None) for row in _exported_accounts(conn)
    )
    with _opened(path) as file:
        accounts = Table(ACCOUNT_COLUMNS, _texts(ACCOUNT_COLUMNS, rows))
        return DRAWN[format](file, accounts, _follow_table(conn, mask))


def _follow_table(conn: sa.Connection, mask: Mask) -> Table:
    return Table(FOLLOW_COLUMNS, _texts(FOLLOW_COLUMNS, exported_follows(conn, mask)))


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Yield the text of a file that stands under its name when the block ends well, compressed if that name says so."""
    if path.suffix.lower() != ".gz":
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        return
    with (
        replacing(path) as temporary,
        temporary.open("wb") as raw,
        # Neither a time nor the temporary name in the header: the same graph makes the same bytes. Level 9, which is
        # Python's default, takes twice as long as 6 and saves a tenth.
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as file,
    ):
        yield file


DRAWN: dict[Format, Callable[[TextIO, Table, Table], tuple[int, int]]] = {
    "gexf": graphfiles.gexf,
    "graphology": graphfiles.graphology,
}
"""The formats that hold what was computed: positions, communities, ranks. All others are raw data."""

_WRITERS: dict[Format, Callable[[sa.Connection, Path, Mask], tuple[int, int]]] = {
    "csv": _write_csv,
    "parquet": _write_parquet,
    "graphml": _write_graphml,
    "edgelist": _write_edgelist,
}
