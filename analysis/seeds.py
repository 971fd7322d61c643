"""How far the findings hang on each seed: the crawl again without what was bought because of one of them.

The delete-one jackknife over seeds (Efron & Stein 1981): a list belongs to the seed through which its account was
discovered first. Without a seed its lists count as unread, and whom only they tell of as unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from analysis.graph import FollowGraph, Ints, Mask
from analysis.imputation import Floats, Links
from analysis.ranks import best, leading
from analysis.sample import Sample
from storage import sampling

MOST = 10
"""Seeds left out at most, those with most lists: each costs a ranking of the whole graph."""

NOBODY = -1
"""The seed of an account that belongs to none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Without:
    """What is left without one seed.

    `seed` is its position, `lists` how many lists were read because of it. Of the `of` accounts that come first in the
    whole crawl `shared` come first still. `known` is the share of the group that is still known, None without a group.
    """

    seed: int
    lists: int
    shared: int
    of: int
    known: float | None


def read_seeds(conn: Any, graph: FollowGraph) -> Ints:
    """Return the position of the seed whom the list of each account belongs to, NOBODY for the others, shape (n,)."""
    found, ids = np.full(len(graph), NOBODY, dtype=np.int64), graph.accounts.id
    rows = np.array(list(sampling.seed_rows(conn)), dtype=np.int64).reshape(-1, 2)
    known = np.isin(rows[:, 0], ids) & np.isin(rows[:, 1], ids)
    found[np.searchsorted(ids, rows[known, 0])] = np.searchsorted(ids, rows[known, 1])
    return found


def leave_one_out(
    sample: Sample, seed_of: Ints, followers: Floats, *, group: Mask, first: int = 10
) -> tuple[Without, ...]:
    """Leave out each seed with lists, those with most lists first, MOST at most; none where there is but one.

    `seed_of` as from `read_seeds`; `group` marks the accounts of a community, shape (n,). The ranking is imputed
    PageRank of `followers`, shape (n,).
    """
    links = Links.of(sample)
    has_list = links.listed > 0
    lists = np.bincount(seed_of[has_list & (seed_of != NOBODY)], minlength=len(sample))
    seeds = best(lists.astype(np.float64), int((lists > 0).sum()))
    if len(seeds) < 2:
        return ()
    ranked = partial(leading, links, followers, first=first)
    whole = ranked(known=np.ones(len(sample), dtype=np.bool_), read=has_list)
    found = []
    for seed in seeds[:MOST].tolist():
        read = has_list & (seed_of != seed)
        known = read.copy()
        known[sample.dst[read[sample.src]]] = True
        found.append(
            Without(
                seed=seed,
                lists=int(lists[seed]),
                shared=len(np.intersect1d(ranked(known=known, read=read), whole)),
                of=len(whole),
                known=float(known[group].mean()) if group.any() else None,
            )
        )
    return tuple(found)
