"""Crawls that kill themselves at a chosen commit: one order a line on standard input, one ending a line on the output.

An order is JSON: `database`, `api_url`, `seeds`, `budget`, `concurrency`, and `die`, which is null or the number of a
commit and its side: `[7, "before"]`. A forked process carries it out: it opens the database, claims it, seeds and
crawls as the command does, and gets SIGKILL from itself. *Before* is when all statements of the transaction have run
and COMMIT is about to be sent, *after* when COMMIT has returned and nobody was told. Every commit of the process
counts, those that make the file and those that seed included.

Forking spares the second that Python needs to start; what dies is a process with its own connections and locks.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
from random import Random
from typing import Any

import alembic.command  # noqa: F401 - loaded once, for all processes to come
import sqlalchemy as sa
import structlog
import uvloop
from pydantic import SecretStr

from cli.connection import client
from cli.key import Key
from cli.settings import Api
from crawler.engine import Crawl
from crawler.options import Options
from crawler.seeding import seed
from storage.database import Database
from storage.writer import ThreadWriter

LONGEST_S = 120
"""A crawl that takes longer hangs, and is ended by SIGALRM."""


class Death:
    """Kills this process at its k-th commit."""

    def __init__(self, commit: int, side: str) -> None:
        self._commit = commit
        self._side = side
        self._count = 0
        self._committing: int | None = None
        sa.event.listen(sa.Engine, "commit", self._about_to_commit)
        sa.event.listen(sa.Pool, "checkin", self._given_back)

    def _about_to_commit(self, _conn: sa.Connection) -> None:
        self._count += 1
        self._committing = threading.get_ident()
        if self._side == "before" and self._count == self._commit:
            os.kill(os.getpid(), signal.SIGKILL)

    def _given_back(self, *_: object) -> None:
        """The connection comes back once its transaction is over."""
        if self._committing == threading.get_ident():
            self._committing = None
            if self._side == "after" and self._count >= self._commit:
                os.kill(os.getpid(), signal.SIGKILL)


async def _crawl(order: dict[str, Any]) -> None:
    """Crawl as `followgraph crawl` does, without its console."""
    key = Key(SecretStr("rehearsal"), "a rehearsal on this machine")
    database = Database.open(order["database"], now=time.time, mode="create", writer=ThreadWriter)
    try:
        database.claim()
        seed(database, order["seeds"], now=time.time())
        async with client(Api(base_url=order["api_url"]), key, connections=order["concurrency"]) as api:
            options = Options(budget=order["budget"], concurrency=order["concurrency"], rng_seed=1)
            log = structlog.get_logger()
            await Crawl(db=database, client=api, options=options, now=time.time, rng=Random(1), log=log).run()
    finally:
        database.close()


def _live(order: dict[str, Any]) -> int:
    """Carry out an order in this process; returns its exit code, if it comes to that."""
    signal.alarm(LONGEST_S)
    if order["die"] is not None:
        Death(*order["die"])
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_crawl(order))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """Carry out orders until the input ends."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            os._exit(_live(json.loads(line)))
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
