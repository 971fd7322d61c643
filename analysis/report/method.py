"""The paragraph on method that a paper can take over: what was drawn how, computed by what, and with which seeds."""

from __future__ import annotations

from markupsafe import Markup

from analysis.centrality import DAMPING
from analysis.communities import RARE
from analysis.coverage import Coverage
from analysis.ranks import RankIntervals
from analysis.report import text
from analysis.report.estimates import reason_of
from analysis.report.findings import Findings

MOST_RUNS = 10
"""Runs that are told of one by one."""


def method(findings: Findings, versions: dict[str, str], generated_at: int) -> Markup:
    """Return the paragraph that a paper can take over."""
    seen, settings, partition = findings.coverage, findings.settings, findings.partition
    if seen.first_page_at is None:
        return Markup("No following list was collected yet, so there is no method to describe.")
    parts = [
        Markup(
            "Following lists were collected page by page from {} {} with followgraph {}, by link tracing "
            "from {} (strategy: {}; {}, {} charged, {} uncertain)."
        ).format(
            _source(seen),
            text.span(seen.first_page_at, seen.last_page_at),
            versions["followgraph"],
            text.count(seen.seeds, "seed account"),
            text.listing(list(seen.strategies)),
            text.count(len(seen.runs), "run"),
            text.count(seen.credits.charged, "credit"),
            text.number(seen.credits.uncertain),
        ),
        Markup(
            "Of {}, {} were visited, {} of them completely. A follow points from the follower to the followed; {} are "
            "current, self-follows and repeats taken out."
        ).format(
            text.count(seen.known, "known account"),
            text.number(seen.visited),
            text.number(seen.standings["complete"]),
            text.number(seen.edges),
        ),
        *_drawing(findings),
        Markup(
            "Accounts are ranked by imputed PageRank (damping {}; {} reported follower counts, blended with how often "
            "lists named an account; followers not seen hand on what an unread follow hands on average). Beside it "
            "stand the sort by reported followers and PageRank within the crawl (Brin &amp; Page 1998; scipy {}). {}"
        ).format(
            DAMPING,
            findings.estimates.ranking.basis if findings.estimates.ranking else "no",
            versions["scipy"],
            "Intervals of ranks are 2.5 to 97.5 % of 200 draws of the noise of follower counts."
            if isinstance(findings.estimates.intervals, RankIntervals)
            else f"There are {reason_of(findings.estimates.intervals)}."
            if findings.estimates.ranking
            else "",
        ),
    ]
    groups = findings.groups
    if partition is not None and groups is not None and partition.pairs:
        parts.append(
            Markup(
                "Communities are what {} runs of Leiden (Traag, Waltman &amp; van Eck 2019; networkit {}, resolution "
                "{}, seeds {} to {}) agree on, by the pairs that more than {} of them keep together (Lancichinetti "
                "&amp; Fortunato 2012), on {}, directions dropped; a community found in pieces was parted into them "
                "({} so). Stability is the mean Jaccard similarity with the best counterpart in each run (Hennig 2007)."
            ).format(
                text.number(groups.runs),
                versions["networkit"],
                f"{settings.resolution:g}",
                settings.rng_seed,
                settings.rng_seed + groups.runs - 1,
                text.percent(RARE),
                text.count(partition.pairs, "connected pair"),
                text.number(partition.split),
            )
        )
    parts.append(
        Markup(
            "Degree tails were fitted after Clauset, Shalizi &amp; Newman 2009. Computed on {} with Python {}, "
            "networkx {} and numpy {}; seed of everything random in the report: {}."
        ).format(text.day(generated_at), versions["python"], versions["networkx"], versions["numpy"], settings.rng_seed)
    )
    return Markup(" ").join(parts)


def _drawing(findings: Findings) -> list[Markup]:
    """Return how the sample was drawn beside the crawl itself, run by run, and what that allows."""
    seen, made = findings.coverage, findings.estimates
    runs = "; ".join(
        f"run {run.id}: {run.strategy}, rng seed {run.rng_seed}, budget {run.budget:,}, "
        f"{'ended by ' + run.stop_reason.replace('_', ' ') if run.stop_reason else 'not ended'}"
        for run in seen.runs[:MOST_RUNS]
    )
    more = f"; {len(seen.runs) - MOST_RUNS:,} more runs" if len(seen.runs) > MOST_RUNS else ""
    parts = [Markup("The runs were {}{}.").format(runs, more)] if runs else []
    if made.wave_credits is None:
        parts.append(Markup("There was no control sample, so no average has an interval: the sample is not random."))
    else:
        parts.append(
            Markup(
                "A control sample was drawn in three waves of {} accounts, with probabilities proportional to how "
                "often lists of the wave before named an account over its followers; averages are ratios weighted by "
                "1 / followers (Hansen &amp; Hurwitz 1943) over the last wave, their 95 % intervals two standard "
                "errors of the last two waves and half the distance from the crawl’s own estimates."
            ).format(text.listing([text.number(draws) for draws in made.draws]))
        )
    if made.is_audited:
        parts.append(Markup("A part of the credits bought an audit of reported follower counts."))
    return parts


def _source(seen: Coverage) -> str:
    if seen.is_rehearsal:
        return "a simulated API (a rehearsal: no credit was paid, the accounts are imitated)"
    return f"the paid API at {text.listing(list(seen.sources))}" if seen.sources else "a paid API"
