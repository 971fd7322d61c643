"""The numbers of a report for other programs: `report.json` and `tables/*.csv`.

Numbers are raw, never rounded or grouped. The JSON's keys are sorted and it is ASCII: equal findings give equal bytes.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from analysis.capture import Saturation
from analysis.graph import STANDINGS
from analysis.report import atlas, text
from analysis.report.atlas import Atlas
from analysis.report.estimates import Mean, reason_of, value_of
from analysis.report.findings import Findings, scattered, suspicious
from analysis.report.groups import PORTRAYED, Groups
from analysis.report.log import log
from analysis.report.provenance import seeds_hash
from analysis.sampling import Interval, NotIdentifiable, Uninformative
from analysis.structure import Distribution, Reciprocity
from analysis.tail import Tail
from storage.export import cell, replacing

SCHEMA = 3
"""Version of the JSON's shape, docs/report.schema.json: raised when a field changes its meaning or goes."""

FLOWS_TOLD = 20

Table = tuple[Sequence[str], Iterable[Sequence[object]]]


def record(findings: Findings, drawn: Atlas | None, *, generated_at: int, versions: dict[str, str]) -> dict[str, Any]:
    """Return the JSON object of a report, whose map shows `drawn`; times in ISO 8601, UTC."""
    seen, graph, groups = findings.coverage, findings.graph, findings.groups
    return {
        "schema": SCHEMA,
        "generated_at": text.iso(generated_at),
        "versions": versions,
        "settings": asdict(findings.settings),
        "graph": {
            "accounts": len(graph),
            "edges": len(graph.src),
            "removed": asdict(graph.removed),
            "content_sha256": findings.content,
        },
        "coverage": {
            **_timed(asdict(seen)),
            "accounts": seen.accounts,
            "sources": list(seen.sources),
            "is_rehearsal": seen.is_rehearsal,
            "strategies": list(seen.strategies),
            "random_sample": False,
            "forecasts": [{"run": run.id, **foreseen} for run in seen.runs if (foreseen := run.foreseen) is not None],
        },
        "estimates": _estimates(findings),
        "policy": dict(findings.policy),
        "vanished": asdict(findings.vanished),
        "changes": _changes(findings),
        "purges": [_timed(dict(purge) | {"purged_at": purge["at"]}) for purge in findings.purges],
        "renamed": {"accounts": findings.renamed[0], "taken_over": findings.renamed[1]},
        "log": list(_logged(findings)),
        "seeds_sha256": seeds_hash(findings),
        "seeds_named": [text.iso(at) for at in findings.seeded_at],
        "seeds": [{"id": str(key), "handle": handle} for key, handle in findings.seeds],
        "without_seed": [
            {"id": str(graph.accounts.id[row.seed]), "handle": graph.accounts.handle[row.seed], "lists": row.lists}
            | {"shared_of_first": row.shared, "first": row.of, "known_of_largest_community": row.known}
            for row in findings.without
        ],
        "central": [{**asdict(row), "id": str(row.id), "thin_support": row.thin} for row in findings.central],
        "suspicious": [{**asdict(row), "id": str(row.id)} for row in suspicious(findings)],
        "communities": None
        if groups is None
        else {
            "method": "consensus of leiden",
            "runs": groups.runs,
            "agreement": groups.consensus.agreement,
            "found_by_run": list(groups.consensus.counts),
            "sweep_runs": groups.sweep_runs,
            "sweep": [{**asdict(scale), "trivial": scale.is_trivial} for scale in groups.scales],
            "settled": groups.is_settled,
            "unsettled_share": groups.unsettled,
            "accounts": int(groups.consensus.partition.size.sum()),
            "pairs": groups.consensus.partition.pairs,
            "modularity": groups.consensus.partition.modularity,
            "split": groups.consensus.partition.split,
            "flows": [
                {"source": source + 1, "target": target + 1, "follows": follows}
                for source, target, follows in flowing(groups)[:FLOWS_TOLD]
            ],
            "brokers": [{**asdict(row), "id": str(row.id)} for row in findings.brokers],
            "list": [
                {
                    **asdict(row),
                    "trust": row.trust,
                    "top": [{"id": str(key), "handle": handle} for key, handle in row.top],
                    "portrait": _portrait(findings, at),
                }
                for at, row in enumerate(findings.communities)
            ],
        },
        "map": None if drawn is None else _map(drawn),
        "structure": {
            "components": asdict(findings.components),
            "bow_tie": asdict(findings.bow_tie),
            "core_profile": findings.cores.accounts.tolist(),
            "assortativity_both_complete": asdict(findings.assortativity),
            "clustering_both_complete": None
            if findings.clustering is None
            else {**asdict(findings.clustering), "transitivity": findings.clustering.transitivity},
            "betweenness_of_visited": {
                **asdict(findings.betweenness),
                "first": [
                    {"id": str(graph.accounts.id[at]), "handle": graph.accounts.handle[at], "value": value}
                    for at, value in findings.betweenness.first
                ],
            },
            "tails": {name: None if found is None else _tail(found) for name, found in findings.tails.items()},
            "reciprocity": {
                "all": _mutual(findings.reciprocity),
                "both_visited": _mutual(findings.reciprocity_visited),
                "both_complete": _mutual(findings.reciprocity_complete),
            },
            "followers_observed": _spread(findings.followers),
            "following_of_complete": _spread(findings.following),
        },
    }


def _portrait(findings: Findings, at: int) -> dict[str, Any] | None:
    """Return what the page tells of a community in words; None of those it does not. Whom an unstable one holds is not
    said there, and not here."""
    groups = findings.groups
    if groups is None or at >= len(groups.portraits):
        return None
    one, accounts = groups.portraits[at], findings.graph.accounts
    told: dict[str, Any] = {"density": one.density, "conductance": one.conductance}
    for name, positions in (("most_followed_within", one.top), ("most_connected_outside", one.bridges)):
        told[name] = [{"id": str(accounts.id[each]), "handle": accounts.handle[each]} for each in positions]
    told["words"] = [{"value": word, "share": here, "elsewhere": there} for word, here, there in one.words]
    for name, shares in (("regions", one.regions), ("languages", one.languages)):
        told[name] = [{"value": value, "share": share} for value, share in shares]
    if findings.communities[at].trust == "unstable":
        return {name: [] if isinstance(value, list) else value for name, value in told.items()}
    return told


def _changes(findings: Findings) -> dict[str, Any] | None:
    found = findings.changes
    if found is None:
        return None
    return {
        "revisited": _timed(asdict(found.revisited)),
        **{kind: found.total(kind) for kind in ("new", "back", "gone")},
        "months": [asdict(month) for month in found.months],
        "winners": [{**asdict(mover), "id": str(mover.id)} for mover in found.winners],
        "losers": [{**asdict(mover), "id": str(mover.id)} for mover in found.losers],
    }


def _changed(findings: Findings) -> Table:
    movers = findings.changes.movers if findings.changes else ()
    return ("id", "handle", "won", "lost"), [(str(row.id), row.handle, row.won, row.lost) for row in movers]


def _months(findings: Findings) -> Table:
    months = findings.changes.months if findings.changes else ()
    return ("month", "new", "back", "gone"), [(row.month, row.new, row.back, row.gone) for row in months]


def _estimates(findings: Findings) -> dict[str, Any]:
    made = findings.estimates
    ranking, curve = made.ranking, made.saturation
    return {
        "queues": [asdict(queue) for queue in made.queues],
        "control": None
        if made.wave_credits is None
        else {"credits_of_poorest_wave": made.wave_credits, "draws": list(made.draws)},
        "audited": made.is_audited,
        "alarm": {"balance": None, "biased": None, "reason": made.alarm.reason}
        if isinstance(made.alarm, NotIdentifiable)
        else {"balance": made.alarm.balance, "biased": made.alarm.biased, "reason": None},
        "size": {"reason": made.size.reason}
        if isinstance(made.size, NotIdentifiable)
        else {**asdict(made.size), "reason": None},
        "averages": [_mean(mean) for mean in made.means],
        "ranking": None
        if ranking is None
        else {
            "basis": ranking.basis,
            "noise": ranking.mended.noise**0.5,
            "flagged": int(ranking.mended.flagged.sum()),
            "agreement": ranking.agreement,
            "no_intervals": reason_of(made.intervals),
            "shared_with": {rival.name: {"shared": rival.shared, "of": rival.of} for rival in made.rivals},
        },
        "saturation": [
            {"credits": credits, "accounts": accounts, "novelty": novelty, "overlap": None if step == 0 else overlap}
            for step, (credits, accounts, novelty, overlap) in enumerate(
                zip(*(column.tolist() for column in _columns(curve)), strict=True)
            )
        ],
    }


def _columns(curve: Saturation) -> tuple[Any, ...]:
    return curve.credits, curve.accounts, curve.novelty, curve.overlap


def _mean(mean: Mean) -> dict[str, Any]:
    found = mean.found
    limits = {"low": found.low, "high": found.high} if isinstance(found, Interval) else {"low": None, "high": None}
    return {
        "name": mean.name,
        "value": value_of(found),
        **limits,
        "informative": isinstance(found, Interval) and not isinstance(found, Uninformative),
        "reason": reason_of(found),
    }


def written_json(path: Path, content: dict[str, Any]) -> Path:
    """Write the JSON file. Raises OutputNotWritable."""
    with replacing(path) as temporary:
        body = json.dumps(content, ensure_ascii=True, allow_nan=False, sort_keys=True, indent=1)
        temporary.write_text(f"{body}\n", encoding="ascii")
    return path


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


def _tail(found: Tail) -> dict[str, Any]:
    fit = found.goodness
    goodness = None if fit is None else {**asdict(fit), "p": fit.p}
    return {**asdict(found), "goodness": goodness, "verdict": found.verdict}


def flowing(groups: Groups) -> list[tuple[int, int, int]]:
    """Return (source, target, follows) of the follows between communities that are not unstable, the most first."""
    columns = groups.flows.source, groups.flows.target, groups.flows.follows
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _flows(findings: Findings) -> Table:
    rows = [] if findings.groups is None else flowing(findings.groups)
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
    rows = (_mean(mean) for mean in findings.estimates.means)
    header = ("name", "value", "low", "high", "informative", "reason")
    return header, [tuple(int(row[name]) if name == "informative" else row[name] for name in header) for row in rows]


def _saturated(findings: Findings) -> Table:
    rows = _estimates(findings)["saturation"]
    header = ("credits", "accounts", "novelty", "overlap")
    return header, [tuple(row[name] for name in header) for row in rows]


def _resolutions(findings: Findings) -> Table:
    header = ("resolution", "communities", "largest", "modularity", "standard", "agreement", "limit", "below")
    scales = () if findings.groups is None else findings.groups.scales
    return (*header, "trivial"), [
        (*(getattr(scale, name) for name in header), int(scale.is_trivial)) for scale in scales
    ]


def _map(drawn: Atlas) -> dict[str, int]:
    """Return how much the map shows and leaves out; what it shows is in the tables."""
    return {
        "communities": drawn.shown,
        "links": len(drawn.links),
        "links_left_out": drawn.more_links,
        "accounts": len(drawn.accounts),
        "most_accounts": atlas.MOST_ACCOUNTS,
        "follows": len(drawn.source),
        "follows_left_out": drawn.more_follows,
        "most_follows": atlas.MOST_FOLLOWS,
    }


def _map_links(drawn: Atlas | None) -> Table:
    links = drawn.links if drawn else ()
    return ("community", "other", "follows"), [(one + 1, other + 1, follows) for one, other, follows in links]


def _map_accounts(findings: Findings, drawn: Atlas | None) -> Table:
    header = ("number", "label", "community", "followers_observed", "x", "y")
    if drawn is None or findings.groups is None:
        return header, ()
    labels = atlas.labels(findings, drawn)
    columns = (findings.groups.consensus.told[drawn.accounts] + 1, findings.observed[drawn.accounts])
    rows = zip(
        labels, *(column.tolist() for column in columns), drawn.layout.place[drawn.accounts].tolist(), strict=True
    )
    return header, [
        (number, label, community or None, followers, *place)
        for number, (label, community, followers, place) in enumerate(rows, start=1)
    ]


def _map_follows(drawn: Atlas | None) -> Table:
    pairs = [] if drawn is None else list(zip((drawn.source + 1).tolist(), (drawn.target + 1).tolist(), strict=True))
    return ("source_number", "target_number"), pairs


def _cores(findings: Findings) -> Table:
    return ("k", "accounts"), list(enumerate(findings.cores.accounts.tolist()))


def _log(findings: Findings) -> Table:
    header = ("at", "until_at", "run", "kind", "words")
    return header, [tuple(row[name] for name in header) for row in _logged(findings)]


def _logged(findings: Findings) -> Iterator[dict[str, Any]]:
    for entry in log(findings):
        yield _timed(asdict(entry)) | {"at": text.iso(entry.at) or None}


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


def _mutual(reciprocity: Reciprocity) -> dict[str, Any]:
    return {**asdict(reciprocity), "share": reciprocity.share}


def _spread(distribution: Distribution) -> dict[str, int]:
    return {
        "accounts": distribution.accounts,
        "total": int((distribution.value * distribution.count).sum()),
        "maximum": int(distribution.value.max(initial=0)),
    }


def _timed(values: Any) -> Any:
    """Return nested values with every `_at` turned from Unix seconds into ISO 8601."""
    if isinstance(values, dict):
        return {key: text.iso(value) or None if key.endswith("_at") else _timed(value) for key, value in values.items()}
    return [_timed(value) for value in values] if isinstance(values, (list, tuple)) else values
