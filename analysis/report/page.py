"""The page: one HTML file without anything from outside, laid out by `report.html.j2` in the dress of `report.css`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import floor, log10
from pathlib import Path

import jinja2
import numpy as np

from analysis.graph import STANDINGS
from analysis.report import caveats, figures, prose, text
from analysis.report.findings import Central, Findings, scattered
from analysis.structure import Distribution
from storage.export import replacing

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content-Security-Policy: nothing is loaded from anywhere, no script runs; only the page's own style is allowed."""

COMMUNITIES_SHOWN = 12
SEEDS_SHOWN = 20
STEPS = (0, 1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500)


def render(findings: Findings, *, generated_at: int, versions: dict[str, str]) -> str:
    """Return the report as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": text.number,
        "decimal": text.decimal,
        "fixed": lambda value, places: f"{value:,.{places}f}",
        "day": text.day,
        "minute": text.minute,
        "iso": text.iso,
        "shown": text.shown,
    }
    environment.globals |= {"percent": text.percent, "count": text.count, "name": prose.name}
    return environment.get_template("report.html.j2").render(
        policy=POLICY,
        title=prose.title(findings),
        findings=findings,
        seen=findings.coverage,
        generated_at=generated_at,
        versions=versions,
        brief=prose.brief(findings),
        method=prose.method(findings, versions, generated_at),
        caveats=caveats.caveats(findings),
        too_large=prose.too_large(findings) if findings.partition is None else None,
        standings=[(word, *prose.STANDING_WORDS[word]) for word in STANDINGS],
        coverage_figure=figures.coverage(findings),
        followers_figure=figures.followers(findings),
        degrees_figure=figures.degrees(findings),
        degrees_finding=prose.degrees(findings),
        scattered=len(scattered(findings)),
        numbered=findings.central[: figures.NUMBERED],
        places=_places(findings.central),
        tiers=list(_tiers(findings.central)),
        communities=findings.communities[:COMMUNITIES_SHOWN],
        seeds=findings.seeds[:SEEDS_SHOWN],
        followers_steps=list(_steps(findings.followers)),
        following_steps=list(_steps(findings.following)),
    )


def written_page(path: Path, html: str) -> Path:
    """Write the HTML file. Raises OutputNotWritable."""
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8", errors="replace")
    return path


def _places(rows: Sequence[Central]) -> int:
    """Return how many decimals show two digits of the smallest score, so that the column lines up."""
    smallest = min((1_000 * row.pagerank for row in rows), default=1)
    return max(0, 1 - floor(log10(smallest)))


def _tiers(rows: Sequence[Central]) -> Iterator[tuple[str, Sequence[Central]]]:
    """Yield the top list in tiers: a crawl tells the first ten from the first hundred, not the third from the tenth."""
    bounds = [0, 10, 100, 1_000, len(rows)]
    for start, end in pairwise(bounds):
        if rows[start:end]:
            heading = f"The first {min(end, len(rows))}" if start == 0 else f"{start + 1} to {min(end, len(rows)):,}"
            yield heading, rows[start:end]


def _steps(distribution: Distribution) -> Iterator[tuple[int, int]]:
    """Yield (value, accounts with at least it) at round values, for reading; the CSV table has every value."""
    if not distribution.accounts:
        return
    most = int(distribution.value[-1])
    rounds = sorted({*STEPS, *(step * 10**power for power in (3, 4, 5, 6) for step in (1, 2, 5)), most})
    for value in rounds:
        if value <= most:
            yield value, int(distribution.at_least[np.searchsorted(distribution.value, value)])
