"""The one writer: inline for single commands and virtual time, a thread for crawls.

Invariant: units of work that wait while a transaction runs are committed together, so that they share its fsync; a
caller gets its result only after the commit.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from storage.driver import translate
from storage.errors import Cut, DatabaseError

I = TypeVar("I")  # noqa: E741 - the item of a unit of work, beside its result R
R = TypeVar("R")

Unit = Callable[[sa.Connection, Sequence[I]], Sequence[R]]
"""A unit of work over many items at once; one result per item, in order. It may run again after a rollback."""

MAX_BATCH = 256
"""Units committed together at most."""

FEW, BEHIND = 4, 8
"""More units than these are committed by halves, until so many commits followed each other without a pause."""


class Writer(Protocol):
    """Runs units of work on the one write connection."""

    def submit(self, unit: Unit[I, R], item: I) -> Awaitable[R]:
        """Run the unit on this item, maybe together with others; the result comes after the commit."""
        ...

    def close(self) -> None:
        """Finish what was submitted and stop."""
        ...


def commit_batch(engine: sa.Engine, batch: Sequence[tuple[Unit[Any, Any], Any]]) -> list[Any]:
    """Run all units in one transaction and return a result or an exception for each.

    Where one fails, everything is rolled back and each unit runs again alone, so that only the failing one fails. What
    keeps the whole database from being written (a lock, a full disk) is asked of it once, not once for each unit.
    """
    results: list[Any] | None = None
    try:
        with engine.begin() as conn:
            results = _apply(conn, batch)
        return results  # noqa: RET504 - an answer to the commit may be lost after it
    except Exception as error:
        told = translate(error)
        if isinstance(told, Cut) and results is not None:  # the commit was asked for, and its answer never came
            try:
                if engine.get_execution_options()["was_committed"]():
                    return results
            except DatabaseError as doubt:
                told = doubt
        if len(batch) == 1 or isinstance(told, DatabaseError):
            return [told] * len(batch)
    singly: list[Any] = []
    for single in batch:
        singly += commit_batch(engine, [single])
    return singly


def _apply(conn: sa.Connection, batch: Sequence[tuple[Unit[Any, Any], Any]]) -> list[Any]:
    groups: dict[Unit[Any, Any], list[int]] = {}
    for index, (unit, _) in enumerate(batch):
        groups.setdefault(unit, []).append(index)
    results: list[Any] = [None] * len(batch)
    for unit, indexes in groups.items():
        for index, result in zip(indexes, unit(conn, [batch[i][1] for i in indexes]), strict=True):
            results[index] = result
    return results


class InlineWriter:
    """Runs each unit at once on the caller's thread: for single commands, and for crawls in virtual time."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def commit(self, batch: Sequence[tuple[Unit[Any, Any], Any]]) -> list[Any]:
        """Commit a batch; a seam for tests that die before or after it."""
        return commit_batch(self._engine, batch)

    async def submit(self, unit: Unit[I, R], item: I) -> R:
        """Run the unit now."""
        [result] = self.commit([(unit, item)])
        if isinstance(result, BaseException):
            raise result
        return result  # type: ignore[no-any-return]  # a batch mixes units, so its results have no common type

    def close(self) -> None:
        """Nothing waits."""


class ThreadWriter:
    """Runs units on a thread of its own and commits together what arrived meanwhile, or the half of it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._queue: SimpleQueue[tuple[Unit[Any, Any], Any, asyncio.Future[Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="storage-writer", daemon=True)
        self._thread.start()

    def commit(self, batch: Sequence[tuple[Unit[Any, Any], Any]]) -> list[Any]:
        """Commit a batch; a seam for tests that die before or after it."""
        return commit_batch(self._engine, batch)

    def submit(self, unit: Unit[I, R], item: I) -> asyncio.Future[R]:
        """Queue the unit; the future is done after its commit."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._queue.put((unit, item, future))
        return future

    def _run(self) -> None:
        is_over, commits = False, 0
        while not is_over:
            try:
                first, commits = self._queue.get_nowait(), commits + 1
            except Empty:
                first, commits = self._queue.get(), 0
            if first is None:
                return
            batch = [first]
            # Who is committed together asks together, is answered together and waits for the others again. Halves part
            # such a convoy, and everybody is back at asking sooner; a writer that cannot keep up takes all that wait.
            most = MAX_BATCH if commits >= BEHIND else min(MAX_BATCH, max(FEW, (self._queue.qsize() + 2) // 2))
            while len(batch) < most:
                try:
                    more = self._queue.get_nowait()
                except Empty:
                    break
                if more is None:
                    is_over = True
                    break
                batch.append(more)
            results = self.commit([(unit, item) for unit, item, _ in batch])
            futures = [future for _, _, future in batch]
            # A closed loop raises: nobody waits any more, but what else was submitted is still committed.
            with suppress(RuntimeError):
                futures[0].get_loop().call_soon_threadsafe(_deliver, futures, results)

    def close(self) -> None:
        """Finish what was submitted and stop the thread."""
        self._queue.put(None)
        self._thread.join()


def _deliver(futures: Sequence[asyncio.Future[Any]], results: Sequence[Any]) -> None:
    for future, result in zip(futures, results, strict=True):
        if future.done():  # cancelled meanwhile; what was committed stands
            continue
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
