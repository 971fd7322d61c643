"""A replay of the archive is the database again: accounts, follows, visits, ledger, frontier, row for row."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import rehearsal
import virtual_time

from crawler import seeding
from crawler.engine import Crawl
from crawler.options import Options
from crawler.replay import Replayed, replay
from socialfetch.client import Client, Page
from socialfetch.simulator import network
from socialfetch.simulator.faults import FAULTS, Faults
from socialfetch.simulator.network import Status
from socialfetch.simulator.service import Service
from socialfetch.simulator.settings import Settings
from socialfetch.simulator.transport import InProcess
from storage import errors
from storage.database import Database
from storage.writer import InlineWriter, ThreadWriter

SMALL = network.generate(200, rng_seed=3)
SEEDS = ("u1", "u2", "u3")


class Died(Exception):
    """The process is gone."""


class Together(InlineWriter):
    """Commits together what arrives within a few virtual milliseconds, as the thread of a real crawl does."""

    def __init__(self, engine: Any) -> None:
        super().__init__(engine)
        self._waiting: list[tuple[Any, Any, asyncio.Future[Any]]] = []

    async def submit(self, unit: Any, item: Any) -> Any:
        """Queue the unit; the result comes after the commit."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((unit, item, future))
        if len(self._waiting) == 1:
            loop.call_later(0.003, self._flush)
        return await future

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            results = self.commit([(unit, item) for unit, item, _ in waiting])
        except Died as death:
            results = [death] * len(waiting)
        for (_, _, future), result in zip(waiting, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)


def dying(commits: int, *, after: bool = False) -> type[InlineWriter]:
    """Return a writer that dies before, or after, the commit of this number."""

    class Dying(Together):
        left = commits

        def commit(self, batch: Sequence[Any]) -> list[Any]:
            Dying.left -= 1
            if Dying.left == 0 and after:
                super().commit(batch)
            if Dying.left <= 0:
                raise Died
            return super().commit(batch)

    return Dying


def replayed(path: Path) -> tuple[Path, Replayed]:
    """Replay a database into a new one beside it."""
    target = path.with_name(f"{path.stem}-replayed.db")
    source, new = (
        Database.open(path, now=lambda: 0.0, mode="read"),
        Database.open(target, now=lambda: 0.0),
    )
    try:
        return target, replay(source, new)
    finally:
        source.close()
        new.close()


def differences(one: Path, other: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return by table the rows that are in one database only."""
    found = {}
    with closing(sqlite3.connect(one)) as conn:
        conn.execute("ATTACH ? AS other", (str(other),))
        tables = [name for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert {"accounts", "follows", "past_follows", "visits", "frontier", "ledger", "archive"} <= set(tables)
        for table in tables:
            rows = conn.execute(f"SELECT * FROM main.{table} EXCEPT SELECT * FROM other.{table}").fetchall()
            rows += conn.execute(f"SELECT * FROM other.{table} EXCEPT SELECT * FROM main.{table}").fetchall()
            if rows:
                found[table] = rows
    return found


def assert_replays(path: Path) -> Path:
    """Assert that the replay is the database, table for table, and sound."""
    target, done = replayed(path)
    assert differences(path, target) == {}
    assert done.source == done.result
    assert done.inferred == 0
    assert [problem.code for problem in rehearsal.findings(target)] == [
        problem.code for problem in rehearsal.findings(path)
    ]
    return target


def test_a_crawl_is_replayed(tmp_path: Path) -> None:
    """A crawl to the end comes out of its archive as it was, and can be replayed from there again."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=100_000)
    again = assert_replays(path)
    assert_replays(again)
    assert rehearsal.edges(again) == rehearsal.follows(api, SEEDS)


def test_pages_committed_together_are_replayed(tmp_path: Path) -> None:
    """Group commits of many pages leave nothing that one page after another would not."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    for strategy in ("flow", "bfs", "rank"):
        rehearsal.go(path, api, seeds=SEEDS, budget=90, strategy=strategy, concurrency=100, writer=Together)
        assert_replays(path).unlink()


def test_runs_with_other_settings_are_replayed(tmp_path: Path) -> None:
    """Each page is stored under the strategy, depth limit and page limit of the process that bought it."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"
    asked: list[dict[str, Any]] = [
        {"strategy": "flow", "max_depth": 1},
        {"strategy": "rank", "max_pages_per_account": 1},
        {"strategy": "bfs", "max_depth": 2},
        {"strategy": "flow", "max_pages_per_account": 2},
        {"strategy": "rank"},
        {"strategy": "flow", "max_depth": 0},
    ]
    for number, options in enumerate(asked):
        rehearsal.go(path, api, seeds=[f"u{10 + number}"], budget=40, **options)
        assert_replays(path).unlink()
    assert rehearsal.state(path).completeness["capped"] > 0
    assert rehearsal.state(path).skipped["depth"] > 0


def test_a_run_continued_with_other_settings_is_replayed(tmp_path: Path) -> None:
    """The run's row keeps its last settings only; the journal keeps those of every process."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"

    async def interrupt(run: Crawl) -> None:
        await asyncio.sleep(0.6)
        run.stop("interrupted", "SIGINT")

    asked: list[dict[str, Any]] = [
        {"max_pages_per_account": 1},
        {"strategy": "rank", "max_depth": 2},
        {"strategy": "bfs"},
    ]
    for options in asked:
        rehearsal.go(path, api, seeds=SEEDS, budget=200, concurrency=4, meanwhile=interrupt, **options)
    assert len(rehearsal.state(path).runs) == 1
    assert_replays(path)


def test_seeds_added_later_are_replayed(tmp_path: Path) -> None:
    """New seeds, known accounts that became seeds, and seeds added while a crawl runs stand where they came."""
    api, path = rehearsal.service(SMALL), tmp_path / "a.db"

    async def seed(_: Crawl) -> None:
        for handle in ("u90", "u14", "u91", "u15"):
            await asyncio.sleep(0.21)
            db = Database.open(path, now=virtual_time.now, mode="write")
            seeding.seed(db, [handle], now=virtual_time.now())
            db.close()

    rehearsal.go(path, api, seeds=["u1"], budget=60, meanwhile=seed, concurrency=5)
    known = rehearsal.rows(path, "SELECT handle FROM accounts JOIN frontier ON account_id = id WHERE depth > 1")
    rehearsal.go(path, api, seeds=[known[0][0], "u150"], budget=20, strategy="bfs")
    assert_replays(path)


def test_lists_of_every_kind_are_replayed(tmp_path: Path) -> None:
    """Hidden, private, missing and lying lists, restarted ones and those given up end as they ended."""
    graph = network.generate(150, rng_seed=4)
    for number, status in enumerate((Status.HIDDEN, Status.PRIVATE, Status.NOT_FOUND) * 8):
        graph.set_status(f"u{20 + number}", status)
    lies = ("repeated_cursor", "repeated_page", "empty_page", "more_without_cursor", "turns_hidden", "unknown_status")
    faults = dict.fromkeys(lies, 0.08) | {"bad_request": 0.1, "broken_account": 0.1, "duplicate_account": 0.1}
    api, path = rehearsal.service(graph, faults=faults, page_size=8), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=400)
    found = rehearsal.rows(path, "SELECT completeness, reason FROM visits GROUP BY 1, 2")
    assert {"hidden", "private", "not_found", "complete", "partial"} <= {row[0] for row in found}
    assert {"cursor_refused", "repeated_cursor", "empty_page", "turned_hidden"} <= {row[1] for row in found}
    assert rehearsal.state(path).frontier["failed"] > 0
    assert_replays(path)


def test_handles_that_change_are_replayed(tmp_path: Path) -> None:
    """Renamed accounts, taken handles and accounts left without one are the same accounts again."""
    faults = {"renamed": 0.3, "taken_over": 0.3, "no_ids": 0.3, "mixed_case": 0.2}
    api, path = rehearsal.service(SMALL, faults=faults), tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=250, concurrency=30, writer=Together)
    assert rehearsal.rows(path, "SELECT count(*) FROM handle_history")[0][0] > 20
    assert rehearsal.state(path).skipped["no_handle"] > 0
    assert_replays(path)


def test_facts_that_change_over_days_are_replayed(tmp_path: Path) -> None:
    """What was learnt of an account when, and when it was written, follows the times of the pages."""
    api = rehearsal.service(SMALL, faults={"drifting_total": 0.3}, latency_s=700.0)
    path = tmp_path / "a.db"
    rehearsal.go(path, api, seeds=SEEDS, budget=150, concurrency=4, timeout_s=10_000.0)
    times = rehearsal.rows(path, "SELECT count(*) FROM accounts WHERE updated_at > first_seen_at + 3600")
    assert times[0][0] > 0
    assert_replays(path)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("commits", [3, 9, 14, 22])
def test_a_killed_crawl_is_replayed(tmp_path: Path, commits: int, after: bool) -> None:
    """With its leases open, after the next crawl took them back, and to the end."""
    api = rehearsal.service(SMALL, faults={"lookup_failed": 0.1, "overloaded": 0.1})
    path = tmp_path / "a.db"
    with suppress(Died):
        rehearsal.go(path, api, seeds=SEEDS, budget=120, concurrency=8, writer=dying(commits, after=after))
    assert_replays(path).unlink()
    with suppress(Died):
        rehearsal.go(path, api, budget=120, strategy="rank", writer=dying(commits + 9))
    assert_replays(path).unlink()
    rehearsal.go(path, api, budget=150)
    assert_replays(path)


def test_what_is_uncertain_and_what_was_settled_is_replayed(tmp_path: Path) -> None:
    """Released, uncertain and reconciled credits are booked again as they were."""
    faults = {"lookup_failed_charged": 0.1, "lookup_failed": 0.1, "overloaded": 0.05, "stall": 0.02}
    api, path = rehearsal.service(SMALL, faults=faults), tmp_path / "a.db"

    async def twice() -> None:
        await rehearsal.crawl(path, api, seeds=SEEDS, budget=100, timeout_s=5.0)
        await asyncio.sleep(600)
        await rehearsal.crawl(path, api, budget=60, timeout_s=5.0)

    virtual_time.run(twice())
    outcomes = dict(rehearsal.rows(path, "SELECT outcome, count(*) FROM ledger GROUP BY 1"))
    assert set(outcomes) == {"settled", "released", "uncertain", "reconciled"}
    assert_replays(path)


def history(path: Path, seed: int) -> None:
    """Write a database by crawls of all kinds, one after another, under faults, kills, interruptions and new seeds."""
    rng = Random(seed)
    graph = network.generate(160, rng_seed=seed)
    handles = [f"u{number}" for number in range(160)]
    for handle in rng.sample(handles, 20):
        graph.set_status(handle, rng.choice([Status.HIDDEN, Status.PRIVATE, Status.NOT_FOUND]))
    ending = {"unauthorized", "payment_required", "payment_settlement_failed", "forbidden", "wrong_path", "refill_on"}
    faults = {
        name: rng.choice([0.0, 0.02, 0.05 if fault.decided.name == "CALL" else 0.3])
        for name, fault in FAULTS.items()
        if name not in ending
    }
    api = rehearsal.service(graph, faults=faults, rng_seed=seed, latency_spread=0.5)
    for _ in range(rng.randint(3, 6)):
        kind = rng.choice(["whole", "killed before", "killed after", "stopped", "seeded"])
        meanwhile: Callable[[Crawl], Any] | None = None
        writer: type[InlineWriter] = Together
        if kind.startswith("killed"):
            writer = dying(rng.randint(1, 60), after=kind.endswith("after"))
        elif kind in {"stopped", "seeded"}:
            meanwhile = _meddling(path, kind, rng.uniform(0.05, 2.0), rng.sample(handles, 3))
        with suppress(Died, errors.BudgetTooSmall):
            rehearsal.go(
                path,
                api,
                seeds=rng.sample(handles, 2),
                budget=rng.choice([5, 30, 100, 300]),
                new_run=rng.random() < 0.3,
                strategy=rng.choice(["flow", "rank", "bfs"]),
                concurrency=rng.choice([1, 5, 20, 100]),
                max_depth=rng.choice([None, None, 0, 1, 2]),
                max_pages_per_account=rng.choice([None, None, 1, 2]),
                rng_seed=rng.randint(1, 99),
                writer=writer,
                meanwhile=meanwhile,
            )


def _meddling(path: Path, kind: str, delay_s: float, handles: Sequence[str]) -> Callable[[Crawl], Any]:
    async def meddle(run: Crawl) -> None:
        await asyncio.sleep(delay_s)
        if kind == "stopped":
            run.stop("interrupted", "SIGINT")
            return
        db = Database.open(path, now=virtual_time.now, mode="write")
        seeding.seed(db, handles, now=virtual_time.now())
        db.close()

    return meddle


@pytest.mark.parametrize("seed", range(8))
def test_any_history_is_replayed(tmp_path: Path, seed: int) -> None:
    """However a database came about, its replay is equal, and a crawl goes on from both in the same way."""
    path = tmp_path / "a.db"
    history(path, seed)
    target = assert_replays(path)
    for place in (path, target):
        api = rehearsal.service(SMALL)
        rehearsal.go(place, api, budget=50, new_run=True, strategy="flow", rng_seed=1)
    found = differences(path, target)
    found.pop("processes", None)
    assert found == {}


def test_a_crawl_in_real_time_on_a_thread_is_replayed(tmp_path: Path) -> None:
    """What the writer's thread committed in groups, in real time, comes out the same."""
    path = tmp_path / "a.db"
    sizes = []

    class Counting(ThreadWriter):
        def commit(self, batch: Sequence[Any]) -> list[Any]:
            sizes.append(len(batch))
            return super().commit(batch)

    async def main() -> None:
        settings = Settings(key=rehearsal.KEY, credits=10_000, latency_s=0.002, rng_seed=1)
        api = Service(network=SMALL, settings=settings, faults=Faults({"renamed": 0.1}, rng_seed=1), now=time.time)
        db = Database.open(path, now=time.time, writer=Counting)
        try:
            seeding.seed(db, SEEDS, now=time.time())
            client = Client(InProcess(api, key=rehearsal.KEY, timeout_s=30.0))
            options = Options(budget=250, concurrency=60)
            log = rehearsal.LOG
            await Crawl(db=db, client=client, options=options, now=time.time, rng=Random(1), log=log).run()
        finally:
            db.close()

    asyncio.run(main())
    assert max(sizes) > 5
    assert_replays(path)


class Forgetful(Client):
    """Reads answers as a worse program might: it overlooks every third account, and all bios."""

    async def following(self, handle: str, cursor: str | None = None) -> Page:
        """Buy a page and overlook a part of it."""
        page = await super().following(handle, cursor)
        kept = [
            msgspec.structs.replace(account, bio=None) for number, account in enumerate(page.accounts) if number % 3
        ]
        return msgspec.structs.replace(page, accounts=kept)


@dataclass(frozen=True)
class Overlooked:
    """A database that a worse program crawled, and what the provider answered it."""

    path: Path
    api: Service


@pytest.fixture
def overlooked(tmp_path: Path) -> Overlooked:
    """Crawl with a program that overlooks a third of what is listed, handles changing meanwhile."""
    path = tmp_path / "a.db"
    api = rehearsal.service(SMALL, faults={"renamed": 0.1, "lookup_failed": 0.05})

    async def crawl() -> None:
        db = Database.open(path, now=virtual_time.now)
        try:
            seeding.seed(db, SEEDS, now=virtual_time.now())
            run = Crawl(
                db=db,
                client=Forgetful(InProcess(api, key=rehearsal.KEY, timeout_s=30.0)),
                options=Options(budget=80),
                now=virtual_time.now,
                rng=Random(1),
                log=rehearsal.LOG,
            )
            await run.run()
        finally:
            db.close()

    virtual_time.run(crawl())
    return Overlooked(path, api)


def test_a_corrected_reading_of_answers_gives_better_data(overlooked: Overlooked) -> None:
    """What a worse program overlooked in pages it had paid for is there after a replay, and nothing else changed."""
    target, done = replayed(overlooked.path)
    assert done.result.accounts["known"] > done.source.accounts["known"] + 10
    assert done.result.edges > 1.3 * done.source.edges
    assert rehearsal.rows(target, "SELECT count(*) FROM accounts WHERE bio IS NOT NULL")[0][0] > 0
    assert rehearsal.findings(target) == []
    follows = (
        "SELECT a.platform_user_id, b.platform_user_id FROM follows JOIN accounts a ON a.id = src JOIN accounts b "
        "ON b.id = dst WHERE a.platform_user_id IS NOT NULL"
    )
    assert set(rehearsal.rows(overlooked.path, follows)) <= set(rehearsal.rows(target, follows))
    # The books are the same, account by account, though the accounts' ids are others.
    books = (
        "SELECT l.id, l.run_id, visit_id, cursor, at, outcome, charged, uncertain, request_id, cause, "
        "platform_user_id, account_id FROM ledger l JOIN accounts a ON a.id = account_id ORDER BY l.id"
    )
    was, now = rehearsal.rows(overlooked.path, books), rehearsal.rows(target, books)
    assert [row[:10] for row in now] == [row[:10] for row in was]
    assert all(before[10] in {after[10], None} for before, after in zip(was, now, strict=True))
    assert any(before[11] != after[11] for before, after in zip(was, now, strict=True))
    assert [(run.charged, run.uncertain, run.pages) for run in done.result.runs] == [
        (run.charged, run.uncertain, run.pages) for run in done.source.runs
    ]


def test_a_crawl_goes_on_from_better_data(overlooked: Overlooked) -> None:
    """From there everything that can be reached is bought, and no page that was in the archive."""
    target, _ = replayed(overlooked.path)
    bought = set(overlooked.api.ledger.pages)
    rehearsal.go(target, overlooked.api, budget=100_000)
    assert rehearsal.findings(target) == []
    failed = rehearsal.rows(overlooked.path, "SELECT count(*) FROM ledger WHERE outcome = 'uncertain'")[0][0]
    twice = [page for page in bought if overlooked.api.ledger.pages[page] > 1]
    assert len(twice) <= failed


def test_a_list_that_was_taken_for_ended_goes_on(tmp_path: Path) -> None:
    """A list that a worse program cut waits after the replay at the place where it goes on, its visit open again."""

    class Short(Client):
        async def following(self, handle: str, cursor: str | None = None) -> Page:
            page = await super().following(handle, cursor)
            return msgspec.structs.replace(page, next_cursor=None, has_more=False)

    path = tmp_path / "a.db"
    api = rehearsal.service([("hub", f"x{number}") for number in range(50)])

    async def crawl() -> None:
        db = Database.open(path, now=virtual_time.now)
        seeding.seed(db, ["hub"], now=virtual_time.now())
        client = Short(InProcess(api, key=rehearsal.KEY, timeout_s=30.0))
        options, log = Options(budget=10), rehearsal.LOG
        await Crawl(db=db, client=client, options=options, now=virtual_time.now, rng=Random(1), log=log).run()
        db.close()

    virtual_time.run(crawl())
    assert rehearsal.rows(path, "SELECT completeness, pages FROM visits") == [("complete", 1)]
    target, _ = replayed(path)
    assert rehearsal.rows(target, "SELECT ended_at, completeness, pages FROM visits") == [(None, "partial", 1)]
    rehearsal.go(target, api, budget=10, new_run=True)
    assert rehearsal.rows(target, "SELECT completeness, pages FROM visits") == [("complete", 3)]
    assert set(api.ledger.pages.values()) == {1}


def small(path: Path, **options: Any) -> Path:
    """Crawl for twenty credits."""
    rehearsal.go(path, rehearsal.service(SMALL), seeds=SEEDS, budget=20, **options)
    return path


def change(path: Path, sql: str) -> None:
    """Change a database by hand."""
    with closing(sqlite3.connect(path)) as conn:
        conn.executescript(sql)


def test_without_an_archive_nothing_is_replayed(tmp_path: Path) -> None:
    """A database that was crawled with storage.archive = off is refused."""
    path = small(tmp_path / "a.db", archive=False)
    with pytest.raises(errors.NothingArchived):
        replayed(path)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("DELETE FROM archive WHERE ledger_id IN (3, 4)", "2 of 20 answers were not archived"),
        ("DELETE FROM ledger WHERE id = 5; DELETE FROM archive WHERE ledger_id = 5", "1 rows are missing"),
        ("UPDATE ledger SET visit_id = 999 WHERE id = 5", "ledger row 5"),
        ("UPDATE accounts SET handle = NULL, platform_user_id = NULL WHERE id = 1", "never had a handle"),
        ("INSERT INTO journal (ledger_id, act, details) VALUES (20, 'danced', '{}')", "danced"),
    ],
)
def test_an_incomplete_archive_is_refused(tmp_path: Path, sql: str, told: str) -> None:
    """A replay of a part would be another database; what is missing is said."""
    path = small(tmp_path / "a.db")
    change(path, sql)
    with pytest.raises(errors.ArchiveIncomplete, match=told):
        replayed(path)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE archive SET body = x'00112233' WHERE ledger_id = 7",
        "UPDATE archive SET dictionary_id = 9 WHERE ledger_id = 7",
        "UPDATE archive SET body = (SELECT body FROM archive WHERE ledger_id = 99) WHERE ledger_id = 7",
    ],
)
def test_an_answer_that_cannot_be_read_is_named(tmp_path: Path, sql: str) -> None:
    """A damaged body, a missing dictionary and a body that is no page end the replay with the row's number."""
    path = small(tmp_path / "a.db")
    with closing(sqlite3.connect(path)) as conn, conn:
        import zstandard

        conn.execute("INSERT INTO archive VALUES (99, NULL, ?)", (zstandard.compress(b"<html>not a page</html>"),))
        conn.execute(sql)
        conn.execute("DELETE FROM archive WHERE ledger_id = 99")
    with pytest.raises(errors.ArchiveUnreadable, match="row 7 "):
        replayed(path)


def test_an_unknown_strategy_is_named(tmp_path: Path) -> None:
    """What a strategy of tomorrow crawled is not replayed with one of today."""
    path = small(tmp_path / "a.db")
    change(path, "UPDATE journal SET details = replace(details, '\"flow\"', '\"dice\"')")
    with pytest.raises(errors.UnknownStrategy, match="dice"):
        replayed(path)


def test_the_source_is_only_read(tmp_path: Path) -> None:
    """Not a byte of the source changes."""
    path = small(tmp_path / "a.db")
    before = path.read_bytes()
    replayed(path)
    assert path.read_bytes() == before
