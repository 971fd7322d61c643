"""A stateful test: random operations, crashes and reopenings against a plain model."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from postgres_server import Postgres
from storages import empty
from study import NOT_UNIQUE, Study, facts

from storage import frontier, readings, runs, summary
from storage.checkup import problems
from storage.database import Database
from storage.frontier import Lease

SEEDS = ("s0", "s1", "s2")


class Crash(BaseException):
    """The process died inside a transaction."""


@dataclass
class Model:
    """What must be true, kept with dictionaries."""

    budget: int
    charged: int = 0
    uncertain: int = 0
    open_leases: dict[int, Lease] = field(default_factory=dict)
    settled: set[tuple[int, str]] = field(default_factory=set)
    edges: set[tuple[str, str]] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)


class Conservation(RuleBasedStateMachine):
    """Frontier, ledger and pages against the model: conservation, no double lease, idempotent page commit."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.study = Study(self.place(), *SEEDS, budget=8)
        self.model = Model(budget=8)
        self.next_target = 0

    def place(self) -> Path | str:
        """Return where the database is kept."""
        return self.folder / "a.db"

    def teardown(self) -> None:
        """Check everything once more, and clean up."""
        assert self.study.read(problems) == []
        self.study.db.close()
        shutil.rmtree(self.folder)

    @rule(count=st.integers(1, 6))
    def lease(self, count: int) -> None:
        """Lease entries; never more than the budget holds, never one that is leased or over."""
        left = self.model.budget - self.model.charged - self.model.uncertain
        is_last = not self.model.open_leases and left == 1
        leases = self.study.lease(count)
        assert len(leases) <= count
        assert not leases or is_last or 2 * (len(self.model.open_leases) + len(leases)) <= left
        for lease in leases:
            assert lease.account_id not in self.model.open_leases
            assert lease.handle not in self.model.done | self.model.failed
            self.model.open_leases[lease.account_id] = lease

    def pick(self, data: st.DataObject) -> Lease:
        """Choose an open lease."""
        return self.model.open_leases.pop(data.draw(st.sampled_from(sorted(self.model.open_leases))))

    @precondition(lambda self: self.model.open_leases)
    @rule(data=st.data(), size=st.integers(0, 4), goes_on=st.booleans(), price=st.sampled_from([0, 1, 1, 1, 2]))
    def answer(self, data: st.DataObject, size: int, goes_on: bool, price: int) -> None:
        """A page comes, now and then a dear one, but not where nothing is left to pay it; maybe the list goes on."""
        price = min(price, self.model.budget - self.model.charged - self.model.uncertain)
        lease = self.pick(data)
        listing = self.listing(lease, size, goes_on=goes_on, price=price)
        [stored] = self.study.commit(listing)
        self.model.settled.add((lease.visit_id, lease.cursor or ""))
        self.model.charged += price
        self.model.edges |= {(lease.handle, each.handle) for each in listing.facts if each.handle != lease.handle}
        if stored.next is not None:
            self.model.open_leases[lease.account_id] = stored.next
        elif stored.end is not None:
            self.model.done.add(lease.handle)

    def listing(self, lease: Lease, size: int, *, goes_on: bool, price: int) -> Any:
        """Return an answer that lists new accounts, and sometimes the lister itself."""
        listed = []
        for _ in range(size):
            self.next_target += 1
            listed.append(facts(f"t{self.next_target}", following=0 if self.next_target % 3 == 0 else 5))
        if self.next_target % 5 == 0:
            listed.append(facts(lease.handle))
        cursor = f"c{lease.pages + 1}-{self.next_target}" if goes_on and size else None
        return self.study.answer(lease, listed, cursor=cursor, charged=price, body=b"x" * size)

    @precondition(lambda self: self.model.open_leases)
    @rule(data=st.data(), size=st.integers(0, 4))
    def crash_in_commit(self, data: st.DataObject, size: int) -> None:
        """The process dies inside the transaction of a page: nothing of it is stored, its lease is a dead one's."""
        lease = self.pick(data)
        listing = self.listing(lease, size, goes_on=False, price=1)

        def dying(conn: Any) -> None:
            from storage import pages

            pages.commit_pages(conn, [listing], rules=self.study.rules, now=self.study.now)
            raise Crash

        with pytest.raises(Crash):
            self.study.db.transact(dying)
        self.model.open_leases[lease.account_id] = lease
        self.kill()

    @precondition(lambda self: self.model.open_leases)
    @rule(data=st.data())
    def commit_twice(self, data: st.DataObject) -> None:
        """The same answer a second time is refused and changes nothing."""
        lease = self.pick(data)
        listing = self.listing(lease, 1, goes_on=False, price=1)
        self.study.commit(listing)
        before = self.study.ask("SELECT * FROM ledger")
        with pytest.raises(NOT_UNIQUE):
            self.study.commit(listing)
        assert self.study.ask("SELECT * FROM ledger") == before
        self.model.settled.add((lease.visit_id, lease.cursor or ""))
        self.model.charged += 1
        self.model.edges |= {(lease.handle, each.handle) for each in listing.facts if each.handle != lease.handle}
        self.model.done.add(lease.handle)

    @precondition(lambda self: self.model.open_leases)
    @rule(data=st.data(), maybe_charged=st.booleans(), fate=st.sampled_from(["defer", "fail", "queue", "unsent"]))
    def error(self, data: st.DataObject, maybe_charged: bool, fate: str) -> None:
        """A call brings no page."""
        lease = self.pick(data)
        more: dict[str, Any] = {"maybe_charged": maybe_charged, "cause": "lookup_failed"}
        if fate == "defer":
            more["not_before"] = self.study.now + 30
        elif fate == "fail":
            more["failed"] = "lookup_failed"
            self.model.failed.add(lease.handle)
        elif fate == "unsent":
            more = {"was_called": False, "counts_as_attempt": False}
        self.study.give_back(lease, **more)
        self.model.uncertain += int(maybe_charged and fate != "unsent")

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.study.now += seconds

    @rule()
    def kill(self) -> None:
        """The process dies and another one goes on: open leases become uncertain, nothing else changes."""
        self.study.db.close()
        self.study.db = Database.open(self.study.path, now=lambda: self.study.now)
        assert self.study.db.transact(partial(frontier.reclaim, now=self.study.now)) == len(self.model.open_leases)
        self.model.uncertain += len(self.model.open_leases)
        self.model.open_leases.clear()
        self.study.begin(None)

    @rule(more=st.integers(1, 5))
    def raise_budget(self, more: int) -> None:
        """The budget grows."""
        self.model.budget += more
        self.study.begin(self.model.budget)

    @precondition(lambda self: self.model.uncertain and not self.model.open_leases)
    @rule(data=st.data())
    def reconcile(self, data: st.DataObject) -> None:
        """A balance settles all uncertain credits."""
        charged = data.draw(st.integers(0, self.model.uncertain))
        self.study.db.transact(
            partial(
                readings.settle,
                run_id=self.study.started.run_id,
                uncertain=self.model.uncertain,
                charged=charged,
                now=self.study.now,
            )
        )
        self.model.charged += charged
        self.model.uncertain = 0

    @invariant()
    def money(self) -> None:
        """Run sums, ledger and model agree, and never exceed the budget."""
        found = self.study.read(partial(runs.read_credits, run_id=self.study.started.run_id))
        model = self.model
        assert (found.charged, found.uncertain, found.reserved) == (
            model.charged,
            model.uncertain,
            len(model.open_leases),
        )
        assert found.charged + found.uncertain + found.reserved <= found.budget == model.budget
        [(charged, uncertain)] = self.study.ask(
            "SELECT coalesce(sum(charged), 0), coalesce(sum(uncertain), 0) FROM ledger"
        )
        assert (charged, uncertain) == (model.charged, model.uncertain)

    @invariant()
    def graph(self) -> None:
        """Every committed page is there once, with its follows; the accounts are partitioned."""
        assert (
            set(self.study.ask("SELECT visit_id, cursor FROM ledger WHERE outcome = 'settled'")) == self.model.settled
        )
        stored = self.study.ask(
            "SELECT a.handle, b.handle FROM follows JOIN accounts a ON a.id = src JOIN accounts b ON b.id = dst"
        )
        assert set(stored) == self.model.edges
        assert len(stored) == len(self.model.edges)
        accounts = self.study.read(summary.read).accounts
        assert accounts["known"] == sum(count for word, count in accounts.items() if word != "known")


TestConservation = Conservation.TestCase
# The loaded profile says how many examples: `--hypothesis-profile=thorough` makes more than 10,000 steps.
TestConservation.settings = settings(
    settings.default, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


class OnServer(Conservation):
    """The same with the database on a server."""

    server: Postgres

    def place(self) -> str:
        """Return the address of a new database."""
        self.name = self.server.fresh(of=empty(self.server))
        return self.server.url(self.name)

    def teardown(self) -> None:
        """Check everything once more, and clean up."""
        super().teardown()
        self.server.drop(self.name)


@pytest.fixture
def on_server(postgres: Postgres) -> None:
    """Tell the machine which server it runs on: it is made without arguments."""
    OnServer.server = postgres


@pytest.mark.usefixtures("on_server")
class TestConservationOnServer(OnServer.TestCase):  # type: ignore[misc]  # made at run time
    """A sixth of the examples: each transaction takes some ten times as long."""

    settings = settings(TestConservation.settings, max_examples=settings.default.max_examples // 6)
