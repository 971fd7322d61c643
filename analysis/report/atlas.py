"""What the map shows: communities as circles with the follows between them, and the accounts ranked first.

Positions are of `analysis.layout`. Labels obey the rules of the report: who is not named has a pseudonym already, and
nobody is named in a community whose stability is under DOUBTFUL, nor to be told by a rank or a count of followers that
stands elsewhere. Labels are foreign text: the page sets them as text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from analysis import layout
from analysis.communities import NOWHERE, Partition
from analysis.engine import Indices
from analysis.graph import Ints, Mask
from analysis.layout import Layout
from analysis.report import text
from analysis.report.findings import Findings

MOST_ACCOUNTS, MOST_FOLLOWS = 20_000, 100_000
"""What a browser without a graphics card draws in a second; beyond it the map shows the first by rank."""

MOST_COMMUNITIES, MOST_LINKS = 200, 400

LEAST_IN_SQUARE, MOST_ACROSS = 30, 48
"""A square has room for so many accounts at least, and so many squares are as wide as the map at most."""

BUNDLE = Path(__file__).parent / "map" / "bundle.js"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Squares:
    """Squares of one `side` over the places of all accounts that have one: of each, shape (s,), the `column` and `row`
    counted from the middle, its `accounts`, and how many of them were `visited`. Each has `room` for so many accounts.
    """

    side: float
    room: int
    column: Ints
    row: Ints
    accounts: Ints
    visited: Ints


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Atlas:
    """`links` are follows between two drawn communities in both directions, (one, other, follows), the most first.

    `accounts` holds the positions of the drawn accounts in the graph, those with a name by rank, the others by place;
    `source` and `target` index it. `community` and `followers` are theirs: NOWHERE for the nameless, and for those the
    largest power of 2 that is not above. All accounts with a visible follow are drawn, up to MOST_ACCOUNTS, and their
    follows up to MOST_FOLLOWS. `squares` count all accounts of communities, drawn or not.
    """

    squares: Squares
    layout: Layout
    shown: int
    links: tuple[tuple[int, int, int], ...]
    more_links: int
    accounts: Ints
    community: Ints
    followers: Ints
    source: Ints
    target: Ints
    more_follows: int


def atlas(findings: Findings) -> Atlas | None:
    """Choose what the map shows; None where there are no communities."""
    groups, graph = findings.groups, findings.graph
    if groups is None or not len(groups.consensus.partition.size):
        return None
    partition = groups.consensus.partition
    links = _links(partition, graph.src, graph.dst)
    chosen = _chosen(findings)
    number = np.full(len(graph), -1, dtype=np.int64)
    number[chosen] = np.arange(len(chosen))
    source, target = number[graph.src], number[graph.dst]
    both = (source >= 0) & (target >= 0)
    source, target = source[both], target[both]
    # The follows among the first come first: a follow is as far down as the lower of its ends.
    kept = np.lexsort((target, source, np.maximum(source, target)))[:MOST_FOLLOWS]
    more = len(source) - len(kept)
    source, target = source[kept], target[kept]
    # An account without a visible follow would stand there as if it had none.
    used, places = np.unique(np.concatenate((source, target)), return_inverse=True)
    accounts = chosen[used]
    placed = layout.packed(partition, layout.by_followers(graph))
    # A rank or an exact count of followers would tell by other tables whose a nameless dot is.
    is_named = groups.consensus.told[accounts] != NOWHERE
    order = np.lexsort((*placed.place[accounts].T[::-1], np.where(is_named, np.arange(len(accounts)), len(accounts))))
    places = np.argsort(order)[places]
    accounts, is_named = accounts[order], is_named[order]
    followers = findings.observed[accounts]
    rough = np.where(followers > 0, 1 << np.frexp(followers)[1].clip(1) - 1, 0)
    return Atlas(
        squares=_squares(placed, graph.accounts.listed),
        layout=placed,
        shown=min(MOST_COMMUNITIES, len(partition.size)),
        links=links[:MOST_LINKS],
        more_links=max(0, len(links) - MOST_LINKS),
        accounts=accounts,
        community=groups.consensus.told[accounts],
        followers=np.where(is_named, followers, rough),
        source=places[: len(source)],
        target=places[len(source) :],
        more_follows=more,
    )


def _chosen(findings: Findings) -> Ints:
    """Return the seeds and the first by rank, in the order of their rank."""
    order = findings.estimates.order
    kept = np.zeros(len(order), dtype=np.bool_)
    seeds = np.flatnonzero(findings.graph.accounts.depth == 0)[:MOST_ACCOUNTS]
    kept[seeds] = True
    rest = order[~kept[order]][: MOST_ACCOUNTS - len(seeds)]
    kept[rest] = True
    found: Ints = order[kept[order]]
    return found


def _squares(placed: Layout, visited: Mask) -> Squares:
    """Count accounts and visited ones square by square, row by row."""
    side = round(max(LEAST_IN_SQUARE**0.5 * placed.side, 2 * layout.SPAN / MOST_ACROSS), 1)
    has_place = ~np.isnan(placed.place[:, 0])
    column, row = np.floor(placed.place[has_place] / side).astype(np.int64).T
    # No square is further from the middle than this.
    reach = int(layout.SPAN / side) + 2
    keys, square = np.unique((row + reach) * (2 * reach) + column + reach, return_inverse=True)
    return Squares(
        side=side,
        room=round((side / placed.side) ** 2),
        column=keys % (2 * reach) - reach,
        row=keys // (2 * reach) - reach,
        accounts=np.bincount(square),
        visited=np.bincount(square, weights=visited[has_place]).astype(np.int64),
    )


def _links(partition: Partition, src: Indices, dst: Indices) -> tuple[tuple[int, int, int], ...]:
    one, other = partition.label[src], partition.label[dst]
    drawn = (one != other) & (np.maximum(one, other) < MOST_COMMUNITIES) & (np.minimum(one, other) != NOWHERE)
    keys = np.minimum(one, other)[drawn] * MOST_COMMUNITIES + np.maximum(one, other)[drawn]
    pairs, follows = np.unique(keys, return_counts=True)
    order = np.lexsort((pairs, -follows))
    rows = zip((pairs[order] // MOST_COMMUNITIES).tolist(), (pairs[order] % MOST_COMMUNITIES).tolist(), strict=True)
    return tuple((low, high, count) for (low, high), count in zip(rows, follows[order].tolist(), strict=True))


def labels(findings: Findings, drawn: Atlas) -> list[str]:
    """Return what each drawn account is called."""
    accounts = findings.graph.accounts
    return [
        text.label(accounts.handle[at], int(accounts.id[at])) if community != NOWHERE else f"not named ({number})"
        for number, (at, community) in enumerate(zip(drawn.accounts.tolist(), drawn.community.tolist(), strict=True), 1)
    ]


def drawn_at(findings: Findings, drawn: Atlas) -> dict[int, int]:
    """Return by id where the map has an account: not of one in an unstable community, whose dot has no name."""
    numbers = np.flatnonzero(drawn.community != NOWHERE)
    ids = findings.graph.accounts.id[drawn.accounts[numbers]]
    return dict(zip(ids.tolist(), numbers.tolist(), strict=True))


def embedded(findings: Findings, drawn: Atlas) -> Markup:
    """Return the map's data as JSON that can stand in a script element: no text in it can end the element."""
    place = drawn.layout.place[drawn.accounts]
    rows = findings.communities[: drawn.shown]
    content: dict[str, Any] = {
        "communities": {
            "x": drawn.layout.centre[: drawn.shown, 0].tolist(),
            "y": drawn.layout.centre[: drawn.shown, 1].tolist(),
            "radius": drawn.layout.radius[: drawn.shown].tolist(),
            "accounts": [row.accounts for row in rows],
            "trust": [row.trust for row in rows],
            "edges": drawn.links,
        },
        "accounts": {
            "x": place[:, 0].tolist(),
            "y": place[:, 1].tolist(),
            "community": drawn.community.tolist(),
            "followers": drawn.followers.tolist(),
            "label": labels(findings, drawn),
            "edges": np.stack((drawn.source, drawn.target), axis=1).ravel().tolist(),
        },
        "describes": {
            "communities": f"Map of {text.count(drawn.shown, 'community', 'communities')} and "
            f"{text.count(len(drawn.links), 'link')} between them; the tables below hold the same.",
            "accounts": f"Map of {text.count(len(drawn.accounts), 'account')} and "
            f"{text.count(len(drawn.source), 'follow')} between them; search, or see the tables.",
        },
    }
    body = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(body.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 - escaped


@cache
def script() -> Markup:
    """Return the map's program, built by `make map`."""
    return Markup(BUNDLE.read_text(encoding="ascii").strip())  # noqa: S704 - our own
