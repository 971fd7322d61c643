"""The layout: circles that do not overlap, accounts inside their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis import layout
from analysis.communities import NOWHERE, Partition
from analysis.graph import load_graph
from tests.analysis.sample import closed, write


def partition(*sizes: int, outside: int = 0) -> Partition:
    """A partition into communities of these sizes, dealt out in turns, some accounts outside."""
    label = np.concatenate([np.full(size, number) for number, size in enumerate(sizes)] + [np.full(outside, NOWHERE)])
    label = np.random.default_rng(1).permutation(label).astype(np.int64)
    none = np.zeros(len(sizes), dtype=np.int64)
    size = np.array(sizes, dtype=np.int64)
    return Partition(label=label, size=size, inside=none, touching=none, pairs=0, modularity=None, split=0)


SIZES = [
    (5,),
    (1, 1),
    (40, 40, 40),
    (1000, 300, 20, 5, 5, 2, 2, 1),
    tuple(sorted(np.random.default_rng(3).zipf(1.6, 400).clip(1, 900).tolist(), reverse=True)),
]


@pytest.mark.parametrize("sizes", SIZES)
def test_circles_do_not_overlap_and_hold_their_accounts(sizes: tuple[int, ...]) -> None:
    """Two communities never share room; every account stands in its own circle, all within the span."""
    given = partition(*sizes, outside=3)
    found = layout.packed(given, np.arange(len(given.label)))
    apart = np.hypot(*(found.centre[:, None] - found.centre[None]).transpose(2, 0, 1))
    needed = found.radius[:, None] + found.radius[None]
    other = ~np.eye(len(sizes), dtype=bool)
    assert (apart[other] > needed[other] - 0.5).all()
    inside = given.label != NOWHERE
    away = np.hypot(*(found.place[inside] - found.centre[given.label[inside]]).T)
    assert (away <= found.radius[given.label[inside]]).all()
    assert np.isnan(found.place[~inside]).all()
    assert np.hypot(*found.place[inside].T).max() <= layout.SPAN
    assert len(np.unique(found.place[inside], axis=0)) == sum(sizes)


def test_the_important_are_in_the_middle() -> None:
    """In each circle the accounts stand from the middle outward in the order that was given."""
    given = partition(50, 20)
    order = np.random.default_rng(2).permutation(70)
    found = layout.packed(given, order)
    for number in (0, 1):
        members = order[given.label[order] == number]
        away = np.hypot(*(found.place[members] - found.centre[number]).T)
        assert (np.diff(away) > -0.2).all()


def test_nobody_has_no_place(tmp_path: Path) -> None:
    """A graph without follows has a layout of nothing."""
    given = partition(outside=2)
    found = layout.packed(given, np.arange(2))
    assert found.centre.shape == (0, 2)
    assert np.isnan(found.place).all()


def test_ties_are_broken_as_asked(tmp_path: Path) -> None:
    """Accounts that as many follow come by id, or in the order of other names, which then alone decides."""
    graph = load_graph(write(tmp_path / "graph.db", closed([(1, 2), (3, 2), (4, 2)])))
    ids = graph.accounts.id.tolist()
    by_id = graph.accounts.id[layout.by_followers(graph)].tolist()
    first = by_id[0]
    assert by_id[1:] == sorted(set(ids) - {first})
    turned = {key: f"{1000 - key}" for key in ids}
    assert graph.accounts.id[layout.by_followers(graph, turned)].tolist() == [first, *by_id[:0:-1]]
