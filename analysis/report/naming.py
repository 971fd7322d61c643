"""Whom a report names: the seeds, and accounts that many follow. Everybody else gets a pseudonym."""

from __future__ import annotations

from collections.abc import Callable

from analysis.graph import FollowGraph
from storage.pseudonyms import shortest


def veiled(
    graph: FollowGraph, *, min_followers: int, pseudonyms: Callable[[], dict[int, str] | None]
) -> tuple[FollowGraph, frozenset[int]]:
    """Return the graph with handles for those only who may be named, and the ids of all others.

    `pseudonyms` returns the keyed pseudonym of every account by id, None without a key: then the others are numbered.
    """
    accounts = graph.accounts
    is_named = (accounts.depth == 0) | (accounts.followers >= min_followers) | (min_followers == 0)
    unnamed = frozenset(accounts.id[~is_named].tolist())
    if not unnamed:
        return graph, unnamed
    keyed = pseudonyms()
    if keyed is None:
        labels = {key: f"acct-N{number}" for number, key in enumerate(sorted(unnamed), start=1)}
    else:
        made = {key: pseudonym for key, pseudonym in keyed.items() if key in unnamed}
        cut = shortest(made.values())
        labels = {key: cut(pseudonym) for key, pseudonym in made.items()}
    handles = [labels.get(key, handle) for key, handle in zip(accounts.id.tolist(), accounts.handle, strict=True)]
    return FollowGraph(accounts.called(handles), graph.src, graph.dst, graph.removed), unnamed
