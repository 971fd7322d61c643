"""Follow edges in time: first and last seen, gone, back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from study import Study, facts

from storage import follows

Make = Callable[..., Study]
EDGES = "SELECT dst, first_visit, last_visit, ended_visit FROM follows ORDER BY dst"


def test_a_second_complete_visit_ends_what_it_no_longer_lists(study: Make) -> None:
    """Unfollows are dated with the visit that found them; new and kept follows with theirs."""
    s = study("a")
    s.visit("a", facts("kept"), facts("gone"))
    s.visit("a", facts("kept"), facts("new"))
    assert s.ask(EDGES) == [(2, 1, 2, None), (3, 1, None, 2), (4, 2, None, None)]
    assert s.ask("SELECT edges, new_edges FROM visits ORDER BY id") == [(2, 2), (2, 1)]


def test_a_follow_that_comes_back_starts_anew(study: Make) -> None:
    """The closed interval moves to the past, the current one begins with the visit that saw it again."""
    s = study("a")
    s.visit("a", facts("x"))
    s.visit("a")
    stored = s.visit("a", facts("x"))
    assert stored.new_edges == 1
    assert s.ask(EDGES) == [(2, 3, None, None)]
    assert s.ask("SELECT * FROM past_follows") == [(1, 2, 1, 1, 2)]


@pytest.mark.parametrize(
    "cut", [{"has_more": True}, {"status": "hidden", "facts": ()}, {"status": "private", "facts": ()}]
)
def test_only_a_complete_visit_ends_follows(study: Make, cut: dict[str, object]) -> None:
    """A list that was cut, hidden or private says nothing about who is missing from it."""
    s = study("a")
    s.visit("a", facts("x"), facts("y"))
    s.visit("a", facts("x"), **cut)
    assert [row[3] for row in s.ask(EDGES)] == [None, None]


def test_repeated_and_own_handles_are_counted_not_stored(study: Make) -> None:
    """A duplicate, in other case as well, and a self-follow are no edges."""
    s = study("a")
    stored = s.visit("a", facts("x"), facts("x"), facts("a"))
    assert (stored.listed, stored.duplicates, stored.self_follows, stored.new_edges) == (3, 1, 1, 1)
    assert s.ask(EDGES) == [(2, 1, None, None)]
    assert s.ask("SELECT listed, edges, duplicates, self_follows FROM visits") == [(3, 1, 1, 1)]


def test_the_same_account_on_two_pages_is_one_edge(study: Make) -> None:
    """A duplicate across pages is counted on the second."""
    s = study("a")
    [lease] = s.lease()
    [first] = s.commit(s.answer(lease, [facts("x"), facts("y")], cursor="2"))
    assert first.next is not None
    [second] = s.commit(s.answer(first.next, [facts("y"), facts("z")]))
    assert (second.duplicates, second.new_edges) == (1, 1)
    assert s.ask("SELECT edges, listed, pages FROM visits") == [(3, 4, 2)]


def test_targets_are_read_back(study: Make) -> None:
    """Who somebody was seen to follow is found by the source."""
    s = study("a")
    s.visit("a", facts("x"), facts("y"))
    assert s.read(lambda conn: follows.targets(conn, 1)) == [2, 3]
