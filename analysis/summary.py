"""A graph at a glance, as a notebook shows it: one small table, its foreign text escaped."""

from __future__ import annotations

from html import escape

import numpy as np

from analysis.accounts import Accounts
from analysis.engine import Indices
from storage.errors import DatabaseError
from storage.export import STANDINGS

_FIRST = 5


def as_html(accounts: Accounts, dst: Indices, edges: str, removed: str) -> str:
    """Return the table of a graph whose edges, counted in words, lead to `dst`. Never raises a DatabaseError."""
    counts = np.bincount(accounts.standing, minlength=len(STANDINGS))
    standing = ", ".join(
        f"{count:,} {word.replace('_', ' ')}" for word, count in zip(STANDINGS, counts.tolist(), strict=True) if count
    )
    rows = {
        "Accounts": f"{len(accounts):,}, {int(accounts.listed.sum()):,} of them visited",
        "Lists": standing or "none",
        "Edges": edges,
        "Left out": removed,
        "Most connected": _most(accounts, dst),
        "Not to be forgotten": "a crawl is no random sample; whom an unvisited account follows is unknown, not nobody",
    }
    cells = "".join(f"<tr><th>{name}</th><td>{escape(value)}</td></tr>" for name, value in rows.items() if value)
    return f"<table>{cells}</table>"


def _most(accounts: Accounts, dst: Indices) -> str:
    observed = np.bincount(dst, minlength=len(accounts))
    first = np.lexsort((accounts.id, -observed))[:_FIRST]
    try:
        handles = accounts.handle
    except DatabaseError:  # the graph stands without its database, its names do not
        handles = [None] * len(accounts)
    names = (f"{handles[at] or f'id {accounts.id[at]}'} ({observed[at]:,})" for at in first.tolist() if observed[at])
    return ", ".join(names)
