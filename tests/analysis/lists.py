"""Samples for the estimators, made from lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from analysis.graph import UNKNOWN
from analysis.sample import History, Sample
from tests.analysis.sample import edges


def of_lists(
    n: int,
    lists: Mapping[int, Iterable[int]],
    *,
    followers: Mapping[int, int] | None = None,
    following: Mapping[int, int] | None = None,
    extra: Iterable[int] = (),
) -> Sample:
    """Return a sample of n accounts whose `lists` were read to the end; `extra` not for the crawl."""
    pairs = sorted((u, v) for u, listed in lists.items() for v in listed)
    read = np.array(list(lists), dtype=np.int64)
    columns = {}
    for name, values in (("followers", followers or {}), ("following", following or {})):
        columns[name] = np.array([values.get(account, UNKNOWN) for account in range(n)], dtype=np.int64)
    complete = np.zeros(n, dtype=np.bool_)
    complete[read] = True
    main = complete.copy()
    main[list(extra)] = False
    return Sample(
        src=np.array([u for u, _ in pairs], dtype=np.uint32),
        dst=np.array([v for _, v in pairs], dtype=np.uint32),
        followers=columns["followers"],
        following=columns["following"],
        complete=complete,
        main=main,
    )


def visits(*visited: tuple[int, int, bool, bool]) -> History:
    """Return a history of visits: account, credits, whether a list came, whether it was the crawl's own."""
    account, credits, listing, own = (list(column) for column in zip(*visited, strict=True)) if visited else ([],) * 4
    return History(
        account=np.array(account, dtype=np.int64),
        credits=np.array(credits, dtype=np.int64),
        listing=np.array(listing, dtype=np.bool_),
        own=np.array(own, dtype=np.bool_),
    )


def whole(n: int, pairs: Iterable[tuple[int, int]]) -> Sample:
    """Return the sample of a crawl that read everything: counts are true, and every list is complete."""
    distinct = sorted({(u, v) for u, v in pairs if u != v})
    lists: dict[int, list[int]] = {account: [] for account in range(n)}
    followers: dict[int, int] = dict.fromkeys(range(n), 0)
    for u, v in distinct:
        lists[u].append(v)
        followers[v] += 1
    return of_lists(n, lists, followers=followers, following={u: len(listed) for u, listed in lists.items()})


def numbered(name: str) -> tuple[int, list[tuple[int, int]], dict[int, int]]:
    """Return the accounts, the follows by position, and the positions of the ids of a data set; loops are left out."""
    pairs = edges(name)
    place = {key: number for number, key in enumerate(sorted({key for pair in pairs for key in pair}))}
    return len(place), [(place[u], place[v]) for u, v in pairs], place
