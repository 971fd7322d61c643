"""The caveats that every report carries, their numbers filled in. They cannot be switched off.

Sources: research/interface.md, section 11; Smith & Moody 2013 on centrality under missing data.
"""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from analysis.communities import STABLE
from analysis.report import text
from analysis.report.findings import Findings
from analysis.report.prose import unknown

Caveat = tuple[str, Markup]
"""Heading and text."""


def caveats(findings: Findings) -> list[Caveat]:
    """Return each, the ones that hold for every crawl first."""
    return [*_of_every_crawl(findings), *_of_this_crawl(findings)]


def _of_every_crawl(findings: Findings) -> Iterator[Caveat]:
    seen, groups = findings.coverage, findings.groups
    yield (
        "This is not a random sample.",
        Markup(
            "Accounts were reached by following links from {}. Such crawls favour accounts that many follow (Kurant, "
            "Markopoulou &amp; Thiran 2010; Kurant, Markopoulou &amp; Thiran 2011). Nothing here describes the users "
            "of the platform. {}"
        ).format(
            text.count(seen.seeds, "seed"),
            "Intervals of averages come from the control sample, and are about accounts with at least one follower."
            if findings.estimates.has_intervals
            else "No average has an interval, because none would be right.",
        ),
    )
    yield (
        "The seeds decide.",
        Markup("Other seeds would have shown another part of the graph. {}").format(_without(findings)),
    )
    yield (
        "Only outgoing lists were bought.",
        Markup(
            "{} of {} ({}) were never visited, and are known only because somebody listed them or because they are "
            "seeds. {}. An observed follower count says by how many of the {} an account is followed, never how many "
            "followers it has."
        ).format(
            text.number(seen.boundary),
            text.count(seen.known, "known account"),
            text.percent(seen.boundary, seen.known),
            unknown(seen),
            text.count(seen.visited, "visited account"),
        ),
    )
    yield (
        "Hidden, private and vanished accounts are missing, and not at random.",
        Markup(
            "In this crawl: {}. Whoever walks a network past private accounts gets estimates that are off by them "
            "(Nakajima &amp; Shudo 2023), and a control sample cannot read their lists either."
        ).format(_unlisted(findings)),
    )
    yield (
        "Lists may be incomplete.",
        Markup(
            "{} at the limit of pages and {} broken off, {} of the visited. Lists may come newest first, and then what "
            "a cut one lacks are the oldest follows. An empty list can mean a hidden one. {}"
        ).format(
            text.count(seen.standings["capped"], "list was cut", "lists were cut"),
            text.number(seen.standings["partial"]),
            text.percent(seen.standings["capped"] + seen.standings["partial"], seen.visited),
            _held(findings),
        ),
    )
    shared = findings.estimates.rivals[1]
    yield (
        "Centrality suffers from what is missing.",
        Markup(
            "In-degree is among the most robust measures, eigenvector-like scores and betweenness among the most "
            "fragile (Smith &amp; Moody 2013), more so when central accounts are the missing ones (Smith, Moody "
            "&amp; Morgan 2017). Of the {} first by imputed PageRank {} also first within the crawl. Read the list in "
            "tiers, not places."
        ).format(text.number(shared.of), f"{shared.shared:,} {_are(shared.shared)}"),
    )
    stable, doubtful, unstable = groups.counted() if groups is not None else (0, 0, 0)
    yield (
        "Communities are one of many good partitions.",
        Markup(
            "Another seed or resolution gives another one. Here {} stable, {} doubtful and {} unstable over {}{}. "
            "Membership of a community that is not stable is no evidence about a person."
        ).format(
            text.count(stable, "community is", "communities are"),
            text.number(doubtful),
            text.number(unstable),
            text.count(groups.runs if groups is not None else 0, "seeded run"),
            _below(findings),
        ),
    )
    yield (
        "Time passed.",
        Markup(
            "The pages came {}; follows change meanwhile, and handles too: {} seen under a new handle, and {} lost "
            "theirs to another account. {} no longer stood in a later complete list and {} left out."
        ).format(
            text.span(seen.first_page_at, seen.last_page_at),
            text.count(findings.renamed[0], "account was", "accounts were"),
            text.number(findings.renamed[1]),
            text.count(seen.ended_edges, "follow seen before", "follows seen before"),
            _are(seen.ended_edges),
        ),
    )
    flagged = int(findings.estimates.flagged.sum())
    yield (
        "Following is not endorsement, attention or friendship.",
        Markup(
            "Bots and bought followers were not removed; reported follower counts are the platform’s own. {} far more "
            "than the lists read make plausible, and {} flagged, not taken out."
        ).format(text.count(flagged, "account reports", "accounts report"), _are(flagged)),
    )
    yield (
        "Running it again gives less.",
        Markup(
            "{} will go. Whoever deletes what the platform deletes cannot repeat this report number by number."
        ).format(_gone(findings)),
    )
    yield (
        "Do not use this to judge or to contact individuals.",
        Markup("The graph is personal data, and pseudonyms can be broken by structure."),
    )


def _of_this_crawl(findings: Findings) -> Iterator[Caveat]:
    seen, vanished, removed = findings.coverage, findings.vanished, findings.graph.removed
    if vanished.accounts:
        yield (
            "Who vanished may differ from who stayed.",
            Markup(
                "1 account no longer exists. It is followed by {} visited accounts, half of the others by at least "
                "{}: a single one shows no difference."
            ).format(_median(vanished.followers_observed), _median(vanished.rest_followers_observed))
            if vanished.accounts == 1
            else Markup(
                "{} accounts no longer exist. Half of them are followed by at least {} visited accounts, half of the "
                "others by at least {}: where these differ, what is left is no fair picture of what was."
            ).format(
                text.number(vanished.accounts),
                _median(vanished.followers_observed),
                _median(vanished.rest_followers_observed),
            ),
        )
    deleted = sum(purge.get("accounts_missing", 0) + purge.get("accounts_unseen", 0) for purge in findings.purges)
    if deleted:
        yield (
            "Accounts were deleted by rule.",
            Markup(
                "{} that had vanished or were not seen for long {} deleted, with the follows between them and others; "
                "report.json says for each time how they differed."
            ).format(text.count(deleted, "account"), "was" if deleted == 1 else "were"),
        )
    if seen.credits.uncertain:
        yield (
            "Some credits are uncertain.",
            Markup("{} may or may not have been charged: no page came, and nothing tells what the call cost.").format(
                text.count(seen.credits.uncertain, "credit")
            ),
        )
    if not seen.credits.agree:
        yield (
            "The books disagree.",
            Markup(
                "The runs say that {} were charged, the ledger’s rows add up to {}. `followgraph doctor` tells more."
            ).format(text.count(seen.credits.charged, "credit"), text.number(seen.credits.booked)),
        )
    if removed.loops or removed.duplicates or removed.orphans:
        yield (
            "Some follows were taken out.",
            Markup("{} of an account by itself, {} and {} of accounts that the database does not know.").format(
                text.count(removed.loops, "follow"),
                text.count(removed.duplicates, "repeat"),
                text.count(removed.orphans, "follow"),
            ),
        )


def _median(value: float | None) -> str:
    """Return a median of counts: a whole number, or half way between two."""
    return text.fixed(value, 0 if value is None or value.is_integer() else 1)


def _held(findings: Findings) -> str:
    """Return how much of what profiles announce their whole lists held."""
    whole = findings.coverage.announced_complete
    if not whole.reported:
        return "How many follows their profiles announce is not known."
    share = text.percent(whole.read, whole.reported)
    return f"Lists read to their end held {share} of the follows that the same profiles announce."


def _without(findings: Findings) -> str:
    """Return what the findings lose without one seed, as a range over the seeds."""
    found = findings.without
    if not found:
        return "There is only one that lists were read because of: without it there would be nothing."
    shared, known = [row.shared for row in found], [row.known for row in found if row.known is not None]
    which = "any one of them" if len(found) == len(findings.seeds) else f"one of the {len(found)} with most lists"
    kept = text.number(min(shared)) if min(shared) == max(shared) else f"{min(shared):,} to {max(shared):,}"
    words = f"Without {which}, and the lists read because of it, {kept} of the first {found[0].of:,} stay among them"
    if not known and findings.communities:
        words += "; no community is stable enough to be looked for again"
    elif known:
        least, most = text.percent(min(known), 1), text.percent(max(known), 1)
        words += f", and {least} to {most} of the largest stable community is known"
    return f"{words}."


def _unlisted(findings: Findings) -> str:
    """Return how many accounts show no list, by why: those not asked because they are known to be private too."""
    seen = findings.coverage
    hidden, private, gone = (seen.standings[word] for word in ("hidden", "private", "not_found"))
    known = seen.skipped.get("private", 0)
    missing = hidden + private + gone + known
    return (
        f"{text.count(missing, 'account')} ({text.percent(missing, seen.known)} of the known): {hidden:,} hid "
        f"{'its' if hidden == 1 else 'their'} list, {private:,} turned out private, {known:,} more {_are(known)} known "
        f"to be private and {'was' if known == 1 else 'were'} not asked, {gone:,} no longer {_exist(gone)}"
    )


def _gone(findings: Findings) -> str:
    """Return how many accounts had vanished when they were asked for, to stand before "will go"."""
    seen = findings.coverage
    gone = seen.standings["not_found"]
    asked = seen.visited + gone + seen.standings["hidden"] + seen.standings["private"]
    whom = text.count(asked, "account asked for", "accounts asked for")
    if not gone:
        return f"Of {whom} none had vanished, but some"
    return f"{gone:,} of {whom} ({text.percent(gone, asked)}) no longer existed, and others"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _exist(number: int) -> str:
    return "exists" if number == 1 else "exist"


def _below(findings: Findings) -> str:
    """Return which part of the accounts is in communities that runs do not find again well enough."""
    rows = findings.communities
    inside = sum(row.accounts for row in rows)
    below = sum(row.accounts for row in rows if row.trust != "stable")
    told = f", and {text.percent(below, inside)} of the accounts are in one that is not stable (under {STABLE:g})"
    return told if inside else ""
