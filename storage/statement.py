"""SQL constructs compiled once per dialect and run through the driver's own cursor.

SQLAlchemy builds the text, so that one construct serves SQLite and PostgreSQL, and owns connections and transactions;
it is not asked to describe results, which costs more than most statements of a page do. Rows are plain tuples, going in
(in the order of the named parameters) and coming out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

Row = tuple[Any, ...]
CHUNKS = (64, 16, 4, 1)
"""Sizes in which many values are looked up: each size is one text, compiled once."""


class Rows:
    """What a statement returned."""

    __slots__ = ("_cursor",)

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def __iter__(self) -> Iterator[Row]:
        return iter(self._cursor.fetchall())

    @property
    def rowcount(self) -> int:
        """Rows that were written."""
        return int(self._cursor.rowcount)

    def all(self) -> list[Row]:
        """Return every row."""
        return list(self._cursor.fetchall())

    def first(self) -> Row | None:
        """Return the first row, None where there is none."""
        row: Row | None = self._cursor.fetchone()
        self._cursor.close()
        return row

    def one(self) -> Row:
        """Return the only row. Raises LookupError where there is none."""
        row = self.first()
        if row is None:
            raise LookupError("the statement returned no row")
        return row

    def scalar(self) -> Any:
        """Return the first value of the first row, None where there is none."""
        row = self.first()
        return None if row is None else row[0]


def _cursor(conn: sa.Connection) -> Any:
    if not conn.in_transaction():  # a reader's: its statements are to see one state
        conn.begin()
    return conn.connection.cursor()


class Statement:
    """One construct. `names` gives the order of a row's values."""

    def __init__(self, construct: sa.ClauseElement, names: Sequence[str] = ()) -> None:
        self._construct = construct
        self._names = tuple(names)
        self._texts: dict[str, tuple[str, Callable[[Row], Any]]] = {}

    def _text(self, conn: sa.Connection) -> tuple[str, Callable[[Row], Any]]:
        found = self._texts.get(conn.dialect.name)
        if found is None:
            compiled = cast(Any, self._construct.compile(dialect=conn.dialect, column_keys=list(self._names)))
            found = (str(compiled), _binder(compiled, self._names))
            self._texts[conn.dialect.name] = found
        return found

    def run(self, conn: sa.Connection, *values: Any) -> Rows:
        """Run once."""
        text, bind = self._text(conn)
        cursor = _cursor(conn)
        cursor.execute(text, bind(values))
        return Rows(cursor)

    def run_many(self, conn: sa.Connection, rows: Sequence[Row]) -> int:
        """Run once per row and return how many rows were written; no other result is."""
        if not rows:
            return 0
        text, bind = self._text(conn)
        cursor = _cursor(conn)
        cursor.executemany(text, [bind(row) for row in rows])
        written = int(cursor.rowcount)
        cursor.close()
        return written


def _binder(compiled: Any, names: tuple[str, ...]) -> Callable[[Row], Any]:
    """Return what turns a row into the driver's parameters: a tuple for `?`, a dict for `%(name)s`.

    Constants written into the construct are parameters of the compiled text as well, with their own names and values.
    """
    positions: Sequence[str] | None = compiled.positiontup
    constants = {name: value for name, value in compiled.params.items() if name not in names}
    if positions is None:
        return lambda row: constants | dict(zip(names, row, strict=True))
    if tuple(positions) == names:
        return lambda row: row
    tail = tuple(constants.values())
    every = (*names, *constants)
    order = [every.index(position) for position in positions]
    if len(order) == 1:  # of one place an itemgetter makes no tuple
        return lambda row: ((row + tail)[order[0]],)
    pick = itemgetter(*order)
    return (lambda row: pick(row + tail)) if tail else pick


class Insert:
    """Rows into a table. With `ignore`, rows whose key exists are passed over."""

    def __init__(self, table: sa.Table, names: Sequence[str], *, ignore: bool = False) -> None:
        self._table = table
        self._names = tuple(names)
        self._ignore = ignore

    @cached_property
    def _single(self) -> Statement:
        construct = sqlite_insert(self._table).values(dict.fromkeys(self._names))
        return Statement(construct.on_conflict_do_nothing() if self._ignore else construct, self._names)

    @cached_property
    def _columnwise(self) -> Statement:
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - a tenth of a second that a file does without

        columns = [self._table.c[name] for name in self._names]
        lists = (
            sa.func.unnest(*(sa.bindparam(column.name, type_=sa.ARRAY(column.type)) for column in columns))
            .table_valued(*self._names)
            .render_derived()
        )
        construct = postgresql.insert(self._table).from_select(self._names, sa.select(*lists.c))
        return Statement(construct.on_conflict_do_nothing() if self._ignore else construct, self._names)

    def run(self, conn: sa.Connection, rows: Sequence[Row]) -> int:
        """Insert the rows and return how many were new."""
        if conn.dialect.name == "postgresql":  # a list for each column: one text and one way there and back
            return self._columnwise.run(conn, *map(list, zip(*rows, strict=True))).rowcount if rows else 0
        # Row by row costs SQLite half of what a long list of VALUES does.
        return self._single.run_many(conn, rows)


class Lookup:
    """Rows whose column has one of many values. `build` gets the condition and returns the select."""

    def __init__(
        self,
        column: sa.Column[Any],
        build: Callable[[sa.ColumnElement[bool]], sa.Select[Any]],
        names: Sequence[str] = (),
    ) -> None:
        self._column = column
        self._build = build
        self._names = tuple(names)
        self._statements: dict[int, Statement] = {}
        any_of = sa.any_(sa.bindparam("any_value", type_=sa.ARRAY(column.type)))
        self._listed = Statement(build(column == any_of), (*self._names, "any_value"))

    def run(self, conn: sa.Connection, values: Iterable[Any], *fixed: Any) -> Iterator[Any]:
        """Yield the rows found, in the database's order; `fixed` are the values of the construct's own parameters."""
        if conn.dialect.name == "postgresql":
            if wanted := list(values):
                yield from self._listed.run(conn, *fixed, wanted)
            return
        for part in _chunked(list(values)):
            size = len(part)
            statement = self._statements.get(size)
            if statement is None:
                names = [f"value{index}" for index in range(size)]
                condition = self._column.in_([sa.bindparam(name, type_=self._column.type) for name in names])
                statement = self._statements[size] = Statement(self._build(condition), (*self._names, *names))
            yield from statement.run(conn, *fixed, *part)


def _chunked(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    start = 0
    for size in CHUNKS:
        while len(rows) - start >= size:
            yield rows[start : start + size]
            start += size
