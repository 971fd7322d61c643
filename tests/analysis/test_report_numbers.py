"""Every number of two reports, the demo's and that of 5,000 credits on soc-slashdot0902, against a second computation.

The crawls are whole ones, in process and in virtual time. `tests.analysis.recount` counts again from the raw tables;
what is of graphs is networkx's. One test a section of the report, so that a failure names the section.
"""

from __future__ import annotations

import csv
import fcntl
import json
import math
import os
import random
import re
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import rehearsal
from processes import edge_list
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtr, ndtri, zeta

from analysis import communities, structure
from analysis.engine import networkit_graph
from analysis.portraits import COMMON
from analysis.report.build import build
from socialfetch.simulator import network
from tests.analysis import recount
from tests.analysis.recount import LISTS, STANDINGS, Book

NOW = 1_793_500_000.7
BUDGETS = {"slashdot": 5_000, "demo": 2_000}
SEEDS = {"slashdot": 10, "demo": 3}
REASONS = {"no_following": "following nobody", "private": "private"}


# --- the two crawls ---------------------------------------------------------------------------------------------------


def crawl_slashdot(path: Path) -> None:
    """Spend 5,000 credits from ten seeds, a fifth of them on a control sample and a tenth on an audit."""
    graph = network.load_edge_list(edge_list("soc-slashdot0902"), rng_seed=1)
    able = [i for i in range(graph.accounts) if graph.following_counts[i] >= 5 and graph.follower_counts[i] >= 1]
    chosen = [graph.handle(i) for i in random.Random(3).sample(able, SEEDS["slashdot"])]
    rehearsal.go(
        path,
        rehearsal.service(graph),
        seeds=chosen,
        budget=BUDGETS["slashdot"],
        control=0.2,
        audit=0.1,
        concurrency=8,
        archive=False,
        rng_seed=3,
        source="127.0.0.1",
    )


def crawl_demo(path: Path) -> None:
    """Crawl what `followgraph demo` does, with its seeds, its network and its budget."""
    crawl_generated(path, accounts=20_000, budget=BUDGETS["demo"], least=30)


def crawl_generated(path: Path, *, accounts: int, budget: int, least: int = 5) -> None:
    """Crawl a generated network from three accounts that follow `least` others or more."""
    graph = network.generate(accounts, rng_seed=1)
    able = [i for i in range(graph.accounts) if graph.status(i) == "found" and graph.following_counts[i] >= least]
    chosen = [graph.handle(i) for i in random.Random(1).sample(able, SEEDS["demo"])]
    api = rehearsal.service(graph, credits=budget)
    rehearsal.go(path, api, seeds=chosen, budget=budget, archive=False, source="127.0.0.1")


@dataclass(frozen=True)
class Report:
    """A report as its files say it, and the book of the crawl that it is about."""

    name: str
    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "a.db"

    @cached_property
    def book(self) -> Book:
        return Book(self.database)

    @cached_property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "report" / "report.json").read_text())
        return found

    @cached_property
    def page(self) -> Page:
        return Page((self.folder / "report" / "report.html").read_text(encoding="utf-8"))

    @cached_property
    def graph(self) -> nx.DiGraph:
        graph = nx.DiGraph()
        graph.add_nodes_from(range(self.book.n))
        graph.add_edges_from(self.book.follows)
        return graph

    @cached_property
    def plain(self) -> nx.Graph:
        """The graph without its arrows, and without those who have no follow."""
        graph = nx.Graph(self.graph)
        graph.remove_nodes_from(list(nx.isolates(graph)))
        return graph

    @cached_property
    def order(self) -> list[int]:
        """The accounts by imputed PageRank, best first; of equal ones the lower id goes first."""
        found: list[int] = np.argsort(-np.round(self.ranked.scores, 14), kind="stable").tolist()
        return found

    @cached_property
    def ranked(self) -> recount.Ranked:
        return recount.Ranked(self.book)

    @cached_property
    def grouped(self) -> Grouped:
        return Grouped(self)

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.folder / "report" / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def at(self, row: dict[str, Any]) -> int:
        """Return the position of the account of a row."""
        return self.book.at[int(row["id"])]


class Grouped:
    """The labels that seeded runs of the package's engine find, those of the sweep, and what the runs agree on."""

    def __init__(self, report: Report) -> None:
        book, settings = report.book, report.json["settings"]
        pairs = np.array(book.pairs)
        self.members = np.unique(pairs)
        self.pairs = np.searchsorted(self.members, pairs)
        low, high = self.pairs.T.astype(np.uint32)

        def run(resolution: float, number: int) -> Any:
            seed = settings["rng_seed"] + number
            return communities.leiden_labels(len(self.members), low, high, resolution=resolution, rng_seed=seed)

        told = report.json["communities"]
        kept = report.folder / "labels.npz"  # found once, however many workers run the tests
        if not kept.exists():
            swept = {str(row["resolution"]): range(told["sweep_runs"]) for row in told["sweep"]}
            numbers = swept | {str(settings["resolution"]): range(told["runs"])}
            np.savez(kept, **{key: [run(float(key), number) for number in of] for key, of in numbers.items()})
        with np.load(kept) as found:
            self.runs = list(found[str(settings["resolution"])])
            self.sweep = {
                row["resolution"]: list(found[str(row["resolution"])][: told["sweep_runs"]]) for row in told["sweep"]
            }
        self.labels = self.agreed(settings)
        self.of_all = np.full(book.n, -1)
        self.of_all[self.members] = self.labels
        self.overlap = np.array([recount.best_jaccard(self.labels, labels) for labels in self.runs])
        self.stability = self.overlap.mean(axis=0)
        self.size = np.bincount(self.labels)

    def agreed(self, settings: dict[str, Any]) -> Any:
        """Return the consensus: Leiden once more on the pairs that over a fifth of the runs keep together, so weighted.

        Each piece is a community, the largest first, equal ones by their first account.
        """
        together = sum((labels[self.pairs[:, 0]] == labels[self.pairs[:, 1]]).astype(float) for labels in self.runs)
        kept = together > 0.2 * len(self.runs)
        low, high = self.pairs[kept].T.astype(np.uint32)
        agreed = networkit_graph(len(self.members), low, high, weight=together[kept] / len(self.runs))
        rough = communities.leiden_of(agreed, resolution=settings["resolution"], rng_seed=settings["rng_seed"])
        pieces = self.pieces(rough).tolist()
        size = Counter(pieces)  # in the order of their first accounts, which a stable sort keeps
        order = sorted(size, key=lambda piece: -size[piece])
        number = {piece: place for place, piece in enumerate(order)}
        return np.array([number[piece] for piece in pieces])

    def told(self, at: int) -> int | None:
        """Return the number of the community of an account; None where it has none or an unstable one."""
        label = self.of_all[at]
        return int(label) + 1 if label >= 0 and self.stability[label] >= 0.6 else None

    @property
    def unsettled(self) -> float:
        """The share of the accounts that are in communities of a stability below 0.6."""
        return float(self.size[self.stability < 0.6].sum() / self.size.sum())

    @property
    def is_settled(self) -> bool:
        """Whether a tenth is outside the largest community and at most half of the accounts are in unstable ones."""
        return bool(self.size.max() <= 0.9 * self.size.sum() and self.unsettled <= 0.5)

    def inside(self, labels: Any) -> list[int]:
        """Return how many pairs lie within each community."""
        one, other = labels[self.pairs].T
        return np.bincount(one[one == other], minlength=labels.max() + 1).tolist()

    def pieces(self, labels: Any) -> Any:
        """Return the labels with each connected piece as a community of its own."""
        one, other = self.pairs[labels[self.pairs[:, 0]] == labels[self.pairs[:, 1]]].T
        n = len(self.members)
        return connected_components(coo_array((np.ones(len(one)), (one, other)), shape=(n, n)), directed=False)[1]


@pytest.fixture(scope="module", params=["slashdot", "demo"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Give each crawl's report in turn, made once however many workers run the tests."""
    name: str = request.param
    crawl = {"slashdot": crawl_slashdot, "demo": crawl_demo}[name]
    if name == "slashdot":
        edge_list("soc-slashdot0902")  # skips where the data set is not there
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, part = root / f"numbers-{name}", root / f"numbers-{name}-part"
    with (root / f"numbers-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            crawl(part / "a.db")
            build(part / "a.db", part / "report", now=lambda: NOW)
            Grouped(Report(name, part))
            part.rename(folder)
    return Report(name, folder)


# --- the page as it is read -------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """The tables of a page by their id, as rows of cells of words, and its sentences by section.

    What a cell says small stands behind a bar: `1,102|9.`
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.sections: dict[str, str] = {}
        self._hidden = 0
        self._table: list[list[str]] | None = None
        self._section = ""
        self._in_cell = self._in_caption = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in {"style", "script", "svg"}:
            self._hidden += 1
        elif tag == "section":
            self._section = given["id"] or ""
            self.sections[self._section] = ""
        elif tag == "caption":
            self._table = self.tables.setdefault(given["id"] or "", [])
            self._in_caption = True
        elif tag == "tr" and self._table is not None:
            self._table.append([])
        elif tag in {"td", "th"} and self._table:
            self._table[-1].append("")
            self._in_cell = True
        elif tag in {"small", "span"} and self._in_cell and self._table:
            self._table[-1][-1] += "|"

    def handle_endtag(self, tag: str) -> None:
        if tag in {"style", "script", "svg"}:
            self._hidden -= 1
        elif tag == "table":
            self._table = None
        elif tag == "caption":
            self._in_caption = False
        elif tag in {"td", "th"}:
            self._in_cell = False
        elif tag == "li" and self._section:
            self.sections[self._section] += " "

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._in_cell and self._table:
            self._table[-1][-1] += data.strip()
        elif self._section:
            self.sections[self._section] += data

    def rows(self, table: str) -> list[list[str]]:
        """Return the rows of a table that hold numbers, without headings."""
        return [row for row in self.tables[table] if len(row) > 1][1:]

    def says(self, section: str, pattern: str) -> re.Match[str]:
        """Return where a section says something."""
        text = " ".join(self.sections[section].split())
        found = re.search(pattern, text)
        assert found, f"{pattern!r} is not in: {text[:3000]}"
        return found


NUMBER = r"([<>]?\s?[-−]?[\d,]+(?:\.\d+)?(?:\s%)?)"
"""A number as it is printed, with its per cent."""


def shows(text: str, value: float | None) -> bool:
    """Tell whether a text is a number, or a share in per cent, rounded at the place where it was cut."""
    if value is None:
        return text == "–"
    plain = text.replace(",", "").replace("−", "-").replace("\u202f", "").replace(" ", "")
    scale = 100 if plain.endswith("%") else 1
    plain = plain.removesuffix("%")
    if plain[0] in "<>":  # what is not quite nothing, or not quite everything
        return 0 < value * scale < 0.05 if plain == "<0.1" else plain == ">99.9" and 99.95 <= value * scale < 100
    if not re.fullmatch(r"-?\d+(\.\d+)?", plain):
        return False
    places = len(plain.partition(".")[2])
    # Only nothing and everything are shown as 0 % and 100 %.
    sharp = scale == 1 or plain not in {"0", "100"} or value * scale == float(plain)
    return sharp and abs(value * scale - float(plain)) <= 0.5 * 10**-places + 1e-9


def share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def stamp(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- coverage ---------------------------------------------------------------------------------------------------------


def test_coverage_counts(report: Report) -> None:
    """Accounts by standing, in the words of `status`, waiting, left out, failed: counted entry by entry."""
    book, seen = report.book, report.json["coverage"]
    by_standing = Counter(book.standing)
    assert seen["known"] == book.n == seen["accounts"]["known"]
    assert seen["seeds"] == len(book.seeds) == SEEDS[report.name]
    assert seen["standings"] == {word: by_standing[word] for word in STANDINGS}
    assert seen["accounts"] == {
        "known": book.n,
        "visited": sum(by_standing[word] for word in LISTS),
        "boundary": by_standing["waiting"] + by_standing["skipped"],
        **{word: by_standing[word] for word in ("hidden", "private", "not_found", "failed")},
    }
    states = Counter(entry["state"] for entry in book.frontier.values())
    assert seen["frontier"] == {
        "queued": states[0] + states[5],
        "leased": states[1],
        "done": states[2],
        "failed": states[3],
        "skipped": states[4],
    }
    for word, state in (("skipped", 4), ("failed", 3)):
        assert seen[word] == Counter(e["reason"] for e in book.frontier.values() if e["state"] == state)
    assert seen["edges"] == len(book.follows)
    assert seen["ended_edges"] == len(book.ended)
    assert seen["strategies"] == [run["strategy"] for run in book.runs] == ["flow"]
    assert (seen["sources"], seen["is_rehearsal"], seen["random_sample"]) == (["127.0.0.1"], True, False)


def test_coverage_of_announced_follows(report: Report) -> None:
    """What profiles announce and what was read, of the accounts with a list and of those with a whole one."""
    book, seen = report.book, report.json["coverage"]
    for name, among in (("announced", book.listed), ("announced_complete", book.complete)):
        told = [place for place in range(book.n) if among[place] and book.following[place] >= 0]
        assert seen[name] == {
            "accounts": len(told),
            "reported": sum(int(book.following[place]) for place in told),
            "read": sum(len(book.lists.get(place, ())) for place in told),
        }


def test_coverage_credits_and_pages(report: Report) -> None:
    """Credits of runs and ledger, by the standing of the account they were charged for, and when pages came."""
    book, seen = report.book, report.json["coverage"]
    assert seen["credits"] == {
        "charged": sum(run["charged"] for run in book.runs),
        "uncertain": sum(run["uncertain"] for run in book.runs),
        "booked": sum(row["charged"] for row in book.ledger),
    }
    assert seen["credits"]["booked"] == BUDGETS[report.name]
    spent = Counter(dict.fromkeys(STANDINGS, 0))
    for row in book.ledger:
        spent[book.standing[book.at[row["account_id"]]]] += row["charged"]
    assert seen["spent"] == spent
    came = [row["at"] for row in book.ledger if row["outcome"] == "settled"]
    assert (seen["first_page_at"], seen["last_page_at"]) == (stamp(min(came)), stamp(max(came)))
    assert seen["pages"] == sum(visit["pages"] for visit in book.visits)
    assert report.table("coverage") == [
        {"standing": word, "accounts": str(seen["standings"][word]), "credits": str(spent[word])} for word in STANDINGS
    ]
    [run] = seen["runs"]
    [row] = book.runs
    for name in ("id", "strategy", "rng_seed", "budget", "charged", "uncertain", "reserved", "pages", "new_edges",
                 "new_accounts", "errors", "active_s", "stop_reason"):  # fmt: skip
        assert run[name] == row[name], name
    assert (run["started_at"], run["ended_at"]) == (stamp(row["started_at"]), stamp(row["ended_at"]))
    assert run["new_accounts"] == book.n - len(book.seeds)
    assert run["new_edges"] == len(book.follows)


def test_queues(report: Report) -> None:
    """What the credits bought: visits, lists and credits by the queue an account was picked from."""
    book, found = report.book, report.json["estimates"]["queues"]
    expected: dict[str, dict[str, int]] = {}
    for visit in book.visits:
        row = expected.setdefault(book.queue_of(visit), {"visits": 0, "lists": 0, "credits": 0})
        row["visits"] += 1
        row["lists"] += book.brings_list(visit)
        row["credits"] += book.paid.get(visit["id"], 0)
    assert {row.pop("name"): row for row in map(dict, found)} == expected
    assert sum(row["credits"] for row in found) == BUDGETS[report.name]
    control = report.json["estimates"]["control"]
    if report.name == "demo":
        assert control is None
        assert not report.json["estimates"]["audited"]
    else:
        draws = [sum(wave.values()) for wave in book.waves]
        assert control == {"credits_of_poorest_wave": min(book.wave_credits), "draws": draws}
        assert report.json["estimates"]["audited"]


def test_forecasts(report: Report) -> None:
    """What was forecast is what the run noted, what came is what the tables hold beyond it."""
    book = report.book
    [found] = report.json["coverage"]["forecasts"]
    [run] = book.runs
    noted = json.loads(run["forecast"])
    assert (found["run"], found["from_credit"]) == (run["id"], noted["at"]["credits"])
    assert found["is_whole"] == (run["charged"] + run["uncertain"] >= noted["budget"])
    for name, now in (("accounts", book.n - len(book.seeds)), ("edges", len(book.follows))):
        came = now - noted["at"][name]
        assert {key: found[name][key] for key in ("low", "mid", "high")} == noted[name]
        assert found[name]["actual"] == came
        assert found[name]["error"] == pytest.approx(came / noted[name]["mid"] - 1, abs=5.1e-5)


def test_vanished(report: Report) -> None:
    """How often accounts that no longer exist were listed, and all others: medians."""
    book = report.book
    gone = sorted(int(k) for k, word in zip(book.k, book.standing, strict=True) if word == "not_found")
    rest = sorted(int(k) for k, word in zip(book.k, book.standing, strict=True) if word != "not_found")

    def middle(values: list[int]) -> float | None:
        return (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2 if values else None

    assert report.json["vanished"] == {
        "accounts": len(gone),
        "followers_observed": middle(gone),
        "rest_followers_observed": middle(rest),
    }
    assert bool(gone) == (report.name == "demo")


# --- the graph and its structure --------------------------------------------------------------------------------------


def test_graph_counts(report: Report) -> None:
    """Accounts, follows and what was taken out."""
    book = report.book
    told = {key: value for key, value in report.json["graph"].items() if key != "content_sha256"}
    assert told == {"accounts": book.n, "edges": len(book.follows), "removed": book.removed}
    assert [row["id"] for row in report.json["seeds"]] == [str(book.ids[place]) for place in book.seeds]
    assert [row["handle"] for row in report.json["seeds"]] == [book.accounts[at]["handle"] for at in book.seeds]


def test_components(report: Report) -> None:
    """Weak and strong components and their largest are networkx's."""
    weak = [len(part) for part in nx.weakly_connected_components(report.graph)]
    strong = [len(part) for part in nx.strongly_connected_components(report.graph)]
    assert report.json["structure"]["components"] == {
        "weak": len(weak),
        "largest_weak": max(weak),
        "strong": len(strong),
        "largest_strong": max(strong),
        "isolated": nx.number_of_isolates(report.graph),
    }


def test_bow_tie(report: Report) -> None:
    """The parts about the largest strong component, by who reaches whom (Broder et al. 2000)."""
    graph, backward = report.graph, report.graph.reverse(copy=False)

    def reached(among: nx.DiGraph, begin: set[int]) -> set[int]:
        found, waiting = set(begin), list(begin)
        while waiting:
            fresh = [other for other in among[waiting.pop()] if other not in found]
            found.update(fresh)
            waiting += fresh
        return found

    core = max(nx.strongly_connected_components(graph), key=len)
    out, into = reached(graph, core) - core, reached(backward, core) - core
    weak = nx.node_connected_component(graph.to_undirected(as_view=True), min(core))
    rest = weak - core - out - into
    tubes = rest & reached(graph, into) & reached(backward, out)
    assert report.json["structure"]["bow_tie"] == {
        "core": len(core),
        "into": len(into),
        "out": len(out),
        "tubes": len(tubes),
        "tendrils": len(rest - tubes),
        "apart": report.book.n - len(weak),
    }


def test_core_profile(report: Report) -> None:
    """The accounts of each k-core, from networkx's core numbers of the graph without its arrows."""
    cores = Counter(nx.core_number(report.plain).values())
    cores[0] += nx.number_of_isolates(report.graph)
    profile = [sum(count for k, count in cores.items() if k >= least) for least in range(max(cores) + 1)]
    assert report.json["structure"]["core_profile"] == profile
    assert [(int(row["k"]), int(row["accounts"])) for row in report.table("cores")] == list(enumerate(profile))


def test_reciprocity(report: Report) -> None:
    """Follows returned, of all and of those between accounts with a list and with a whole one."""
    book = report.book
    there = set(book.follows)
    everybody = np.ones(book.n, dtype=bool)
    for name, among in (("all", everybody), ("both_visited", book.listed), ("both_complete", book.complete)):
        counted = [(u, v) for u, v in book.follows if among[u] and among[v]]
        returned = sum((v, u) in there for u, v in counted)
        found = report.json["structure"]["reciprocity"][name]
        assert found == {"follows": len(counted), "returned": returned, "share": share(returned, len(counted))}, name


def test_assortativity(report: Report) -> None:
    """Degree correlations over the follows between completely visited accounts are networkx's."""
    part = report.graph.subgraph(np.flatnonzero(report.book.complete).tolist()).copy()
    found = report.json["structure"]["assortativity_both_complete"]
    assert found["follows"] == part.number_of_edges()
    for x in ("in", "out"):
        for y in ("in", "out"):
            expected = nx.degree_pearson_correlation_coefficient(part, x=x, y=y)
            assert found[f"{x}_{y}"] == pytest.approx(expected, abs=1e-9)
    assert found["total"] == pytest.approx(nx.degree_pearson_correlation_coefficient(nx.Graph(part)), abs=1e-9)


def test_clustering(report: Report) -> None:
    """Clustering and transitivity of the completely visited accounts, arrows dropped, are networkx's."""
    part = nx.Graph(report.graph.subgraph(np.flatnonzero(report.book.complete).tolist()))
    two = [at for at, degree in part.degree() if degree > 1]
    corners = nx.triangles(part)
    assert report.json["structure"]["clustering_both_complete"] == {
        "accounts": len(two),
        "triples": sum(math.comb(degree, 2) for _, degree in part.degree()),
        "closed": sum(corners.values()),
        "average": pytest.approx(sum(nx.clustering(part, two).values()) / len(two)),
        "transitivity": pytest.approx(nx.transitivity(part)),
    }


def test_betweenness_is_not_told_of_a_small_part(report: Report) -> None:
    """Under three tenths of the known accounts nobody is named."""
    visited = int(report.book.listed.sum())
    assert visited < 0.3 * report.book.n
    assert report.json["structure"]["betweenness_of_visited"] == {
        "accounts": visited,
        "share": pytest.approx(visited / report.book.n),
        "pivots": 0,
        "first": [],
    }


@pytest.mark.parametrize(("accounts", "budget", "drawn"), [(160, 120, False), (400, 400, False), (400, 400, True)])
def test_betweenness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accounts: int, budget: int, drawn: bool) -> None:
    """Of a crawl that visited half of what it knows: networkx's, exact or from 200 pivots drawn as networkx draws them.

    What the pivots give is near what all accounts would.
    """
    if drawn:
        monkeypatch.setattr(structure, "WORK", 950_000)  # too little for all accounts, enough for 200
    crawl_generated(tmp_path / "a.db", accounts=accounts, budget=budget)
    build(tmp_path / "a.db", tmp_path / "report", now=lambda: NOW)
    report = Report("small", tmp_path)
    told, listed = report.json["structure"]["betweenness_of_visited"], np.flatnonzero(report.book.listed).tolist()
    assert (told["accounts"], told["pivots"]) == (len(listed), 200 if drawn else len(listed))
    assert (budget == 400) == (len(listed) > 200)
    assert told["share"] == pytest.approx(len(listed) / report.book.n)
    part = nx.DiGraph()
    part.add_nodes_from(listed)  # in the order of ids, in which pivots are drawn
    part.add_edges_from(report.graph.subgraph(listed).edges())
    seed = random.Random(report.json["settings"]["rng_seed"])
    expected = nx.betweenness_centrality(part, k=told["pivots"] if drawn else None, seed=seed, backend="networkx")
    exact = nx.betweenness_centrality(part, backend="networkx")
    first = sorted(listed, key=lambda at: (-round(expected[at], 12), at))[:10]
    assert [report.at(row) for row in told["first"]] == first
    for row, at in zip(told["first"], first, strict=True):
        assert row["handle"] == report.book.accounts[at]["handle"]
        assert row["value"] == pytest.approx(expected[at])
        assert row["value"] == pytest.approx(exact[at], rel=0.1 if drawn else 1e-9)
    page = report.page
    for line, row in zip(page.rows("betweenness"), told["first"], strict=True):
        assert line[0] == f"@{row['handle']}"
        assert shows(line[1], row["value"])
    found = page.says(
        "structure",
        rf"{'Estimated' if drawn else 'Exact'} among {NUMBER} visited accounts, {NUMBER} of the known: on shortest "
        rf"paths from {'200 accounts drawn by lot' if drawn else 'all of them'}\.",
    )
    assert shows(found[1], told["accounts"])
    assert shows(found[2], told["share"])


def test_degree_distributions(report: Report) -> None:
    """Every row of the table, and the sums of it in the JSON."""
    book = report.book
    rows = report.table("degree_distribution")
    for measure, population, name, degrees in (
        ("followers_observed", "known", "followers_observed", book.k),
        ("following", "complete", "following_of_complete", book.read[book.complete]),
    ):
        counts = Counter(degrees.tolist())
        expected, at_least = [], len(degrees)
        for value, count in sorted(counts.items()):
            expected.append((value, count, at_least, at_least / len(degrees)))
            at_least -= count
        found = [row for row in rows if (row["measure"], row["population"]) == (measure, population)]
        columns = ("value", "accounts", "accounts_at_least")
        assert [tuple(int(row[key]) for key in columns) for row in found] == [row[:3] for row in expected]
        assert [float(row["share_at_least"]) for row in found] == pytest.approx([row[3] for row in expected])
        assert report.json["structure"][name] == {
            "accounts": len(degrees),
            "total": int(degrees.sum()),
            "maximum": int(degrees.max()),
        }


def degrees_of(report: Report, which: str) -> Any:
    """Return the positive degrees that a tail is of."""
    book = report.book
    values = book.read[book.complete] if which == "following" else book.followers
    return values[values > 0]


TAILS = pytest.mark.parametrize("which", ["following", "followers"])


@TAILS
def test_tail_from_its_start(report: Report, which: str) -> None:
    """Exponent, its error, the distance and the counts of the power law from where the report lets it start."""
    values, found = degrees_of(report, which), report.json["structure"]["tails"][which]
    exponent, distance = recount.law_from(values, found["start"])
    assert found["of"] == len(values)
    assert found["values"] == (values >= found["start"]).sum()
    assert found["exponent"] == pytest.approx(exponent, abs=1e-4)
    assert found["distance"] == pytest.approx(distance, abs=1e-5)
    # The Fisher information of the exponent is the variance of log x under the law.
    x = np.arange(found["start"], 2_000_000, dtype=np.float64)
    law = x**-exponent / zeta(exponent, found["start"])
    variance = (law * np.log(x) ** 2).sum() - (law * np.log(x)).sum() ** 2
    assert found["error"] == pytest.approx(1 / math.sqrt(found["values"] * variance), rel=1e-2)


@TAILS
def test_tail_starts_where_the_law_comes_closest(report: Report, which: str) -> None:
    """No other start brings the law nearer to the data: the search over all of them, one after the other."""
    values, found = degrees_of(report, which), report.json["structure"]["tails"][which]
    distances = {start: recount.law_from(values, start)[1] for start in recount.starts(values)}
    assert found["distance"] <= min(distances.values()) + 1e-5, min(distances, key=distances.__getitem__)


@TAILS
def test_tail_rivals(report: Report, which: str) -> None:
    """Vuong's ratio and p of the exponential and the lognormal, and that no better lognormal is found nearby."""
    values, found = degrees_of(report, which), report.json["structure"]["tails"][which]
    start = found["start"]
    tail = values[values >= start].astype(float)
    law = -found["exponent"] * np.log(tail) - np.log(zeta(found["exponent"], start))
    rivals = {row["name"].split()[0]: row for row in found["rivals"]}

    def lognormal(centre: float, width: float) -> Any:
        def above(x: Any) -> Any:
            return ndtr((centre - np.log(x)) / width)

        return np.log(above(tail - 0.5) - above(tail + 0.5)) - np.log(above(start - 0.5))

    rate = math.log1p(1 / (tail.mean() - start))
    assert rivals["exponential"]["parameters"] == pytest.approx([rate])
    logs = {
        "exponential": math.log(1 - math.exp(-rate)) - rate * (tail - start),
        "lognormal": lognormal(*rivals["lognormal"]["parameters"]),
    }
    for name, other in logs.items():
        difference = law - other
        ratio = difference.sum() / (difference.std() * math.sqrt(len(tail)))
        assert rivals[name]["ratio"] == pytest.approx(ratio, rel=1e-3, abs=1e-3), name
        assert rivals[name]["p"] == pytest.approx(math.erfc(abs(rivals[name]["ratio"]) / math.sqrt(2))), name
    plain = np.log(tail)
    better = minimize(
        lambda given: -lognormal(given[0], math.exp(given[1])).sum(),
        [plain.mean(), math.log(plain.std())],
        method="Nelder-Mead",
    )
    assert logs["lognormal"].sum() >= -better.fun - 0.05


@TAILS
def test_tail_rivals_that_hold_the_power_law(report: Report, which: str) -> None:
    """The stretched exponential and the law with a cut-off: ratio and p from their parameters, and none better nearby.

    The cut-off's p is that of the likelihood ratio of nested laws (Wilks 1938): chi-squared of one degree.
    """
    values, found = degrees_of(report, which), report.json["structure"]["tails"][which]
    start, rivals = found["start"], {row["name"]: row for row in found["rivals"]}
    assert [name.split()[0] for name in rivals] == ["lognormal", "exponential", "stretched", "power"]
    tail = values[values >= start].astype(float)
    law = -found["exponent"] * np.log(tail) - np.log(zeta(found["exponent"], start))

    def stretched(scale: float, shape: float) -> Any:
        here, after, first = ((at / scale) ** shape for at in (tail, tail + 1, start))
        return first - here + np.log1p(-np.exp(here - after))

    def cut(power: float, decay: float) -> Any:
        x, end = np.arange(start, start + 5_000, dtype=float), start + 5_000 - 0.5
        rest = quad(
            lambda t: math.exp((1 - power) * t - decay * math.exp(t)), math.log(end), math.log(end + 50 / decay)
        )[0]
        return -power * np.log(tail) - decay * tail - math.log((x**-power * np.exp(-decay * x)).sum() + rest)

    row = rivals["stretched exponential distribution"]
    difference = law - stretched(*row["parameters"])
    assert row["ratio"] == pytest.approx(difference.sum() / difference.std() / math.sqrt(len(tail)), rel=1e-3, abs=1e-3)
    assert row["p"] == pytest.approx(math.erfc(abs(row["ratio"]) / math.sqrt(2)))
    best = minimize(
        lambda given: -stretched(math.exp(max(given[0], -40)), math.exp(given[1])).sum(),
        [math.log(tail.mean()), 0],
        method="Nelder-Mead",
    )
    assert stretched(*row["parameters"]).sum() >= -best.fun - 0.05
    row = rivals["power law with an exponential cut-off"]
    more = cut(*row["parameters"]).sum() - law.sum()
    assert row["ratio"] <= 0
    assert row["ratio"] ** 2 / 2 == pytest.approx(more, rel=1e-2, abs=1e-3)
    assert row["p"] == pytest.approx(math.erfc(math.sqrt(row["ratio"] ** 2 / 2)))
    best = minimize(
        lambda given: -cut(max(given[0], 1), math.exp(max(given[1], -40))).sum(),
        [found["exponent"] - 0.5, -math.log(tail.mean())],
        method="Nelder-Mead",
    )
    assert cut(*row["parameters"]).sum() >= -best.fun - 0.05


@TAILS
def test_tail_goodness(report: Report, which: str) -> None:
    """As many sets of the fitted law lie farther off as in a second drawing; none is drawn where a rival is better."""
    values, found = degrees_of(report, which), report.json["structure"]["tails"][which]
    better = [row for row in found["rivals"] if row["ratio"] < 0 and row["p"] < 0.1]
    fit = found["goodness"]
    assert (fit is None) == bool(better or found["values"] < 100)
    assert found["verdict"].startswith("Not a") == bool(better or (fit and fit["p"] <= 0.1))
    if fit is None:
        return
    assert fit["worse"] == 20 or fit["sets"] == 200
    assert fit["p"] == pytest.approx(20 / fit["sets"] if fit["worse"] == 20 else (fit["worse"] + 1) / 201)
    worse = recount.worse_by_chance(values, found["start"], 16, np.random.default_rng(11))
    both = (worse + fit["worse"]) / (16 + fit["sets"])
    spread = math.sqrt(both * (1 - both) * (1 / 16 + 1 / fit["sets"]))
    assert abs(worse / 16 - fit["worse"] / fit["sets"]) <= 3 * spread, (worse, fit)


# --- communities ------------------------------------------------------------------------------------------------------


def test_communities_counts(report: Report) -> None:
    """Each is one connected piece; accounts, visited, pairs inside and touching are those of its members."""
    book, groups, told = report.book, report.grouped, report.json["communities"]
    plain = report.plain
    members = {number: np.flatnonzero(groups.of_all == number).tolist() for number in range(groups.of_all.max() + 1)}
    assert told["accounts"] == len(groups.members) == sum(map(len, members.values()))
    assert told["pairs"] == plain.number_of_edges() == len(book.pairs)
    assert [row["number"] for row in told["list"]] == [number + 1 for number in members]
    sizes = [row["accounts"] for row in told["list"]]
    assert sizes == sorted(sizes, reverse=True)
    place = {at: number for number, at in enumerate(report.order)}
    for row, part in zip(told["list"], members.values(), strict=True):
        inner = plain.subgraph(part)
        assert nx.is_connected(inner), row["number"]
        inside = inner.number_of_edges()
        assert (row["accounts"], row["visited"]) == (len(part), int(book.listed[part].sum()))
        assert (row["inside"], row["touching"]) == (inside, sum(degree for _, degree in plain.degree(part)) - inside)
        first = sorted(part, key=place.__getitem__)[:5] if groups.stability[row["number"] - 1] >= 0.6 else []
        assert [report.at(one) for one in row["top"]] == first, row["number"]
    rows = report.table("communities")
    for name, key in (("community", "number"), ("accounts", "accounts"), ("visited", "visited"),
                      ("pairs_inside", "inside"), ("pairs_touching", "touching"), ("follows_inside", "follows_inside"),
                      ("follows_out", "follows_out"), ("follows_in", "follows_in")):  # fmt: skip
        assert [int(row[name]) for row in rows] == [row[key] for row in told["list"]]
    assert [float(row["stability"]) for row in rows] == [row["stability"] for row in told["list"]]
    assert [row["top_accounts"].split() for row in rows] == [
        [one["handle"] for one in row["top"]] for row in told["list"]
    ]


def test_communities_follows(report: Report) -> None:
    """Follows that stay in each community, lead out of it and come into it, and those from each to each other one."""
    book, groups, told = report.book, report.grouped, report.json["communities"]
    label = groups.of_all
    between = Counter((int(label[u]) + 1, int(label[v]) + 1) for u, v in book.follows)
    for row in told["list"]:
        number = row["number"]
        assert row["follows_inside"] == between[number, number], number
        assert row["follows_out"] == sum(n for (one, to), n in between.items() if one == number != to), number
        assert row["follows_in"] == sum(n for (one, to), n in between.items() if one != number == to), number
    trusted = {number for number, value in enumerate(groups.stability, start=1) if value >= 0.6}
    kept = [(*pair, n) for pair, n in between.items() if pair[0] != pair[1] and trusted.issuperset(pair)]
    kept.sort(key=lambda row: (-row[2], row[:2]))
    assert kept
    assert [tuple(map(int, row.values())) for row in report.table("flows")] == kept
    assert [(row["source"], row["target"], row["follows"]) for row in told["flows"]] == kept[:20]


def test_communities_brokers(report: Report) -> None:
    """Participation is 1 - sum of (k_s / k)^2 over communities, in whole numbers (Guimerà & Amaral 2005).

    Told are completely visited accounts of trusted communities with ten pairs or more, one of them outside.
    """
    book, groups, told = report.book, report.grouped, report.json["communities"]
    spread: dict[int, Counter[int]] = {}
    for one, other in book.pairs:
        spread.setdefault(one, Counter())[int(groups.of_all[other])] += 1
        spread.setdefault(other, Counter())[int(groups.of_all[one])] += 1
    rows = []
    for at, counts in spread.items():
        k, own = counts.total(), groups.told(at)
        if own is not None and book.complete[at] and k >= 10 and k > counts[own - 1]:
            participation = 1 - Fraction(sum(count**2 for count in counts.values()), k**2)
            rows.append((-participation, counts[own - 1] - k, at, own, k))
    expected = sorted(rows)[:10] if groups.is_settled else []
    assert len(expected) == (10 if report.name == "demo" else 0)
    assert [report.at(row) for row in told["brokers"]] == [at for _, _, at, _, _ in expected]
    for row, (less, minus, at, own, k) in zip(told["brokers"], expected, strict=True):
        assert (row["handle"], row["community"]) == (book.accounts[at]["handle"], own)
        assert (row["connections"], row["outside"]) == (k, -minus)
        assert row["participation"] == pytest.approx(float(-less))
    names = {"id": "id", "label": "handle", "community": "community", "connections": "connections",
             "connections_outside": "outside", "participation": "participation"}  # fmt: skip
    assert report.table("brokers") == [{key: str(row[of]) for key, of in names.items()} for row in told["brokers"]]


def test_communities_settled(report: Report) -> None:
    """The share of the accounts in unstable communities, and whether there is a division at all."""
    groups, told = report.grouped, report.json["communities"]
    assert told["unsettled_share"] == pytest.approx(groups.unsettled)
    assert told["settled"] == groups.is_settled == (report.name == "demo")


def test_communities_modularity(report: Report) -> None:
    """Modularity of the consensus is networkx's."""
    groups, told = report.grouped, report.json["communities"]
    parts = [np.flatnonzero(groups.of_all == number).tolist() for number in range(groups.of_all.max() + 1)]
    expected = nx.community.modularity(report.plain, parts, resolution=report.json["settings"]["resolution"])
    assert told["modularity"] == pytest.approx(expected, abs=1e-9)
    assert recount.modularity(groups.pairs, groups.labels, 1.0) == pytest.approx(expected, abs=1e-9)


def test_communities_stability(report: Report) -> None:
    """Stability is the mean overlap with the best counterpart in each seeded run, agreement the mean NMI with them."""
    groups, told = report.grouped, report.json["communities"]
    assert (told["runs"], told["sweep_runs"]) == (20, 3)  # as of any graph of up to a million pairs
    assert told["found_by_run"] == [len(np.unique(labels)) for labels in groups.runs]
    assert [row["stability"] for row in told["list"]] == pytest.approx(groups.stability.tolist())
    assert [row["trust"] for row in told["list"]] == [
        "stable" if value >= 0.75 else "doubtful" if value >= 0.6 else "unstable" for value in groups.stability
    ]
    agreement = np.mean([recount.mutual_information(groups.labels, labels) for labels in groups.runs])
    assert told["agreement"] == pytest.approx(agreement)


def test_communities_overlap_with_each_run(report: Report) -> None:
    """Each cell is the best Jaccard similarity with a run; their mean over the runs is the stability."""
    groups, rows = report.grouped, report.table("stability")
    found = {(int(row["community"]), int(row["run"])): float(row["overlap"]) for row in rows}
    assert list(found) == [(number, run) for number in range(1, 13) for run in range(1, 21)]
    assert list(found.values()) == pytest.approx(groups.overlap[:, :12].T.ravel().tolist())
    for row in report.json["communities"]["list"][:12]:
        values = [found[row["number"], run] for run in range(1, 21)]
        assert sum(values) / len(values) == pytest.approx(row["stability"])


def test_communities_at_other_resolutions(report: Report) -> None:
    """Each column of the sweep: means over its runs; those under the limit in its first run."""
    groups, told = report.grouped, report.json["communities"]
    for row in told["sweep"]:
        runs = groups.sweep[row["resolution"]]
        parted = [groups.pieces(labels) for labels in runs]
        sizes = [np.bincount(labels) for labels in parted]
        assert row["communities"] == pytest.approx(np.mean([len(one) for one in sizes]))
        assert row["largest"] == pytest.approx(np.mean([one.max() / len(groups.members) for one in sizes]))
        expected = np.mean([recount.modularity(groups.pairs, labels, row["resolution"]) for labels in parted])
        assert row["modularity"] == pytest.approx(expected)
        alike = [recount.modularity(groups.pairs, labels, 1.0) for labels in parted]
        assert row["standard"] == pytest.approx(np.mean(alike), abs=1e-9)
        assert standard(report, parted[0]) == pytest.approx(alike[0], abs=1e-9)
        assert row["trivial"] == (np.mean([one.max() / one.sum() for one in sizes]) > 0.9)
        both = [(runs[one], runs[other]) for one in range(len(runs)) for other in range(one)]
        assert row["agreement"] == pytest.approx(np.mean([recount.mutual_information(*pair) for pair in both]))
        assert row["below"] == sum(inside < row["limit"] for inside in groups.inside(parted[0]))
    rows = report.table("resolutions")
    for name in ("resolution", "communities", "largest", "modularity", "standard", "agreement", "limit", "below",
                 "trivial"):  # fmt: skip
        assert [float(row[name]) for row in rows] == [row[name] for row in told["sweep"]]
    assert {row["trivial"] for row in told["sweep"]} == {True, False}


def standard(report: Report, labels: Any) -> float:
    """Return networkx's modularity, at resolution 1, of labels of those who have a follow."""
    parts: dict[int, set[int]] = {}
    for at, label in zip(report.grouped.members.tolist(), labels.tolist(), strict=True):
        parts.setdefault(label, set()).add(at)
    return float(nx.community.modularity(report.plain, parts.values()))


def test_communities_limit_of_resolution(report: Report) -> None:
    """Two communities of d ends each and one pair between them are merged where d * d < 2 L / resolution.

    The gain is 1 / L - resolution * d * d / (2 L^2), so the pairs inside go with the root of the resolution; at 1 it is
    Fortunato & Barthélemy's sqrt(2 L).
    """
    told = report.json["communities"]
    expected = [math.sqrt(2 * told["pairs"] / row["resolution"]) for row in told["sweep"]]
    assert [row["limit"] for row in told["sweep"]] == pytest.approx(expected)


# --- ranking ----------------------------------------------------------------------------------------------------------


def test_central_scores(report: Report) -> None:
    """Scores are imputed PageRank on mended counts, and the list is in their order: nobody higher is left out."""
    ranked, rows = report.ranked, report.json["central"]
    assert not ranked.fit.thin
    assert len(rows) == 50
    assert [row["score"] for row in rows] == pytest.approx([ranked.scores[report.at(row)] for row in rows], rel=1e-6)
    highest = np.sort(ranked.scores)[::-1][: len(rows)]
    assert [row["score"] for row in rows] == pytest.approx(highest.tolist(), rel=1e-6)
    assert [row["rank"] for row in rows] == list(range(1, 51))
    assert [row["tier"] for row in rows] == [0] * 10 + [1] * 40
    told = report.json["estimates"]["ranking"]
    assert told["basis"] == ("audited" if ranked.audited else "assumed")
    assert told["noise"] == pytest.approx(math.sqrt(ranked.noise), rel=1e-6)


def test_central_facts(report: Report) -> None:
    """Who the accounts are, how many follow them, by report and by count, and their community."""
    book, groups = report.book, report.grouped
    for row in report.json["central"]:
        at = report.at(row)
        account = book.accounts[at]
        assert (row["handle"], row["name"]) == (account["handle"], account["display_name"])
        assert row["standing"] == book.standing[at]
        assert row["seed"] == (at in book.seeds)
        assert row["followers_reported"] == account["followers"]
        assert row["followers_observed"] == report.graph.in_degree(at)
        assert row["thin_support"] == (report.graph.in_degree(at) < 5)
        assert row["community"] == groups.told(at)
        assert row["unstable"] == (groups.of_all[at] >= 0 and groups.stability[groups.of_all[at]] < 0.6)
    assert any(row["unstable"] for row in report.json["central"])
    names = {"rank": "rank", "rank_low": "low", "rank_high": "high", "tier": "tier", "id": "id", "score": "score",
             "followers_reported": "followers_reported", "followers_observed": "followers_observed",
             "pagerank_within_crawl": "pagerank", "community": "community", "label": "handle"}  # fmt: skip
    for line, row in zip(report.table("accounts"), report.json["central"], strict=True):
        assert {key: line[key] for key in names} == {
            key: "" if row[of] is None else str(row[of]) for key, of in names.items()
        }
        for name, place in row["places"].items():
            assert line[f"rank_by_{name}"] == str(place)
        assert line["visited_accounts"] == str(book.listed.sum())
        assert line["role"] == ("seed" if row["seed"] else "expanded" if row["standing"] in LISTS else "boundary")
        assert line["completeness"] == (row["standing"] if row["standing"] in STANDINGS[:6] else "")
        assert line["suspicious_followers"] == str(int(row["suspicious"]))


def test_central_ranks_by_other_measures(report: Report) -> None:
    """Ranks by reported and observed followers and within the crawl, and how many of the first hundred they share."""
    book, told = report.book, report.json["estimates"]["ranking"]
    within = nx.pagerank(report.graph, alpha=0.85, tol=1e-15, max_iter=1_000)
    scores = {
        "followers_reported": book.followers.astype(float),
        "followers_observed": book.k.astype(float),
        "pagerank_within_crawl": np.array([within[at] for at in range(book.n)]),
    }
    for row in report.json["central"]:
        assert row["pagerank"] == pytest.approx(within[report.at(row)], rel=1e-5)
    first = set(report.order[:100])
    for name, score in scores.items():
        # Of equal accounts the lower id goes first; PageRank is equal only as far as it has settled.
        slack = 1e-10 if name == "pagerank_within_crawl" else 0
        for row in report.json["central"]:
            at = report.at(row)
            above, alike = (score > score[at] + slack).sum(), np.abs(score - score[at]) <= slack
            place = row["places"][name]
            if slack:
                assert above < place <= above + alike.sum(), (name, row["rank"])
            else:
                assert place == above + alike[: at + 1].sum(), (name, row["rank"])
        order = np.argsort(-score, kind="stable")[:100].tolist()
        assert told["shared_with"][name] == {"shared": len(first & set(order)), "of": 100}, name
    assert told["agreement"] == told["shared_with"]["pagerank_within_crawl"]["shared"] / 100


def test_central_rank_intervals(report: Report) -> None:
    """Intervals hold their ranks and are those of 200 draws; without an audit there is none, and the reason is told."""
    rows, told = report.json["central"], report.json["estimates"]["ranking"]
    if report.name == "demo":
        assert {(row["low"], row["high"]) for row in rows} == {(None, None)}
        assert "without an audit" in told["no_intervals"]
        return
    assert told["no_intervals"] is None
    assert all(row["low"] <= row["rank"] <= row["high"] for row in rows)
    low, high = report.ranked.intervals(len(rows), np.random.default_rng(report.json["settings"]["rng_seed"]))
    # Two rankings that settled to different digits may change two neighbours of nearly the same score.
    assert [row["low"] for row in rows] == pytest.approx(low.tolist(), abs=1)
    assert [row["high"] for row in rows] == pytest.approx(high.tolist(), abs=1)


def test_central_suspicious(report: Report) -> None:
    """Whoever reports more than the listings make plausible is marked, and all such accounts are counted."""
    flagged = report.ranked.flagged
    assert report.json["estimates"]["ranking"]["flagged"] == flagged.sum()
    assert [row["suspicious"] for row in report.json["central"]] == [
        flagged[report.at(row)] for row in report.json["central"]
    ]


def test_suspicious(report: Report) -> None:
    """The twenty furthest beyond what is plausible, by the rule and the mended counts of docs/estimators.md."""
    book, ranked = report.book, report.ranked
    places = np.flatnonzero(ranked.flagged).tolist()
    beyond = {at: round(float(book.followers[at] / ranked.mended[at]), 9) for at in places}
    expected = sorted(places, key=lambda at: (-beyond[at], at))[:20]
    rows = report.json["suspicious"]
    assert expected
    assert [report.at(row) for row in rows] == expected
    for letter, row, at in zip("abcdefghijklmnopqrst", rows, expected, strict=False):
        assert (row["letter"], row["handle"]) == (letter, book.accounts[at]["handle"])
        assert (row["followers_reported"], row["followers_observed"]) == (book.followers[at], book.k[at])
        assert row["followers_plausible"] == pytest.approx(ranked.mended[at], rel=1e-6)
    names = {"letter": "letter", "id": "id", "label": "handle", "followers_reported": "followers_reported",
             "followers_plausible": "followers_plausible", "followers_observed": "followers_observed"}  # fmt: skip
    assert report.table("suspicious") == [{key: str(row[of]) for key, of in names.items()} for row in rows]


# --- averages, size, alarm --------------------------------------------------------------------------------------------


def test_averages(report: Report) -> None:
    """Each value and interval: rule R with a control sample, the double estimate alone without one."""
    book = report.book

    def known(name: str) -> list[float | None]:
        return [None if row[name] is None else float(row[name]) for row in book.accounts]

    def over(name: str, limit: int) -> list[float | None]:
        return [None if value is None else float(value > limit) for value in known(name)]

    following = [value for value, row in zip(known("following"), book.accounts, strict=True) if row["followers"]]
    bounds = {"following_mean": (min(following), max(following))}
    parts = {"following_mean": recount.of_accounts(book, known("following"))}
    for name, limits in (("following", (10, 100, 1_000)), ("followers", (100, 1_000, 10_000))):
        for limit in limits:
            parts[f"{name}_over_{limit}"] = recount.of_accounts(book, over(name, limit))
    parts["verified"] = recount.of_accounts(book, known("verified"))
    parts["follows_of_one_language"] = recount.of_follows(book, [row["language"] for row in book.accounts])
    rows = report.json["estimates"]["averages"]
    assert [row["name"] for row in rows] == list(parts)
    for row in rows:
        expected = recount.rule_r(book, *parts[row["name"]])
        assert row["value"] == pytest.approx(expected.value), row["name"]
        if expected.half is None:
            assert (row["low"], row["high"], row["draws"], row["informative"]) == (None, None, None, False)
            assert row["reason"].startswith("no interval: ")
            continue
        least, most = bounds.get(row["name"], (0, 1))
        assert row["low"] == pytest.approx(max(least, expected.value - expected.half)), row["name"]
        assert row["high"] == pytest.approx(min(most, expected.value + expected.half)), row["name"]
        assert row["draws"] == expected.draws, row["name"]
        assert row["informative"] == (expected.half <= abs(expected.value) / 2), row["name"]
        assert row["reason"] is None
    for line, row in zip(report.table("averages"), rows, strict=True):
        assert {key: value for key, value in line.items() if key != "informative"} == {
            key: "" if row[key] is None else str(row[key]) for key in row if key != "informative"
        }
        assert line["informative"] == str(int(row["informative"]))


def test_size_of_the_network(report: Report) -> None:
    """Accounts, follows, the share read and the share listed, by the capture model."""
    book, found = report.book, report.json["estimates"]["size"]
    q, accounts = recount.size(book)
    assert found == {
        "accounts": pytest.approx(accounts, rel=1e-6),
        "follows": pytest.approx(len(book.follows) / q, rel=1e-6),
        "rate": pytest.approx(q, rel=1e-6),
        "coverage": pytest.approx((book.k > 0).sum() / accounts, rel=1e-6),
        "reason": None,
    }


def test_alarm(report: Report) -> None:
    """The alarm's balance over the sources of the crawl itself."""
    book, found = report.book, report.json["estimates"]["alarm"]
    _, below = recount.of_accounts(book, [0.0] * book.n)
    sources = recount.main_sources(book, below)
    weight = recount.double_weights(book, sources)
    balance = float((weight * below[sources]).sum() / weight.sum())
    assert found == {"balance": pytest.approx(balance), "biased": not 0.8 <= balance <= 1.25, "reason": None}


# --- saturation and seeds ---------------------------------------------------------------------------------------------


def test_saturation(report: Report) -> None:
    """The crawl again in tenths of its own credits, visit by visit, with a ranking after each."""
    rows = report.json["estimates"]["saturation"]
    expected = recount.replay(report.book, report.ranked.mended)
    for name in ("credits", "accounts"):
        assert [row[name] for row in rows] == [row[name] for row in expected], name
    assert [row["novelty"] for row in rows] == pytest.approx([row["novelty"] for row in expected])
    assert rows[0]["overlap"] is None
    assert [row["overlap"] for row in rows[1:]] == pytest.approx([row["overlap"] for row in expected[1:]])
    for line, row in zip(report.table("saturation"), rows, strict=True):
        assert line == {key: "" if value is None else str(value) for key, value in row.items()}


def test_without_each_seed(report: Report) -> None:
    """What is left of the first ten and of the largest stable community without each seed, ranked anew."""
    rows = report.json["without_seed"]
    stable = np.flatnonzero(report.grouped.stability >= 0.75)
    group = report.grouped.of_all == stable[0] if len(stable) else np.zeros(report.book.n, dtype=np.bool_)
    expected = recount.without_seeds(report.book, report.ranked.mended, group)
    assert [report.at(row) for row in rows] == [row["seed"] for row in expected]
    assert [row["handle"] for row in rows] == [report.book.accounts[row["seed"]]["handle"] for row in expected]
    assert {row["first"] for row in rows} == {10}
    for key, name in (
        ("lists", "lists"),
        ("shared_of_first", "shared"),
        ("known_of_largest_stable_community", "known"),
    ):
        assert [row[key] for row in rows] == pytest.approx([row[name] for row in expected]), key


# --- the map and the other tables -------------------------------------------------------------------------------------


def test_map_counts(report: Report) -> None:
    """Communities, links, accounts and follows on the map are those of its tables, and those of the graph."""
    book, groups, told = report.book, report.grouped, report.json["map"]
    label = groups.of_all
    between = Counter(
        (min(label[u], label[v]) + 1, max(label[u], label[v]) + 1) for u, v in book.follows if label[u] != label[v]
    )
    links = {(int(row["community"]), int(row["other"])): int(row["follows"]) for row in report.table("map_links")}
    assert told["communities"] == min(200, label.max() + 1)
    assert (told["most_accounts"], told["most_follows"]) == (20_000, 100_000)
    assert links == {pair: between[pair] for pair in links}
    counts = sorted(between.values(), reverse=True)
    assert list(links.values()) == counts[:400]
    assert (told["links"], told["links_left_out"]) == (len(links), max(0, len(counts) - 400))
    accounts, follows = report.table("map_accounts"), report.table("map_follows")
    assert (told["accounts"], told["follows"]) == (len(accounts), len(follows))
    seeds = set(book.seeds)
    rest = [at for at in report.order if at not in seeds][: 20_000 - len(seeds)]
    chosen = seeds.union(rest)
    among = [(u, v) for u, v in book.follows if u in chosen and v in chosen]
    assert told["follows"] + told["follows_left_out"] == len(among)
    assert told["accounts"] == len({end for follow in among for end in follow})
    by_handle = {row["handle"]: at for at, row in enumerate(book.accounts)}
    for number, row in enumerate(accounts, start=1):
        assert int(row["number"]) == number
        if not row["community"]:
            assert row["label"] == f"not named ({number})"
        else:
            at = by_handle[row["label"].removeprefix("'@")]  # the mark keeps spreadsheets from taking it for a formula
            assert (int(row["community"]), int(row["followers_observed"])) == (groups.told(at), book.k[at])
    found = Counter((row["community"], int(row["followers_observed"])) for row in accounts)
    drawn = {end for follow in among for end in follow}

    def told_of(at: int) -> tuple[str, int]:
        exact = int(book.k[at])
        return (str(groups.told(at)), exact) if groups.told(at) else ("", exact and 2 ** (exact.bit_length() - 1))

    assert found == Counter(map(told_of, drawn))
    # The nameless come last, by place: neither an order of rank nor an exact count tells whose they are.
    nameless = [(float(row["x"]), float(row["y"])) for row in accounts if not row["community"]]
    assert nameless == sorted(nameless)
    assert [bool(row["community"]) for row in accounts] == [True] * (len(accounts) - len(nameless)) + [False] * len(
        nameless
    )


def test_reported_and_observed_followers(report: Report) -> None:
    """The dots of the figure: of the accounts that have both counts those that report most, whatever was observed of
    them, and the marked ones."""
    book, told = report.book, report.json
    both = [at for at in range(book.n) if book.followers[at] > 0 < book.k[at]]
    both.sort(key=lambda at: (-book.followers[at], at))
    marked = {report.at(row) for row in (*told["central"][:10], *told["suspicious"])}
    drawn = [at for place, at in enumerate(both) if place < 2_000 or at in marked]
    assert [tuple(map(int, row.values())) for row in report.table("reported_observed")] == [
        (book.ids[at], book.followers[at], book.k[at]) for at in drawn
    ]
    least = min(book.followers[at] for at in both[:2_000])
    assert {at for at in both if book.followers[at] > least} <= set(drawn)
    assert min(book.k[at] for at in drawn) == 1


# --- the page says what the JSON says ---------------------------------------------------------------------------------


def test_page_in_brief(report: Report) -> None:
    """Every number of the first sentences."""
    told, page = report.json, report.page
    seen, structure = told["coverage"], told["structure"]
    visited, mutual = seen["accounts"]["visited"], structure["reciprocity"]["both_complete"]
    found = page.says("brief", rf"{NUMBER} credits bought pages of the following lists of {NUMBER} accounts")
    assert shows(found[1], seen["credits"]["charged"])
    assert shows(found[2], visited)
    assert shows(page.says("brief", rf"starting from {NUMBER} seeds")[1], seen["seeds"])
    unlisted = sum(seen["standings"][word] for word in ("hidden", "private", "not_found"))
    assert bool(unlisted) == (report.name == "demo")
    if unlisted:
        assert shows(page.says("brief", rf"seeds; {NUMBER} more asked for showed no list\.")[1], unlisted)
    else:
        assert "showed no list" not in page.sections["brief"]
    found = page.says("brief", rf"They hold {NUMBER} current follows among {NUMBER} known accounts")
    assert shows(found[1], seen["edges"])
    assert shows(found[2], seen["known"])
    first = told["central"][0]
    found = page.says("brief", rf"is @(\w+), followed by {NUMBER} of the {NUMBER} visited accounts")
    assert found[1] == first["handle"]
    assert shows(found[2], first["followers_observed"])
    assert shows(found[3], visited)
    if first["low"] is None:
        assert "no interval of its rank can be given" in page.sections["brief"]
    else:
        found = page.says("brief", rf"the 95 % interval of its rank is {NUMBER} to {NUMBER}\.")
        assert shows(found[1], first["low"])
        assert shows(found[2], first["high"])
    groups = told["communities"]
    if groups["settled"]:
        found = page.says(
            "brief",
            rf"Of the {NUMBER} communities in the consensus of {NUMBER} seeded runs {NUMBER} (?:is|are) stable, "
            rf"{NUMBER} doubtful and {NUMBER} unstable \(modularity {NUMBER}, normalised mutual information "
            rf"{NUMBER}\); the largest holds {NUMBER} of the accounts",
        )
        trusts = Counter(row["trust"] for row in groups["list"])
        largest = groups["list"][0]["accounts"] / groups["accounts"]
        values = (len(groups["list"]), groups["runs"], trusts["stable"], trusts["doubtful"], trusts["unstable"],
                  groups["modularity"], groups["agreement"], largest)  # fmt: skip
    else:
        found = page.says(
            "brief",
            rf"{NUMBER} seeded runs do not agree on communities \(normalised mutual information {NUMBER}\): {NUMBER} "
            r"of the accounts are in groups that other runs put together otherwise, so no division can be reported",
        )
        values = (groups["runs"], groups["agreement"], groups["unsettled_share"])
    assert all(shows(text, value) for text, value in zip(found.groups(), values, strict=True)), (found[0], values)
    found = page.says("brief", rf"Between completely visited accounts, {NUMBER} of {NUMBER} follows are returned")
    assert shows(found[1], mutual["share"])
    assert shows(found[2], mutual["follows"])
    mean = told["estimates"]["averages"][0]
    if mean["low"] is not None:
        found = page.says("brief", rf"follows {NUMBER} others on average \(95 % interval {NUMBER} to {NUMBER}, by")
        for text, key in zip(found.groups(), ("value", "low", "high"), strict=True):
            assert shows(text, mean[key]), key
    else:
        assert "on average" not in page.sections["brief"]
    found = page.says("brief", rf"The largest doubt: {NUMBER} of the known accounts \({NUMBER}\) were never visited")
    assert shows(found[1], seen["accounts"]["boundary"])
    assert shows(found[2], seen["accounts"]["boundary"] / seen["known"])
    if "no_following" in seen["skipped"]:
        found = page.says("brief", rf"{NUMBER} of them (?:is|are) known to follow nobody; whom the others follow is")
        assert shows(found[1], seen["skipped"]["no_following"])
    else:
        assert page.says("brief", "Whom they follow is unknown, not nobody")


def test_page_what_was_seen(report: Report) -> None:
    """The tables of coverage, standings, runs, queues and forecasts, and the sentences below them."""
    told, page = report.json, report.page
    seen, estimates = told["coverage"], told["estimates"]
    announced = seen["announced"]
    found = page.says("seen", rf"{NUMBER} of {NUMBER} known accounts were visited")
    assert shows(found[1], seen["accounts"]["visited"])
    assert shows(found[2], seen["known"])
    for text in (page.says("seen", rf"of the {NUMBER} visited accounts whose profile announces")[1],
                 page.rows("coverage-numbers")[3][0].split()[3]):  # fmt: skip
        assert shows(text, announced["accounts"])
    cells = [row[1] for row in page.rows("coverage-numbers")]
    values = (seen["known"], seen["accounts"]["visited"], seen["standings"]["complete"], announced["reported"],
              announced["read"])  # fmt: skip
    assert all(shows(text, value) for text, value in zip(cells, values, strict=True))
    rows = page.rows("standings")
    for row, word in zip(rows[:-1], STANDINGS, strict=True):
        assert shows(row[1], seen["standings"][word]), word
        assert shows(row[2], seen["standings"][word] / seen["known"]), word
        assert shows(row[3], seen["spent"][word]), word
    assert shows(rows[-1][1], seen["known"])
    assert shows(rows[-1][3], seen["credits"]["booked"])
    for reason, number in seen["skipped"].items():
        assert shows(page.says("seen", rf"{REASONS[reason]} \({NUMBER}\)")[1], number)
    [row] = page.rows("runs")
    [run] = seen["runs"]
    assert row[:2] == [str(run["id"]), run["strategy"]]
    assert (run["stop_reason"], row[3]) == ("budget_exhausted", "its budget was reached")
    assert all(shows(row[at], run[key]) for at, key in ((4, "budget"), (5, "charged"), (6, "uncertain")))
    for row, queue in zip(page.rows("queues"), estimates["queues"], strict=True):
        assert all(shows(row[at], queue[key]) for at, key in ((1, "visits"), (2, "lists"), (3, "credits"))), row
    [forecast] = seen["forecasts"]
    for row, key in zip(page.rows("forecasts"), ("accounts", "edges"), strict=True):
        assert row[0] == f"{forecast['run']}|from credit {forecast['from_credit']:,} on"
        span, middle = row[2].split("|middle ")
        low, high = span.split(" to ")
        assert shows(low, forecast[key]["low"])
        assert shows(high, forecast[key]["high"])
        assert shows(middle, forecast[key]["mid"])
        actual, off = row[3].split("|")
        assert shows(actual, forecast[key]["actual"])
        assert off == f"{100 * forecast[key]['error']:+.0f}\u202f%".replace("-", "−").replace("+0\u202f", "±0\u202f")
        inside = forecast[key]["low"] <= forecast[key]["actual"] <= forecast[key]["high"]
        assert row[4] == ("yes" if inside else "no")
    found = page.says("seen", rf"alarm number is {NUMBER}, (outside|inside) 0\.8 to 1\.25")
    assert shows(found[1], estimates["alarm"]["balance"])
    assert (found[2] == "outside") == estimates["alarm"]["biased"]
    found = page.says(
        "seen", rf"some {NUMBER} accounts have a follower, joined by some {NUMBER} follows; about {NUMBER} of these"
    )
    size = estimates["size"]
    for text, value in zip(found.groups(), (size["accounts"], size["follows"], 100 * size["coverage"]), strict=True):
        shown = float(text.replace(",", "").removesuffix("%").strip())
        assert shown == float(f"{shown:.0e}"), text  # the first digit only
        assert abs(shown - value) <= 0.5 * 10 ** math.floor(math.log10(value)) + 1e-9, (text, value)


def test_page_saturation_and_averages(report: Report) -> None:
    """The tables of the replay and of the averages."""
    page, estimates = report.page, report.json["estimates"]
    found = page.says(
        "enough",
        rf"The last {NUMBER} credits[a-z’' ]* changed {NUMBER} of the first {NUMBER} accounts and brought {NUMBER} new",
    )
    before, last = estimates["saturation"][-2:]
    values = (last["credits"] - before["credits"], 1 - last["overlap"], 100, last["novelty"])
    assert all(shows(text, value) for text, value in zip(found.groups(), values, strict=True))
    for row, step in zip(page.rows("saturation-numbers"), estimates["saturation"], strict=True):
        keys = ("credits", "accounts", "novelty", "overlap")
        assert all(shows(text, step[key]) for text, key in zip(row, keys, strict=True)), row
    for row, mean in zip(page.rows("averages-table"), estimates["averages"], strict=True):
        is_share = not mean["name"].endswith("_mean")
        if "_over_" in mean["name"]:
            assert row[0].endswith(f"more than {int(mean['name'].rpartition('_')[2]):,}")
        assert row[1].endswith("%") == is_share
        assert shows(row[1], mean["value"]), row
        if mean["low"] is None:
            assert row[2] == mean["reason"]
            continue
        words = (
            rf"95\s% interval {NUMBER} to {NUMBER}, by {NUMBER} draws of the control sample(: an order of magnitude)?"
        )
        found = re.fullmatch(words, row[2])
        assert found, row
        assert shows(found[1], mean["low"]), row
        assert shows(found[2], mean["high"]), row
        assert shows(found[3], mean["draws"]), row
        assert bool(found[4]) == (not mean["informative"])
    if estimates["control"] is not None:
        found = page.says("averages", rf"whose poorest wave had {NUMBER} credits")
        assert shows(found[1], estimates["control"]["credits_of_poorest_wave"])


def test_page_ranking(report: Report) -> None:
    """Every cell of the ranking, and the numbers of the sentences above it."""
    page, told = report.page, report.json
    for row, central in zip(page.rows("accounts"), told["central"], strict=True):
        rank, _, bounds = row[0].partition("|")
        assert shows(rank, central["rank"])
        assert bounds == ("" if central["low"] is None else f"{central['low']:,}–{central['high']:,}")
        called, *tags = row[1].split("|")
        assert called == f"@{central['handle']}"
        for tag, key in (("seed", "seed"), ("thin", "thin_support"), ("count off", "suspicious")):
            assert (tag in tags) == central[key], tag
        for text, key in ((row[2], "followers_reported"), (row[3], "followers_observed")):
            count, _, place = text.partition("|")
            assert shows(count, central[key])
            assert shows(place.removesuffix("."), central["places"][key])
        assert shows(row[4].removesuffix("."), central["places"]["pagerank_within_crawl"])
        assert row[5] == "unstable" if central["unstable"] else shows(row[5], central["community"])
    visited = told["coverage"]["accounts"]["visited"]
    assert shows(page.says("central", rf"by how many of the accounts visited, {NUMBER}, one is")[1], visited)
    assert shows(page.says("central", rf"The {NUMBER} accounts highest by imputed")[1], len(told["central"]))
    dots = len(report.table("reported_observed"))
    found = page.says(
        "central", rf"one of {NUMBER} known accounts: the 2,000 that report most followers, of those with"
    )
    assert shows(found[1], dots)
    assert dots >= 2_000
    for row, central in zip(page.rows("followers-numbers"), told["central"][:10], strict=True):
        assert row[1] == f"@{central['handle']}"
        keys = ("rank", "followers_reported", "followers_observed")
        assert all(shows(row[at], central[key]) for at, key in zip((0, 2, 3), keys, strict=True)), row
    ranking = told["estimates"]["ranking"]
    shared = ranking["shared_with"]
    found = page.says(
        "central",
        rf"Of the first {NUMBER}, {NUMBER} are also first by reported followers, {NUMBER} by PageRank within the crawl "
        rf"and {NUMBER} by observed followers",
    )
    names = ("followers_reported", "pagerank_within_crawl", "followers_observed")
    for text, value in zip(found.groups(), (100, *(shared[name]["shared"] for name in names)), strict=True):
        assert shows(text, value)
    assert shows(page.says("central", rf"sigma {NUMBER}\)")[1], ranking["noise"])
    for row, one in zip(page.rows("suspicious"), told["suspicious"], strict=True):
        assert row[:2] == [one["letter"], f"@{one['handle']}"]
        keys = ("followers_reported", "followers_plausible", "followers_observed")
        assert all(shows(text, one[key]) for text, key in zip(row[2:], keys, strict=True)), row
    if ranking["flagged"] > len(told["suspicious"]):
        found = page.says("central", rf"the {NUMBER} furthest beyond of {NUMBER}:")
        assert shows(found[1], len(told["suspicious"]))
        assert shows(found[2], ranking["flagged"])


def test_page_communities(report: Report) -> None:
    """The tables of communities and resolutions, the sentence on stability, and words that say what the rows say."""
    page, groups, told = report.page, report.grouped, report.json["communities"]
    listed = told["list"]
    for row, one in zip(page.rows("community-table"), listed[:12], strict=True):
        assert shows(row[0], one["number"])
        assert shows(row[1].removesuffix("|"), one["accounts"])
        stability, trust = row[2].split("|")
        assert shows(stability, one["stability"])
        assert trust == one["trust"]
        named = ",".join(f"@{each['handle']}" for each in one["top"])
        assert row[3] == ("not named" if one["trust"] == "unstable" else named)
        stays, leads, comes = (one[f"follows_{where}"] for where in ("inside", "out", "in"))
        values = (stays / (stays + leads + comes), leads / (stays + leads), comes / (stays + comes),
                  1 - one["visited"] / one["accounts"])  # fmt: skip
        assert all(shows(text, value) for text, value in zip(row[4:], values, strict=True)), row
    overlap = groups.overlap.T[:12]
    for row, number, values in zip(page.rows("stability-numbers"), range(1, 13), overlap, strict=True):
        expected = (number, values.mean(), *values)
        assert all(shows(text, value) for text, value in zip(row, expected, strict=True)), row
    for row, scale in zip(page.rows("resolutions"), told["sweep"], strict=True):
        resolution, _, mark = row[0].partition("|")
        assert shows(resolution, scale["resolution"])
        assert mark == ("trivial" if scale["trivial"] else "")
        keys = ("communities", "largest", "standard", "agreement", "below")
        values = [None if key == "agreement" and mark else scale[key] for key in keys]
        assert all(shows(text, value) for text, value in zip(row[1:], values, strict=True)), row
    if told["settled"]:
        out = {one["number"]: one["follows_out"] for one in listed}
        rows = page.rows("flows")
        assert rows
        for row, flow in zip(rows, told["flows"], strict=False):
            values = (flow["source"], flow["target"], flow["follows"], flow["follows"] / out[flow["source"]])
            assert all(shows(text, value) for text, value in zip(row, values, strict=True)), row
        for row, one in zip(page.rows("brokers"), told["brokers"], strict=True):
            assert row[0] == f"@{one['handle']}"
            keys = ("community", "connections", "outside", "participation")
            assert all(shows(text, one[key]) for text, key in zip(row[1:], keys, strict=True)), row
    else:
        assert not {"flows", "brokers"} & set(page.tables)
    means = rf"Means of {NUMBER} seeded runs at each resolution; those under the limit are counted in the first run\."
    assert shows(page.says("communities", means)[1], told["sweep_runs"])
    trusts = Counter(row["trust"] for row in listed)
    found = page.says(
        "communities",
        rf"Of {NUMBER} communities {NUMBER} (?:is|are) stable, {NUMBER} doubtful and {NUMBER} unstable over {NUMBER} "
        rf"seeded runs; a run and the consensus agree by {NUMBER} ",
    )
    values = (len(listed), trusts["stable"], trusts["doubtful"], trusts["unstable"], told["runs"], told["agreement"])
    assert all(shows(text, value) for text, value in zip(found.groups(), values, strict=True))
    found = page.says(
        "communities",
        rf"consensus of {NUMBER} seeded runs of Leiden; resolution 1, seeds from 1; .*modularity {NUMBER}\)",
    )
    assert shows(found[1], told["runs"])
    assert shows(found[2], told["modularity"])
    found = page.says("communities", rf"A run by itself finds {NUMBER} to {NUMBER}\.")
    assert shows(found[1], min(told["found_by_run"]))
    assert shows(found[2], max(told["found_by_run"]))
    assert shows(page.says("communities", rf"The 12 largest of {NUMBER} communities")[1], len(listed))
    plain = report.plain
    for one in listed[:12]:
        part = np.flatnonzero(groups.of_all == one["number"] - 1).tolist()
        found = page.says(
            "communities",
            rf"Community {one['number']} has {NUMBER} accounts, {NUMBER} of them visited, and is \w+ \({NUMBER}\)\. "
            rf"{'At least ' if one['visited'] < one['accounts'] else ''}{NUMBER} of its pairs are connected, "
            rf"and {NUMBER} of the follows of its accounts lead out\.",
        )
        out = one["follows_out"] / (one["follows_inside"] + one["follows_out"])
        values = (one["accounts"], one["visited"], one["stability"], nx.density(plain.subgraph(part)), out)
        [row] = [row for row in page.rows("community-table") if row[0] == str(one["number"])]
        assert " ".join(row[5].split()) == found[5].strip()
        assert all(shows(text, value) for text, value in zip(found.groups(), values, strict=True)), one["number"]


def portrait(report: Report, number: int) -> dict[str, Any]:
    """Return what is to be said of a community: counts among its members, and the words that set them apart.

    A word stands out by Dunning's G2 = 2 * sum of O * ln(O / E) over the bios here and elsewhere with and without it,
    unless it is one that only holds sentences together.
    """
    book, label = report.book, report.grouped.of_all
    members = np.flatnonzero(label == number).tolist()
    one = {"density": nx.density(report.plain.subgraph(members)), "conductance": nx.conductance(report.plain, members)}
    lists: dict[str, list[Any]] = {
        name: [] for name in ("most_followed_within", "most_connected_outside", "words", "regions", "languages")
    }
    if report.grouped.stability[number] < 0.6:
        return one | lists
    within = Counter(v for u, v in book.follows if label[u] == label[v] == number)
    outside = Counter(end for pair in book.pairs if label[pair[0]] != label[pair[1]] for end in pair)
    for name, counts in (("most_followed_within", within), ("most_connected_outside", outside)):
        order = sorted((at for at in members if counts[at]), key=lambda at: (-counts[at], -book.k[at], at))
        lists[name] = [{"id": str(book.ids[at]), "handle": book.accounts[at]["handle"]} for at in order[:5]]
    words = [set(re.findall(r"[^\W\d_]{3,}", (row["bio"] or "").casefold())) for row in book.accounts]
    everywhere, told = Counter(word for bio in words for word in bio), sum(map(bool, words))
    tried = min(12, len(report.grouped.size)) * sum(everywhere[word] >= 5 for word in everywhere.keys() - COMMON)
    asked = max(15.13, ndtri(0.01 / tried / 2) ** 2)  # a chi-squared of one degree is a normal deviate squared
    here, own = Counter(word for at in members for word in words[at] - COMMON), sum(bool(words[at]) for at in members)
    scored = []
    for word, count in here.items():
        there, others = everywhere[word] - count, told - own
        g2 = 0.0
        for seen, users, bios in ((count, count + there, own), (there, count + there, others),
                                  (own - count, told - count - there, own),
                                  (others - there, told - count - there, others)):  # fmt: skip
            g2 += 2 * seen * math.log(seen * told / (users * bios)) if seen else 0
        if count >= 5 and count / own >= 1.5 * there / others and g2 >= asked:
            scored.append((-round(g2, 6), word, count / own, there / others))
    lists["words"] = [{"value": word, "share": a, "elsewhere": b} for _, word, a, b in sorted(scored)[:5]]
    for name, column in (("regions", "region"), ("languages", "language")):
        counts = Counter(book.accounts[at][column] for at in members if book.accounts[at][column])
        most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:3] if counts.total() >= 5 else []
        lists[name] = [{"value": value, "share": count / counts.total()} for value, count in most]
    return one | lists


def test_portraits(report: Report) -> None:
    """Density and conductance are networkx's; the rest is counted, and nothing of an unstable one is told."""
    rows = report.json["communities"]["list"]
    told = Counter[str]()
    for row in rows[:12]:
        expected, found = portrait(report, row["number"] - 1), row["portrait"]
        assert found.keys() == expected.keys()
        for name in ("most_followed_within", "most_connected_outside"):
            assert found[name] == expected[name], (row["number"], name)
        for name in ("words", "regions", "languages"):
            assert found[name] == [pytest.approx(each) for each in expected[name]], (row["number"], name)
            told[name] += len(found[name])
        for name in ("density", "conductance"):
            assert found[name] == pytest.approx(expected[name]), (row["number"], name)
    assert all(row["portrait"] is None for row in rows[12:])
    assert all(told[name] for name in ("words", "regions", "languages")) == (report.name == "demo")


def test_page_portraits(report: Report) -> None:
    """Who and what the sentences on the largest communities name, and of unstable ones nobody and nothing."""
    trusts = set()
    for row in report.json["communities"]["list"][:12]:
        one, text = row["portrait"], report.page.says(
            "communities", rf"Community {row['number']} has .*?(?=Community {row['number'] + 1} has|Between comm|$)"
        )[0].strip()  # fmt: skip
        trusts.add(row["trust"])
        if row["trust"] == "unstable":
            assert text.endswith(
                "lead out. Who is in it is not said: other runs put these accounts together otherwise."
            )
            assert "@" not in text
            continue
        for lead, name in (("Most followed from within", "most_followed_within"),
                           ("Most connected outside", "most_connected_outside")):  # fmt: skip
            assert f"{lead}: {', '.join('@' + each['handle'] for each in one[name])}." in text
        for lead, name in (("Words of their profiles that stand out", "words"), ("Regions", "regions"),
                           ("Languages", "languages")):  # fmt: skip
            found = re.search(rf"{lead}, of the crawl: (.*?)\)\.", text)
            printed = re.findall(rf"([^\W\d_]+) \({NUMBER}(?:, elsewhere {NUMBER})?", found[1]) if found else []
            assert [word for word, *_ in printed] == [each["value"] for each in one[name]], (row["number"], lead)
            for (_, share, elsewhere), each in zip(printed, one[name], strict=True):
                assert shows(share, each["share"])
                assert shows(elsewhere, each["elsewhere"]) if name == "words" else not elsewhere
    assert trusts > {"unstable"}


def test_page_structure(report: Report) -> None:
    """The tables of components, bow-tie and cores, the degrees at round values, and the sentences on the tails."""
    page, structure, seen = report.page, report.json["structure"], report.json["coverage"]
    parts, mutual = structure["components"], structure["reciprocity"]
    clustered = structure["clustering_both_complete"]
    known, visited = seen["known"], seen["accounts"]["visited"]
    values = (
        (parts["largest_weak"] / known, known),
        (parts["largest_strong"] / visited, visited),
        (structure["assortativity_both_complete"]["out_in"], structure["assortativity_both_complete"]["follows"]),
        *((mutual[name]["share"], mutual[name]["follows"]) for name in ("both_complete", "both_visited")),
        (clustered["average"], clustered["accounts"]),
        (clustered["transitivity"], clustered["triples"]),
    )
    for row, (value, counted) in zip(page.rows("structure-table"), values, strict=True):
        assert shows(row[1], value), row
        assert shows(row[2].partition(" ")[0], counted), row
    rows = page.rows("structure-table")
    found = re.search(rf"{NUMBER} components? in all, {NUMBER} of them a single account", rows[0][0])
    assert found
    assert shows(found[1].strip(), parts["weak"])
    assert shows(found[2].strip(), parts["isolated"])
    found = re.search(rf"The visited fall into {NUMBER} components", rows[1][0])
    assert found
    strong = nx.strongly_connected_components(report.graph)
    assert shows(found[1].strip(), sum(any(report.book.listed[at] for at in part) for part in strong))
    assert shows(page.says("structure", rf"The largest k is {NUMBER};")[1], len(structure["core_profile"]) - 1)
    assert shows(page.says("structure", rf"are counted among {NUMBER} visited accounts;")[1], visited)
    complete = seen["standings"]["complete"]
    assert shows(page.says("structure", rf"shown of the {NUMBER} completely visited accounts only")[1], complete)
    names = ("core", "into", "out", "tubes", "tendrils", "apart")
    for row, name in zip(page.rows("bow-tie"), names, strict=True):
        assert shows(row[1], structure["bow_tie"][name]), row
        assert shows(row[2], structure["bow_tie"][name] / known), row
    profile = structure["core_profile"]
    cores = [(int(row[0].replace(",", "")), row[1]) for row in page.rows("cores")]
    assert all(shows(text, profile[k]) for k, text in cores)
    assert cores[-1][0] == len(profile) - 1
    book = report.book
    for row in page.rows("degree-numbers"):
        degrees = book.k if row[0] == "Followers observed" else book.read[book.complete]
        at_least = int((degrees >= int(row[1].replace(",", ""))).sum())
        assert shows(row[2], at_least), row
        assert shows(row[3], at_least / len(degrees)), row
    tails = re.findall(
        rf"The tail begins at {NUMBER} and holds {NUMBER} of {NUMBER} values; a power law there would have the "
        rf"exponent {NUMBER} \(standard error {NUMBER}\)",
        " ".join(page.sections["structure"].split()),
    )
    for texts, name in zip(tails, ("following", "followers"), strict=True):
        for text, key in zip(texts, ("start", "values", "of", "exponent", "error"), strict=True):
            assert shows(text, structure["tails"][name][key]), (name, key)
        assert f" {structure['tails'][name]['verdict']} The tail begins" in " ".join(page.sections["structure"].split())
    found = page.says("structure", rf"are not shown: {NUMBER} accounts of {NUMBER} known were visited \({NUMBER}\)")
    values = (visited, known, visited / known)
    assert all(shows(text, value) for text, value in zip(found.groups(), values, strict=True))
    found = page.says("structure", rf"{NUMBER} of the known accounts are followed by one visited account, the most "
                      rf"followed by {NUMBER}")  # fmt: skip
    assert shows(found[1], (book.k == 1).sum() / known)
    assert shows(found[2], book.k.max())


def test_page_map(report: Report) -> None:
    """What the map shows and leaves out, and the strongest links."""
    page, told = report.page, report.json["map"]
    found = page.says(
        "map",
        rf"{NUMBER} of {NUMBER} accounts: the seeds and the first by imputed PageRank, {NUMBER} at most, with {NUMBER} "
        rf"follows among them, {NUMBER} at most",
    )
    values = (told["accounts"], report.book.n, told["most_accounts"], told["follows"], told["most_follows"])
    assert all(shows(text, value) for text, value in zip(found.groups(), values, strict=True))
    assert shows(page.says("map", rf"Shown are all {NUMBER} communities")[1], told["communities"])
    if told["links"] > 60:
        links_in_all = told["links"] + told["links_left_out"]
        for words in (rf"the 60 links with most follows, of {NUMBER}\.",
                      rf"In both directions, the 60 links that the figure draws, of {NUMBER};"):  # fmt: skip
            assert shows(page.says("map", words)[1], links_in_all)
        for words in (rf"(?:all|the) {NUMBER} links between them",
                      rf"; (?:all|the) {NUMBER} (?:with most follows )?are in tables/map_links"):  # fmt: skip
            assert shows(page.says("map", words)[1], told["links"])
    links = report.table("map_links")[:60]
    assert page.rows("map-links") == [[row["community"], row["other"], f"{int(row['follows']):,}"] for row in links]


def test_page_method(report: Report) -> None:
    """The paragraph for a paper."""
    page, told = report.page, report.json
    seen = told["coverage"]
    found = page.says("method", rf"{NUMBER} run, {NUMBER} credits charged, {NUMBER} uncertain;")
    values = (len(seen["runs"]), seen["credits"]["charged"], seen["credits"]["uncertain"])
    assert all(shows(text, value) for text, value in zip(found.groups(), values, strict=True))
    found = page.says(
        "method",
        rf"Of {NUMBER} known accounts, {NUMBER} were visited, {NUMBER} of them completely; .* A follow points from the "
        rf"follower to the followed; {NUMBER} are current",
    )
    values = (seen["known"], seen["accounts"]["visited"], seen["standings"]["complete"], seen["edges"])
    assert all(shows(text, value) for text, value in zip(found.groups(), values, strict=True))
    control = told["estimates"]["control"]
    if control is None:
        assert "There was no control sample" in page.sections["method"]
    else:
        found = page.says("method", rf"in three waves of {NUMBER}, {NUMBER} and {NUMBER} draws with replacement")
        assert all(shows(text, value) for text, value in zip(found.groups(), control["draws"], strict=True))
    groups = told["communities"]
    assert shows(page.says("method", rf"on {NUMBER} connected pairs")[1], groups["pairs"])
    found = page.says("method", rf"Communities are the consensus of {NUMBER} runs of Leiden")
    assert shows(found[1], groups["runs"])
    found = page.says("method", r"with resolution 1, .*?; seeds (\d+) to (\d+)\):")
    first = told["settings"]["rng_seed"]
    assert found.groups() == (str(first), str(first + groups["runs"] - 1))
    assert shows(page.says("method", rf"was parted into them \({NUMBER} so\)")[1], groups["split"])
    assert shows(page.says("method", rf"by link tracing from {NUMBER} seed accounts")[1], seen["seeds"])
    [run] = seen["runs"]
    found = page.says("method", rf"run (\d+): flow, rng seed (\d+), budget {NUMBER},")
    assert found.groups()[:2] == (str(run["id"]), str(run["rng_seed"]))
    assert shows(found[3].rstrip(","), run["budget"])


def test_page_caveats(report: Report) -> None:
    """The numbers that the caveats carry."""
    page, told = report.page, report.json
    seen, standings = told["coverage"], told["coverage"]["standings"]
    found = page.says("caveats", rf"{NUMBER} of {NUMBER} known accounts \({NUMBER}\) were never visited, and")
    assert shows(found[1], seen["accounts"]["boundary"])
    assert shows(found[2], seen["known"])
    assert shows(found[3], seen["accounts"]["boundary"] / seen["known"])
    assert page.says("caveats", rf"In this crawl: {NUMBER} accounts")
    for name, words in (
        ("hidden", "hid their list"),
        ("private", "turned out private"),
        ("not_found", "no longer exist"),
    ):
        assert shows(page.says("caveats", rf"{NUMBER} {words}")[1].strip(), standings[name]), name
    whole = seen["announced_complete"]
    found = page.says(
        "caveats", rf"{NUMBER} lists? were cut at the limit of pages and {NUMBER} broken off, .*end held {NUMBER} of"
    )
    assert shows(found[1], standings["capped"])
    assert shows(found[2], standings["partial"])
    assert shows(found[3], whole["read"] / whole["reported"])
    shared = told["estimates"]["ranking"]["shared_with"]["pagerank_within_crawl"]
    found = page.says("caveats", rf"Of the {NUMBER} first by imputed PageRank {NUMBER} (?:is|are) also first within")
    assert shows(found[1], shared["of"])
    assert shows(found[2], shared["shared"])
    assert shows(page.says("caveats", rf"by following links from {NUMBER} seeds")[1], seen["seeds"])
    assert shows(page.says("caveats", rf"by how many of the {NUMBER} visited")[1], seen["accounts"]["visited"])
    kept, known = (
        [row[key] for row in told["without_seed"]] for key in ("shared_of_first", "known_of_largest_stable_community")
    )
    found = page.says(
        "caveats",
        rf"{NUMBER}(?: to {NUMBER})? of the first 10 stay among them, and {NUMBER} to {NUMBER} of the largest stable",
    )
    values = (min(kept), max(kept), min(known), max(known))
    assert all(text is None or shows(text, value) for text, value in zip(found.groups(), values, strict=True))
    assert found[2] or min(kept) == max(kept)
    trusts = Counter(row["trust"] for row in told["communities"]["list"])
    found = page.says(
        "caveats",
        rf"Here {NUMBER} communit\w+ (?:is|are) stable, {NUMBER} doubtful and {NUMBER} unstable over {NUMBER}",
    )
    values = (trusts["stable"], trusts["doubtful"], trusts["unstable"], told["communities"]["runs"])
    assert all(shows(text, value) for text, value in zip(found.groups(), values, strict=True))
    assert shows(page.says("caveats", rf"{NUMBER} follows seen before no longer")[1], seen["ended_edges"])
    asked = len({visit["account_id"] for visit in report.book.visits})
    if gone := standings["not_found"]:
        found = page.says("caveats", rf"{NUMBER} of {NUMBER} accounts asked for \({NUMBER}\) no longer existed")
        assert all(shows(text, value) for text, value in zip(found.groups(), (gone, asked, gone / asked), strict=True))
    else:
        assert shows(page.says("caveats", rf"Of {NUMBER} accounts asked for none had vanished")[1], asked)
    vanished = told["vanished"]
    if vanished["accounts"]:
        found = page.says(
            "caveats",
            rf"{NUMBER} accounts no longer exist\. Half of them are followed by at least {NUMBER} visited accounts, "
            rf"half of the others by at least {NUMBER}:",
        )
        assert all(shows(text, value) for text, value in zip(found.groups(), vanished.values(), strict=True))
