"""The rounds of a program, each kept as a table of its own before the next begins.

That is the checkpoint. It cuts the plan, which would otherwise grow with every round, at the cost of one row an
account; and a process that starts after a kill goes on from the last round that was written to its end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyspark.sql import Column, DataFrame

from analysis.distributed.cluster import Store

Progress = Callable[[str, int, float], None]
"""Called after each round with the program, the round from 1 on, and how much it changed."""


class Rounds:
    """The rounds of the program `name` in a store."""

    def __init__(self, store: Store, name: str, progress: Progress) -> None:
        self._store = store
        self._name = name
        self._progress = progress

    @property
    def outcome(self) -> dict[str, Any] | None:
        """What a program that ended found, None while it has not."""
        return self._store.noted(self._name)

    def last(self) -> tuple[int, dict[str, Any]]:
        """Return the last whole round and what was observed of it; (-1, {}) where none was."""
        for number in sorted(self._numbers(), reverse=True):
            observed = self._store.noted(self._table(number))
            if observed is not None and self._store.has(self._table(number)):
                return number, observed
        return -1, {}

    def keep(
        self,
        number: int,
        frame: DataFrame,
        *columns: str,
        judge: Callable[[dict[str, Any]], float] | None = None,
        **observed: Column,
    ) -> dict[str, Any]:
        """Write the `columns` of a round, then forget the rounds before; return what was observed of its rows.

        What it changed is observed as `change`, or told by `judge` from what was.
        """
        table = self._table(number)
        found = {name: value or 0 for name, value in self._store.write(table, frame, *columns, **observed).items()}
        if judge is not None:
            found["change"] = judge(found)
        self._store.note(table, found)
        for older in self._numbers():
            if older < number:
                self._forget(older)
        if number:
            self._progress(self._name, number, float(found["change"]))
        return found

    def read(self, number: int) -> DataFrame:
        """Return a round."""
        return self._store.read(self._table(number))

    def end(self, outcome: dict[str, Any]) -> None:
        """Note that the program ended, and with what."""
        self._store.note(self._name, outcome)

    def _table(self, number: int) -> str:
        return f"{self._name}-{number:05d}"

    def _numbers(self) -> list[int]:
        head = f"{self._name}-"
        found = (name.removeprefix(head) for name in self._store.names() if name.startswith(head))
        return [int(each) for each in found if each.isdigit()]

    def _forget(self, number: int) -> None:
        self._store.drop(self._table(number))
        self._store.drop(f"_{self._table(number)}.json")
