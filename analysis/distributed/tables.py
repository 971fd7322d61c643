"""An export as numbered accounts and follows, and what can be counted of them in one pass.

Invariant: `nodes` has a row for each account of the export, `node` in the order of the ids; `edges` has each follow
between two of them once, no loops.
"""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - as everybody knows it

from analysis.distributed.cluster import Store, Unusable

NEEDED = {
    "accounts": ("id", "label", "role", "completeness", "followers_reported", "following_reported"),
    "follows": ("source", "target"),
}


class NoExport(Unusable):
    """The folder is no data set that these programs can read."""


def given(source: Store) -> tuple[DataFrame, DataFrame]:
    """Return the accounts and the follows of an export. Raises NoExport."""
    hint = "Make it with: followgraph export --format parquet --partitions N --output DIR"
    found = []
    for name, columns in NEEDED.items():
        if name not in source.names():
            raise NoExport(f"{source.root} has no folder {name}", hint=hint)
        frame = source.read(name)
        missing = [column for column in columns if column not in frame.columns]
        if missing:
            raise NoExport(f"{source.root}/{name} has no column {missing[0]}", hint=hint)
        found.append(frame.select(*columns))
    return found[0], found[1]


def prepare(source: Store, work: Store) -> None:
    """Number the accounts of an export, and lay its follows by their source; what is done already is left.

    Ids that are whole numbers are their own; others (pseudonyms) are numbered in their order. Raises NoExport.
    """
    accounts, follows = given(source)
    number = F.expr("try_cast(id AS BIGINT)")
    if not work.has("names"):
        is_whole = F.coalesce(number.cast("string") == F.col("id"), F.lit(False))
        if accounts.filter(~is_whole).isEmpty():
            work.write("names", accounts.withColumn("node", number))
        else:
            ordered = accounts.repartitionByRange("id").sortWithinPartitions("id")
            work.write("names", ordered.withColumn("node", F.monotonically_increasing_id()))
    names = work.read("names")
    if not work.has("edges"):
        # A join with a hub's name is a join with everybody who follows it: adaptive execution splits it.
        ends = follows
        for end, node in (("source", "src"), ("target", "dst")):
            ends = ends.join(names.select(F.col("id").alias(end), F.col("node").alias(node)), end)
        ends = ends.select("src", "dst").filter("src != dst")
        work.write("edges", ends.repartition("src").dropDuplicates(["src", "dst"]).sortWithinPartitions("src"))
    if not work.has("nodes"):
        edges = work.read("edges")
        listed = edges.groupBy(F.col("src").alias("node")).agg(F.count("*").alias("listed"))
        listings = edges.groupBy(F.col("dst").alias("node")).agg(F.count("*").alias("listings"))
        counted = names.join(listed, "node", "left").join(listings, "node", "left")
        work.write("nodes", counted.fillna(0, ["listed", "listings"]))


def degrees(nodes: DataFrame) -> DataFrame:
    """Return how many accounts have each number of followers seen, and of follows read: side, degree, accounts."""
    sides = (("followers", "listings"), ("following", "listed"))
    tables = [
        nodes.groupBy(F.lit(side).alias("side"), F.col(column).alias("degree")).agg(F.count("*").alias("accounts"))
        for side, column in sides
    ]
    return tables[0].union(tables[1]).orderBy("side", "degree")


def coverage(nodes: DataFrame) -> DataFrame:
    """Return by role and completeness: accounts, follows read, and announced against read where a profile announces."""
    announces = F.col("following_reported").isNotNull()
    return (
        nodes.groupBy("role", "completeness")
        .agg(
            F.count("*").alias("accounts"),
            F.sum("listed").alias("read"),
            F.count_if(announces).alias("announcing"),
            F.sum("following_reported").alias("announced"),
            F.sum(F.when(announces, F.col("listed"))).alias("announced_read"),
        )
        .orderBy("role", "completeness")
    )
