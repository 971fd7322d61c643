"""The numbers of a report for programs: `report.json`.

Numbers are raw, never rounded or grouped. Keys are sorted and it is ASCII: equal findings give equal bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.report import atlas, text
from analysis.report.atlas import Atlas
from analysis.report.estimates import Mean, reason_of, value_of
from analysis.report.findings import Findings, suspicious
from analysis.report.log import log
from analysis.report.provenance import seeds_hash
from analysis.sampling import Interval, NotIdentifiable, Uninformative
from analysis.structure import Distribution, Reciprocity
from analysis.tail import Tail
from storage.export import replacing

SCHEMA = 3
"""Version of the JSON's shape, docs/report.schema.json: raised when a field changes its meaning or goes."""

FLOWS_TOLD = 20


def record(findings: Findings, drawn: Atlas | None, *, generated_at: int, versions: dict[str, str]) -> dict[str, Any]:
    """Return the JSON object of a report, whose map shows `drawn`; times in ISO 8601, UTC, ids of accounts as texts."""
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
            "forecasts": [{"run": run.id, **foreseen} for run in seen.runs for foreseen in run.forecasts],
        },
        "estimates": _estimates(findings),
        "policy": dict(findings.policy),
        "doi": findings.doi,
        "vanished": asdict(findings.vanished),
        "changes": _changes(findings),
        "purges": [_timed(dict(purge) | {"purged_at": purge["at"]}) for purge in findings.purges],
        "renamed": {"accounts": findings.renamed[0], "taken_over": findings.renamed[1]},
        "log": logged(findings),
        "seeds_sha256": seeds_hash(findings),
        "seeds_named": [text.iso(at) for at in findings.seeded_at],
        "seeds": [{"id": str(key), "handle": handle} for key, handle in findings.seeds],
        "without_seed": [
            {"id": str(graph.accounts.id[row.seed]), "handle": graph.accounts.handle[row.seed], "lists": row.lists}
            | {"shared_of_first": row.shared, "first": row.of, "known_of_largest_stable_community": row.known}
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
                for source, target, follows in groups.flows.rows[:FLOWS_TOLD]
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


def _estimates(findings: Findings) -> dict[str, Any]:
    made = findings.estimates
    ranking = made.ranking
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
        "averages": averages(findings),
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
        "saturation": saturation(findings),
    }


def averages(findings: Findings) -> list[dict[str, Any]]:
    """Return every average with its interval, or why there is none."""
    return [_mean(mean) for mean in findings.estimates.means]


def saturation(findings: Findings) -> list[dict[str, Any]]:
    """Return the steps of the replay; the first has no overlap with one before it."""
    curve = findings.estimates.saturation
    columns = curve.credits, curve.accounts, curve.novelty, curve.overlap
    return [
        {"credits": credits, "accounts": accounts, "novelty": novelty, "overlap": overlap if step else None}
        for step, (credits, accounts, novelty, overlap) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    ]


def _mean(mean: Mean) -> dict[str, Any]:
    found = mean.found
    limits = {name: getattr(found, name) if isinstance(found, Interval) else None for name in ("low", "high", "draws")}
    return {
        "name": mean.name,
        "value": value_of(found),
        **limits,
        "informative": isinstance(found, Interval) and not isinstance(found, Uninformative),
        "reason": reason_of(found),
    }


def logged(findings: Findings) -> list[dict[str, Any]]:
    """Return the log, entry by entry; times in ISO 8601."""
    return [_timed(asdict(entry)) | {"at": text.iso(entry.at) or None} for entry in log(findings)]


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


def _tail(found: Tail) -> dict[str, Any]:
    fit = found.goodness
    goodness = None if fit is None else {**asdict(fit), "p": fit.p}
    return {**asdict(found), "goodness": goodness, "verdict": found.verdict}


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


def written_json(path: Path, content: dict[str, Any]) -> Path:
    """Write the JSON file. Raises OutputNotWritable."""
    with replacing(path) as temporary:
        body = json.dumps(content, ensure_ascii=True, allow_nan=False, sort_keys=True, indent=1)
        temporary.write_text(f"{body}\n", encoding="ascii")
    return path
