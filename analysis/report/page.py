"""The page: one HTML file without anything from outside, laid out by `report.html.j2` in the dress of `report.css`.

`page.js` sorts its tables; the map has a program of its own.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import floor, log10
from pathlib import Path

import jinja2
import numpy as np
from markupsafe import Markup

from analysis import communities
from analysis.graph import STANDINGS
from analysis.ranks import TIERS, RankIntervals
from analysis.report import atlas, caveats, figures, prose, provenance, text
from analysis.report.atlas import Atlas, Squares
from analysis.report.dictionary import TABLES, file_words
from analysis.report.findings import NUMBERED, SCATTERED, Central, Findings, scattered, suspicious
from analysis.report.groups import PORTRAYED
from analysis.report.log import log, stopped
from analysis.report.method import method
from analysis.report.provenance import File
from analysis.structure import Distribution
from storage.export import replacing
from storage.sampling import SHARE_A_WAVE, WAVES
from storage.summary import RunRow

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content-Security-Policy: nothing is loaded from anywhere; only the page's own style is allowed.

The page's own programs are allowed besides, by their hashes."""

COMMUNITIES_SHOWN = 12
SEEDS_SHOWN = 20
LOGGED = 100
FORECAST_ROWS = 100
"""Two of each forecast."""
FLOWS_SHOWN = 10
STEPS = (0, 1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500)


LARGE = 15_000_000
"""Bytes of a page beyond which browsers have trouble."""


def render(
    findings: Findings, drawn: Atlas | None, beside: Sequence[File], *, generated_at: int, versions: dict[str, str]
) -> str:
    """Return the report as HTML; `drawn` is what its map shows, `beside` are the files of the report but the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": text.number,
        "signed": text.signed,
        "off": text.off,
        "decimal": text.decimal,
        "fixed": text.fixed,
        "day": text.day,
        "minute": text.minute,
        "iso": text.iso,
        "shown": text.shown,
    }
    environment.globals |= {
        "percent": text.percent,
        "count": text.count,
        "name": prose.name,
        "reason_words": prose.reason_words,
        "stopped": stopped,
        "file_words": file_words,
        "by": _by,
    }
    entries = log(findings)
    foreseen = [row for run in findings.coverage.runs for row in _forecasts(run)]
    programs = [_script(), *([atlas.script()] if drawn else [])]
    values = dict(  # noqa: C408 - names, as the template has them
        policy=f"{POLICY}; script-src {' '.join(map(_source, programs))}",
        script=programs[0],
        map=drawn,
        map_data=atlas.embedded(findings, drawn) if drawn else None,
        map_script=programs[-1],
        drawn_at=atlas.drawn_at(findings, drawn) if drawn else {},
        map_figure=figures.community_graph(findings, drawn) if drawn else [],
        squares_figure=figures.squares(drawn) if drawn else [],
        squares_finding=prose.unread(drawn.squares) if drawn else None,
        squares_rows=_shaded(drawn.squares) if drawn else [],
        all_links=len(drawn.links) + drawn.more_links if drawn else 0,
        map_caps=(atlas.MOST_ACCOUNTS, atlas.MOST_FOLLOWS),
        links=drawn.links[: figures.LINKS_DRAWN] if drawn else (),
        title=prose.title(findings),
        findings=findings,
        seen=findings.coverage,
        generated_at=generated_at,
        versions=versions,
        brief=prose.brief(findings),
        method=method(findings, versions, generated_at),
        caveats=caveats.caveats(findings),
        references=provenance.references_of(findings, versions, generated_at),
        citation=provenance.citation(findings, versions, generated_at),
        content=findings.content,
        seeds_hash=provenance.seeds_hash(findings),
        files=beside,
        dictionary=TABLES,
        log=entries[:LOGGED],
        logged=len(entries),
        too_large=prose.too_large(findings) if findings.partition is None else None,
        standings=[(word, *prose.STANDING_WORDS[word]) for word in STANDINGS],
        coverage_figure=figures.coverage(findings),
        followers_figure=figures.followers(findings),
        degrees_figure=figures.degrees(findings),
        degrees_finding=prose.degrees(findings),
        scattered=(len(scattered(findings)), SCATTERED),
        suspicious=suspicious(findings),
        flagged=int(findings.estimates.flagged.sum()),
        wrongly_flagged=prose.WRONGLY_FLAGGED,
        numbered=findings.central[:NUMBERED],
        places=_places(findings.central),
        tiers=list(_tiers(findings.central, len(findings.graph))),
        ranked_apart={rival.name: rival for rival in findings.estimates.rivals},
        bounded=isinstance(findings.estimates.intervals, RankIntervals),
        basis=prose.basis(findings),
        queues=[(prose.queue_words(queue), queue) for queue in findings.estimates.queues],
        forecasts=foreseen[-FORECAST_ROWS:],
        forecast_rows=len(foreseen),
        alarm=prose.alarm(findings),
        size=prose.size(findings),
        control_credits=SHARE_A_WAVE * WAVES,
        averages=[(mean, prose.value_shown(mean), prose.between(mean)) for mean in findings.estimates.means],
        saturation_figure=figures.saturation(findings),
        saturation_finding=prose.saturation(findings),
        saturation_rows=_saturated(findings),
        stability=prose.stability(findings),
        stable_from=communities.STABLE,
        unstable_below=communities.DOUBTFUL,
        portraits=[prose.portrait(findings, one) for one in findings.groups.portraits] if findings.groups else [],
        changed=prose.changed(findings.changes) if findings.changes else None,
        stability_figure=figures.stability(findings),
        overlap=_overlap(findings),
        flows=_flows(findings),
        named_paths=[
            (findings.graph.accounts.handle[at], int(findings.graph.accounts.id[at]), value)
            for at, value in findings.betweenness.first
        ],
        betweenness=prose.betweenness(findings),
        bow_tie=prose.bow_tie(findings.bow_tie),
        core_steps=_cores(findings),
        communities=findings.communities[:COMMUNITIES_SHOWN],
        seeds=findings.seeds[:SEEDS_SHOWN],
        followers_steps=list(_steps(findings.followers)),
        following_steps=list(_steps(findings.following)),
    )
    template = environment.get_template("report.html.j2")
    html = template.render(values, large=None)
    size = len(html.encode(errors="replace"))
    return html if size <= LARGE else template.render(values, large=size / 1e6)


def written_page(path: Path, html: str) -> Path:
    """Write the HTML file. Raises OutputNotWritable."""
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8", errors="replace")
    return path


@cache
def _script() -> Markup:
    """Return the page's own program."""
    path = Path(__file__).with_name("page.js")
    return Markup(path.read_text(encoding="utf-8").strip())  # noqa: S704 - our own


def _source(program: Markup) -> str:
    """Return what a Content-Security-Policy calls a program."""
    digest = hashlib.sha256(str(program).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _by(value: float | str | None) -> Markup:
    """Return the attribute of a cell that its column is sorted by; nothing where the value is missing."""
    if value is None:
        return Markup()
    return Markup(' data-value="{}"').format(f"{value:.9g}" if isinstance(value, float) else value)


def _places(rows: Sequence[Central]) -> int:
    """Return how many decimals show two digits of the smallest score, so that the column lines up."""
    smallest = min((1_000 * row.pagerank for row in rows), default=1)
    return max(0, 1 - floor(log10(smallest)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Foreseen:
    """A row of the forecasts: what was foreseen, low to high, from a credit on, what came, whether that lay inside.

    `error` is how far off it was, None where nothing can be compared.
    """

    run: int
    from_credit: int
    word: str
    span: Mapping[str, float]
    actual: int
    error: float | None
    inside: str


def _forecasts(run: RunRow) -> Iterator[_Foreseen]:
    """Yield the forecasts of a run, two rows each.

    Where the credits of a forecast were not all spent, by its run or before the next one was made, it is as much as was
    expected of those spent.
    """
    forecasts = run.forecasts
    for number, foreseen in enumerate(forecasts, start=1):
        part = f"after {text.number(max(0, foreseen['spent']))} of its {text.count(foreseen['credits'], 'credit')}"
        end = "the run goes on" if run.stop_reason is None else f"the run stopped because {stopped(run.stop_reason)}"
        if run.stop_reason == "budget_exhausted":
            end = "its budget was lowered since"
        if number < len(forecasts):
            end = "a new forecast was made then"
        for word, key in (("accounts", "accounts"), ("follows", "edges")):
            found = foreseen[key]
            span = found["expected"] or found
            inside = "yes" if span["low"] <= found["actual"] <= span["high"] else "no"
            if found["expected"] is None:
                inside = "no comparison"
                inside += ": the budget was raised since" if foreseen["is_whole"] else f" {part}: {end}"
            elif not foreseen["is_whole"]:
                inside += f", {part}: {end}"
            yield _Foreseen(
                run=run.id,
                from_credit=foreseen["from_credit"],
                word=word,
                span=span,
                actual=found["actual"],
                error=found["error"],
                inside=inside,
            )


def _tiers(rows: Sequence[Central], known: int) -> Iterator[tuple[str, Sequence[Central]]]:
    """Yield the top list in tiers: a crawl tells the first ten from the first hundred, not the third from the tenth."""
    bounds = [0, *sorted({*TIERS, *([known // 100] if known // 100 > TIERS[-1] else [])}), known]
    for start, end in pairwise(bounds):
        if rows[start:end]:
            heading = f"The first {min(end, len(rows))}" if start == 0 else f"{start + 1:,} to {min(end, len(rows)):,}"
            if end == known // 100:
                heading += f", of the first hundredth ({end:,} accounts)"
            yield heading, rows[start:end]


def _saturated(findings: Findings) -> list[tuple[int, int, float, float | None]]:
    curve = findings.estimates.saturation
    columns = curve.credits, curve.accounts, curve.novelty, curve.overlap
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [(*row[:3], None if step == 0 else row[3]) for step, row in enumerate(rows)]


def _shaded(squares: Squares) -> list[tuple[str, int, int, int]]:
    """Return of each shade what it stands for, its squares, their accounts, and the visited ones of these."""
    words, shade = figures.shade_words(), figures.shade_of(squares)
    columns = (
        np.bincount(shade, weights=values, minlength=len(words)) for values in (None, squares.accounts, squares.visited)
    )
    return list(zip(words, *(column.astype(np.int64).tolist() for column in columns), strict=True))


def _overlap(findings: Findings) -> list[tuple[int, float, list[float]]]:
    """Return of each community that is drawn its number, its stability and its overlap with each run."""
    if findings.groups is None:
        return []
    found = findings.groups.consensus
    rows = zip(found.stability[:PORTRAYED].tolist(), found.overlap.T[:PORTRAYED].tolist(), strict=True)
    return [(number, stability, runs) for number, (stability, runs) in enumerate(rows, start=1)]


def _flows(findings: Findings) -> list[tuple[int, int, int, int]]:
    """Return the strongest flows: source, target, follows, and all follows that lead out of the source."""
    if findings.groups is None or not findings.groups.is_settled:
        return []
    return [
        (source + 1, target + 1, follows, findings.communities[source].follows_out)
        for source, target, follows in findings.groups.flows.rows[:FLOWS_SHOWN]
    ]


def _cores(findings: Findings) -> list[tuple[int, int]]:
    """Return (k, accounts in the k-core) at round k and at the largest, for reading; the CSV table has every one."""
    largest = findings.cores.largest
    chosen = sorted({step for step in STEPS if 0 < step <= largest} | ({largest} if largest > 0 else set()))
    return [(k, int(findings.cores.accounts[k])) for k in chosen]


def _steps(distribution: Distribution) -> Iterator[tuple[int, int]]:
    """Yield (value, accounts with at least it) at round values, for reading; the CSV table has every value."""
    if not distribution.accounts:
        return
    most = int(distribution.value[-1])
    rounds = sorted({*STEPS, *(step * 10**power for power in (3, 4, 5, 6) for step in (1, 2, 5)), most})
    for value in rounds:
        if value <= most:
            yield value, int(distribution.at_least[np.searchsorted(distribution.value, value)])
