"""Writes a small real database of this program's schema as SQL: what tests of migrations begin with.

Run once for each released schema, with the program that was released and its own test support, before the schema
changes; the file is never made again:

    SCHEMAS=$PWD/tests/storage/schemas
    git archive TAG | tar -x -C RELEASED && cd RELEASED
    PYTHONPATH=.:tests/support python $SCHEMAS/dump.py > $SCHEMAS/NNNN.sql

In it: three runs of two strategies, seeds added later, a list cut by a page limit, hidden, private and missing
accounts, a renamed one, failed calls, a killed crawl taken up again, and leases of a crawl that was killed last.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import rehearsal
import structlog
import virtual_time

from socialfetch.simulator import network
from storage import schema
from storage.writer import InlineWriter


class Died(Exception):
    """The process is gone."""


def dying(after: int) -> type[InlineWriter]:
    """Return a writer that dies before the commit that follows so many."""

    class Dying(InlineWriter):
        left = after

        def commit(self, batch: Sequence[Any]) -> list[Any]:
            if not Dying.left:
                raise Died
            Dying.left -= 1
            return super().commit(batch)

    return Dying


def main() -> None:
    """Crawl and write the dump to standard output."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    rehearsal.LOG = structlog.get_logger()  # standard output is the dump's
    graph = network.generate(60, rng_seed=5)
    for name, status in (
        ("u7", network.Status.HIDDEN),
        ("u11", network.Status.PRIVATE),
        ("u13", network.Status.NOT_FOUND),
    ):
        graph.set_status(name, status)
    faults = {"lookup_failed": 0.15, "internal_error_charged": 0.05, "renamed": 0.1, "drifting_total": 0.2}
    api = rehearsal.service(graph, faults=faults, latency_s=3.0)
    path = Path(tempfile.mkdtemp()) / "dumped.db"
    for dies_after, more in (
        (14, {"seeds": ["u1", "u2"], "budget": 12, "concurrency": 3}),
        (None, {"budget": 12, "concurrency": 3}),
        (None, {"seeds": ["u3"], "budget": 6, "strategy": "rank", "max_pages_per_account": 1}),
        (15, {"budget": 20, "concurrency": 3, "strategy": "rank"}),
    ):
        writer = InlineWriter if dies_after is None else dying(dies_after)
        with suppress(Died):
            rehearsal.go(path, api, writer=writer, **more)
        virtual_time.EPOCH += 3600.0  # each crawl begins an hour after the one before
    with closing(sqlite3.connect(path)) as conn:
        sys.stdout.write(f"-- schema {schema.HEAD}, made by dump.py beside this file\n")
        sys.stdout.write(f"PRAGMA application_id = {schema.APPLICATION_ID};\n")
        for line in conn.iterdump():
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
