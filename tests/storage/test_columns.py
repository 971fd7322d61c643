"""Columns: both doors bring the same numbers, and a past state is the one that was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from adbc_driver_manager import Error as ArrowError

from storage import columns
from storage.columns import Door, account_columns, fast, file_state, follow_query, gathered, marks, positions, through
from storage.database import Database
from storage.export import STANDINGS
from tests.analysis.sample import START, Sample, Visit, insert, write

DAY = 86_400
Places = Callable[[str], Path | str]


@pytest.fixture
def database(places: Places) -> Iterator[Database]:
    """Ann's list lost bob on the second day, and dan came and went; eve hid hers, fay failed, gus is private."""
    sample = Sample(
        seeds=("ann", "bob"),
        visits={"ann": Visit(("bob", "cat")), "bob": Visit(("ann",), "capped"), "eve": Visit((), "hidden")},
        followers={"ann": 10},
        failed={"fay": "server_error"},
        skipped={"gus": "private"},
    )
    path = write(places("graph.db"), sample)
    with closing(Database.open(path, now=lambda: 0.0)) as opened:

        def later(conn: sa.Connection) -> None:
            names = ["id", "account_id", "run_id", "started_at", "ended_at", "completeness", "pages"]
            days = [START + DAY, START + 2 * DAY, START + 3 * DAY]
            insert(conn, "accounts", ["id", "handle", "first_seen_at", "updated_at"], [(99, "dan", days[0], days[0])])
            outcomes = ["partial", "complete", "private"]
            rows = [(11 + at, 1, 2, day, day, outcomes[at], 1 - at // 2) for at, day in enumerate(days)]
            insert(conn, "visits", names, rows)
            conn.exec_driver_sql("UPDATE follows SET ended_visit = 12 WHERE src = 1 AND dst = 2")
            past = ["src", "dst", "first_visit", "last_visit", "ended_visit"]
            insert(conn, "past_follows", past, [(1, 99, 11, 11, 12)])

        opened.transact(later)
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as opened:
        yield opened


def over_connection(database: Database, read: Callable[[Door], Any]) -> Any:
    with database.read() as conn:
        return read(through(conn))


DOORS = {"arrow": fast, "connection": over_connection}


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> Callable[[Database, Callable[[Door], Any]], Any]:
    return DOORS[request.param]


def follows_at(door: Door, as_of: float | None) -> list[tuple[int, int]]:
    src, dst = gathered(door(follow_query(as_of)), 2)
    return sorted(zip(src.tolist(), dst.tolist(), strict=True))


def test_the_present_is_what_is_current(database: Database, door: Any) -> None:
    """Now: ended follows are gone, and the last visit that brought a list speaks for an account."""
    assert door(database, lambda through: follows_at(through, None)) == [(1, 3), (2, 1)]
    ids, standing, depth, followers, following, first_seen = door(
        database, lambda through: account_columns(through, None)
    )
    assert ids.tolist() == [1, 2, 3, 4, 5, 6, 99]
    assert [STANDINGS[code] for code in standing] == [
        "complete", "capped", "waiting", "hidden", "failed", "skipped", "waiting",
    ]  # fmt: skip
    assert (depth.tolist(), followers.tolist()) == ([0, 0, 1, 1, 1, 1, -1], [10, -1, -1, -1, -1, -1, -1])
    assert following.tolist() == [-1] * 7
    assert first_seen.tolist() == [START] * 6 + [START + DAY]


@pytest.mark.parametrize(
    ("days", "pairs", "words"),
    [
        (0.5, [(1, 2), (1, 3), (2, 1)], ["complete", "capped", "waiting", "hidden", "waiting", "waiting"]),
        (1.5, [(1, 2), (1, 3), (1, 99), (2, 1)], ["partial", "capped", "waiting", "hidden", *["waiting"] * 3]),
        (2.5, [(1, 3), (2, 1)], ["complete", "capped", "waiting", "hidden", *["waiting"] * 3]),
        (-1, [], []),
    ],
)  # fmt: skip
def test_the_past_is_what_was(
    database: Database, door: Any, days: float, pairs: list[tuple[int, int]], words: list[str]
) -> None:
    """At a time: follows begun and not yet ended, accounts known, and how their lists stood."""
    at = START + days * DAY
    assert door(database, lambda through: follows_at(through, at)) == pairs
    ids, standing, *_ = door(database, lambda through: account_columns(through, at))
    assert [STANDINGS[code] for code in standing] == words
    assert len(ids) == len(words)


def test_both_doors_agree_on_a_database_without_rows(places: Places, door: Any) -> None:
    """No account and no follow are columns of length 0, not of no type."""
    path = write(places("empty.db"), Sample())
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as empty:
        assert door(empty, lambda through: follows_at(through, None)) == []
        found = door(empty, lambda through: account_columns(through, None))
    assert [(len(column), column.dtype) for column in found] == [(0, np.dtype(np.int64))] * 6


def test_many_rows_come_whole_and_in_order(places: Places, door: Any) -> None:
    """More rows than a batch holds arrive complete and sorted."""
    accounts = [f"a{number}" for number in range(300)]
    sample = Sample(visits={name: Visit(tuple(other for other in accounts if other != name)) for name in accounts})
    path = write(places("many.db"), sample)
    with closing(Database.open(path, now=lambda: 0.0, mode="read")) as many:
        src, dst = door(many, lambda through: gathered(through(follow_query(None)), 2))
    assert len(src) == 300 * 299
    assert np.all(np.diff(src << 32 | dst) > 0)


def test_trouble_of_the_fast_door_is_met_at_the_ordinary_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Arrow's driver fails, the numbers come over storage's own connection."""

    def broken(*_: object, **__: object) -> None:
        raise ArrowError("no", status_code=9)

    monkeypatch.setattr(columns.dbapi, "connect", broken)
    assert fast(database, lambda through: follows_at(through, None)) == [(1, 3), (2, 1)]


def test_marks_move_with_every_page_and_files_with_every_write(database: Database) -> None:
    """A row in a table that only grows moves the marks, and any write moves the state of the files."""
    if database.is_shared:
        pytest.skip("a server's files are its own")
    before = fast(database, marks), file_state(database.path)
    with closing(Database.open(database.path, now=lambda: 0.0)) as writing:
        writing.transact(lambda conn: conn.exec_driver_sql("INSERT INTO journal VALUES (1, 0, 'seed', '{}')"))
    assert fast(database, marks) != before[0]
    assert file_state(database.path) != before[1]
    assert file_state(database.path.with_name("nothing.db")) == (0, 0, 0, 0)


@pytest.mark.parametrize("ids", [[1, 2, 3, 4], [2, 5, 9], []])
def test_positions_are_found_with_and_without_gaps(ids: list[int]) -> None:
    """Ids are turned into places; those that are not there are told apart."""
    wanted = [0, 2, 9, 5, 4, 10]
    at, there = positions(np.array(ids, dtype=np.int64), np.array(wanted))
    assert there.tolist() == [key in ids for key in wanted]
    assert at.tolist() == [ids.index(key) for key in wanted if key in ids]
