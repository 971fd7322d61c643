"""A daemon's credits, those with a last day among them, on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import pytest
import sqlalchemy as sa
from study import Study

from storage import budgets, daemons, errors, schema

Make = Callable[..., Study]
Act = tuple[str, int] | tuple[str, int, str]


def live(s: Study, *acts: Act, total: int | None = 9, state: str = "stopped") -> None:
    """Let a daemon spend and be given credits: ("2026-03-01", 20) is a day's run, ("+", 50, "2026-03-02") a grant."""
    said = daemons.Daemon(
        host="h",
        pid=1,
        started_at=0,
        heartbeat_at=0,
        state=state,
        detail="",
        until_at=None,
        total=total,
        per_day=None,
    )
    s.db.transact(partial(daemons.take, found=said))
    s.db.transact(lambda conn: conn.execute(sa.delete(schema.runs)))  # the study's own

    def spend(conn: sa.Connection, day: str, credits: int) -> None:
        settings = json.dumps({"daemon_day": day})
        asked = {"strategy": "bfs", "rng_seed": 1, "settings": settings, "budget": credits, "charged": credits}
        conn.execute(sa.insert(schema.runs).values(started_at=0, ended_at=1, **asked))

    for what, credits, *until in acts:
        if what == "+":
            last = until[0] if until else None
            s.db.transact(partial(budgets.add, credits=credits, note=None, origin="command", now=1.0, until=last))
        else:
            s.db.transact(partial(spend, day=what, credits=credits))


D1, D2, D3, D4 = (f"2026-03-0{number}" for number in range(1, 5))


@pytest.mark.parametrize(
    ("acts", "left"),
    [
        # Nothing of it was spent by its last day: all of it lapses.
        ([(D1, 60), ("+", 50, D2)], {D1: 90, D2: 90, D3: 40}),
        # What was spent before it was given was not spent of it.
        ([(D1, 60), ("+", 50, D2), (D2, 20)], {D2: 70, D3: 40}),
        # What comes after its last day is spent of the rest.
        ([("+", 50, D1), (D1, 20), (D2, 30)], {D2: 70, D3: 70}),
        # All of it was spent: nothing lapses.
        ([("+", 50, D1), (D1, 120)], {D1: 30, D2: 30}),
        # Of two the one that ends first is spent first, whichever was given first.
        ([("+", 50, D3), ("+", 50, D1), (D1, 60)], {D1: 140, D2: 140, D4: 100}),
        ([("+", 50, D3), (D1, 30), ("+", 50, D2), (D2, 60)], {D2: 110, D3: 110, D4: 100}),
        # Credits without a last day stay.
        ([("+", 50), ("+", 10, D1), (D1, 5)], {D1: 155, D2: 150}),
    ],
)
def test_credits_with_a_last_day(study: Make, acts: list[Act], left: dict[str, int]) -> None:
    """They count until it is over; then what was spent of them does, and what was not is gone."""
    s = study()
    live(s, *acts)
    found = {day: s.read(partial(budgets.standing, total=100, today=day)).left for day in left}
    assert found == left


def test_a_living_daemon_is_meant_whatever_ran_last(study: Make) -> None:
    """A crawl or a refresh of its own came between: credits are the daemon's while it lives, else that run's."""
    s = study()
    live(s, ("+", 5), state="paused_budget")
    s.begin(3)
    give = partial(budgets.add, credits=1, note=None, origin="command", now=30.0)
    given = s.db.transact(partial(give, until=D1))
    assert given is not None
    assert given.run_id is None
    s.db.transact(lambda conn: conn.execute(sa.update(schema.daemon).values(state="stopped")))
    with pytest.raises(errors.NoDaemon, match=f"--until {D1}: only a daemon's"):
        s.db.transact(partial(give, until=D1))
    given = s.db.transact(give)
    assert given is not None
    assert given.run_id == s.started.run_id


def test_a_total_that_there_is_not_cannot_be_raised(study: Make) -> None:
    """Credits for nothing would be told as given."""
    s = study()
    with pytest.raises(errors.NoTotal):
        live(s, ("+", 5), total=None)
    assert s.read(budgets.changes) == []


def test_what_lapses_does_not_last(study: Make) -> None:
    """At ten a day, 70 that end the day after tomorrow are 30; what stays comes after them."""
    s = study()
    live(s, ("2026-02-26", 10), ("2026-02-27", 10), ("2026-02-28", 10), (D1, 0), ("+", 70, D3))
    standing = s.read(partial(budgets.standing, total=130, today=D1))
    assert standing.left == 170
    assert budgets.lasting(standing, today=D1) == {"days": 13.0, "low": 13.0, "high": 13.0, "per_day": 10}


def test_what_is_left_of_them_is_told(study: Make) -> None:
    """By their last day, while there is some."""
    s = study()
    live(s, ("+", 50, D3), ("+", 20, D3), ("+", 50, D1), (D1, 60))
    assert s.read(partial(budgets.standing, total=100, today=D1)).expiring == {D3: 60}
    assert s.read(partial(budgets.standing, total=100, today=D4)).expiring == {}
    assert s.read(partial(budgets.standing, total=None, today=D1)).left is None
