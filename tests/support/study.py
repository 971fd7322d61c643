"""A database with a run, driven page by page through storage's own transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from crawler import policy
from crawler.strategies import registry
from storage import frontier, outlook, pages, runs, seeding
from storage.accounts import Facts
from storage.archive import Archive
from storage.database import Database
from storage.frontier import Lease, Returned
from storage.listing import Listing, Rules, Stored
from storage.outlook import Outlook
from storage.picking import Taking

NOT_UNIQUE = (sqlite3.IntegrityError, psycopg.IntegrityError)
"""What the databases say to a row that is there already."""


def facts(handle: str, **more: Any) -> Facts:
    """Return what a listing says of an account, with ordinary values for what is not given."""
    ordinary: dict[str, Any] = dict.fromkeys(Facts._fields) | {
        "handle": handle, "display_name": handle, "verified": False, "followers": 10, "following": 10, "posts": 1,
    }  # fmt: skip
    return Facts(**(ordinary | more))


class Study:
    """One run over one database. `now` is set by the test."""

    def __init__(self, path: Path | str, *seeds: str, budget: int = 1000, strategy: str = "flow") -> None:
        self.now = 1_750_000_000.0
        self.path = path
        self.db = Database.open(path, now=lambda: self.now)
        self.strategy = registry.build(strategy)
        self.may_go_on = True
        self.rules = Rules(
            ordering=self.strategy,
            judge=partial(policy.judge, max_pages=None),
            max_depth=None,
            archive=Archive(None),
            may_go_on=lambda _: self.may_go_on,
        )
        self.taking = Taking(ordering=self.strategy)
        self.db.transact(partial(seeding.add, handles=seeds, ordering=self.strategy, now=self.now))
        self.started = self.begin(budget)

    def begin(self, budget: int | None) -> runs.Started:
        """Begin or continue a run."""
        self.started = self.db.transact(
            partial(
                runs.start,
                budget=budget,
                new_run=False,
                strategy=self.strategy.name,
                rng_seed=None,
                fresh_rng_seed=1,
                settings={},
                host="here",
                pid=1,
                now=self.now,
            )
        )
        return self.started

    def lease(self, at_most: int = 1) -> list[Lease]:
        """Lease the best entries."""

        def work(conn: Any) -> list[Lease]:
            credits = runs.read_credits(conn, self.started.run_id)
            leases = frontier.lease(
                conn, credits, self.taking, process_id=self.started.process_id, at_most=at_most, now=self.now
            )
            runs.write_credits(conn, credits)
            return leases

        return self.db.transact(work)

    def outlook(self) -> Outlook:
        """Look ahead."""

        def work(conn: Any) -> Outlook:
            return outlook.read(conn, runs.read_credits(conn, self.started.run_id), self.taking, now=self.now)

        return self.db.transact(work)

    def answer(self, lease: Lease, listed: Sequence[Facts] = (), *, cursor: str | None = None, **more: Any) -> Listing:
        """Return a paid answer to a lease."""
        ordinary: dict[str, Any] = {
            "lease": lease, "status": "found", "facts": listed, "unreadable": 0, "has_more": cursor is not None,
            "next_cursor": cursor, "reported_total": None, "charged": 1, "request_id": "req", "body": b"{}",
        }  # fmt: skip
        return Listing(**(ordinary | more))

    def commit(self, *listings: Listing) -> list[Stored]:
        """Store answers in one transaction."""
        return self.db.transact(partial(pages.commit_pages, listings=listings, rules=self.rules, now=self.now))

    def visit(self, handle: str, *listed: Facts, **more: Any) -> Stored:
        """Lease this account whatever its rank, and store a one-page list."""

        def prefer(conn: Any) -> None:
            conn.execute(
                sa.text(
                    "UPDATE frontier SET state = 0, priority = 1e300 WHERE account_id = "
                    "(SELECT id FROM accounts WHERE handle = :handle)"
                ),
                {"handle": handle},
            )

        self.db.transact(prefer)
        [lease] = self.lease()
        assert lease.handle == handle
        [stored] = self.commit(self.answer(lease, listed, **more))
        return stored

    def give_back(self, lease: Lease, **more: Any) -> None:
        """End a lease without a page."""

        def work(conn: Any) -> None:
            credits = runs.read_credits(conn, self.started.run_id)
            returned = Returned(lease=lease, **more)
            frontier.give_back(conn, credits, returned, now=self.now)
            runs.write_credits(conn, credits, failures=int(returned.was_called))

        self.db.transact(work)

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a query; each `?` is a value."""
        parts = sql.split("?")
        text = parts[0] + "".join(f":value{at}{part}" for at, part in enumerate(parts[1:]))
        named = {f"value{at}": value for at, value in enumerate(values)}
        with self.db.read() as conn:
            return [tuple(row) for row in conn.execute(sa.text(text), named)]

    def read(self, work: Callable[[Any], Any]) -> Any:
        """Run a reading function."""
        with self.db.read() as conn:
            return work(conn)
