"""What is said of files that may hold people who are gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cli.session import Session

if TYPE_CHECKING:  # SQLAlchemy, which the help page does without
    from storage.holders import Holder

_SHOWN = 20

_STATES = {"gone": "deleted or moved since", "elsewhere": "on a server"}


def tell(found: Sequence[Holder], session: Session) -> None:
    """Name the files that may hold people who are gone, and those that are not where they were made."""
    line = session.output.line
    left = [each for each in found if each.state != "gone"]
    lost = [each for each in found if each.state == "gone"]
    for label, some in (("held them", left), ("not found", lost)):
        for holder in some[:_SHOWN]:
            what = _STATES.get(holder.state, holder.state)
            line(f"{holder.path} · {holder.kind}, {what}", label=label)
        if len(some) > _SHOWN:
            line(f"and {len(some) - _SHOWN:,} more (--json lists all)", label="")
    if any(not each.is_copy for each in left):
        line("delete or make anew what held them, and ask those who have copies to", label="next")
    if any(each.is_copy for each in left):
        line("in a database of its own do it again: name it with --db", label="next")
    if any(each.state == "elsewhere" for each in left):
        line("one on a server has to be copied back to a file for that, and dropped there", label="")
    if lost:
        line("what was moved from there still holds them: look for it", label="")
