"""`followgraph analyse`: rankings, components and communities of a graph too large for one machine, on Spark."""

from __future__ import annotations

import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from cli import durations
from cli.amounts import amount
from cli.failure import usage
from cli.session import Bound, Session

PROGRAMS = ("pagerank", "imputed", "components", "communities")

MEANING = "The input was only read. Rounds that were finished are kept beside the output."


def analyse(
    *,
    input: str,
    output: str,
    engine: Literal["spark"] = "spark",
    master: Annotated[str, Parameter(show_default=True)] = "local[*]",
    programs: Annotated[str, Parameter(show_default=True)] = ",".join(PROGRAMS),
    damping: Annotated[float, Parameter(show_default=True)] = 0.85,
    tolerance: Annotated[float, Parameter(show_default=True)] = 1e-10,
    turns: Annotated[int, Parameter(show_default=True)] = 10,
    spark: Annotated[tuple[str, ...], Parameter(name="--spark")] = (),
    session: Bound,
) -> None:
    """Analyse an export past one machine: rankings, components, communities, degrees, coverage, as Parquet.

    Every round is kept; the same command goes on after the last one, however it was stopped. Spends nothing. Where a
    graph fits into one machine, to about a billion follows, `followgraph report` is better and faster.

    Parameters
    ----------
    input
        The folder or address (hdfs://, s3a://) of an export: --format parquet --partitions N.
    output
        The folder or address to write to: accounts, degrees, coverage. It must be empty, or of a stopped run.
    engine
        spark: needs the extra `spark` and Java 17 or newer.
    master
        Where Spark runs: local[2], yarn, spark://host:7077, k8s://….
    programs
        Those to run, separated by commas.
    damping
        Of both kinds of PageRank.
    tolerance
        PageRank has settled when all scores together (L1) change by less in a round.
    turns
        Rounds of label propagation at most.
    spark
        A setting of Spark as KEY=VALUE, more than once for more: spark.driver.memory=4g.
    """
    chosen = [name.strip() for name in programs.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in PROGRAMS]
    if unknown or not chosen:
        problem = f'--programs has no "{unknown[0]}"' if unknown else "--programs is empty"
        raise usage("programs", problem, hint=f"There are {', '.join(PROGRAMS)}.")
    if not 0 < damping < 1:
        raise usage("damping", f"--damping is {damping:g}", hint="Give a number between 0 and 1, such as 0.85.")
    if not tolerance > 0:
        raise usage("tolerance", f"--tolerance is {tolerance:g}", hint="Give a number above 0, such as 1e-10.")
    if turns < 1:
        raise usage("turns", f"--turns is {turns}", hint="Give a whole number from 1 on.")
    settings = _settings(spark)
    _require(session)
    begun = session.now()
    from analysis.distributed import cluster, study  # noqa: PLC0415 - pyspark, which few have

    def progress(program: str, number: int, change: float) -> None:
        session.output.note(f"{program}, round {number}: changed {change:.3g}", label="analyse")

    asked = study.Asked(programs=chosen, damping=damping, settled=tolerance, turns=turns)
    with tempfile.NamedTemporaryFile(prefix="followgraph-spark-", suffix=".log", delete=False) as words:
        try:
            with cluster.opened(master, settings, words) as opened:
                found = study.analyse(opened, input, output, asked, progress)
        except cluster.Unusable as error:
            hint = f"{error.hint} What Spark itself printed is in {words.name}."
            raise usage("spark", f"{error}{_said(Path(words.name))}", hint=hint, meaning=MEANING) from error
        Path(words.name).unlink()
    session.output.line(
        f"{amount(found['accounts'], 'account')} · {amount(found['edges'], 'follow')}, "
        f"in {durations.clock_face(session.now() - begun)}",
        label="read",
    )
    for name, told in found["programs"].items():
        session.output.line(" · ".join(f"{word} {value:g}" for word, value in told.items()), label=name)
    session.output.line(f"{output} · accounts, degrees, coverage", label="wrote")
    session.output.line(
        "it holds the same people as the export, and `forget` does not know of it: mind where it goes", label="note"
    )
    session.output.finish({"path": output, "engine": engine, "master": master, **found})


def _said(words: Path) -> str:
    """Return what Spark's own process named as the exception that ended it, as a part of a sentence."""
    for line in words.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith(("Exception in thread", "Error:", "Caused by:")):
            return f" {line.strip()[:300]}"
    return ""


def _settings(given: tuple[str, ...]) -> dict[str, str]:
    settings = {}
    for each in given:
        key, equals, value = each.partition("=")
        if not equals or not key.startswith("spark."):
            hint = "Give KEY=VALUE, such as spark.driver.memory=4g."
            raise usage("spark_setting", f'--spark is "{each}"', hint=hint)
        settings[key] = value
    return settings


def _require(session: Session) -> None:
    """Refuse to begin without pyspark or Java: Spark's own words for it fill a page."""
    if find_spec("pyspark") is None:
        raise usage("no_pyspark", "pyspark is not installed", hint="pip install 'followgraph[spark]'")
    home = session.environ.get("JAVA_HOME")
    found = (
        shutil.which("java", path=session.environ.get("PATH")) if home is None else Path(home, "bin", "java").exists()
    )
    if not found:
        where = "no java on the path" if home is None else f"JAVA_HOME is {home}, where no bin/java is"
        raise usage("no_java", f"Spark needs Java: {where}", hint="Install Java 17 or newer, or mend JAVA_HOME.")
