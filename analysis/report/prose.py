"""The sentences of a report, made from its findings: what was seen, the largest doubt, the method.

All of it is markup: foreign names stand in <bdi>, cleaned and escaped, so that no name can turn a sentence around.
"""

from __future__ import annotations

from markupsafe import Markup

from analysis.centrality import DAMPING
from analysis.communities import MAX_PAIRS
from analysis.coverage import Coverage
from analysis.report import text
from analysis.report.findings import Findings

NAMED_SEEDS = 3

STANDING_WORDS = {
    "complete": ("Whole list read", "every page of the list of followed accounts was read"),
    "capped": ("List cut at the page limit", "reading stopped at the limit of pages an account"),
    "partial": ("List read in part", "reading began and did not reach the end"),
    "hidden": ("List hidden", "the account hides whom it follows"),
    "private": ("Private", "the account is private"),
    "not_found": ("Not found", "the account no longer exists under this name"),
    "failed": ("Failed", "no page came, after several attempts"),
    "skipped": ("Left out", "never visited, and not to be: by rule or setting"),
    "waiting": ("Waiting", "not visited yet: whom it follows is unknown, not nobody"),
}


def name(handle: str | None, account_id: int) -> Markup:
    """Return what an account is called, isolated from the direction of the text around it."""
    return Markup("<bdi>{}</bdi>").format(text.label(handle, account_id))


def title(findings: Findings) -> str:
    """Return what the report is about, as plain text."""
    seeds = [text.label(handle, key) for key, handle in findings.seeds]
    if not findings.coverage.known:
        return "An empty follow graph"
    if not seeds:
        return "A follow graph"
    more = len(seeds) - NAMED_SEEDS
    named = seeds[:NAMED_SEEDS] + ([text.count(more, "other")] if more > 0 else [])
    return f"The follow graph around {text.listing(named)}"


def brief(findings: Findings) -> list[Markup]:
    """Return the few sentences that stand first; the last is the largest doubt."""
    seen = findings.coverage
    if not seen.known:
        return [Markup("The database holds no account yet, so there is nothing to report.")]
    sentences = [
        Markup("{} bought pages of the following lists of <strong>{}</strong> {}, starting from {}.").format(
            text.count(seen.credits.charged, "credit"),
            text.count(seen.visited, "account"),
            text.span(seen.first_page_at, seen.last_page_at),
            text.count(seen.seeds, "seed"),
        )
        if seen.visited
        else Markup("No following list was read yet: {} known, {} charged.").format(
            text.count(seen.known, "account is", "accounts are"), text.count(seen.credits.charged, "credit")
        ),
    ]
    if seen.edges:
        sentences.append(
            Markup("They hold <strong>{}</strong> among <strong>{}</strong>.").format(
                text.count(seen.edges, "current follow"), text.count(seen.known, "known account")
            )
        )
    elif seen.visited:
        sentences.append(Markup("They hold no current follow."))
    if findings.central:
        first = findings.central[0]
        sentences.append(
            Markup("Highest by PageRank within the crawl is {}, followed by {} of the {} visited accounts.").format(
                name(first.handle, first.id), text.number(first.followers_observed), text.number(seen.visited)
            )
        )
    partition = findings.partition
    if partition is not None and partition.modularity is not None:
        sentences.append(
            Markup("One seeded partition finds {} (modularity {}); the largest holds {} of the accounts.").format(
                text.count(len(findings.communities), "community", "communities"),
                text.decimal(partition.modularity, 2),
                text.percent(findings.communities[0].accounts, int(partition.size.sum())),
            )
        )
    mutual = findings.reciprocity_complete
    if mutual.share is not None:
        sentences.append(
            Markup("Between completely visited accounts, {} of {} are returned.").format(
                text.percent(mutual.share), text.count(mutual.follows, "follow")
            )
        )
    return [*sentences, Markup("<strong>The largest doubt:</strong> {}").format(doubt(seen))]


def doubt(seen: Coverage) -> Markup:
    """Return the doubt that touches most of the known accounts."""
    unlisted = seen.standings["hidden"] + seen.standings["private"] + seen.standings["not_found"]
    cut = seen.standings["capped"] + seen.standings["partial"]
    doubts = [
        (
            seen.unasked,
            "{} of the known accounts ({}) were never visited. Whom they follow is unknown, not nobody; every number "
            "here would move if they were read.",
        ),
        (
            unlisted,
            "{} of the known accounts ({}) hide their lists, are private or gone, and such accounts are not like the "
            "others.",
        ),
        (cut, "the lists of {} of the known accounts ({}) were read only in part, so follows of theirs are missing."),
    ]
    touched, sentence = max(doubts, key=lambda pair: pair[0])
    if not touched:
        return Markup("the accounts were reached by following links from the seeds; they are no random sample.")
    return Markup(sentence).format(text.number(touched), text.percent(touched, seen.known))  # noqa: S704 - one of ours


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
        Markup(
            "PageRank (damping {}; unvisited accounts, whose follows are unknown, pass their score to all alike) was "
            "computed on all known accounts with scipy {}."
        ).format(DAMPING, versions["scipy"]),
    ]
    if partition is not None and partition.pairs:
        parts.append(
            Markup(
                "Communities are one run of Leiden (networkit {}, resolution {}, seed {}) on {}, directions dropped; "
                "a community found in pieces was parted into them ({} so)."
            ).format(
                versions["networkit"],
                f"{settings.resolution:g}",
                settings.rng_seed,
                text.count(partition.pairs, "connected pair"),
                text.number(partition.split),
            )
        )
    parts.append(
        Markup("No interval is given, because the sample is not random. Computed on {}.").format(text.day(generated_at))
    )
    return Markup(" ").join(parts)


def _source(seen: Coverage) -> str:
    if seen.is_rehearsal:
        return "a simulated API (a rehearsal: no credit was paid, the accounts are imitated)"
    return f"the paid API at {text.listing(list(seen.sources))}" if seen.sources else "a paid API"


def degrees(findings: Findings) -> str:
    """Return what the figure of the degrees shows."""
    followers = findings.followers
    once = int(followers.count[followers.value == 1].sum())
    return (
        f"{text.percent(once, followers.accounts)} of the known accounts are followed by one visited account, the most "
        f"followed by {text.number(int(followers.value.max(initial=0)))}"
    )


def too_large(findings: Findings) -> str:
    """Return why there are no communities."""
    return (
        f"Communities were not computed: the graph has {text.number(findings.too_many_pairs)} connected pairs, and "
        f"this version’s engine takes at most {MAX_PAIRS:,}."
    )
