"""Spark as these programs need it: a session, and folders on whatever file system Spark reaches.

Unusable                     Spark does not start, or cannot go on, for a reason outside this program; `hint`
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, Observation, SparkSession

SETTINGS = {
    # Rounds join what lies by the same key already; merging small partitions would move every edge each round.
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.adaptive.coalescePartitions.enabled": "false",
    "spark.sql.optimizer.canChangeCachedPlanOutputPartitioning": "false",
    # A partition that a hub makes large is split and joined in pieces.
    "spark.sql.adaptive.skewJoin.enabled": "true",
    "spark.ui.showConsoleProgress": "false",
    # The data are people's: only their owner may read what is written.
    "spark.hadoop.fs.permissions.umask-mode": "077",
}
LOCAL = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1", "spark.ui.enabled": "false"}
"""On this machine alone: nothing listens to other machines."""


class Unusable(Exception):
    """Spark cannot do it. `hint` says what to do."""

    def __init__(self, problem: str, *, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint


@contextmanager
def opened(master: str, settings: Mapping[str, str], words: IO[bytes] | None = None) -> Iterator[SparkSession]:
    """Yield a session on `master`; `settings` go before ours. Raises Unusable.

    What Spark's own process prints, pages of it where something fails, goes into the file `words`.
    """
    ours = SETTINGS | (LOCAL if master.startswith("local") else {})
    builder = SparkSession.builder.master(master).appName("followgraph")
    for name, value in (ours | dict(settings)).items():
        builder = builder.config(name, value)
    try:
        with _printing_to(words):
            session = builder.getOrCreate()
    except (Py4JError, PySparkException, OSError) as error:
        hint = "Check --master and --spark; `spark-submit --version` says whether Spark itself starts."
        raise Unusable(f"Spark does not start on {master}: {_first_line(error)}", hint=hint) from error
    try:
        yield session
    except (Py4JError, PySparkException) as error:
        hint = "Mend it and run the same command again: it goes on after the last finished round."
        raise Unusable(f"Spark stopped: {_first_line(error)}", hint=hint) from error
    finally:
        session.stop()


@contextmanager
def _printing_to(file: IO[bytes] | None) -> Iterator[None]:
    """Let a process that is started meanwhile print into a file: it inherits both streams for its life."""
    if file is None:
        yield
        return
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = {number: os.dup(number) for number in (1, 2)}
    try:
        for number in kept:
            os.dup2(file.fileno(), number)
        yield
    finally:
        for number, before in kept.items():
            os.dup2(before, number)
            os.close(before)


def _first_line(error: BaseException) -> str:
    cause = getattr(error, "java_exception", None)
    text = str(error) if cause is None else str(cause.toString())
    return (text.strip().splitlines() or [type(error).__name__])[0]


PARTITIONS = "spark.sql.shuffle.partitions"


def fit(spark: SparkSession, *, follows: int) -> None:
    """Let joins have as many partitions as a graph wants, unless somebody set their number.

    Half a million follows each, for each costs a file in every round; no more than a thousand, for every two of them
    may exchange something, until that would be ten million follows each.
    """
    context: Any = spark.sparkContext
    if not context.getConf().contains(PARTITIONS):
        count = max(context.defaultParallelism, min(1_000, follows // 500_000), follows // 10_000_000)
        spark.conf.set(PARTITIONS, str(count))


class Store:
    """Tables and small notes in one folder, a path or an address such as hdfs://.

    Invariant: a table that `has` tells of was written to its end; Spark says so by a file _SUCCESS.
    """

    def __init__(self, spark: SparkSession, root: str) -> None:
        self.spark = spark
        self.root = root.rstrip("/")
        # Spark's own file systems, for the folder may be on any; there is no other door to them from Python.
        self._jvm: Any = spark.sparkContext._jvm
        context: Any = spark.sparkContext  # whose Java side has no types
        self._files = self._path().getFileSystem(context._jsc.hadoopConfiguration())

    def _path(self, *parts: str) -> Any:
        return self._jvm.org.apache.hadoop.fs.Path("/".join((self.root, *parts)))

    def has(self, table: str) -> bool:
        """Tell whether a table was written to its end."""
        return bool(self._files.exists(self._path(table, "_SUCCESS")))

    def exists(self) -> bool:
        """Tell whether the folder is there."""
        return bool(self._files.exists(self._path()))

    def read(self, table: str) -> DataFrame:
        """Return a table."""
        return self.spark.read.parquet(f"{self.root}/{table}")

    def write(self, table: str, frame: DataFrame, *columns: str, **observed: Column) -> dict[str, Any]:
        """Write the `columns` (default: all) of a table, replacing what stands there.

        Returns what was `observed` of its rows on the way, which spares reading them again.
        """
        watch = Observation()
        if observed:
            frame = frame.observe(watch, *(value.alias(name) for name, value in observed.items()))
        if columns:
            frame = frame.select(*columns)
        frame.write.mode("overwrite").parquet(f"{self.root}/{table}")
        return dict(watch.get) if observed else {}

    def drop(self, table: str) -> None:
        """Delete a table, where there is one."""
        self._files.delete(self._path(table), True)

    def names(self) -> list[str]:
        """Return what stands in the folder."""
        return list(self._listed())

    def _listed(self) -> dict[str, Any]:
        if not self.exists():
            return {}
        return {str(each.getPath().getName()): each for each in self._files.listStatus(self._path())}

    def stamps(self) -> dict[str, list[int]]:
        """Return by name how long each file in the folder is, in bytes, and when it was written, in milliseconds."""
        found = sorted(self._listed().items())
        return {name: [int(each.getLen()), int(each.getModificationTime())] for name, each in found}

    def note(self, name: str, document: Mapping[str, Any]) -> None:
        """Keep a small document; it is there whole or not at all."""
        draft = self._path(f"_{name}.partial")
        stream = self._files.create(draft, True)
        stream.write(bytearray(json.dumps(document, sort_keys=True), "utf-8"))
        stream.close()
        self._files.delete(self._path(f"_{name}.json"), False)
        self._files.rename(draft, self._path(f"_{name}.json"))

    def noted(self, name: str) -> dict[str, Any] | None:
        """Return a document that was kept, None where there is none."""
        path = self._path(f"_{name}.json")
        if not self._files.exists(path):
            return None
        stream = self._files.open(path)
        text = bytes(stream.readAllBytes()).decode("utf-8")
        stream.close()
        return dict(json.loads(text))
