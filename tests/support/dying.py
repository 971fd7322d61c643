"""A process that dies between two commits, in process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storage.writer import InlineWriter


class Died(Exception):
    """The process is gone."""


def dying(commits: int) -> type[InlineWriter]:
    """Return a writer that dies instead of making the commit that follows so many."""

    class Dying(InlineWriter):
        left = commits

        def commit(self, batch: Sequence[Any]) -> list[Any]:
            if not Dying.left:
                raise Died
            Dying.left -= 1
            return super().commit(batch)

    return Dying
