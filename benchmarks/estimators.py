"""What the estimators are worth: crawls of networks that are known whole, judged by the truth.

    python benchmarks/estimators.py [--crawls N] [--rankings N] [--only averages|raised|rankings|sizes] [--networks A,B]

Hundreds of crawls are needed, so a stand-in for the crawler draws them in memory (benchmarks/stand_in.py). The numbers
of docs/estimators.md come from here.
"""

# ruff: noqa: E402 - the packages are beside this folder, so their path comes first

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from stand_in import Seen, World, crawl, draw_control, load, misreported, seen

from analysis.audit import blend, mend
from analysis.capture import Size, size
from analysis.imputation import Links, impute, within
from analysis.pairs import reciprocity
from analysis.ranks import Ranking, RankIntervals, best, intervals, rank
from analysis.sampling import (
    Average,
    Interval,
    NoInterval,
    Uninformative,
    alarm,
    average,
    exceeding,
    inverse_followers,
    of_accounts,
    of_follows,
    ratio,
)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NETWORKS = {
    "soc-slashdot0902": (0.02, 0.05),
    "wiki-vote": (0.16, 0.25),
    "drawn-50000-1": (0.02, 0.05),
    "drawn-20000-2": (0.08, 0.12),
}
"""Budgets as shares of what reading every list costs: the smallest give little more than 100 credits a wave."""
STRATEGIES = ("bfs", "flow", "rank", "core", "unbiased")
RANKED = ("rank", "flow", "bfs")
NOISES = ("exact", "0.3", "0.7", "1.0", "bought")
MEASURES = ("mean following", "following > 50", "log followers", "attribute", "follows of alike")
SHARE = 0.2
DEAD_ZONE = 0.35**2
LIE = 3


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crawls", type=int, default=100, help="crawls a cell of the averages")
    parser.add_argument("--rankings", type=int, default=2, help="sets of seeds and noises a cell of the rankings")
    parser.add_argument("--only", choices=("averages", "raised", "rankings", "sizes"))
    parser.add_argument("--networks", default=",".join(NETWORKS))
    options = parser.parse_args()
    for name in options.networks.split(","):
        world = load(name)
        print(f"\n{name}: {len(world):,} accounts, {len(world.lists):,} follows, {world.credits:,} credits\n")
        tables: dict[str, tuple[Callable[[World, int], None], int]] = {
            "averages": (averages, options.crawls),
            "raised": (partial(averages, is_raised=True), options.crawls),
            "rankings": (rankings, options.rankings),
            "sizes": (sizes, 10),
        }
        for table, (print_table, repetitions) in tables.items():
            if options.only in (None, table):
                began = time.process_time()
                print_table(world, repetitions)
                print(f"\n{table}: {time.process_time() - began:.0f} CPU seconds\n", flush=True)


def measured(world: World, drawn: Seen) -> list[Average]:
    """Estimate the five measures from what the analysis gets to see."""
    sample, control, ids = drawn.sample, drawn.control, drawn.ids
    following = world.following[ids].astype(np.float64)
    alike = world.attribute[ids[sample.src]] == world.attribute[ids[sample.dst]]
    return [
        average(sample, control, following),
        *exceeding(sample, control, following, np.array([50.0])),
        average(sample, control, np.log1p(world.followers[ids])),
        average(sample, control, world.attribute[ids]),
        ratio(sample, control, of_follows(sample, alike.astype(np.float64)), (0.0, 1.0)),
    ]


def naively_covered(world: World, drawn: Seen, truth: float) -> bool:
    """Say whether 1.96 standard errors around the crawl's own estimate of the mean following have the truth in them."""
    parts = of_accounts(drawn.sample, world.following[drawn.ids].astype(np.float64))
    sources = np.flatnonzero(drawn.sample.main & (parts.below > 0))
    weight = inverse_followers(drawn.sample, sources)
    above, below = weight * parts.above[sources], weight * parts.below[sources]
    estimate = above.sum() / below.sum()
    error = np.sqrt(((above - estimate * below) ** 2).sum() * len(sources) / (len(sources) - 1)) / below.sum()
    return bool(abs(estimate - truth) <= 1.96 * error)


def truths(world: World) -> list[float]:
    """Return the five measures over all accounts with a follower, and over their follows."""
    followed = world.followers > 0
    source = np.repeat(np.arange(len(world)), world.following)
    alike = world.attribute[source] == world.attribute[world.lists]
    values = (world.following, world.following > 50, np.log1p(world.followers), world.attribute)
    return [*(float(value[followed].mean()) for value in values), float(alike[followed[source]].mean())]


def averages(world: World, crawls: int, *, is_raised: bool = False) -> None:
    """Print how often the interval has the truth in it, and how wide it is.

    `is_raised`: the crawl had half of its budget at first, and was given the other half when that was spent.
    """
    true = truths(world)
    print(f"| budget | crawl | {' | '.join(MEASURES)} | uninformative | no interval | alarm | naive |")
    print("| --- | --- |" + " --- |" * (len(MEASURES) + 4))
    worst = 1.0
    for share in NETWORKS[world.name]:
        budget = int(share * world.credits)
        for strategy in STRATEGIES:
            hits, widths = np.full((crawls, 5), np.nan), np.full((crawls, 5), np.nan)
            wide = alarms = naive = 0
            for number in range(crawls):
                rng = np.random.default_rng([number, 7])
                main_budget = int((1 - SHARE) * budget)
                log = crawl(world, world.followers, strategy, main_budget, rng)
                control = budget - main_budget
                portions = [(log, control)]
                if is_raised:
                    portions = [(log.until(main_budget // 2), control // 2), (log, control - control // 2)]
                drawn = seen(world, world.followers, log, draw_control(world, world.followers, portions, rng))
                alarms += alarm(drawn.sample).biased
                naive += naively_covered(world, drawn, true[0])
                for column, (found, truth) in enumerate(zip(measured(world, drawn), true, strict=True)):
                    if isinstance(found, Interval):
                        hits[number, column] = found.low <= truth <= found.high
                        widths[number, column] = (found.high - found.low) / 2 / truth
                        wide += isinstance(found, Uninformative)
            told = ~np.isnan(hits)
            cells = [
                f"{hits[row, column].mean():.2f} ±{np.median(widths[row, column]):.0%}" if row.any() else "none"
                for column, row in enumerate(told.T)
            ]
            worst = min([worst, *(hits[row, column].mean() for column, row in enumerate(told.T) if row.any())])
            shares = f"{wide / max(told.sum(), 1):.0%} | {1 - told.mean():.0%} | {alarms / crawls:.0%}"
            print(f"| {share:.0%} | {strategy} | {' | '.join(cells)} | {shares} | {naive / crawls:.2f} |", flush=True)
    print(f"\nworst cell {worst:.2f} of {crawls} crawls each")


def rankings(world: World, repetitions: int) -> None:
    """Print precision among the first 100 and the first hundredth, by rule and noise of the reported followers."""
    order = best(world.pagerank, len(world))
    place = np.empty(len(world), dtype=np.int64)
    place[order] = np.arange(1, len(world) + 1)
    hundredth = max(100, len(world) // 100)
    heads = (*RULES, "worst audited", "sigma read", "ranks covered, median width", "flagged: right, wrong")
    print(f"| budget | reported | {' | '.join(heads)} |")
    print("| --- | --- |" + " --- |" * len(heads))
    for share in NETWORKS[world.name]:
        budget = int(share * world.credits)
        for noise in NOISES:
            found: dict[str, list[tuple[float, float]]] = defaultdict(list)
            sigmas, covered, widths, flags = [], [], [], []
            for strategy in RANKED:
                for number in range(repetitions):
                    followers = misreported(world, noise, np.random.default_rng(50 + number))
                    rng = np.random.default_rng([number, 9])
                    scores, drawn, ranking, ranks = ranked(world, followers, strategy, budget, rng)
                    sigmas.append(float(np.sqrt(ranking.mended.noise)))
                    flags.append(flagged(world, drawn, ranking))
                    for rule, (ids, values) in scores.items():
                        first = place[ids[best(values, hundredth)]]
                        found[rule].append((np.mean(first[:100] <= 100), np.mean(first <= hundredth)))
                    if isinstance(ranks, RankIntervals):
                        truth = place[drawn.ids[ranks.accounts]]
                        covered.append(np.mean((ranks.low <= truth) & (truth <= ranks.high)))
                        widths.append(np.median(ranks.high - ranks.low))
            cells = [f"{a:.2f}/{b:.2f}" for a, b in (np.mean(found[rule], axis=0) for rule in RULES)]
            least = min(at_100 for at_100, _ in found["audited"])
            place_cell = f"{np.mean(covered):.2f} ({min(covered):.2f}), {np.median(widths):.0f}" if covered else "none"
            right, wrong = np.mean(flags, axis=0)
            told = f"{least:.2f} | {np.mean(sigmas):.2f} | {place_cell} in {len(covered)} of {len(sigmas)}"
            told += f" | {right:.0f}, {wrong:.0f}"
            print(f"| {share:.0%} | {noise} | {' | '.join(cells)} | {told} |", flush=True)


def flagged(world: World, drawn: Seen, ranking: Ranking) -> tuple[int, int]:
    """Count, among the thousand with the most followers reported, those flagged that lie and those that do not.

    A lie is three times the truth and more.
    """
    first = best(drawn.sample.followers.astype(np.float64), 1_000)
    flags = ranking.mended.flagged[first]
    lies = drawn.sample.followers[first] >= LIE * world.followers[drawn.ids[first]]
    return int((flags & lies).sum()), int((flags & ~lies).sum())


RULES = ("followers", "within", "imputed", "unaudited", "audited", "dead zone", "control as audit")
"""`followers`, `within` and `imputed` spend all on the main crawl; the rest a fifth on the audit or the control."""


def ranked(
    world: World, followers: Ints, strategy: str, budget: int, rng: np.random.Generator
) -> tuple[dict[str, tuple[Ints, Floats]], Seen, Ranking, object]:
    """Rank by every rule; return scores by accounts, the audited crawl, its ranking and the intervals of ranks."""
    plain = seen(world, followers, crawl(world, followers, strategy, budget, rng))
    links, known = Links.of(plain.sample), reported_or_listed(plain)
    scores = {
        "followers": (plain.ids, known),
        "within": (plain.ids, within(links)),
        "imputed": (plain.ids, impute(links, known).scores),
        "unaudited": (plain.ids, impute(links, mend(links, plain.sample.followers, None).followers).scores),
    }
    audited = seen(world, followers, crawl(world, followers, strategy, budget, rng, audit=SHARE))
    ranking = rank(audited.sample, audited.audit)
    links, mended = ranking.links, ranking.mended
    noise = 0.0 if mended.noise < DEAD_ZONE else mended.noise
    dead = blend(links, audited.sample.followers, mended.fit, noise, audited=True)
    scores["audited"] = (audited.ids, ranking.scores)
    scores["dead zone"] = (audited.ids, impute(links, dead.followers).scores)
    main_budget = int((1 - SHARE) * budget)
    log = crawl(world, followers, strategy, main_budget, rng)
    drawn = seen(world, followers, log, draw_control(world, followers, [(log, budget - main_budget)], rng))
    scores["control as audit"] = (drawn.ids, rank(drawn.sample, drawn.control).scores)
    return scores, audited, ranking, intervals(ranking, 100, rng)


def reported_or_listed(drawn: Seen) -> Floats:
    """Return the reported followers, at least those seen."""
    return np.maximum(drawn.sample.followers, drawn.sample.listings).astype(np.float64)


def sizes(world: World, crawls: int) -> None:
    """Print what is estimated over what is true: accounts with a follower, and the share of follows returned."""
    source = np.repeat(np.arange(len(world)), world.following)
    there, back = source * len(world) + world.lists, world.lists * len(world) + source
    true = int((world.followers > 0).sum()), float(np.isin(back, there).mean())
    print(f"| budget | of | {' | '.join(STRATEGIES)} |")
    print("| --- | --- |" + " --- |" * len(STRATEGIES))
    for share in NETWORKS[world.name]:
        cells: dict[str, list[str]] = {"accounts": [], "reciprocity": []}
        for strategy in STRATEGIES:
            over: dict[str, list[float]] = {"accounts": [], "reciprocity": []}
            for number in range(crawls):
                log = crawl(world, world.followers, strategy, int(share * world.credits), np.random.default_rng(number))
                sample = seen(world, world.followers, log).sample
                found, returned = size(sample), reciprocity(sample)
                over["accounts"] += [found.accounts / true[0]] if isinstance(found, Size) else []
                over["reciprocity"] += [returned.value / true[1]] if isinstance(returned, NoInterval) else []
            for name, values in over.items():
                cells[name].append(f"{np.mean(values):.2f} ({min(values):.2f}-{max(values):.2f})" if values else "none")
        for name, row in cells.items():
            print(f"| {share:.0%} | {name} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
