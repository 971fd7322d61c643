"""The numbers of a report for spreadsheets: `tables/*.csv`, raw, never rounded or grouped."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from analysis.graph import STANDINGS
from analysis.report import atlas
from analysis.report.atlas import Atlas
from analysis.report.findings import Findings, scattered, suspicious
from analysis.report.groups import PORTRAYED
from analysis.report.record import averages, logged, saturation
from storage.export import cell, replacing

Table = tuple[Sequence[str], Iterable[Sequence[object]]]


def _changed(findings: Findings) -> Table:
    movers = findings.changes.movers if findings.changes else ()
    return ("id", "handle", "won", "lost"), [(str(row.id), row.handle, row.won, row.lost) for row in movers]


def _months(findings: Findings) -> Table:
    months = findings.changes.months if findings.changes else ()
    return ("month", "new", "back", "gone"), [(row.month, row.new, row.back, row.gone) for row in months]


def written_tables(folder: Path, findings: Findings, drawn: Atlas | None) -> tuple[Path, ...]:
    """Write the CSV files; what a spreadsheet would take for a formula is neutralised. Raises OutputNotWritable."""
    paths = []
    for name, (header, rows) in {
        "coverage": _coverage(findings),
        "accounts": _accounts(findings),
        "communities": _communities(findings),
        "degree_distribution": _degrees(findings),
        "reported_observed": _scattered(findings),
        "suspicious": _suspicious(findings),
        "averages": _averages(findings),
        "saturation": _saturated(findings),
        "resolutions": _resolutions(findings),
        "stability": _stability(findings),
        "flows": _flows(findings),
        "brokers": _brokers(findings),
        "changes_by_month": _months(findings),
        "changes_by_account": _changed(findings),
        "cores": _cores(findings),
        "log": _log(findings),
        "map_links": _map_links(drawn),
        "map_accounts": _map_accounts(findings, drawn),
        "map_follows": _map_follows(drawn),
        "map_squares": _map_squares(drawn),
    }.items():
        path = folder / f"{name}.csv"
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", errors="replace", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows([cell(value) for value in row] for row in rows)
        paths.append(path)
    return tuple(paths)


def _coverage(findings: Findings) -> Table:
    seen = findings.coverage
    return ("standing", "accounts", "credits"), [(word, seen.standings[word], seen.spent[word]) for word in STANDINGS]


def _accounts(findings: Findings) -> Table:
    header = (
        *("rank", "rank_low", "rank_high", "tier", "rank_by_followers_reported", "rank_by_pagerank_within_crawl"),
        *("rank_by_followers_observed", "suspicious_followers", "score"),
        *("id", "label", "role", "completeness", "followers_reported", "followers_observed"),
        *("visited_accounts", "pagerank_within_crawl", "community"),
    )
    visited = findings.coverage.visited
    return header, [
        (
            *(row.rank, row.low, row.high, row.tier, *(row.places[rival.name] for rival in findings.estimates.rivals)),
            *(int(row.suspicious), row.score),
            *(str(row.id), row.handle, row.role, row.completeness),
            *(row.followers_reported, row.followers_observed, visited, row.pagerank, row.community),
        )
        for row in findings.central
    ]


def _communities(findings: Findings) -> Table:
    header = (
        *("community", "accounts", "visited", "pairs_inside", "pairs_touching"),
        *("follows_inside", "follows_out", "follows_in", "stability", "top_accounts"),
    )
    return header, [
        (
            *(row.number, row.accounts, row.visited, row.inside, row.touching),
            *(row.follows_inside, row.follows_out, row.follows_in, row.stability),
            " ".join(handle if handle is not None else f"id:{key}" for key, handle in row.top),
        )
        for row in findings.communities
    ]


def _flows(findings: Findings) -> Table:
    rows = [] if findings.groups is None else findings.groups.flows.rows
    return ("source", "target", "follows"), [(source + 1, target + 1, follows) for source, target, follows in rows]


def _brokers(findings: Findings) -> Table:
    header = ("id", "label", "community", "connections", "connections_outside", "participation")
    return header, [
        (str(row.id), row.handle, row.community, row.connections, row.outside, row.participation)
        for row in findings.brokers
    ]


def _stability(findings: Findings) -> Table:
    overlap = np.zeros((0, 0)) if findings.groups is None else findings.groups.consensus.overlap[:, :PORTRAYED]
    rows = [
        (number + 1, run + 1, value) for number, runs in enumerate(overlap.T.tolist()) for run, value in enumerate(runs)
    ]
    return ("community", "run", "overlap"), rows


def _scattered(findings: Findings) -> Table:
    accounts = findings.graph.accounts
    drawn = scattered(findings)
    columns = accounts.id[drawn].tolist(), accounts.followers[drawn].tolist(), findings.observed[drawn].tolist()
    return ("id", "followers_reported", "followers_observed"), [
        (str(key), *numbers) for key, *numbers in zip(*columns, strict=True)
    ]


def _suspicious(findings: Findings) -> Table:
    header = ("letter", "id", "label", "followers_reported", "followers_plausible", "followers_observed")
    return header, [
        (
            *(row.letter, str(row.id), row.handle),
            *(row.followers_reported, row.followers_plausible, row.followers_observed),
        )
        for row in suspicious(findings)
    ]


def _averages(findings: Findings) -> Table:
    header = ("name", "value", "low", "high", "draws", "informative", "reason")
    return header, [
        tuple(int(row[name]) if name == "informative" else row[name] for name in header) for row in averages(findings)
    ]


def _saturated(findings: Findings) -> Table:
    header = ("credits", "accounts", "novelty", "overlap")
    return header, [tuple(row[name] for name in header) for row in saturation(findings)]


def _resolutions(findings: Findings) -> Table:
    header = ("resolution", "communities", "largest", "modularity", "standard", "agreement", "limit", "below")
    scales = () if findings.groups is None else findings.groups.scales
    return (*header, "trivial"), [
        (*(getattr(scale, name) for name in header), int(scale.is_trivial)) for scale in scales
    ]


def _map_links(drawn: Atlas | None) -> Table:
    links = drawn.links if drawn else ()
    return ("community", "other", "follows"), [(one + 1, other + 1, follows) for one, other, follows in links]


def _map_accounts(findings: Findings, drawn: Atlas | None) -> Table:
    header = ("number", "label", "community", "followers_observed", "x", "y")
    if drawn is None:
        return header, ()
    # Without @ a handle is joined with those of the other tables, and no spreadsheet takes it for a formula.
    labels = [label.removeprefix("@") for label in atlas.labels(findings, drawn)]
    columns = (drawn.community + 1, drawn.followers, drawn.layout.place[drawn.accounts])
    rows = zip(labels, *(column.tolist() for column in columns), strict=True)
    return header, [
        (number, label, community or None, followers, *place)
        for number, (label, community, followers, place) in enumerate(rows, start=1)
    ]


def _map_follows(drawn: Atlas | None) -> Table:
    pairs = [] if drawn is None else list(zip((drawn.source + 1).tolist(), (drawn.target + 1).tolist(), strict=True))
    return ("source_number", "target_number"), pairs


def _map_squares(drawn: Atlas | None) -> Table:
    header = ("x", "y", "side", "accounts", "visited")
    if drawn is None:
        return header, ()
    found = drawn.squares
    middles = (np.round((along + 0.5) * found.side, 2).tolist() for along in (found.column, found.row))
    rows = zip(*middles, found.accounts.tolist(), found.visited.tolist(), strict=True)
    return header, [(x, y, found.side, accounts, visited) for x, y, accounts, visited in rows]


def _cores(findings: Findings) -> Table:
    return ("k", "accounts"), list(enumerate(findings.cores.accounts.tolist()))


def _log(findings: Findings) -> Table:
    header = ("at", "until_at", "run", "kind", "words")
    return header, [tuple(row[name] for name in header) for row in logged(findings)]


def _degrees(findings: Findings) -> Table:
    def rows() -> Iterator[Sequence[object]]:
        for measure, population, distribution in (
            ("followers_observed", "known", findings.followers),
            ("following", "complete", findings.following),
        ):
            values = distribution.value, distribution.count, distribution.at_least
            for value, count, at_least in zip(*(column.tolist() for column in values), strict=True):
                yield measure, population, value, count, at_least, at_least / distribution.accounts

    return ("measure", "population", "value", "accounts", "accounts_at_least", "share_at_least"), rows()
