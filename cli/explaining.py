"""`followgraph why`: the story of one account, from who listed it to each credit it cost."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cli.amounts import amount
from cli.failure import usage
from cli.seeding import Written, refuse, sorted_out
from cli.session import Bound, Session
from cli.standing import moment

if TYPE_CHECKING:  # SQLAlchemy, which the help page does without
    from storage.biography import Biography

_NUMBER = re.compile(r"#([0-9]{1,18})")

_SHOWN = 5
"""Accounts that list it shown to a person, the first that did."""

_PICKED = {
    "main": "from the main queue",
    "explore": "by lot, to explore",
    "ahead": "ahead of all others",
    "audit": "for the audit of follower counts",
}
"""How a visit's account was picked, by its queue. The control sample has one a wave, `control-1` and so on."""

_TIMES = ("at", "started_at", "ended_at", "first_seen_at", "not_before")


def why(handle: Annotated[str, Parameter(name="HANDLE")], /, *, session: Bound) -> int | None:
    """Why an account was visited, or was not: when seen and by whom, its place in the queue, attempts, each charge.

    Reads only, at any time.

    Parameters
    ----------
    handle
        @name, name or a profile address; a handle that the account had earlier serves too, and so does #NUMBER, as
        logs call accounts.
    """
    who: str | int
    if numbered := _NUMBER.fullmatch(handle):
        who = int(numbered[1])
    else:
        good, rejected = sorted_out([Written(text=handle)], None)
        if rejected:
            return refuse(rejected, session)
        who = good[0]

    from storage import biography  # noqa: PLC0415 - start-up
    from storage.database import Database  # noqa: PLC0415 - start-up

    database = Database.open(session.configure().settings.storage.database, now=session.now, mode="read")
    try:
        with database.read() as conn:
            found = biography.read(conn, who)
    finally:
        database.close()
    if found is None:
        problem = f"nobody here is or was called @{who}" if isinstance(who, str) else f"there is no account #{who} here"
        raise usage("unknown_account", problem, hint="To crawl it: followgraph seed HANDLE")
    _tell(found, session)
    session.output.finish(_dated(asdict(found)))
    return None


def _tell(found: Biography, session: Session) -> None:
    line = session.output.line
    line(f"{found.id} · @{found.handle}" if found.handle else f"{found.id} · without a handle", label="account")
    for former, reason, until in found.former_handles:
        line(f"@{former} until {moment(until)} ({reason.replace('_', ' ')})", label="before")
    origin = "a seed" if found.depth == 0 else f"{amount(found.depth, 'hop')} from a seed"
    line(
        f"{moment(found.first_seen_at)} · {origin} · listed by {amount(found.followers_seen, 'account')}", label="seen"
    )
    for sighting in found.sightings[:_SHOWN]:
        line(f"by @{sighting.by or '?'} · {moment(sighting.at)}", label="")
    if found.followers_seen > _SHOWN:
        line(f"and {found.followers_seen - _SHOWN:,} more", label="")
    state = found.state if found.reason is None else f"{found.state} ({found.reason})"
    when = "" if found.not_before is None else f" · not before {moment(found.not_before)}"
    line(f"{state} · priority {found.priority:.6g}{_place(found)}{when}", label="queue")
    if found.attempts:
        line(f"{found.attempts} for its next page", label="attempts")
    for visit in found.visits:
        ended = "not ended" if visit.ended_at is None else visit.completeness
        reason = f" ({visit.reason})" if visit.reason else ""
        line(
            f"{moment(visit.started_at)} · {ended}{reason} · {amount(visit.pages, 'page')} · {visit.new_edges:,} new"
            f" and {visit.gone:,} ended of {amount(visit.edges, 'follow')}",
            label="visit",
        )
        if visit.queue is not None:
            at = "" if visit.priority is None else f", at priority {visit.priority:.6g}"
            line(f"picked {_picked(visit.queue)}{at}", label="")
    for charge in found.charges:
        cause = f" ({charge.cause})" if charge.cause else ""
        line(
            f"{moment(charge.at)} · {charge.outcome}{cause} · {charge.charged} charged, {charge.uncertain} uncertain",
            label="credit",
        )
    line(
        f"{sum(each.charged for each in found.charges):,} charged"
        f" · {sum(each.uncertain for each in found.charges):,} uncertain",
        label="in all",
    )


def _place(found: Biography) -> str:
    if found.ahead is None or found.ahead_at_most is None:
        return ""
    if found.ahead == found.ahead_at_most:
        return f" · {amount(found.ahead, 'account')} before it"
    return f" · {found.ahead:,} to {amount(found.ahead_at_most, 'account')} before it, as queues are taken in turn"


def _picked(queue: str) -> str:
    control, _, wave = queue.partition("-")
    return f"for wave {wave} of the control sample" if control == "control" else _PICKED.get(queue, f"from {queue}")


def _dated(found: Any) -> Any:
    """Return the JSON of it: times as ISO 8601 in UTC."""
    if isinstance(found, dict):
        return {
            key: moment(value) if key in _TIMES and value is not None else _dated(value) for key, value in found.items()
        }
    return [_dated(each) for each in found] if isinstance(found, list | tuple) else found
