"""Builds a report: reads the database once, computes, writes every file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

from analysis.coverage import read_coverage
from analysis.graph import read_graph
from analysis.report.atlas import atlas
from analysis.report.change import changes
from analysis.report.estimates import read_queues
from analysis.report.findings import Progress, Settings, find
from analysis.report.naming import veiled
from analysis.report.page import render, written_page
from analysis.report.provenance import File, bibliography, content_of, methods, written_text
from analysis.report.record import record, written_json
from analysis.report.tables import written_tables
from analysis.sample import read_drawn
from analysis.seeds import read_seeds
from storage import export, incidents, persons, retention, sampling
from storage.changes import events, revisited
from storage.database import Database
from storage.secret import ProjectKey

NO_POLICY: Mapping[str, str] = {}

FACTS = ("verified", "language", "region", "bio")
"""What the findings take from accounts beside their numbers."""

PACKAGES = ("followgraph", "matplotlib", "networkit", "networkx", "numpy", "scipy")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFiles:
    """A finished report: its files, the accounts known and the current follows it is about."""

    html: Path
    json: Path
    methods: Path
    bibliography: Path
    tables: tuple[Path, ...]
    accounts: int
    edges: int


def build(
    place: str | Path,
    output: Path,
    *,
    now: Callable[[], float],
    top: int = 50,
    resolution: float = 1.0,
    rng_seed: int = 1,
    min_followers_to_name: int = 0,
    show_names: bool = False,
    doi: str | None = None,
    key: Callable[[], ProjectKey | None] = lambda: None,
    policy: Mapping[str, str] = NO_POLICY,
    progress: Progress = lambda step, done, of: None,
) -> ReportFiles:
    """Write the report of a database, by path or address, into a folder; what stands there is replaced file by file.

    `top` is the length of the list of central accounts, `resolution` and `rng_seed` go to the communities, `now` gives
    the time printed, in Unix seconds. Accounts with fewer than `min_followers_to_name` reported followers that are no
    seeds get a pseudonym unless `show_names`; `key` is asked for the key behind it where there are such. In a rehearsal
    nobody is real and all are named. `policy` says in words how the study treats people, `doi` what the report is
    published under. The database is never altered. Raises DatabaseError and OutputNotWritable.
    """
    progress("reading", 0, 5)
    with closing(Database.open(place, now=now, mode="read")) as database:
        for folder in (output, output / "tables"):
            export.require_writable(folder)
        with database.read() as conn:
            graph = read_graph(conn)
            coverage = read_coverage(conn, graph)
            purges = retention.purges(conn)
            happened, renamed, seeded_at = incidents.read(conn), incidents.renamed(conn), incidents.seeded_at(conn)
            drawn, queues = read_drawn(conn, graph), read_queues(sampling.queue_rows(conn))
            seed_of = read_seeds(conn, graph)
            # Read now, in the state that the rest was read in: a graph under other names has no texts.
            facts = {name: graph.accounts.column(name) for name in FACTS}
            unnamed: frozenset[int] = frozenset()
            if not show_names and not coverage.is_rehearsal:
                graph, unnamed = veiled(
                    graph, min_followers=min_followers_to_name, pseudonyms=partial(_pseudonyms, conn, key)
                )
            again = revisited(conn)
            changed = changes(graph, again, events(conn)) if again.accounts else None

        def names(ids: list[int]) -> dict[int, str]:
            with database.read() as conn:
                return export.display_names(conn, [each for each in ids if each not in unnamed])

        settings = Settings(
            top=top,
            resolution=resolution,
            rng_seed=rng_seed,
            min_followers_to_name=min_followers_to_name,
            show_names=show_names,
            unnamed=len(unnamed),
        )
        found = find(
            graph,
            coverage,
            drawn=drawn,
            seed_of=seed_of,
            queues=queues,
            facts=facts,
            settings=settings,
            names=names,
            progress=progress,
        )
        findings = replace(
            found,
            policy=policy,
            doi=doi,
            purges=purges,
            changes=changed,
            incidents=happened,
            renamed=renamed,
            seeded_at=seeded_at,
            content=content_of(graph),
        )
    progress("writing", 4, 5)
    generated_at, versions = int(now()), _versions()
    chart = atlas(findings)
    content = record(findings, chart, generated_at=generated_at, versions=versions)
    tables = written_tables(output / "tables", findings, chart)
    data = written_json(output / "report.json", content)
    words = written_text(output / "methods.md", methods(findings, versions, generated_at))
    references = written_text(output / "references.bib", bibliography(findings, versions, generated_at))
    # The page comes last: it carries the checksums of all others.
    beside = [File.of(path, output) for path in (data, words, references, *tables)]
    html = render(findings, chart, beside, generated_at=generated_at, versions=versions)
    files = ReportFiles(
        tables=tables,
        json=data,
        methods=words,
        bibliography=references,
        html=written_page(output / "report.html", html),
        accounts=len(graph),
        edges=len(graph.src),
    )
    progress("done", 5, 5)
    return files


def _pseudonyms(conn: Any, key: Callable[[], ProjectKey | None]) -> dict[int, str] | None:
    found = key()
    return None if found is None else dict(persons.pseudonyms(conn, found))


def _versions() -> dict[str, str]:
    versions = {"python": python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "(development version)"
    return versions
