"""Communities by label propagation, the same labels on every run.

Raghavan, Albert, Kumara 2007, in rounds as LDBC Graphalytics defines it (CDLP): everybody at once takes the label that
most of its neighbours have, followers and followed counted each, of equals the lowest. It is what one can afford past
one machine; where a graph fits into one, Leiden finds better communities (`analysis.communities`).
"""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - as everybody knows it

from analysis.distributed.rounds import Rounds

ROUNDS = 10
"""Labels of two sides that follow only each other swap for ever: rounds are limited, as in Graphalytics."""


def run(rounds: Rounds, nodes: DataFrame, edges: DataFrame, *, at_most: int = ROUNDS) -> dict[str, Any]:
    """Repeat until no label changes, or `at_most` times; the last round holds node, label.

    Votes are counted by (account, label), so the neighbours of a hub are spread over all tasks. Where a hub's own label
    goes out to its followers, adaptive execution splits the join.
    """
    if (outcome := rounds.outcome) is not None:
        return outcome
    number, seen = rounds.last()
    if number < 0:
        number, seen = 0, rounds.keep(0, nodes.select("node", F.col("node").alias("label")), change=F.count("*"))
    while seen["change"] and number < at_most:
        number += 1
        seen = rounds.keep(
            number, turn(rounds.read(number - 1), edges), "node", "label", change=F.count_if(F.col("changed"))
        )
    found = {"rounds": number, "changed": seen["change"]}
    rounds.end(found)
    return found


def turn(labels: DataFrame, edges: DataFrame) -> DataFrame:
    """Return each account's label after a round, and whether it is another: node, label, changed."""
    down = edges.join(labels, edges.src == labels.node).select(F.col("dst").alias("voter"), "label")
    up = edges.join(labels, edges.dst == labels.node).select(F.col("src").alias("voter"), "label")
    votes = down.union(up).groupBy("voter", "label").agg(F.count("*").alias("votes"))
    most = votes.groupBy("voter").agg(F.min(F.struct((-F.col("votes")).alias("less"), "label")).alias("best"))
    fresh = F.coalesce(F.col("best.label"), F.col("label"))
    turned = labels.join(most, labels.node == most.voter, "left")
    return turned.select("node", fresh.alias("label"), (fresh != F.col("label")).alias("changed"))
