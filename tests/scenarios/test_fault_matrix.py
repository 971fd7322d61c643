"""The fault matrix: every fault that strikes one call, one commit or one process, at every moment of a crawl.

Each cell is a whole crawl in virtual time that one fault strikes once, exactly there, and the crawl that goes on after
it. Whatever the fault and the moment, the same must hold.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import rehearsal
import virtual_time
from aftermath import check_ledgers, stored_pages

from crawler import seeding
from crawler.engine import Crawl, Result
from socialfetch.simulator import network
from socialfetch.simulator.answers import Answer
from socialfetch.simulator.faults import FAULTS, Decided, Faults
from socialfetch.simulator.service import Service
from socialfetch.simulator.settings import Settings
from storage.database import Database
from storage.errors import DiskFull
from storage.frontier import Lease
from storage.listing import Listing, Stored
from storage.writer import InlineWriter

FOLLOWS = (
    [("a", f"b{n:02}") for n in range(12)]
    + [("b00", f"c{n:02}") for n in range(14)]
    + [("b01", f"b{n:02}") for n in range(2, 9)]
    + [(f"b{n:02}", "a") for n in range(2, 8)]
)
"""Lists of three pages, of two and of one; who is not on the left follows nobody."""

GRAPH = network.from_follows(FOLLOWS, rng_seed=1)
PAGE_SIZE = 5
LATENCY_S = 0.05
BUDGET = 200
"""Credits, more than everything costs."""

CALL_FAULTS = [name for name, fault in FAULTS.items() if fault.decided is Decided.CALL]
"""What the simulator can do to one call."""

PROCESS_FAULTS = [
    "kill_after_lease",
    "kill_before_sending",
    "kill_in_flight",
    "kill_before_commit",
    "kill_after_commit",
    "disk_full_at_commit",
    "second_signal",
    "drain",
    "deadline",
]
"""What can happen to the process at one page."""

TWINS = {
    "lookup_failed",
    "lookup_failed_charged",
    "overloaded_date",
    "overloaded_bare",
    "throttled",
    "gateway_timeout",
    "payment_settlement_failed",
    "wrong_path",
    "html_body",
    "empty_body",
}
"""Faults that the crawler cannot tell from another one: they are tried at some of the moments only."""

TWINS_AT = {"middle_page_of_a_list", "first_page_after_a_restart", "last_credit"}

STOPS = {
    "unauthorized": "unauthorized",
    "payment_required": "payment_required",
    "payment_settlement_failed": "payment_required",
    "drain": "interrupted",
    "deadline": "deadline",
}
"""Faults that stop a run, with its reason. Every other one is survived, or kills the process."""


class Killed(BaseException):
    """The process is gone: nothing of it runs any more."""


@dataclass
class Blow:
    """A fault that falls once: at `page` (`handle|cursor`), or with None at the first page met once it is armed.

    Until it is armed, the process is asked to stop after `earlier` pages.
    """

    fault: str
    page: str | None = None
    earlier: int = 0
    is_armed: bool = False
    has_fallen: bool = False
    crawl: Crawl | None = None
    task: asyncio.Task[Any] | None = None

    def falls(self, page: str) -> bool:
        """Whether it falls now."""
        if not self.is_armed or self.has_fallen or self.page not in {None, page}:
            return False
        self.has_fallen = True
        return True

    def drain(self) -> None:
        """Send the first signal."""
        assert self.crawl is not None
        self.crawl.stop("interrupted", "SIGINT")


class FaultsOnce(Faults):
    """The simulator's faults, of which one strikes one call."""

    def __init__(self, blow: Blow) -> None:
        super().__init__({blow.fault: 1.0} if blow.fault in FAULTS else {})
        self._blow = blow

    def strikes(self, name: str, *about: object) -> bool:
        """Whether the fault strikes."""
        return name == self._blow.fault and self._blow.falls(f"{about[0]}|{about[1]}")


class Provider(Service):
    """The simulator; `asked` are the pages in their order, each with the loop's time."""

    def __init__(self, blow: Blow) -> None:
        super().__init__(
            network=GRAPH,
            settings=Settings(
                key=rehearsal.KEY, page_size=PAGE_SIZE, latency_s=LATENCY_S, latency_spread=0.3, rng_seed=1
            ),
            faults=FaultsOnce(blow),
            now=virtual_time.now,
        )
        self.asked: list[tuple[str, float]] = []
        self._blow = blow

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        """Answer one request, while something may happen to the process that asks."""
        if not path.endswith("/following"):
            return super().answer(path, query, headers)
        page = f"{path.split('/')[-2]}|{query.get('cursor', '')}"
        self.asked.append((page, asyncio.get_running_loop().time()))
        blow = self._blow
        if not blow.is_armed and len(self.asked) == blow.earlier:
            blow.drain()
        happens = blow.fault in {"kill_before_sending", "kill_in_flight", "second_signal", "drain", "deadline"}
        if not happens or not blow.falls(page):  # a deadline strikes by itself; it is only noted where
            return super().answer(path, query, headers)
        if blow.fault == "kill_before_sending":
            raise Killed
        answer = super().answer(path, query, headers)
        if blow.fault == "kill_in_flight":
            raise Killed
        if blow.fault == "second_signal":
            assert blow.task is not None
            blow.task.cancel()
        if blow.fault == "drain":
            blow.drain()
        return answer


class Writer(InlineWriter):
    """The writer of a process that may die, or find the disk full, at a commit."""

    def __init__(self, engine: Any, *, blow: Blow) -> None:
        super().__init__(engine)
        self._blow = blow
        self._is_dead = False

    def commit(self, batch: Sequence[Any]) -> list[Any]:
        """Commit a batch, unless dead."""
        if self._is_dead:
            raise Killed
        fault = self._blow.fault
        about = [item[0].lease for _, item in batch if isinstance(item, tuple) and isinstance(item[0], Listing)]
        if fault in {"kill_before_commit", "disk_full_at_commit"} and self._strikes(about):
            if fault == "disk_full_at_commit":
                return [DiskFull("the disk is full")] * len(batch)
            self._die()
        results = super().commit(batch)
        if fault == "kill_after_commit" and self._strikes(about):
            self._die()
        leases = [result.next if isinstance(result, Stored) else result for result in results]
        if fault == "kill_after_lease" and self._strikes([lease for lease in leases if isinstance(lease, Lease)]):
            self._die()
        return results

    def _strikes(self, leases: Sequence[Lease]) -> bool:
        return any(self._blow.falls(f"{lease.handle}|{lease.cursor or ''}") for lease in leases)

    def _die(self) -> None:
        self._is_dead = True
        raise Killed


@dataclass(frozen=True, kw_only=True)
class Moment:
    """When a fault strikes: at the page that `which` finds, or with None at the first one after a restart.

    `earlier` pages were bought by a process before, which was asked to stop.
    """

    which: Callable[[], str] | None
    begins_a_list: bool = False
    concurrency: int = 4
    budget: int = BUDGET
    earlier: int = 0

    @property
    def page(self) -> str | None:
        """The page that is struck, `handle|cursor`."""
        return None if self.which is None else self.which()


@cache
def honest(concurrency: int) -> list[tuple[str, float]]:
    """Return the pages of a crawl that nothing strikes, in order, with the time from the first to each."""
    with TemporaryDirectory() as folder:
        api = Provider(Blow("none"))
        rehearsal.go(Path(folder) / "a.db", api, seeds=["a"], budget=BUDGET, concurrency=concurrency)
        return [(page, at - api.asked[0][1]) for page, at in api.asked]


def list_of(handle: str) -> list[str]:
    """Return the pages of a list."""
    return [page for page, _ in honest(1) if page.startswith(f"{handle}|")]


MOMENTS = {
    "first_page_of_the_first_account": Moment(which=lambda: "a|", begins_a_list=True),
    "middle_page_of_a_list": Moment(which=lambda: list_of("a")[1]),
    "last_page_of_a_list": Moment(which=lambda: list_of("a")[2]),
    "middle_page_among_many_in_flight": Moment(which=lambda: list_of("b00")[1], concurrency=20),
    "list_of_one_page": Moment(which=lambda: "b03|", begins_a_list=True),
    "page_that_ends_the_crawl": Moment(which=lambda: honest(1)[-1][0], begins_a_list=True, concurrency=1),
    "first_page_after_a_restart": Moment(which=None, begins_a_list=True, earlier=5),
    "middle_page_after_a_restart": Moment(which=lambda: list_of("b00")[2], earlier=5),
    "last_credit": Moment(which=lambda: honest(1)[5][0], concurrency=1, budget=6),
    "last_credit_but_one_in_flight": Moment(which=lambda: honest(20)[6][0], concurrency=20, budget=8),
}


def cells() -> list[tuple[str, str]]:
    """Return every pair of fault and moment that is a question of its own."""
    return [
        (fault, name)
        for fault in [*CALL_FAULTS, *PROCESS_FAULTS]
        for name, moment in MOMENTS.items()
        # A handle that is refused is given up for good, and so is what only its list would have told.
        if not (fault == "bad_request" and moment.begins_a_list)
        # When a crawl that goes on will come to a page is not known before.
        if not (fault == "deadline" and moment.earlier and moment.which)
        if fault not in TWINS or name in TWINS_AT
    ]


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the seed in it: making one takes longer than the crawl."""
    path = tmp_path_factory.mktemp("seeded") / "a.db"
    db = Database.open(path, now=lambda: virtual_time.EPOCH)
    seeding.seed(db, ["a"], now=virtual_time.EPOCH)
    db.close()
    return path


def test_the_matrix_is_as_large_as_promised() -> None:
    """At least sixty cells, and no fault of the simulator that concerns one call is left out."""
    assert len(cells()) >= 60
    assert {fault for fault, _ in cells()} >= set(CALL_FAULTS)


@pytest.mark.parametrize(("fault", "name"), cells())
def test_a_fault_at_a_moment(tmp_path: Path, seeded: Path, fault: str, name: str) -> None:
    """The truth lies between charged and charged + uncertain within the budget; stored pages are kept, never bought
    again; no invariant breaks; and with budget to spare the next crawl stores everything that can be reached.
    """
    moment = MOMENTS[name]
    path = tmp_path / "a.db"
    shutil.copy(seeded, path)
    blow = Blow(fault, moment.page, moment.earlier)
    api = Provider(blow)
    if moment.earlier:
        earlier = go_struck(path, api, blow, moment)
        assert earlier is not None
        assert earlier.stop_reason == "interrupted"
    blow.is_armed = True
    result = go_struck(path, api, blow, moment)
    assert blow.has_fallen
    if result is not None:
        expected = {STOPS[fault]} if fault in STOPS else {"frontier_empty", "budget_exhausted"}
        assert result.stop_reason in expected
    state = rehearsal.state(path)
    reserved = sum(run.reserved for run in state.runs)
    assert state.charged <= api.ledger.charged <= state.charged + state.uncertain + reserved <= moment.budget
    assert (reserved > 0) <= (result is None)
    assert rehearsal.findings(path) == []
    stored = stored_pages(path)
    charged = dict(api.ledger.pages)

    last = rehearsal.go(path, api, budget=BUDGET, concurrency=moment.concurrency)
    assert last.stop_reason == "frontier_empty"
    assert rehearsal.edges(path) == set(FOLLOWS)
    assert stored <= stored_pages(path)
    # A list whose cursor was refused is begun anew, once.
    anew = moment.page.split("|")[0] + "|" if fault == "bad_request" and moment.page else None
    check_ledgers(path, api.ledger.pages, begun_anew=anew)
    assert all(api.ledger.pages[page] == charged[page] for page in stored if not (anew and page.startswith(anew)))


def go_struck(path: Path, api: Provider, blow: Blow, moment: Moment) -> Result | None:
    """Crawl, and be struck; returns None where that was the end of the process."""
    options: dict[str, Any] = {"concurrency": moment.concurrency, "budget": moment.budget}
    if blow.fault == "deadline" and blow.is_armed:
        times = dict(honest(moment.concurrency))
        options["deadline_s"] = (0.0 if moment.page is None else times[moment.page]) + LATENCY_S / 10

    async def meet(crawl: Crawl) -> None:
        blow.crawl = crawl

    async def crawl() -> Result:
        blow.task = asyncio.current_task()
        return await rehearsal.crawl(path, api, writer=partial(Writer, blow=blow), meanwhile=meet, **options)

    try:
        return virtual_time.run(crawl())
    except (Killed, DiskFull, asyncio.CancelledError):
        return None
