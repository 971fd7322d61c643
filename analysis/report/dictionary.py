"""The data dictionary: what each file of a report holds, and each column of its tables. The only place for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

FILES = {
    "report.json": "The same numbers for programs; its shape is described by docs/report.schema.json of followgraph.",
    "methods.md": "The method, ready to paste, with its references.",
    "references.bib": "The papers cited and the software, for BibTeX.",
}
"""What the files beside the page are that are no tables."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: what its rows are, and what each of its columns says, in their order."""

    rows: str
    columns: Mapping[str, str]


_COMMUNITY = (
    "number of the community, from 1, the largest first; empty: in none, or in one whose membership is not told"
)
_OBSERVED = "visited accounts that follow it"
_REPORTED = "followers that the platform reports; empty: not known"

TABLES = {
    "coverage": Table(
        "Every known account once, by what is known of its list.",
        {
            "standing": "what became of the list of whom the account follows, as in the section on what was seen",
            "accounts": "known accounts of that standing",
            "credits": "credits charged for them",
        },
    ),
    "accounts": Table(
        "The accounts first by imputed PageRank.",
        {
            "rank": "place by imputed PageRank, from 1",
            "rank_low": "lower end of the 95 % interval of the rank; empty: none can be given",
            "rank_high": "upper end of it",
            "tier": "0: among the first 10, 1: the first 100, 2: the first hundredth, 3: the rest",
            "rank_by_followers_reported": "place by the followers that the platform reports; empty: not reported",
            "rank_by_pagerank_within_crawl": "place by PageRank of the lists read and nothing else",
            "rank_by_followers_observed": "place by the visited accounts that follow it",
            "suspicious_followers": "1 where it reports far more followers than the lists read make plausible",
            "score": "what the rank is by; in an exploratory ranking not PageRank but the mean of two rankings",
            "id": "the account’s number in the database, the same in all tables",
            "label": "its handle, or a pseudonym; empty: somebody else took the handle over",
            "role": "seed, expanded (a list was read) or boundary (known by name only)",
            "completeness": "how its list was read: complete, capped, partial, hidden, private, not_found; empty: not",
            "followers_reported": _REPORTED,
            "followers_observed": _OBSERVED,
            "visited_accounts": "visited accounts there are, of which followers_observed is a part",
            "pagerank_within_crawl": "PageRank of the lists read and nothing else; all accounts sum to 1",
            "community": _COMMUNITY,
        },
    ),
    "communities": Table(
        "Every community.",
        {
            "community": "its number, from 1, the largest first",
            "accounts": "accounts in it",
            "visited": "of these, visited",
            "pairs_inside": "connected pairs within it, directions dropped",
            "pairs_touching": "connected pairs with an end in it",
            "follows_inside": "follows within it",
            "follows_out": "follows from its accounts to others",
            "follows_in": "follows from others to its accounts",
            "stability": "mean Jaccard similarity with the best counterpart in each seeded run, 0 to 1",
            "top_accounts": "labels of its accounts of highest rank, blanks between them; empty where it is unstable",
        },
    ),
    "stability": Table(
        "How each seeded run found each of the largest communities again.",
        {
            "community": "its number",
            "run": "the seeded run, from 1",
            "overlap": "Jaccard similarity with its best counterpart in that run, 0 to 1",
        },
    ),
    "flows": Table(
        "Follows from one community to another, neither unstable.",
        {"source": "number of the following community", "target": "number of the followed", "follows": "follows"},
    ),
    "brokers": Table(
        "Completely visited accounts whose connections are spread over most communities.",
        {
            "id": "the account’s number in the database",
            "label": "its handle or pseudonym",
            "community": "number of its community",
            "connections": "accounts it is connected with, directions dropped",
            "connections_outside": "of these, outside its community",
            "participation": "participation coefficient (Guimerà & Amaral 2005), 0: all inside",
        },
    ),
    "suspicious": Table(
        "Accounts that report far more followers than the lists read make plausible.",
        {
            "letter": "their letter in the figure of reported and observed followers",
            "id": "the account’s number in the database",
            "label": "its handle or pseudonym",
            "followers_reported": _REPORTED,
            "followers_plausible": "followers that the ranking takes instead",
            "followers_observed": _OBSERVED,
        },
    ),
    "degree_distribution": Table(
        "Every value that a degree takes.",
        {
            "measure": "followers_observed, or following: accounts followed",
            "population": "of whom: all known accounts, or those visited completely",
            "value": "the degree",
            "accounts": "accounts with just this value",
            "accounts_at_least": "accounts with this value or more",
            "share_at_least": "their share of the population",
        },
    ),
    "reported_observed": Table(
        "The dots of the figure of reported and observed followers: of the accounts with both numbers those that "
        "report most, and the marked ones.",
        {
            "id": "the account’s number in the database",
            "followers_reported": _REPORTED,
            "followers_observed": _OBSERVED,
        },
    ),
    "averages": Table(
        "Averages over the accounts with a follower.",
        {
            "name": "what is averaged; …_over_N: share with more than N",
            "value": "the average or share (0 to 1); empty: nothing can be said",
            "low": "lower end of the 95 % interval; empty: none",
            "high": "upper end of it",
            "draws": "draws of the control sample's last wave that it rests on: of accounts that follow somebody, "
            "whose list was read whole; empty where there is no interval",
            "informative": "0 where there is no interval, or one too wide for more than an order of magnitude",
            "reason": "why there is no interval, or nothing at all",
        },
    ),
    "saturation": Table(
        "The crawl replayed, in tenths of its credits.",
        {
            "credits": "credits spent by then",
            "accounts": "accounts known by then, those that audit and control sample brought as well",
            "novelty": "new accounts a credit since the step before, by the crawl's own visits: what audit and control "
            "sample brought is known, and not new",
            "overlap": "share of the first accounts that were among the first a step before; empty at the first step",
        },
    ),
    "resolutions": Table(
        "Leiden at other resolutions.",
        {
            "resolution": "the resolution: larger gives smaller communities",
            "communities": "communities found, mean over the runs",
            "largest": "share of the accounts in the largest, mean over the runs",
            "modularity": "modularity with this resolution in it, mean over the runs: not to be compared between rows",
            "standard": "modularity at resolution 1 of the same partitions, which can be compared",
            "agreement": "mean normalised mutual information between runs, 0 to 1",
            "limit": "pairs under which a community may be merged with a neighbour although it is there",
            "below": "communities found that have fewer pairs than that",
            "trivial": "1 where one community holds more than nine tenths of the accounts: agreement says nothing then",
        },
    ),
    "changes_by_month": Table(
        "Changes seen in lists that were read again.",
        {
            "month": "when the visit began that saw the change (UTC)",
            "new": "follows that a later reading showed first",
            "back": "follows that had been gone and were there again",
            "gone": "follows that a later complete reading no longer showed",
        },
    ),
    "changes_by_account": Table(
        "Accounts that won or lost followers among the lists read again.",
        {
            "id": "the account’s number in the database",
            "handle": "its handle or pseudonym",
            "won": "followers won, those who came back included",
            "lost": "followers lost",
        },
    ),
    "cores": Table(
        "The k-cores, directions dropped.",
        {"k": "connections that each account has inside the core at least", "accounts": "accounts in it"},
    ),
    "log": Table(
        "What happened to the crawl, earliest first.",
        {
            "at": "when, or since when, in UTC (ISO 8601); empty: not kept",
            "until_at": "until when, where it lasted",
            "run": "the run it happened to; empty: to none in particular",
            "kind": "began, stopped, paused, drained, set, budget, settings, phase, strategy, calls, silence, notice "
            "or purged",
            "words": "what happened",
        },
    ),
    "map_links": Table(
        "Follows between the communities on the map.",
        {
            "community": "number of one community",
            "other": "number of the other",
            "follows": "follows between them, both directions together",
        },
    ),
    "map_accounts": Table(
        "The accounts on the map.",
        {
            "number": "number on the map, from 1, as in map_follows",
            "label": "its handle or pseudonym; accounts of unstable communities are not named",
            "community": _COMMUNITY,
            "followers_observed": f"{_OBSERVED}; of a nameless one the largest power of 2 that is not above",
            "x": "place on the map, a drawing aid",
            "y": "place on the map, a drawing aid",
        },
    ),
    "map_follows": Table(
        "The follows on the map.",
        {"source_number": "the follower, a number of map_accounts", "target_number": "the followed, likewise"},
    ),
    "map_squares": Table(
        "The squares of the map’s figure of where lists were read.",
        {
            "x": "middle of the square, as the places of map_accounts",
            "y": "middle of the square",
            "side": "its side",
            "accounts": "accounts with a place in it, those too that map_accounts leaves out",
            "visited": "of these, visited",
        },
    ),
}


def file_words(name: str) -> str:
    """Return what a file beside the page holds."""
    return FILES[name] if name in FILES else TABLES[name.removeprefix("tables/").removesuffix(".csv")].rows
