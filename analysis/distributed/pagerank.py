"""PageRank, and imputed PageRank: the rounds of `analysis.centrality` and `analysis.imputation` as DataFrames.

A round moves one number along each follow. They are added up where they are made before they are sent, so a hub with
ten million followers receives one number from each task, not ten million; and a follow meets its source's score where
it lies, so nothing but those numbers is moved.
"""

from __future__ import annotations

from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812 - as everybody knows it

from analysis.distributed.cluster import Unusable
from analysis.distributed.rounds import Rounds

DAMPING = 0.85
SETTLED = 1e-10
"""Largest change of all scores together (L1) between two rounds at which they have settled: the local engine's."""
ROUNDS = 1_000


def terms(nodes: DataFrame, *, imputed: bool) -> DataFrame:
    """Return what each account's score is multiplied with: node, handed, spare, missing, kept, idle, unread.

    Per follow read it hands on `handed` of its score, to those that it was not seen to follow `spare` in all; `missing`
    of its followers were not seen; `kept` is handed * follows read. Without `imputed` nothing is missing or unread.
    Followers are those reported, else those seen: the mended ones of `analysis.audit` need what no export holds.
    """
    listed, listings = F.col("listed"), F.col("listings")
    length, missing = listed, F.lit(0.0)
    if imputed:
        announced = F.greatest(F.coalesce(F.col("following_reported"), F.lit(0)), listed)
        length = F.when(F.col("completeness") == "complete", listed).otherwise(announced)
        reported = F.coalesce(F.col("followers_reported"), listings)
        missing = F.greatest(F.lit(0), reported - listings).cast("double")
    per_follow = 1.0 / F.greatest(length, F.lit(1))
    handed = F.when(listed > 0, per_follow).otherwise(0.0)
    unread = length - listed
    return nodes.select(
        "node",
        handed.alias("handed"),
        (unread * per_follow).alias("spare"),
        missing.alias("missing"),
        (handed * listed).alias("kept"),
        (length == 0).alias("idle"),
        unread.alias("unread"),
    )


def run(
    rounds: Rounds, fixed: DataFrame, edges: DataFrame, *, imputed: bool, damping: float, settled: float
) -> dict[str, Any]:
    """Repeat until the scores settle; the last round holds node, score. `fixed` are the terms, `edges` lie by `src`.

    Formulas: `analysis.centrality.pagerank` (Brin & Page 1998) and `analysis.imputation.impute`. Sums are made in
    whatever order their parts arrive: two runs differ by rounding, some 1e-16 of a score. Raises Unusable.
    """
    if (outcome := rounds.outcome) is not None:
        return outcome
    sums = fixed.agg(F.count("*").alias("n"), F.sum("unread").alias("unread"), F.sum("missing").alias("missing"))
    n, unread, missing = (value or 0 for value in sums.first() or (0, 0, 0))
    if not n:
        raise Unusable("there is no account to rank", hint="Export a database that holds some.")
    number, seen = rounds.last()
    if number < 0:
        even = fixed.withColumn("score", F.lit(1.0 / n))
        number, seen = 0, rounds.keep(0, even, "node", "score", **_observed(F.lit(0.0)))
    while True:
        if number and seen["change"] < settled:
            break
        if number == ROUNDS:
            raise Unusable(f"the scores did not settle in {ROUNDS} rounds", hint="Give a larger --tolerance.")
        share = seen["spare"] / max(unread, 1)
        leap = 1 - damping + damping * seen["idle"]
        # What all scores of the next round come to; plain PageRank's are 1 by themselves.
        whole = leap + damping * (seen["kept"] + share * missing) if imputed else 1.0
        now = fixed.join(rounds.read(number), "node")
        giving = now.filter("handed > 0").select("node", (F.col("score") * F.col("handed")).alias("gives"))
        received = edges.join(giving, edges.src == giving.node).groupBy("dst").agg(F.sum("gives").alias("received"))
        arriving = F.coalesce(F.col("received"), F.lit(0.0)) + F.col("missing") * share
        fresh = (leap / n + damping * arriving) / whole
        after = now.join(received, now.node == received.dst, "left").select(
            now.node, "spare", "kept", "idle", fresh.alias("score"), F.abs(fresh - F.col("score")).alias("change")
        )
        number += 1
        seen = rounds.keep(number, after, "node", "score", **_observed(F.col("change")))
    found = {"rounds": number, "change": seen["change"]}
    rounds.end(found)
    return found


def _observed(change: Column) -> dict[str, Column]:
    score = F.col("score")
    return {
        "change": F.sum(change),
        "idle": F.sum(F.when(F.col("idle"), score).otherwise(0.0)),
        "spare": F.sum(F.col("spare") * score),
        "kept": F.sum(F.col("kept") * score),
    }
