"""Weakly connected components by alternating stars, in rounds that grow with the logarithm of the size.

Kiveris, Lattanzi, Mirrokni, Rastogi, Vassilvitskii: Connected Components in MapReduce and Beyond, SoCC 2014. A large
star hangs each account's higher neighbours on its lowest one, a small star the lower ones; both keep what is connected,
and what changes no more is one star a component, around its lowest account.
"""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - as everybody knows it

from analysis.distributed.rounds import Rounds


def run(rounds: Rounds, edges: DataFrame) -> dict[str, Any]:
    """Repeat until nothing changes; the last round holds node, component for every account with a neighbour.

    Minima are taken where the pairs lie, so a hub sends one number a task; its pairs then meet the minimum in a join,
    which adaptive execution splits where a hub makes it lopsided.
    """
    if (outcome := rounds.outcome) is not None:
        return outcome
    number, seen = rounds.last()
    if number < 0:
        high, low = F.greatest("src", "dst").alias("node"), F.least("src", "dst").alias("component")
        number, seen = 0, _keep(rounds, 0, edges.select(high, low).distinct(), {})
    while not (number and seen["change"] == 0):
        number += 1
        seen = _keep(rounds, number, _small_star(_large_star(rounds.read(number - 1))), seen)
    found = {"rounds": number}
    rounds.end(found)
    return found


def _large_star(pairs: DataFrame) -> DataFrame:
    """Hang the higher neighbours of each account, `node` > `component`, on the lowest of all its neighbours and it."""
    turned = pairs.select(F.col("component").alias("centre"), F.col("node").alias("other"))
    both = turned.union(pairs.select(F.col("node").alias("centre"), F.col("component").alias("other")))
    least = both.groupBy("centre").agg(F.min("other").alias("lowest"))
    lowest = F.least("centre", "lowest").alias("component")
    return turned.join(least, "centre").select(F.col("other").alias("node"), lowest).distinct()


def _small_star(pairs: DataFrame) -> DataFrame:
    """Hang each account and its lower neighbours on the lowest of them."""
    least = pairs.groupBy(F.col("node").alias("centre")).agg(F.min("component").alias("lowest"))
    lower = pairs.join(least, pairs.node == least.centre).filter("component != lowest")
    hung = lower.select(F.col("component").alias("node"), F.col("lowest").alias("component"))
    return hung.union(least.select("centre", "lowest")).distinct()


def _keep(rounds: Rounds, number: int, pairs: DataFrame, before: dict[str, Any]) -> dict[str, Any]:
    """Keep a round; it changed nothing where it has as many pairs as the one before, with the same sum of hashes."""

    def judge(found: dict[str, Any]) -> float:
        return float(any(found[name] != before.get(name) for name in ("pairs", "mark")))

    mark = F.bit_xor(F.xxhash64("node", "component"))  # the pairs are distinct: nothing cancels out
    return rounds.keep(number, pairs, judge=judge, pairs=F.count("*"), mark=mark)
