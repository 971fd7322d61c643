"""The sentences of a report, made from its findings: what was seen, and the largest doubt.

All of it is markup: foreign names stand in <bdi>, cleaned and escaped, so that no name can turn a sentence around.
"""

from __future__ import annotations

from markupsafe import Markup, escape

from analysis.communities import MAX_PAIRS, RUNS
from analysis.coverage import Coverage
from analysis.portraits import Portrait
from analysis.ranks import RankIntervals
from analysis.report import text
from analysis.report.atlas import Squares
from analysis.report.change import Changes
from analysis.report.estimates import FIRST, Mean, Queue, reason_of, value_of
from analysis.report.findings import Findings
from analysis.sampling import CALM, Interval, NotIdentifiable, Uninformative
from analysis.structure import COVERED, BowTie

NAMED_SEEDS = 3

MOST_WRONGLY_FLAGGED = 13
"""Accounts flagged in the worst case of docs/estimators.md where every follower count is exact."""

WRONGLY_FLAGGED = (
    f"in tests in which every count was exact, up to {MOST_WRONGLY_FLAGGED} of the thousand accounts that report most "
    "were marked all the same (mean of six crawls)."
)

QUEUE_WORDS = {
    "main": "The crawl itself",
    "explore": "Explored: picked by lot",
    "control-1": "Control sample, wave 1",
    "control-2": "Control sample, wave 2",
    "control-3": "Control sample, wave 3",
    "audit": "Audit of follower counts",
    "ahead": "Put ahead by hand",
}

REASON_WORDS = {
    "private": "private",
    "no_following": "following nobody",
    "no_handle": "without a handle, which another account took over",
    "filtered": "refused by the filters",
    "depth": "too many hops from a seed",
    "seed_budget": "waiting for credits of their seed",
    "depth_budget": "waiting for credits of their hop",
    "bad_request": "the provider refused the handle",
    "cursor_refused": "the provider refused to go on with the list",
    "throttled": "too many calls for the provider",
    "unreachable": "the provider could not be reached",
    "timed_out": "no answer in time",
    "disconnected": "the connection broke",
    "malformed": "the answer could not be read",
    "internal_error": "an error of the provider’s",
    "server_fault": "an error of the provider’s server",
    "lookup_failed": "the provider could not look the account up",
    "client_fault": "the provider refused the call",
    "process_died": "the crawler died before the answer was stored",
}
"""Why an account was left out, or a call or the reading of a list failed."""

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
    unlisted = _unlisted(seen)
    sentences = [
        Markup("{} bought pages of the following lists of <strong>{}</strong> {}, starting from {}{}.").format(
            text.count(seen.credits.charged, "credit"),
            text.count(seen.visited, "account"),
            text.span(seen.first_page_at, seen.last_page_at),
            text.count(seen.seeds, "seed"),
            f"; {unlisted:,} more asked for showed no list" if unlisted else "",
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
            Markup("Highest by imputed PageRank is {}, followed by {} of the {} visited accounts{}.").format(
                name(first.handle, first.id),
                text.number(first.followers_observed),
                text.number(seen.visited),
                f"; the 95\u202f% interval of its rank is {text.number(first.low)} to {text.number(first.high)}"
                if first.low is not None
                else "; no interval of its rank can be given",
            )
        )
    partition = findings.partition
    if partition is not None and partition.modularity is not None:
        sentences.append(escape(divided(findings)))
    mutual = findings.reciprocity_complete
    if mutual.share is not None:
        sentences.append(
            Markup("Between completely visited accounts, {} of {} are returned.").format(
                text.percent(mutual.share), text.count(mutual.follows, "follow")
            )
        )
    following = findings.estimates.means[0]
    if isinstance(following.found, Interval):
        sentences.append(
            Markup("An account with a follower follows {} others on average ({}).").format(
                shown_value(following, following.found.value), between(following)
            )
        )
    return [*sentences, Markup("<strong>The largest doubt:</strong> {}").format(doubt(seen))]


def divided(findings: Findings) -> str:
    """Return in one sentence whether the seeded runs agree on a division into communities."""
    groups, partition = findings.groups, findings.partition
    if groups is None or partition is None or not findings.communities:
        return ""
    runs = text.count(groups.runs, "seeded run")
    largest = text.percent(findings.communities[0].accounts, int(partition.size.sum()))
    found = text.count(len(findings.communities), "community", "communities")
    if groups.consensus.is_trivial:
        return f"{runs} find no division into communities: one holds {largest} of the accounts."
    stable, doubtful, unstable = groups.counted()
    agreement = f"normalised mutual information {groups.consensus.agreement:.2f}"
    if not groups.is_settled:
        return (
            f"{runs} do not agree on communities ({agreement}): {text.percent(groups.unsettled)} of the accounts are "
            "in groups that other runs put together otherwise, so no division can be reported as a finding."
        )
    measured = f"modularity {text.decimal(partition.modularity, 2)}"
    if unstable:
        return (
            f"Of the {found} in the consensus of {runs} {stable:,} {'is' if stable == 1 else 'are'} stable, "
            f"{doubtful:,} doubtful and {unstable:,} unstable ({measured}, {agreement}); the largest holds {largest} "
            "of the accounts."
        )
    return (
        f"{runs} agree on {found}, {stable:,} of them stable{f' and {doubtful:,} doubtful' if doubtful else ''} "
        f"({measured}); the largest holds {largest} of the accounts."
    )


def changed(changes: Changes) -> str:
    """Return how many follows came and went, and where that was looked for."""
    again = changes.revisited
    where = (
        f"The whole lists of {text.count(again.accounts, 'account')} were read and asked for again"
        f" {text.span(again.first_at, again.last_at)}."
    )
    limits = (
        "Lists that were read once say nothing of change, and what came and went between two visits was never seen."
    )
    if not changes.months:
        return f"{where} They showed no change. {limits}"
    return (
        f"{where} They gained {text.count(changes.total('new'), 'follow')}, lost {text.number(changes.total('gone'))},"
        f" and {text.number(changes.total('back'))} came back that had been lost before. {limits}"
    )


def doubt(seen: Coverage) -> Markup:
    """Return the doubt that touches most of the known accounts."""
    unlisted = _unlisted(seen)
    cut = seen.standings["capped"] + seen.standings["partial"]
    doubts = [
        (
            seen.unasked,
            seen.boundary,
            f"{{}} of the known accounts ({{}}) were never visited. {unknown(seen)}; every number here would move if "
            "they were read.",
        ),
        (
            unlisted,
            unlisted,
            "{} of the known accounts ({}) hide their lists, are private or gone, and such accounts are not like the "
            "others.",
        ),
        (
            cut,
            cut,
            "the lists of {} of the known accounts ({}) were read only in part, so follows of theirs are missing.",
        ),
    ]
    touched, told, sentence = max(doubts, key=lambda each: each[0])
    if not touched:
        return Markup("the accounts were reached by following links from the seeds; they are no random sample.")
    return Markup(sentence).format(text.number(told), text.percent(told, seen.known))  # noqa: S704 - one of ours


def _unlisted(seen: Coverage) -> int:
    """Return how many accounts were asked for and showed no list."""
    return seen.standings["hidden"] + seen.standings["private"] + seen.standings["not_found"]


def unknown(seen: Coverage) -> str:
    """Return of the accounts never visited what is known of whom they follow."""
    none = seen.boundary - seen.unasked
    if not none:
        return "Whom they follow is unknown, not nobody"
    return f"{none:,} of them {'is' if none == 1 else 'are'} known to follow nobody; whom the others follow is unknown"


def queue_words(queue: Queue) -> str:
    """Return why a queue is read."""
    return QUEUE_WORDS.get(queue.name, queue.name)


def reason_words(reason: str) -> str:
    """Return why an account was left out or could not be read, or why a call failed."""
    return REASON_WORDS.get(reason) or text.shown(reason.replace("_", " "))


def shown_value(mean: Mean, value: float | None) -> str:
    """Return a value of an average: a share in percent, anything else with three digits."""
    return text.MISSING if value is None else text.percent(value) if mean.is_share else text.decimal(value)


def between(mean: Mean) -> str:
    """Return the interval of an average in words, or why there is none."""
    found = mean.found
    if not isinstance(found, Interval):
        return str(reason_of(found))
    low, high = shown_value(mean, found.low), shown_value(mean, found.high)
    words = f"95\u202f% interval {low} to {high}, by {text.count(found.draws, 'draw')} of the control sample"
    return f"{words}: an order of magnitude" if isinstance(found, Uninformative) else words


def value_shown(mean: Mean) -> str:
    """Return the value of an average as it is shown."""
    return shown_value(mean, value_of(mean.found))


def alarm(findings: Findings) -> str:
    """Return what the crawl gives away about its own bias."""
    found = findings.estimates.alarm
    if isinstance(found, NotIdentifiable):
        return f"Nothing tells how biased the crawl is: {found.reason}."
    number = text.fixed(found.balance, 2)
    if not findings.coverage.unasked:
        return f"Every list that could be read was asked for: no choice among accounts can have biased it ({number})."
    meaning = (
        "It is the mean, over the lists that the crawl chose, of the sum of 1 / followers of those listed, each list "
        "weighted by 1 / followers of whose it is: near 1 where an account’s chance to be read grows in proportion to "
        "its followers"
    )
    if found.biased:
        return (
            f"The crawl is biased: its alarm number is {number}, outside {CALM[0]:g} to {CALM[1]:g}. {meaning}. Here "
            "it did not, and averages over the lists chosen would mislead."
        )
    return (
        f"The alarm number is {number}, inside {CALM[0]:g} to {CALM[1]:g}. {meaning}. That shows no bias, and does not "
        "exclude it."
    )


def size(findings: Findings) -> str:
    """Return the size of the network and how much of it was seen, as orders of magnitude."""
    found = findings.estimates.size
    if isinstance(found, NotIdentifiable):
        return f"How large the network is cannot be said: {found.reason}."
    share = f"{float(f'{100 * found.coverage:.1g}'):g}"
    return (
        f"As an order of magnitude, some {text.rough(found.accounts)} accounts have a follower, joined by some "
        f"{text.rough(found.follows)} follows; about {share}\u202f% of these accounts were listed. In tests the "
        "number of accounts was off by up to two fifths, mostly too low."
    )


def basis(findings: Findings) -> str:
    """Return what the ranking rests on."""
    found = findings.estimates.ranking
    if found is None:
        return ""
    words = {
        "audited": "The noise of reported follower counts was measured (sigma {:.2f})",
        "assumed": "Without an audit the noise of reported follower counts is assumed (sigma {:.2f})",
        "exploratory": "This ranking is exploratory: too few accounts are listed often enough to judge follower "
        "counts, so it is the mean of two rankings",
    }[found.basis].format(found.mended.noise**0.5)
    if found.basis == "audited" and found.mended.is_all_noise:
        words += ", all by which counts and listings differ beyond chance: an uneven crawl may have its part in it"
    doubt = findings.estimates.intervals
    limits = (
        "the intervals of ranks are 95\u202f% intervals" if isinstance(doubt, RankIntervals) else str(reason_of(doubt))
    )
    return f"{words}; {limits}."


def saturation(findings: Findings) -> str:
    """Return what the replay of the crawl shows."""
    curve = findings.estimates.saturation
    if len(curve.credits) < 2:
        return "Too few lists were read to see whether more credits would change the answer"
    last = curve.overlap[-1]
    step = int(curve.credits[-1] - curve.credits[-2])
    first = text.count(min(FIRST, int(curve.accounts[-1])), "account")
    return (
        f"The last {text.count(step, 'credit')} of the crawl itself changed {text.percent(1 - float(last))} of the "
        f"first {first} and brought {text.decimal(float(curve.novelty[-1]))} new accounts a credit"
    )


def unread(squares: Squares) -> str:
    """Return how much of the map no list was read of."""
    without = int(squares.accounts[squares.visited == 0].sum())
    share = text.percent(without, int(squares.accounts.sum()))
    return f"{share} of the accounts stand in squares of the map in which no list was read"


def portrait(findings: Findings, one: Portrait) -> Markup:
    """Return a community in words. Whom an unstable one holds is not said: another run would say otherwise."""
    accounts, row = findings.graph.accounts, findings.communities[one.number]

    def named(positions: tuple[int, ...]) -> Markup:
        return Markup(", ").join(name(accounts.handle[at], int(accounts.id[at])) for at in positions)

    def shares(pairs: tuple[tuple[str, float], ...]) -> Markup:
        return Markup(", ").join(
            Markup("<bdi>{}</bdi> ({})").format(text.shown(word), text.percent(share)) for word, share in pairs
        )

    parts = [
        Markup("<strong>Community {}</strong> has {}, {} of them visited, and is {}.").format(
            one.number + 1, text.count(one.accounts, "account"), text.number(one.visited), one.trust
        ),
        # Of two accounts that were not visited nobody knows whether they are connected.
        Markup("{}{} of its pairs are connected, and {} of the follows of its accounts lead out.").format(
            "At least " if one.visited < one.accounts else "",
            text.percent(one.density),
            text.percent(row.follows_out, row.follows_inside + row.follows_out),
        ),
    ]
    if row.trust != "unstable":
        for lead, positions in (("Most followed from within", one.top), ("Most connected outside", one.bridges)):
            if positions:
                parts.append(Markup("{}: {}.").format(lead, named(positions)))
        if one.words:
            told = Markup(", ").join(
                Markup("<bdi>{}</bdi> ({}, elsewhere {})").format(
                    text.shown(word), text.percent(here), text.percent(there)
                )
                for word, here, there in one.words
            )
            parts.append(Markup("Words of their profiles that stand out, of the crawl: {}.").format(told))
        elif one.described:
            parts.append(Markup("No word of their profiles stands out."))
        for lead, found in (("Regions, of the crawl", one.regions), ("Languages, of the crawl", one.languages)):
            if found:
                parts.append(Markup("{}: {}.").format(lead, shares(found)))
    else:
        parts.append(Markup("Who is in it is not said: other runs put these accounts together otherwise."))
    return Markup(" ").join(parts)


def stability(findings: Findings) -> str:
    """Return how far the seeded runs agree."""
    groups = findings.groups
    if groups is None or not findings.communities:
        return ""
    stable, doubtful, unstable = groups.counted()
    words = (
        f"Of {text.count(len(findings.communities), 'community', 'communities')} {stable:,} "
        f"{'is' if stable == 1 else 'are'} stable, {doubtful:,} doubtful and {unstable:,} unstable over "
        f"{groups.runs:,} seeded runs; a run and the consensus agree by {groups.consensus.agreement:.2f} (normalised "
        "mutual information)."
    )
    least, most = min(groups.consensus.counts), max(groups.consensus.counts)
    alone = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    words += f" A run by itself finds {alone}."
    if groups.is_scaled_down:
        sweep = "a shorter sweep over resolutions" if groups.scales else "no other resolution was tried"
        words += f" The graph is large, so there were {groups.runs:,} runs instead of {RUNS}, and {sweep}."
    return words


def betweenness(findings: Findings) -> str:
    """Return what may be said of shortest paths, or why nothing is."""
    found = findings.betweenness
    if found.first:
        how, start = "Exact", "all of them"
        if found.pivots < found.accounts:
            how, start = "Estimated", f"{text.count(found.pivots, 'account')} drawn by lot"
        return (
            f"Fragile: an account that was not visited may carry the paths. {how} among "
            f"{text.count(found.accounts, 'visited account')}, {text.percent(found.share)} of the known: on shortest "
            f"paths from {start}."
        )
    known = text.number(len(findings.graph))
    seen = text.count(
        found.accounts, f"account of {known} known was visited", f"accounts of {known} known were visited"
    )
    if found.share < COVERED:
        return (
            f"Betweenness, closeness and the diameter are not shown: {seen} ({text.percent(found.share)}), and under "
            f"{100 * COVERED:.0f}\u202f% the paths among them say nothing of the paths there are."
        )
    return f"Betweenness is not shown: {seen}, too few or with too many follows to search for paths among them."


def bow_tie(shape: BowTie) -> list[tuple[str, str, int]]:
    """Return the parts of the bow-tie: name, meaning, accounts."""
    return [
        ("Core", "the largest strong component: each reaches each", shape.core),
        ("Into the core", "reach the core and are not reached by it", shape.into),
        ("Out of the core", "are reached by the core; so is every unvisited account it lists", shape.out),
        ("Tubes", "lead from the one side to the other past the core", shape.tubes),
        ("Tendrils", "hang on one side only", shape.tendrils),
        ("Apart", "not connected with the core at all", shape.apart),
    ]


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
