"""Accounts put ahead of all others are taken first, in their order, whatever becomes of the frontier meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from study import Study, facts

from crawler.strategies import registry
from crawler.strategy import lot
from storage import biography, parking, ranking, requeue, seeding
from storage.allowances import Caps

Make = Callable[..., Study]


def ahead(s: Study, *handles: str) -> None:
    """Queue accounts before all others, in this order."""
    ids, unknown = s.read(partial(requeue.named, handles=handles))
    assert unknown == []
    entries = requeue.ahead((account_id, 2.0 / place) for place, account_id in enumerate(ids, start=1))
    s.db.transact(partial(requeue.queue, entries=entries))


def ids(s: Study) -> list[int]:
    """Return the accounts that wait."""
    return [account_id for (account_id,) in s.ask("SELECT account_id FROM frontier WHERE state = 0 ORDER BY 1")]


def ranked(name: str, s: Study) -> None:
    """Rank all by another strategy, a few at a time."""
    strategy = registry.build(name)
    s.db.transact(partial(ranking.rebuild, ordering=strategy))
    after: int | None = 0
    while after is not None:
        after = s.db.transact(partial(ranking.rerank, ordering=strategy, after=after, at_most=2))


def learned(s: Study) -> None:
    """Score the head of the frontier again."""
    s.db.transact(partial(ranking.rescore, ordering=registry.build("core-pages")))


def drawn(s: Study) -> None:
    """Give everybody a chance to be taken by lot."""
    s.db.transact(partial(ranking.draw_lots, chance=lambda entry: lot(entry, 1), after=0, at_most=99))


def too_deep(s: Study) -> None:
    """Forbid all but seeds, and allow them again."""
    s.db.transact(partial(parking.apply_depth_limit, max_depth=0))
    s.db.transact(partial(parking.apply_depth_limit, max_depth=None))


def filtered(s: Study) -> None:
    """Refuse all but seeds, and want them again."""
    s.db.transact(partial(parking.apply_filter, wants=lambda _: False, after=0, at_most=99))
    s.db.transact(partial(parking.apply_filter, wants=None, after=0, at_most=99))


def parked(s: Study) -> None:
    """Set all aside whose seed has no credits left, and find some."""
    waiting = ids(s)
    s.db.transact(partial(parking.park, account_ids=waiting, reason="seed_budget"))
    s.db.transact(partial(parking.unpark, account_ids=waiting))


def seeded(s: Study) -> None:
    """Make a seed of one of them."""
    s.db.transact(partial(seeding.add, handles=["x"], ordering=s.strategy, now=s.now))


@pytest.mark.parametrize(
    "happens",
    [*(partial(ranked, name) for name in registry.EVERY), learned, drawn, too_deep, filtered, parked, seeded],
    ids=[*registry.EVERY, "learned", "drawn", "too deep", "filtered", "parked", "seeded"],
)
def test_who_is_put_ahead_stays_there(study: Make, happens: Callable[[Study], None]) -> None:
    """They are taken before all others, in their order and from their own queue, until they are read."""
    s = study("a", "b")
    s.visit("a", *(facts(name, followers=10 * place) for place, name in enumerate("wyxz", start=1)))
    ahead(s, "x", "y")
    happens(s)
    assert [lease.handle for lease in (*s.lease(), *s.lease())] == ["x", "y"]
    assert s.ask("SELECT queue, priority FROM visits ORDER BY id")[1:] == [("ahead", 2.0), ("ahead", 1.0)]


def test_a_shorter_way_leaves_ahead_who_was_put_there(study: Make) -> None:
    """A page that lists them, and nearer to a seed than they were, changes their depth and not their place."""
    s = study("a", "b")
    s.visit("a", facts("m"))
    s.visit("m", facts("y"), facts("x"))
    [held] = s.lease()
    assert held.handle == "b"
    ahead(s, "x", "y")
    s.commit(s.answer(held, [facts("y"), facts("x")]))
    assert s.ask("SELECT DISTINCT depth FROM frontier WHERE lane > 0") == [(1,)]
    assert [lease.handle for lease in (*s.lease(), *s.lease())] == ["x", "y"]


def test_whose_list_was_read_is_ahead_no_more(study: Make) -> None:
    """A list that was put ahead once and is to be read again stands where the strategy puts it."""
    s = study("a", "b")
    ahead(s, "b")
    [lease] = s.lease()
    s.commit(s.answer(lease, [], has_more=True))
    [account_id] = s.read(requeue.partial)
    s.db.transact(lambda conn: requeue.queue(conn, requeue.by_rank(conn, [account_id], s.strategy, now=s.now)))
    assert s.ask("SELECT lane FROM frontier WHERE account_id = ?", account_id) == [(0,)]


def test_their_biographies_count_who_is_taken_before(study: Make) -> None:
    """Those put ahead are counted before all others, and among themselves in their order."""
    s = study("a", strategy="rank")
    lengths = zip("wxyz", (5, 900, 400, 900), strict=True)
    s.visit("a", *(facts(name, followers=999, following=length) for name, length in lengths))
    ahead(s, "x", "y")
    told = [s.read(partial(biography.read, who=name)) for name in "xywz"]
    assert [(each.ahead, each.ahead_at_most) for each in told] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    s.db.transact(partial(ranking.rerank, ordering=registry.build("discover"), after=0, at_most=99))
    told = [s.read(partial(biography.read, who=name)) for name in "xywz"]
    assert [(each.ahead, each.ahead_at_most) for each in told] == [(0, 0), (1, 1), (2, 3), (2, 3)]


@pytest.mark.parametrize(("ahead_only", "taken"), [(False, ["x", "p"]), (True, ["x"])])
def test_their_retries_come_first_too(study: Make, ahead_only: bool, taken: list[str]) -> None:
    """What is kept for retries goes to those put ahead before all others, in a refresh to nobody else."""
    s = study("a", strategy="rank")
    s.visit("a", facts("p", followers=999), facts("x"))
    ahead(s, "x")
    for lease in s.lease(2):
        s.give_back(lease, restart=True, cause="cursor_lost")
    s.taking = replace(s.taking, ahead_only=ahead_only, caps=Caps(retry_reserve=1000))
    assert [lease.handle for lease in (*s.lease(), *s.lease())] == taken
    assert s.ask("SELECT queue FROM visits ORDER BY id")[3:] == [("ahead",), ("main",)][: len(taken)]
