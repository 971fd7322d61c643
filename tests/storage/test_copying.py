"""A copy into another database is whole, says so only then, goes on where it was cut off, and can be crawled on."""

from __future__ import annotations

import itertools
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import rehearsal
import sqlalchemy as sa
from dying import Died, dying
from postgres_server import Postgres
from processes import environment
from storages import empty
from study import Study, facts

from socialfetch.simulator import network
from storage import copying, errors, schema
from storage.copying import Step
from storage.database import Database

SMALL = network.generate(200, rng_seed=3)


@pytest.fixture
def server(postgres: Postgres) -> Iterator[Callable[[], str]]:
    """Make databases on the server: with no table, or, every other one, with all tables and no row."""
    made: list[str] = []

    def place() -> str:
        made.append(postgres.fresh(of=empty(postgres) if len(made) % 2 else None))
        return postgres.url(made[-1])

    yield place
    for name in made:
        postgres.drop(name)


@pytest.fixture(params=["file", "server"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Give the place of a copy."""
    return tmp_path / "copy.db" if request.param == "file" else request.getfixturevalue("server")()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few rows go over at a time."""
    monkeypatch.setattr(copying, "ROWS", 17)
    monkeypatch.setattr(copying, "BODIES", 3)


def copy(
    source: Path | str, target: Path | str, on_progress: Callable[[Step], None] = lambda _: None
) -> copying.Copied:
    with closing(Database.open(source, now=lambda: 1e9, mode="read")) as db:
        return copying.copy(db, target, now=lambda: 1e9, on_begin=lambda _: None, on_progress=on_progress)


def execute(place: Path | str, sql: str) -> None:
    """Change a database behind everybody's back."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(place)) as conn, conn:
            conn.execute(sql)
        return
    import psycopg

    with psycopg.connect(place) as opened:
        opened.execute(sql.encode())


def rows(place: Path | str) -> dict[str, list[Any]]:
    """Return every row of every table."""
    with closing(Database.open(place, now=lambda: 0.0, mode="read")) as db, db.read() as conn:
        return {
            table.name: [tuple(row) for row in conn.execute(sa.select(table).order_by(*table.primary_key.columns))]
            for table in schema.metadata.sorted_tables
        }


def content(path: Path) -> list[str]:
    """Return everything in a file, tables, indexes and the migration included, in an order of its own."""
    with closing(sqlite3.connect(path)) as conn:
        return sorted(conn.iterdump())


def crawled(path: Path, budget: int = 30) -> Path:
    rehearsal.go(path, rehearsal.service(SMALL), seeds=["u1", "u2"], budget=budget)
    return path


def odd_rows(path: Path) -> None:
    """Fill every table with what their columns may hold at all: limits, nothing, all bytes, signs of every alphabet."""
    whole = [0, 1, -1, 2**63 - 1, -(2**63)]
    small = [0, 1, -1, 32767, -32768]
    texts = ["", "a\tb\\N\n\r\\.", "Ünï 漢字 🙂", "'\"%s?", "\\"]
    floats = [0.1, -0.0, 1e-300, float("inf"), 12345678901234.5]
    blobs = [b"", bytes(range(256)), b"\\x00", b"\0", b"\n"]
    with closing(Database.open(path, now=lambda: 0.0)) as db:

        def fill(conn: sa.Connection) -> None:
            for table in schema.metadata.sorted_tables:
                for at in range(5):
                    row: dict[str, Any] = {}
                    for number, column in enumerate(table.columns):
                        values: Sequence[Any] = whole
                        if isinstance(column.type, sa.SmallInteger):
                            values = small
                        elif isinstance(column.type, sa.Text):
                            values = texts
                        elif isinstance(column.type, sa.Float):
                            values = floats
                        elif isinstance(column.type, sa.LargeBinary):
                            values = blobs
                        row[column.name] = values[(at + number) % 5]
                        if column.primary_key or column.unique or (table.name, column.name) == ("notices", "event"):
                            row[column.name] = values[at]
                        elif column.nullable and at == 3:
                            row[column.name] = None
                    conn.execute(sa.insert(table), row)

        db.transact(fill)
        db.transact(lambda conn: conn.execute(sa.update(schema.processes).values(ended_at=2**63 - 1)))
        db.transact(lambda conn: conn.execute(sa.update(schema.daemon).values(state="stopped")))


@pytest.mark.usefixtures("small")
def test_to_a_server_and_back(tmp_path: Path, server: Callable[[], str]) -> None:
    """Every row of every table arrives, and comes back: the file made of the server's holds what the first one does."""
    odd_rows(tmp_path / "a.db")
    place = server()
    steps: list[Step] = []
    copied = copy(tmp_path / "a.db", place, steps.append)
    assert rows(place) == rows(tmp_path / "a.db")
    assert set(copied.rows.values()) == {5}
    assert steps[-1] == Step(act="compared", done=5 * len(copied.rows), total=5 * len(copied.rows))
    copy(place, tmp_path / "b.db")
    assert content(tmp_path / "b.db") == content(tmp_path / "a.db")
    again = server()
    copy(place, again)
    assert rows(again) == rows(place)


def test_what_a_server_takes_in_no_text(tmp_path: Path, server: Callable[[], str]) -> None:
    """A byte 0 becomes the sign that a crawl to a server would have written, and the copy is taken for what it is."""
    with closing(Database.open(tmp_path / "a.db", now=lambda: 0.0)) as db:
        db.transact(lambda conn: conn.execute(sa.insert(schema.meta), {"key": "a", "value": "x\0y"}))
    copy(tmp_path / "a.db", place := server())
    assert rows(place)["meta"] == [("a", "x\N{REPLACEMENT CHARACTER}y")]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("left", [1, 60])
def test_a_copy_that_was_cut_off_goes_on(tmp_path: Path, target: Path | str, left: int) -> None:
    """Nobody takes the half of it for a study; the same call brings the rest, and no row twice: keys would tell."""
    path = crawled(tmp_path / "a.db")

    def die(_: Step) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Died

    with pytest.raises(Died):
        copy(path, target, die)
    for mode in ("read", "write", "create"):
        with pytest.raises(errors.UnfinishedCopy):
            Database.open(target, now=lambda: 0.0, mode=mode)  # type: ignore[arg-type]  # a word of the list
    steps: list[Step] = []
    copied = copy(path, target, steps.append)
    total = sum(copied.rows.values())
    assert [step.done for step in steps if step.act == "copied"][-1] == total
    assert steps[-1] == Step(act="compared", done=total, total=total)
    assert rows(target) == rows(path)


def test_a_copier_that_was_killed_goes_on(tmp_path: Path, target: Path | str) -> None:
    """A real process, and SIGKILL between any two rows: what it left is unfinished, and is finished by the next."""
    path = crawled(tmp_path / "a.db", budget=60)
    program = (
        "import sys; from contextlib import closing\n"
        "from storage import copying; from storage.database import Database\n"
        "copying.ROWS = copying.BODIES = 5\n"
        "with closing(Database.open(sys.argv[1], now=lambda: 1e9, mode='read')) as db:\n"
        "    copying.copy(db, sys.argv[2], now=lambda: 1e9, on_begin=print,"
        " on_progress=lambda step: print(step.done, flush=True))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, path, target], env=environment(), stdout=subprocess.PIPE, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        for _ in itertools.islice(process.stdout, 30):
            pass
        process.send_signal(signal.SIGKILL)
        process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(errors.UnfinishedCopy):
        Database.open(target, now=lambda: 0.0)
    copy(path, target)
    assert rows(target) == rows(path)
    assert rehearsal.findings(target) == []


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "change",
    [
        "INSERT INTO orders (id, at, act, details, origin) VALUES (99, 1, 'pause', '{}', 'command')",
        "UPDATE runs SET charged = charged + 1",
        "DELETE FROM accounts WHERE id = (SELECT max(id) FROM accounts)",
    ],
)
def test_a_source_that_changed_is_refused(tmp_path: Path, target: Path | str, change: str) -> None:
    """Between two halves of a copy, or while it is made: the two halves would be of no one study."""
    path = crawled(tmp_path / "a.db")
    last: list[Step] = []

    def changing(step: Step) -> None:
        if step.act == "compared" and step.done == step.total and not last:
            last.append(step)
            execute(path, change)

    with pytest.raises(errors.SourceChanged, match="while it was copied"):
        copy(path, target, changing)
    with pytest.raises(errors.SourceChanged, match="its source has changed"):
        copy(path, target)
    with pytest.raises(errors.UnfinishedCopy):
        Database.open(target, now=lambda: 0.0)


def test_a_change_that_no_sum_shows_is_found(tmp_path: Path, target: Path | str) -> None:
    """The comparison reads the source again: a row changed in place between two halves differs from the copy."""
    path = crawled(tmp_path / "a.db")

    def die(step: Step) -> None:
        if step.act == "compared":
            raise Died

    with pytest.raises(Died):
        copy(path, target, die)
    execute(path, "UPDATE accounts SET bio = 'another' WHERE id = 3")
    with pytest.raises(errors.CopyDiffers, match=r"accounts$"):
        copy(path, target)


@pytest.mark.parametrize(
    "damage",
    ["UPDATE accounts SET bio = 'other' WHERE id = 1", "DELETE FROM ledger WHERE id = 1",
     "INSERT INTO meta (key, value) VALUES ('a', 'b')"],
)  # fmt: skip
def test_a_copy_that_differs_stays_unfinished(tmp_path: Path, target: Path | str, damage: str) -> None:
    """One value, one row too few, one too many: the table is named, and the copy is no database."""
    path = crawled(tmp_path / "a.db")

    def damaging(step: Step) -> None:
        if step.act == "copied" and step.done == step.total:
            execute(target, damage)

    with pytest.raises(errors.CopyDiffers) as caught:
        copy(path, target, damaging)
    assert caught.value.tables == [damage.replace("FROM ", "").replace("INTO ", "").split()[1]]
    with pytest.raises(errors.UnfinishedCopy):
        Database.open(target, now=lambda: 0.0)


def test_a_place_that_holds_something_is_left_alone(tmp_path: Path, target: Path | str) -> None:
    """A study of any schema, and the unfinished copy of another one, stay as they are."""
    Study(target, "u1").db.close()
    before = rows(target)
    path = crawled(tmp_path / "a.db")
    with pytest.raises(errors.TargetTaken, match="is not empty"):
        copy(path, target)
    assert rows(target) == before
    for version, kind in (("0005", errors.OlderSchema), ("9999", errors.NewerSchema)):
        execute(target, f"UPDATE alembic_version SET version_num = '{version}'")
        with pytest.raises(kind):
            copy(path, target)
    execute(target, "UPDATE alembic_version SET version_num = 'copying 0123456789abcdef01234567'")
    with pytest.raises(errors.SourceChanged, match="of something else"):
        copy(path, target)


def test_what_cannot_be_copied(tmp_path: Path, server: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A database without a row, itself; one that a crawl works on, in a file or on a server, or a daemon that waits;
    one copied to already."""
    path, other = tmp_path / "a.db", tmp_path / "b.db"
    Database.open(path, now=lambda: 0.0).close()
    with pytest.raises(errors.NothingToCopy):
        copy(path, other)
    other.unlink(missing_ok=True)
    study = Study(path, "u1")
    study.db.claim()
    with pytest.raises(errors.LockedByCrawl):
        copy(path, other)
    study.db.close()
    with pytest.raises(errors.ItsOwnCopy):
        copy(path, tmp_path / "." / "a.db")
    place = server()
    Study(place, "u1").db.close()
    with pytest.raises(errors.ItsOwnCopy):
        copy(place, place)
    with pytest.raises(errors.LockedByCrawl, match="crawlers work on"):
        copy(place, other)
    execute(place, "UPDATE processes SET heartbeat_at = 1")
    execute(
        place,
        "INSERT INTO daemon (id, host, pid, started_at, heartbeat_at, state, detail)"
        " VALUES (1, 'here', 7, 1, extract(epoch FROM now())::int - 30, 'day_done', '')",
    )
    with pytest.raises(errors.LockedByCrawl, match=r"a daemon works on .*: process 7 on here"):
        copy(place, other)
    assert not other.exists()
    execute(place, "UPDATE daemon SET state = 'stopped'")
    copy(place, tmp_path / "c.db")
    execute(place, "UPDATE daemon SET state = 'day_done', heartbeat_at = heartbeat_at - 60")
    copy(place, other)
    with pytest.raises(errors.TargetTaken):
        copy(place, other)

    def second(step: Step) -> None:
        if step.act == "compared" and step.done == step.total:
            with pytest.raises(errors.Busy):
                copy(path, at_once)

    monkeypatch.setattr(copying, "_PATIENCE", "50ms")
    at_once = server()
    copy(other, at_once, second)
    assert rows(at_once) == rows(place)


def test_crawling_goes_on_there(tmp_path: Path, server: Callable[[], str]) -> None:
    """A crawl dies with pages in flight, goes on in the copy on a server, dies there, and goes on in a copy in a file.

    Each time what was in flight is uncertain and asked for again, ids follow the last one, and in the end the provider
    has charged what the last ledger says, no stored page twice.
    """
    api = rehearsal.service(SMALL, latency_s=1.0, page_size=5)

    places: list[Path | str] = [tmp_path / "a.db", server(), tmp_path / "c.db"]
    options: dict[str, Any] = {"budget": 120, "concurrency": 4}
    lost = 0
    for before, place in itertools.pairwise([None, *places]):
        if before is not None:
            leased = [row for row in rows(before)["frontier"] if row[1] == schema.State.LEASED]
            assert leased
            lost += len(leased)
            execute(before, "UPDATE processes SET heartbeat_at = 1")  # it is long since
            copy(before, place)
            assert rows(place) == rows(before)
        if place != places[-1]:
            with pytest.raises(Died):
                rehearsal.go(place, api, seeds=["u1", "u2"], writer=dying(40), **options)
    done = rehearsal.go(places[-1], api, **options)
    assert done.stop_reason == "budget_exhausted"
    for place in places:
        assert {problem.code for problem in rehearsal.findings(place)} <= {"leases_of_the_dead"}
    assert rehearsal.findings(places[-1]) == []
    last = rows(places[-1])
    assert [row[0] for row in last["ledger"]] == list(range(1, len(last["ledger"]) + 1))
    [(charged, uncertain)] = rehearsal.rows(tmp_path / "c.db", "SELECT sum(charged), sum(uncertain) FROM ledger")
    assert charged + uncertain == 120
    assert charged <= api.ledger.charged <= charged + uncertain
    assert 0 < uncertain <= lost
    bought_again = sum(times - 1 for times in api.ledger.pages.values())
    assert bought_again <= lost
    stored = rehearsal.edges(tmp_path / "c.db")
    assert stored <= rehearsal.follows(api, ["u1", "u2"])


def test_a_new_row_on_a_server_follows_the_last_one(tmp_path: Path, server: Callable[[], str]) -> None:
    """Numbers are given after the largest that was copied, in every table that numbers its rows."""
    path = crawled(tmp_path / "a.db")
    copy(path, place := server())
    study = Study(place, "another")
    study.visit("another", facts("new"))
    study.db.close()
    before, after = rows(path), rows(place)
    for table in ("accounts", "ledger", "visits", "processes", "journal"):
        new = [row[0] for row in after[table][len(before[table]) :]]
        assert new == list(range(before[table][-1][0] + 1, before[table][-1][0] + 1 + len(new)))
        assert new
