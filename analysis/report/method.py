"""The paragraphs on method that a paper can take over: what was drawn how, computed by what, and with which seeds.

They are plain text, one list for the page and for methods.md; `analysis.report.references` knows papers by label.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.audit import IMPLAUSIBLE, LEAST_SPREAD, OUTLYING, UNAUDITED
from analysis.centrality import DAMPING
from analysis.communities import DOUBTFUL, RARE, STABLE
from analysis.coverage import Coverage
from analysis.ranks import DRAWS, Ranking, RankIntervals
from analysis.report import text
from analysis.report.estimates import reason_of
from analysis.report.findings import Findings
from analysis.report.log import stopped
from analysis.sampling import NotIdentifiable
from storage.schema import Queue
from storage.summary import RunRow, Terms

MOST_RUNS = 10
"""Runs that are told of one by one."""

STRATEGIES = {
    "flow": "flow hands cash from the seeds on along the follows read and buys first what holds most of it for its "
    "pages (on-line page importance, Abiteboul, Preda & Cobena 2003)",
    "rank": "rank buys first whom most are reported to follow, for the pages of the list",
    "core": "core buys first by observed followers times the square root of reported followers",
    "community": "community buys first what holds much of the seeds’ cash and is listed often for its followers",
    "discover": "discover buys the pages that are expected to show most new accounts, as its own yield has taught it",
    "unbiased": "unbiased draws accounts with chances inversely proportional to their reported followers",
    "bfs": "bfs reads lists in the order in which accounts were discovered (breadth first)",
}
"""What a strategy buys first, as a clause."""

LIMITS = {
    "max_pages_per_account": "at most {:,} pages of a list",
    "max_depth": "at most {:,} hops from a seed",
    "per_day": "at most {:,} credits a day",
    "per_seed": "at most {:,} credits a seed",
    "retry_reserve": "{:,} credits kept for second calls",
    "cost_exponent": "worth divided by pages to the power of {:g}",
}
"""Settings of a run that change what it buys, told where they are set."""

SHARES = {"explore": "of the picks by lot", "control": "for a control sample", "audit": "for an audit"}


def method(findings: Findings, versions: dict[str, str], generated_at: int) -> list[str]:
    """Return the paragraphs that a paper can take over, as plain text."""
    if findings.coverage.first_page_at is None:
        return ["No following list was collected yet, so there is no method to describe."]
    paragraphs = [
        [*_collected(findings, versions), *_drawing(findings)],
        _estimated(findings),
        _ranked(findings),
        [*_grouped(findings), *_shaped(findings)],
        [*_treated(findings), *_computed(findings, versions, generated_at)],
    ]
    return [" ".join(sentences) for sentences in paragraphs if sentences]


def _collected(findings: Findings, versions: dict[str, str]) -> list[str]:
    seen = findings.coverage
    removed = findings.graph.removed
    missing = [f"{seen.standings[word]:,} {meant}" for word, meant in _MISSING.items()]
    missing.append(f"{seen.skipped.get('private', 0):,} known to be private and not asked")
    out = (
        f"Taken out were {text.count(removed.loops, 'self-follow')}, {text.count(removed.duplicates, 'repeat')} and "
        f"{text.count(removed.orphans, 'follow')} of unknown accounts."
        if removed.loops or removed.duplicates or removed.orphans
        else "There were no self-follows, repeats or follows of unknown accounts to take out."
    )
    cut = [f"{seen.standings['capped']:,} cut at the limit of pages", f"{seen.standings['partial']:,} broken off"]
    return [
        f"Following lists were collected page by page from {_source(seen)} "
        f"{text.span(seen.first_page_at, seen.last_page_at)} with followgraph {versions['followgraph']}, by link "
        f"tracing from {text.count(seen.seeds, 'seed account')} (strategy: {text.listing(list(seen.strategies))}; "
        f"{text.count(len(seen.runs), 'run')}, {text.count(seen.credits.charged, 'credit')} charged, "
        f"{seen.credits.uncertain:,} uncertain; a credit is a page).",
        _seeded(findings),
        f"Of {text.count(seen.known, 'known account')}, {seen.visited:,} were visited, {seen.standings['complete']:,} "
        f"of them completely; of the other lists {text.listing(cut)}. Not read: {text.listing(missing)}.",
        f"A follow points from the follower to the followed; {seen.edges:,} are current. {out}",
    ]


_MISSING = {"hidden": "hidden", "private": "found private", "not_found": "vanished", "failed": "failed"}


def _seeded(findings: Findings) -> str:
    times = findings.seeded_at
    named = f"The seeds were named {text.span(times[0], times[-1])}; " if times else ""
    return (
        f"{named}{'the' if named else 'The'} database tells who the seeds are, not why: "
        "[how they were chosen is for the authors to say]."
    )


def _drawing(findings: Findings) -> list[str]:
    """Return how the sample was drawn, run by run, and what shares went to the samples beside the crawl itself."""
    seen, made = findings.coverage, findings.estimates
    clauses = [STRATEGIES[name] for name in seen.strategies if name in STRATEGIES]
    parts = [f"Which list was bought next the strategy decided: {'; '.join(clauses)}."] if clauses else []
    if seen.runs:
        more = f"; {len(seen.runs) - MOST_RUNS:,} more runs" if len(seen.runs) > MOST_RUNS else ""
        parts.append(f"The runs, one by one: {'; '.join(map(_run, seen.runs[:MOST_RUNS]))}{more}.")
        if not any(_limited(terms.settings) for run in seen.runs for terms in (run.began, *run.terms[1:])):
            parts.append("No run had a filter or a limit of pages or hops.")
    bought = {queue.name: queue.credits for queue in made.queues}
    control = sum(credits for name, credits in bought.items() if name.startswith(Queue.CONTROL))
    audit, all_credits = bought.get(Queue.AUDIT, 0), sum(bought.values())
    parts.append(
        f"Of the credits {control:,} ({text.percent(control, all_credits)}) bought a control sample and {audit:,} "
        f"({text.percent(audit, all_credits)}) an audit of reported follower counts."
        if control or audit
        else "No credit went to a control sample or to an audit of reported follower counts."
    )
    return parts


def _run(run: RunRow) -> str:
    """Return how a run began, and what was changed when it went on."""
    began = run.began
    seed = began.settings.get("rng_seed", run.rng_seed)
    told = [f"run {run.id}: {text.shown(began.strategy)}", f"rng seed {seed}", f"budget {run.budget_began:,}"]
    told += _asked(began.settings)
    for terms in run.terms[1:]:
        when = "" if terms.at is None else f" on {text.day(terms.at)}"
        told.append(f"went on{when}, after {text.count(terms.from_credit, 'credit')}, with {_changes(terms)}")
    for at, credits in run.raised:
        how = "raised" if credits >= 0 else "lowered"
        told.append(f"its budget {how} by {abs(credits):,} on {text.day(at)}")
    told.append(f"stopped because {stopped(run.stop_reason)}" if run.stop_reason else "not ended")
    return ", ".join(told)


def _changes(terms: Terms) -> str:
    """Return what was changed, as what held from then on."""
    found = []
    if "strategy" in terms.changed:
        found.append(f"strategy {text.shown(terms.strategy)}")
    if "rng_seed" in terms.changed:
        found.append(f"rng seed {terms.settings.get('rng_seed')}")
    found += _asked({name: change["after"] for name, change in terms.changed.items()})
    told = {"strategy", "rng_seed", *SHARES, *LIMITS, "per_depth", "filter", "retry"}
    for name, change in terms.changed.items():
        if name == "time_zone":
            continue  # told above, or gone with the limit a day
        before, after, words = change["before"], change["after"], text.shown(name.replace("_", " "))
        if after is None or (not after and name != "max_depth"):
            found.append(f"no {words}")
        elif name in told:
            continue
        elif isinstance(after, dict):
            old = before if isinstance(before, dict) else {}
            parts = {text.shown(key.replace("_", " ")): value for key, value in after.items() if value != old.get(key)}
            found += [
                f"no {words} {key}" if value is None else f"{words} {key} {_term(value)}"
                for key, value in sorted(parts.items())
            ]
        else:
            found.append(f"{words} {_term(after)}")
    return text.listing(found)


def _asked(asked: Mapping[str, Any]) -> list[str]:
    """Return the shares, limits, filters and retries among a run's settings in words."""
    told = []
    for name, what in SHARES.items():
        share = asked.get(name)
        if isinstance(share, (int, float)) and share:
            of = "" if name == "explore" else "of the budget "
            told.append(f"{text.percent(share)} {of}{what}")
    told += _limited(asked)
    retry = asked.get("retry")
    retry = retry if isinstance(retry, dict) else {}
    free, dear = retry.get("attempts"), retry.get("maybe_charged_attempts")
    if isinstance(free, int) and isinstance(dear, int):
        unless = "" if dear == free else f", {dear:,} where they may have cost credits"
        told.append(f"lists given up after {text.count(free, 'failed call')} for a page{unless}")
    return told


def _limited(asked: Mapping[str, Any]) -> list[str]:
    """Return the limits and filters among a run's settings in words."""
    found = [
        words.format(value)
        for name, words in LIMITS.items()
        if isinstance(value := asked.get(name), (int, float)) and (value or name == "max_depth")
    ]
    if isinstance(zone := asked.get("time_zone"), str):
        found.append(f"days of {text.shown(zone)}")
    caps = asked.get("per_depth")
    if isinstance(caps, list) and caps:
        found.append(f"at most {text.listing([str(cap) for cap in caps])} credits by hops from a seed")
    wanted = asked.get("filter")
    if isinstance(wanted, dict) and wanted:
        terms = [f"{name.replace('_', ' ')} {_term(value)}" for name, value in sorted(wanted.items())]
        found.append(f"bought only accounts with {text.listing(terms)} (seeds always)")
    return found


def _term(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return text.shown(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def _estimated(findings: Findings) -> list[str]:
    made = findings.estimates
    if made.wave_credits is None:
        parts = ["There was no control sample, so no average has an interval: the sample is not random."]
    else:
        parts = [
            "A control sample was drawn in three waves of "
            f"{text.listing([text.number(draws) for draws in made.draws])} draws with replacement, with probabilities "
            "proportional to how often lists of the wave before named an account over its followers; draws of accounts "
            "that follow nobody have no list to average."
        ]
        parts.append(
            "Its averages are ratios weighted by 1 / followers (Hansen & Hurwitz 1943) over the last wave; their "
            "95\u202f% intervals are two standard errors of the last two waves and half the distance from the crawl’s "
            "own estimates."
            if made.has_intervals
            else f"It is too small for intervals: its poorest wave had {text.count(made.wave_credits, 'credit')}."
        )
    size = (
        f"Size and coverage were not estimated: {made.size.reason}."
        if isinstance(made.size, NotIdentifiable)
        else "Size and coverage were estimated by a capture model: how often lists named an account is Poisson, its "
        "mean proportional to the reported followers and zeros not seen (van der Heijden et al. 2003), summed over the "
        "accounts listed by their chance of being listed (Horvitz & Thompson 1952); both are orders of magnitude."
    )
    return [
        *parts,
        size,
        "To see whether more credits would change the answer, the crawl was replayed in the order of its visits, and "
        "the first accounts compared after each tenth of its own credits, those of control sample and audit apart.",
    ]


def _ranked(findings: Findings) -> list[str]:
    made = findings.estimates
    if made.ranking is None:
        return []
    doubt = made.intervals
    parts = [
        f"Accounts are ranked by imputed PageRank (Brin & Page 1998; damping {DAMPING}): the links read as they are, "
        "and for followers that are reported and were not seen what an unread follow hands on average.",
        _noise(made.ranking, "audit" if made.is_audited else "control sample"),
        f"An account is flagged, and its followers are taken from the listings alone, where it reports more than "
        f"exp({OUTLYING:g} max(τ, {LEAST_SPREAD:g})) times the followers that its listings and their counting error "
        f"make plausible, and more than {IMPLAUSIBLE} times those that its listings tell; τ is the spread of the ratio "
        "of listings to followers beyond chance, from the median "
        f"absolute deviation (Hampel 1974), here {made.ranking.mended.fit.variance**0.5:.2f}. So were "
        f"{text.count(int(made.ranking.mended.flagged.sum()), 'account')}.",
        f"Intervals of ranks are 2.5 to 97.5\u202f% of {DRAWS} draws of the noise of follower counts."
        if isinstance(doubt, RankIntervals)
        else f"There are {reason_of(doubt)}.",
        "Ranks are read in tiers. Beside them stand the sort by reported followers, PageRank within the crawl and the "
        "sort by observed followers.",
    ]
    if findings.without:
        parts.append(
            f"How far findings hang on the seeds was seen by leaving out one seed at a time with all lists read "
            "because of it (the delete-one jackknife, Efron & Stein 1981), for "
            f"{text.count(len(findings.without), 'seed')}."
        )
    return parts


def _noise(found: Ranking, sample: str) -> str:
    """Return how the noise of follower counts was dealt with; it was measured, if it was, on `sample`."""
    sigma = f"σ of their logarithm {found.mended.noise**0.5:.2f}"
    if found.mended.audited and found.mended.is_all_noise:
        sigma += ", as much as counts and listings differ beyond chance"
    where = (
        f"measured on the lists of the {sample} ({sigma})"
        if found.mended.audited
        else f"not measured, and taken to be {UNAUDITED:g} of the variance of listings over followers ({sigma})"
    )
    words = (
        "Reported follower counts were blended with how often lists named an account, each by the inverse of its "
        f"variance; the noise of the counts was {where}."
    )
    if found.basis == "exploratory":
        words += (
            " Too few accounts were listed often enough to judge follower counts, so the ranking is exploratory: the "
            "geometric mean of the ranks by imputed PageRank and by PageRank within the crawl."
        )
    return words


def _grouped(findings: Findings) -> list[str]:
    partition, groups, settings = findings.partition, findings.groups, findings.settings
    if partition is None or groups is None or not partition.pairs:
        return []
    parts = [
        f"Communities are the consensus of {groups.runs:,} runs of Leiden (Traag, Waltman & van Eck 2019; modularity, "
        f"Newman & Girvan 2004, with resolution {settings.resolution:g}, Reichardt & Bornholdt 2006; seeds "
        f"{settings.rng_seed} to {settings.rng_seed + groups.runs - 1}): of the pairs that more than "
        f"{100 * RARE:g}\u202f% of them keep together (Lancichinetti & Fortunato 2012), on "
        f"{text.count(partition.pairs, 'connected pair')}, directions dropped; a community found in pieces was parted "
        f"into them ({partition.split:,} so).",
        "Stability is the mean Jaccard similarity with the best counterpart in each run; a community is stable from "
        f"{STABLE:g} on and unstable below {DOUBTFUL:g} (Hennig 2007).",
    ]
    if groups.scales:
        parts.append(
            f"The same was done at {text.count(len(groups.scales), 'resolution')} of {groups.sweep_runs:,} runs each, "
            "and communities under the limit of resolution were counted (Fortunato & Barthélemy 2007)."
        )
    if any(one.words for one in groups.portraits):
        parts.append("Words that set a community apart are by the log-likelihood ratio (Dunning 1993).")
    return parts


def _shaped(findings: Findings) -> list[str]:
    if not findings.coverage.edges:
        return []
    parts = [
        "All known accounts were sorted into the bow-tie around the largest strong component (Broder et al. 2000) and "
        "into k-cores, directions dropped (Seidman 1983).",
        "Reciprocity and degree correlation (Newman 2003) are given between completely visited accounts, the only ones "
        "between which a missing follow is known to be missing.",
    ]
    if any(findings.tails.values()):
        parts.append(
            "Degree tails were fitted after Clauset, Shalizi & Newman 2009: the start where a power law comes closest, "
            "whether it can be ruled out (a bootstrap), and the likelihood of a lognormal, an exponential, a stretched "
            "exponential and a power law with an exponential cut-off beside it."
        )
    return parts


def _treated(findings: Findings) -> list[str]:
    """Return how the study treats people: what its policy says, and what came of it."""
    stated = [
        f"{heading[:1].lower()}{heading[1:]}: {text.shown(words)}"
        for heading, words in findings.policy.items()
        if words != "not stated"
    ]
    parts = [f"The study’s rules for the people in it: {'; '.join(stated)}."] if stated else []
    if "Approval" in findings.policy and findings.policy["Approval"] == "not stated":
        parts.append("No approval by an ethics board is stated.")
    if findings.changes is not None:
        parts.append(f"Read again were the lists of {text.count(findings.changes.revisited.accounts, 'account')}.")
    if findings.purges:
        parts.append(f"Accounts, answers or fields were deleted by these rules {_times(len(findings.purges))}.")
    asked = findings.settings
    if findings.coverage.is_rehearsal:
        parts.append("Everybody is named in the report: nobody is real.")
    elif asked.show_names:
        parts.append("Everybody is named in the report.")
    elif asked.min_followers_to_name:
        least = text.number(asked.min_followers_to_name)
        parts.append(f"Named in the report are seeds, and accounts with {least} followers or more.")
    if asked.unnamed:
        has = text.count(asked.unnamed, "account has", "accounts have")
        parts.append(f"In the report {has} a pseudonym, which is not anonymity.")
    return parts


def _computed(findings: Findings, versions: dict[str, str], generated_at: int) -> list[str]:
    return [
        f"Computed on {text.day(generated_at)} with Python {versions['python']}, NetworKit {versions['networkit']} "
        f"(Staudt, Sazonovs & Meyerhenke 2016), SciPy {versions['scipy']} (Virtanen et al. 2020), NumPy "
        f"{versions['numpy']} (Harris et al. 2020), networkx {versions['networkx']} (Hagberg, Schult & Swart 2008) and "
        f"Matplotlib {versions['matplotlib']} (Hunter 2007); seed of everything random in the report: "
        f"{findings.settings.rng_seed}."
    ]


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times"


def _source(seen: Coverage) -> str:
    if seen.is_rehearsal:
        return "a simulated API (a rehearsal: no credit was paid, the accounts are imitated)"
    return f"the paid API at {text.listing(list(seen.sources))}" if seen.sources else "a paid API"
