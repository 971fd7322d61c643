"""The report: its numbers are those of the database, its page is safe, offline and the same every time."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import random
import re
import subprocess
import sys
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from analysis import communities
from analysis.graph import STANDINGS
from analysis.report.build import ReportFiles, build
from storage.database import Database
from storage.errors import MissingDatabase
from storage.export import OutputNotWritable
from storage.schema import Completeness
from tests.analysis.sample import Sample, Visit, edges, partial, write

NOW = 1_793_500_000.7

SMALL = Sample(
    seeds=("ann", "bob"),
    visits={
        "ann": Visit(("bob", "cat", "dan", "eve")),
        "bob": Visit(("ann", "cat")),
        "cat": Visit(("ann", "bob", "hub"), "partial"),
        "dan": Visit((), "hidden"),
        "pia": Visit(("qua", "roy")),
        "qua": Visit(("pia", "roy", "hub")),
    },
    followers={"ann": 12_345, "bob": 3, "hub": 9_000_000},
    following={"ann": 5, "bob": 2, "pia": 2},
    names={"ann": "Ann of Green Gables"},
    failed={"fay": "server_error"},
    skipped={"gus": "private"},
    uncertain=2,
)
FOLLOWS = sorted((source, target) for source, visit in SMALL.visits.items() for target in visit.listed)


class Page(HTMLParser):
    """What a page holds: its elements with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def made(tmp_path: Path, sample: Sample, **settings: Any) -> tuple[ReportFiles, dict[str, Any], str]:
    """Build a report and return its files, its JSON and its HTML."""
    tmp_path.mkdir(exist_ok=True)
    path = write(tmp_path / "sample.db", sample)
    files = build(path, tmp_path / "report", now=lambda: NOW, **settings)
    return files, json.loads(files.json.read_text()), files.html.read_text(encoding="utf-8")


def table(files: ReportFiles, name: str) -> list[dict[str, str]]:
    [path] = [path for path in files.tables if path.stem == name]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# --- the numbers ---------------------------------------------------------------------------------------------------


def test_coverage_is_what_the_sample_says(tmp_path: Path) -> None:
    """Known, visited, boundary, credits and announced follows are those counted by hand."""
    files, found, _ = made(tmp_path, SMALL)
    seen = found["coverage"]
    assert (files.accounts, files.edges) == (found["graph"]["accounts"], found["graph"]["edges"]) == (11, len(FOLLOWS))
    assert (seen["known"], seen["seeds"]) == (11, 2)
    assert seen["accounts"] == {
        "known": 11,
        "visited": 5,
        "boundary": 4,
        "hidden": 1,
        "private": 0,
        "not_found": 0,
        "failed": 1,
    }
    assert {word: n for word, n in seen["standings"].items() if n} == {
        "complete": 4,
        "partial": 1,
        "hidden": 1,
        "failed": 1,
        "skipped": 1,
        "waiting": 3,
    }
    assert seen["credits"] == {"booked": 6, "charged": 6, "uncertain": 2}
    assert seen["announced"] == {"accounts": 3, "reported": 9, "read": 8}
    assert (seen["strategies"], seen["random_sample"]) == (["flow"], False)
    assert [(row["standing"], int(row["accounts"])) for row in table(files, "coverage")] == [
        (word, seen["standings"][word]) for word in STANDINGS
    ]


def test_central_accounts_agree_with_a_plain_count(tmp_path: Path) -> None:
    """Observed followers are counted from the lists, PageRank is its own definition's, reported numbers are kept."""
    _, found, _ = made(tmp_path, SMALL)
    ids = SMALL.ids()
    rows = {row["handle"]: row for row in found["central"]}
    assert len(rows) == 11
    scores = dict.fromkeys(ids, 1 / len(ids))
    for _ in range(500):
        idle = sum(score for handle, score in scores.items() if not SMALL.visits.get(handle, Visit()).listed)
        new = dict.fromkeys(ids, (0.15 + 0.85 * idle) / len(ids))
        for source, target in FOLLOWS:
            new[target] += 0.85 * scores[source] / len(SMALL.visits[source].listed)
        scores = new
    for handle, row in rows.items():
        assert row["id"] == str(ids[handle])
        assert row["followers_observed"] == sum(target == handle for _, target in FOLLOWS)
        assert row["followers_reported"] == SMALL.followers.get(handle)
        assert row["pagerank"] == pytest.approx(scores[handle], abs=1e-9)
    ranked = [row["pagerank"] for row in found["central"]]
    assert ranked == sorted(ranked, reverse=True)
    assert [row["rank"] for row in found["central"]] == list(range(1, 12))


def test_communities_agree_with_networkx(tmp_path: Path) -> None:
    """Sizes, pairs and modularity in the report are those of its partition, measured anew."""
    files, found, _ = made(tmp_path, SMALL)
    part = {row["label"]: row["community"] for row in table(files, "accounts")}
    plain = nx.Graph(FOLLOWS)
    groups = {number: {h for h, n in part.items() if n == str(number)} for number in map(int, {*part.values()} - {""})}
    listed = found["communities"]
    assert listed["modularity"] == pytest.approx(nx.community.modularity(plain, groups.values()))
    assert (listed["accounts"], listed["pairs"]) == (plain.number_of_nodes(), plain.number_of_edges())
    for row in listed["list"]:
        group = groups[row["number"]]
        assert row["accounts"] == len(group)
        assert row["visited"] == len(group & {"ann", "bob", "cat", "pia", "qua"})
        assert (row["inside"], row["touching"]) == (plain.subgraph(group).number_of_edges(), len(plain.edges(group)))
    assert part["fay"] == part["gus"] == ""


def headline(html: str) -> str:
    """What the page says first of communities."""
    [said] = [line for line in re.findall("<li>(.*?)</li>", html.partition("</section>")[0]) if "seeded runs" in line]
    return said


def test_the_headline_praises_no_division_that_is_none(tmp_path: Path) -> None:
    """Runs agree on planted groups; on one group, or on nothing, the first sentences and the sweep say so."""
    groups = [[f"{side}{at}" for at in range(8)] for side in "abc"]
    lists = {one: Visit(tuple(other for other in group if other != one)) for group in groups for one in group}
    _, found, html = made(tmp_path, Sample(seeds=("a0",), visits=lists))
    assert headline(html).startswith("20 seeded runs agree on 3 communities, 3 of them stable")
    assert (found["communities"]["settled"], found["communities"]["unsettled_share"]) == (True, 0)

    clique = {one: Visit(tuple(other for other in groups[0] if other != one)) for one in groups[0]}
    files, found, html = made(tmp_path / "one", Sample(seeds=("a0",), visits=clique))
    assert headline(html) == "20 seeded runs find no division into communities: one holds 100\u202f% of the accounts."
    assert not found["communities"]["settled"]
    first = found["communities"]["sweep"][0]
    assert (first["trivial"], first["standard"], first["modularity"]) == (True, 0, 0.75)
    assert table(files, "resolutions")[0]["trivial"] == "1"
    row = html.partition('id="resolutions"')[2].partition("<tbody>")[2].partition("</tr>")[0]
    assert "<small>trivial</small>" in row
    assert ">1.00<" not in row
    assert ">0.000<" in row

    rng = random.Random(1)
    noise = {f"u{at}": Visit(tuple(f"u{rng.randrange(400)}" for _ in range(6))) for at in range(400)}
    _, found, html = made(tmp_path / "noise", Sample(seeds=("u0",), visits=noise))
    assert found["communities"]["agreement"] < 0.6
    assert not found["communities"]["settled"]
    assert headline(html).startswith("20 seeded runs do not agree on communities (normalised mutual information 0.")
    assert "no division can be reported as a finding" in headline(html)


def test_structure_agrees_with_networkx(tmp_path: Path) -> None:
    """Components, reciprocity in its three populations and degree distributions are those of a DiGraph of the lists."""
    files, found, _ = made(tmp_path, SMALL)
    plain = nx.DiGraph(FOLLOWS)
    plain.add_nodes_from(SMALL.ids())
    shape = found["structure"]
    assert shape["components"] == {
        "weak": nx.number_weakly_connected_components(plain),
        "largest_weak": max(map(len, nx.weakly_connected_components(plain))),
        "strong": nx.number_strongly_connected_components(plain),
        "largest_strong": max(map(len, nx.strongly_connected_components(plain))),
        "isolated": 2,
    }
    complete = plain.subgraph({"ann", "bob", "pia", "qua"}).to_undirected()
    assert shape["clustering_both_complete"] == {
        "accounts": sum(degree > 1 for _, degree in complete.degree), "triples": 0, "closed": 0,
        "average": None, "transitivity": None,
    }  # fmt: skip
    for population, members in {
        "all": set(plain),
        "both_visited": {"ann", "bob", "cat", "pia", "qua"},
        "both_complete": {"ann", "bob", "pia", "qua"},
    }.items():
        part = plain.subgraph(members)
        assert shape["reciprocity"][population]["follows"] == part.number_of_edges()
        assert shape["reciprocity"][population]["share"] == pytest.approx(nx.overall_reciprocity(part))
    degrees = table(files, "degree_distribution")
    for measure, values in {
        "followers_observed": [degree for _, degree in plain.in_degree],
        "following": [plain.out_degree(handle) for handle in ("ann", "bob", "pia", "qua")],
    }.items():
        rows = [row for row in degrees if row["measure"] == measure]
        assert {int(row["value"]): int(row["accounts"]) for row in rows} == {v: values.count(v) for v in set(values)}
        for row in rows:
            assert int(row["accounts_at_least"]) == sum(value >= int(row["value"]) for value in values)


def test_what_lies_between_communities_is_counted(tmp_path: Path) -> None:
    """Follows that cross, rates in and out and brokers are those of the lists; the page shows what the files hold."""
    names = [[f"{side}{at:02}" for at in range(12)] for side in "abc"]
    lists = {one: Visit(tuple(other for other in side if other != one)) for side in names for one in side}
    lists["a00"] = Visit((*lists["a00"].listed, *names[1][:6], *names[2][:6]))
    lists["b03"] = Visit((*lists["b03"].listed, "c03"))
    files, found, html = made(tmp_path, Sample(seeds=("a00",), visits=lists))
    part = {row["label"]: int(row["community"]) for row in table(files, "accounts")}
    crossing: dict[tuple[int, int], int] = {}
    for source, visit in lists.items():
        for target in visit.listed:
            if part[source] != part[target]:
                pair = part[source], part[target]
                crossing[pair] = crossing.get(pair, 0) + 1
    told = {(row["source"], row["target"]): row["follows"] for row in found["communities"]["flows"]}
    assert told == crossing
    assert {(int(r["source"]), int(r["target"])): int(r["follows"]) for r in table(files, "flows")} == crossing
    for row in found["communities"]["list"]:
        inside = sum(part[s] == part[t] == row["number"] for s, v in lists.items() for t in v.listed)
        assert row["follows_inside"] == inside
        assert row["follows_out"] == sum(n for (source, _), n in crossing.items() if source == row["number"])
        assert row["follows_in"] == sum(n for (_, target), n in crossing.items() if target == row["number"])
    first = found["communities"]["brokers"][0]
    assert (first["handle"], first["connections"], first["outside"]) == ("a00", 23, 12)
    assert first["participation"] == pytest.approx(1 - (11**2 + 6**2 + 6**2) / 23**2)
    assert [row["label"] for row in table(files, "brokers")] == [r["handle"] for r in found["communities"]["brokers"]]
    section = html.partition('id="communities"')[2].partition("</section>")[0]
    assert "<strong>The strongest flows</strong>" in section
    assert "<strong>Brokers</strong>" in section
    assert len(table(files, "stability")) == 3 * 20
    shape = html.partition('id="structure"')[2].partition("</section>")[0]
    assert "Follows returned, all" not in shape
    clustered = found["structure"]["clustering_both_complete"]
    assert f">{clustered['average']:.3f}<" in shape
    assert f">{clustered['transitivity']:.3f}<" in shape
    paths = found["structure"]["betweenness_of_visited"]
    assert (paths["share"], paths["pivots"], paths["first"][0]["handle"]) == (1, 36, "a00")
    assert "Fragile" in shape
    _, _, partly = made(tmp_path / "few", Sample(seeds=("a",), visits={"a": Visit(tuple("bcdefghi"))}))
    assert "under 30\u202f% the paths among them say nothing" in partly


def test_suspicious_accounts_are_lettered_and_listed(tmp_path: Path) -> None:
    """Accounts that claim a hundred times the followers of others like them have a letter, a row and their numbers."""
    crawl = partial(edges("email-eu-core"), pages=700)
    claimed = sorted(crawl.followers, key=lambda one: (crawl.followers[one], one))[-60::10]
    crawl.followers = {one: n * (300 if one in claimed else 1) for one, n in crawl.followers.items()}
    files, found, html = made(tmp_path, crawl)
    rows = found["suspicious"]
    assert set(claimed) <= {row["handle"] for row in rows}
    assert len(rows) == min(20, found["estimates"]["ranking"]["flagged"])
    assert [row["letter"] for row in rows] == list("abcdefghijklmnopqrst"[: len(rows)])
    excess = [row["followers_reported"] / row["followers_plausible"] for row in rows]
    assert excess == sorted(excess, reverse=True)
    for row in rows:
        assert row["followers_reported"] == crawl.followers[row["handle"]]
        assert row["followers_observed"] == sum(row["handle"] in visit.listed for visit in crawl.visits.values())
    assert [row["label"] for row in table(files, "suspicious")] == [row["handle"] for row in rows]
    section = html.partition('id="central"')[2].partition("</section>")[0]
    assert "<strong>Follower counts that do not fit</strong>" in section
    svg = section.partition("<svg")[2].partition("</svg>")[0]
    assert f">{rows[0]['letter']}</text>" in svg  # the others where there is room
    assert f"{len(rows)} accounts whose reported followers do not fit, by letters" in svg
    drawn = {(row["followers_reported"], row["followers_observed"]) for row in table(files, "reported_observed")}
    assert {(str(row["followers_reported"]), str(row["followers_observed"])) for row in rows} <= drawn
    assert all(f"<bdi>@{row['handle']}</bdi>" in section for row in rows)


def test_the_page_shows_the_numbers_of_the_json(tmp_path: Path) -> None:
    """The page says how many visited accounts follow the first account, groups thousands, and names its population."""
    _, found, html = made(tmp_path, SMALL)
    text = " ".join("".join(Page(html).text).split())
    first = found["central"][0]
    assert f"Highest by imputed PageRank is @{first['handle']}, followed by {first['followers_observed']}" in text
    assert "5 of 11 known accounts were visited" in text
    assert "Followed by, of 5 visited" in text
    assert "12,345" in text
    assert "9,000,000" in text
    assert "Ann of Green Gables" in text
    assert "6 charged, 2 uncertain" in text


def test_coverage_and_doubt_stand_before_findings(tmp_path: Path) -> None:
    """The reader meets the largest doubt and what was not seen before the first finding, and no interval anywhere."""
    _, _, html = made(tmp_path, SMALL)
    order = [
        "The largest doubt",
        "not a random sample",
        "Every known account, once",
        "Who is central</h2>",
        "Communities</h2>",
    ]
    places = [html.index(words) for words in order]
    assert places == sorted(places)
    assert "confidence" not in html.lower()
    assert "No interval: the crawl is not random." in html
    assert "A control sample (<code>--control</code>) gives intervals from about 420 credits on" in html


def test_ended_runs_and_their_strategies_are_listed(tmp_path: Path) -> None:
    """Each run stands with its strategy, budget and stop reason."""
    _, found, html = made(tmp_path, SMALL)
    [run] = found["coverage"]["runs"]
    assert (run["strategy"], run["stop_reason"], run["budget"]) == ("flow", "budget_exhausted", 10_000)
    assert "<code>flow</code>" in html
    assert "<td>its budget was reached</td>" in html
    assert "budget exhausted" not in html


def test_top_limits_the_list_and_resolution_the_communities(tmp_path: Path) -> None:
    """`top` accounts are listed, and a higher resolution gives no fewer communities."""
    files, found, _ = made(tmp_path, SMALL, top=3, resolution=4.0)
    assert len(found["central"]) == len(table(files, "accounts")) == 3
    asked = {"top": 3, "resolution": 4.0, "rng_seed": 1}
    assert found["settings"] == asked | {"min_followers_to_name": 0, "show_names": False, "unnamed": 0}
    assert len(found["communities"]["list"]) > 2


# --- the page ------------------------------------------------------------------------------------------------------

HOSTILE = Sample(
    seeds=("<script>alert(1)</script>", "=cmd|'/c calc'!a0"),
    visits={
        "<script>alert(1)</script>": Visit(
            ("=cmd|'/c calc'!a0", '"><img src=x onerror=alert(2)>', "{{ 7*7 }}", "$x^2$")
        ),
        "=cmd|'/c calc'!a0": Visit(("<script>alert(1)</script>", "abc\u202egnp.exe", "a\tb\nc\x1b[0m\x07", "]]>&amp;")),
        "{{ 7*7 }}": Visit(("<script>alert(1)</script>", "+1", "-2", "@sum")),
    },
    followers={"$x^2$": 50, "{{ 7*7 }}": 60, "<script>alert(1)</script>": 70},
    names={"<script>alert(1)</script>": "</style><script>alert(3)</script>\u2066", "+1": "\u202eevil"},
    failed={"x": "</p><script>alert(4)</script>"},
    strategy="<b>flow</b>",
    stop_reason="<i>stopped</i>",
)


def test_foreign_text_is_escaped_and_isolated(tmp_path: Path) -> None:
    """Markup in handles, names and reasons is text, overrides and control characters are gone, <bdi> isolates names."""
    _, found, html = made(tmp_path, HOSTILE)
    page = Page(html)
    assert len(page.all("script")) == 3
    assert not page.all("img")
    assert not page.all("i")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "{{ 7*7 }}" in html
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)
    assert html.count("<bdi>") == html.count("</bdi>") >= len(found["central"])


def test_cells_are_no_formulas(tmp_path: Path) -> None:
    """No cell of any table begins with what a spreadsheet executes."""
    files, _, _ = made(tmp_path, HOSTILE)
    labels = {row["label"] for row in table(files, "accounts")}
    assert {"'=cmd|'/c calc'!a0", "'+1", "'-2", "'@sum"} <= labels
    for path in files.tables:
        with path.open(encoding="utf-8", newline="") as file:
            cells = [value for row in csv.reader(file) for value in row]
        assert not [value for value in cells if re.match(r"[=+@\t\r]|-(?![0-9.]+$)", value)]


def test_the_page_loads_nothing(tmp_path: Path) -> None:
    """Nothing is loaded from outside the file, a policy forbids it, and no address stands anywhere in it.

    What may be clicked leads to a place in it, or to a table that lies beside it.
    """
    files, _, html = made(tmp_path, SMALL)
    page = Page(html)
    [policy] = [meta for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy["content"]).startswith("default-src 'none';")
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.elements}
    for _, attributes in page.elements:
        assert not {"src", "srcset", "action", "data", "xlink:href", "ping"} & set(attributes)
        target = str(attributes.get("href", "#"))
        assert target.startswith("#") or files.html.with_name("tables") / target.removeprefix("tables/") in files.tables
    # Three scripts: the page's program, the map's data, and its program. The policy allows the two programs alone.
    assert page.all("script") == [{}, {"type": "application/json", "id": "map-data"}, {}]
    programs = re.findall("<script>(.*?)</script>", html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(program.encode()).digest()).decode() for program in programs]
    assert str(policy["content"]).endswith(f"; script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}'")
    for program in programs:
        assert not re.search(r"https?:|@import|fetch\(|XMLHttpRequest|WebSocket|eval\(|new Function", program)
        html = html.replace(program, "")
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", html)


def test_the_page_is_built_for_every_reader(tmp_path: Path) -> None:
    """One h1, a language, landmarks, captioned tables with scoped headers, figures with words, ids that are unique."""
    _, _, html = made(tmp_path, SMALL)
    page = Page(html)
    assert page.all("html") == [{"lang": "en"}]
    for tag in ("h1", "main", "header", "nav", "footer", "title", "style"):
        assert len(page.all(tag)) == (1 if tag != "title" else 1 + len(page.all("svg")))
    assert all(attributes.get("scope") in {"col", "row", "rowgroup"} for attributes in page.all("th"))
    assert len(page.all("table")) == len(page.all("caption"))
    assert len(page.all("svg")) == len(page.all("desc")) == 9
    assert all(svg["role"] == "img" for svg in page.all("svg"))
    assert len(page.all("figure")) == len(page.all("figcaption")) == 6
    assert len(page.all("details")) == 7  # one a figure, and the data dictionary
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    inside = [str(a["href"]) for a in page.all("a") if not str(a["href"]).startswith("tables/")]
    referred = {target[1:] for target in inside} | {str(use["href"])[1:] for use in page.all("use")}
    for svg in page.all("svg"):
        referred |= set(str(svg["aria-labelledby"]).split())
    assert referred <= set(ids)
    assert set(re.findall(r"url\(#([^)]*)\)", html)) <= set(ids)


def test_figures_carry_their_text_and_the_colours_of_the_page(tmp_path: Path) -> None:
    """SVG text stays text, every colour is a variable of the style, and nothing says when or by what it was drawn."""
    _, _, html = made(tmp_path, SMALL)
    figures = "".join(re.findall("<svg.*?</svg>", html, re.DOTALL))
    assert "followers reported by the platform</text>" in figures
    assert not re.search("#[0-9a-f]{6}", figures)
    assert "metadata" not in figures
    assert "Matplotlib" not in figures
    assert "<style" not in figures


# --- every database ------------------------------------------------------------------------------------------------

DEGENERATE = {
    "empty": Sample(),
    "seeds_only": Sample(seeds=("a", "b")),
    "one_visited": Sample(seeds=("a",), visits={"a": Visit(("b", "c"))}),
    "one_follow": Sample(seeds=("a",), visits={"a": Visit(("b",))}, followers={"b": 3}, following={"a": 1}),
    "no_edges": Sample(seeds=("a",), visits={"a": Visit(())}, following={"a": 0}),
    "all_hidden": Sample(seeds=("a", "b"), visits={"a": Visit((), "hidden"), "b": Visit((), "hidden")}),
    "no_handles": Sample(seeds=("a",), visits={"a": Visit(("b",))}, without_handle=frozenset({"a", "b"})),
    "no_seeds": Sample(visits={"a": Visit(("b",))}),
    "still_running": Sample(seeds=("a",), visits={"a": Visit(("b",))}, stop_reason=None),
}


@pytest.mark.parametrize("name", DEGENERATE)
def test_every_database_has_a_report(tmp_path: Path, name: str) -> None:
    """A report is made of any database, says what it holds, and invents no finding where there is none."""
    sample = DEGENERATE[name]
    files, found, html = made(tmp_path, sample)
    assert (files.accounts, files.edges) == (len(sample.ids()), sum(len(v.listed) for v in sample.visits.values()))
    assert len(Page(html).all("h1")) == 1
    assert "nan" not in re.sub("<style.*?</style>", "", html, flags=re.DOTALL).lower().split()
    assert bool(found["central"]) == bool(files.edges)
    if not files.edges:
        assert "nobody can be called central" in html
        assert found["communities"]["list"] == []


def test_a_graph_too_large_for_communities_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where communities are refused the report has everything else and says why."""
    monkeypatch.setattr(communities, "MAX_PAIRS", 3)
    files, found, html = made(tmp_path, SMALL)
    assert found["communities"] is None
    assert "Communities were not computed" in html
    assert {row["community"] for row in table(files, "accounts")} == {""}


def test_a_large_graph_has_fewer_runs_and_no_sweep_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where 20 runs and other resolutions would cost more than all the rest, two runs stand and nothing is swept."""
    monkeypatch.setattr("analysis.communities.WORK", 4)
    monkeypatch.setattr("analysis.report.groups.SWEPT", 2)
    files, document, page = made(tmp_path, SMALL)
    found = document["communities"]
    assert len(found["found_by_run"]) == 2
    assert (found["sweep"], found["sweep_runs"]) == ([], 0)
    assert "2 runs instead of 20, and no other resolution was tried" in page
    assert "The same at other resolutions" not in page
    assert table(files, "resolutions") == []


def test_uncertain_credits_wrong_books_and_removed_follows_become_caveats(tmp_path: Path) -> None:
    """Credits whose fate is unknown, a ledger that says otherwise and follows taken out are said to be so."""
    _, _, html = made(tmp_path, SMALL)
    assert "Some credits are uncertain.</strong> 2 credits" in html
    assert "no page came, and nothing tells what the call cost." in html  # an answer may have: that it failed
    assert "The books disagree." not in html
    assert "taken out.</strong>" not in html
    path = tmp_path / "sample.db"
    with closing(Database.open(path, now=lambda: NOW)) as database:
        database.transact(lambda conn: conn.exec_driver_sql("UPDATE runs SET charged = 7"))
        database.transact(
            lambda conn: conn.exec_driver_sql("INSERT INTO follows (src, dst, first_visit) VALUES (1, 1, 1)")
        )
    files = build(path, tmp_path / "report", now=lambda: NOW)
    html = files.html.read_text(encoding="utf-8")
    assert "7 credits were charged, the ledger’s rows add up to 6" in html
    assert "1 follow of an account by itself, 0 repeats and 0 follows" in html
    assert files.edges == len(FOLLOWS)


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (SMALL, "4 of the known accounts"),
        (
            Sample(seeds=("a",), visits={"a": Visit(tuple("bcdef"))}, skipped=dict.fromkeys("de", "no_following")),
            "5 of the known accounts (83.3\u202f%) were never visited. 2 of them are known to follow nobody; whom the "
            "others follow is unknown; every number",
        ),
        (Sample(seeds=("a", "b"), visits={"a": Visit((), "hidden"), "b": Visit((), "private")}), "hide their lists"),
        (Sample(seeds=("a",), visits={"a": Visit((), Completeness.CAPPED)}), "read only in part"),
        (Sample(seeds=("a",), visits={"a": Visit(())}), "no random sample"),
    ],
    ids=["boundary", "following nobody", "hidden", "cut", "none"],
)
def test_the_largest_doubt_is_the_one_that_touches_most(tmp_path: Path, sample: Sample, words: str) -> None:
    """The doubt named first is the one that touches most of the known accounts."""
    _, _, html = made(tmp_path, sample)
    assert words in re.findall("The largest doubt:</strong>(.*?)</li>", html, re.DOTALL)[0]


# --- every time ----------------------------------------------------------------------------------------------------


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_equal_databases_give_equal_bytes_in_every_process(tmp_path: Path) -> None:
    """Every file of a report is the same for the same database and seed, whatever PYTHONHASHSEED is."""
    rng = random.Random(8)
    visits = {f"u{i}": Visit(tuple(f"u{rng.randrange(400)}" for _ in range(12)), "complete") for i in range(60)}
    sample = Sample(seeds=("u0",), visits=visits, followers={f"u{i}": 1 + rng.randrange(9_999) for i in range(400)})
    path = write(tmp_path / "sample.db", sample)
    program = (
        "import sys; from pathlib import Path; from analysis.report.build import build;"
        f"build(sys.argv[1], Path(sys.argv[2]), now=lambda: {NOW})"
    )
    root = Path(__file__).parents[2]
    for seed in ("1", "4711"):
        subprocess.run(
            [sys.executable, "-c", program, path, tmp_path / seed],
            cwd=root,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root), "HOME": str(tmp_path)},
            check=True,
        )
    build(path, tmp_path / "here", now=lambda: NOW)
    assert digests(tmp_path / "here") == digests(tmp_path / "1") == digests(tmp_path / "4711")
    assert len(digests(tmp_path / "here")) == 24


def test_only_the_time_of_making_depends_on_the_clock(tmp_path: Path) -> None:
    """Two reports of one database at two times differ in the time they were made and in nothing else."""
    path = write(tmp_path / "sample.db", SMALL)
    first = build(path, tmp_path / "a", now=lambda: NOW)
    second = build(path, tmp_path / "b", now=lambda: NOW + 86_400)
    one, two = json.loads(first.json.read_text()), json.loads(second.json.read_text())
    assert (one.pop("generated_at"), two.pop("generated_at")) == ("2026-11-01T02:26:40Z", "2026-11-02T02:26:40Z")
    assert one == two
    assert digests(tmp_path / "a" / "tables") == digests(tmp_path / "b" / "tables")


def test_a_report_replaces_the_last_and_leaves_the_database(tmp_path: Path) -> None:
    """A second report takes the place of the first, leaves nothing half-made, and the database is untouched."""
    path = write(tmp_path / "sample.db", SMALL)
    before = path.read_bytes()
    build(path, tmp_path / "report", now=lambda: NOW)
    steps: list[tuple[str, int, int]] = []
    build(path, tmp_path / "report", now=lambda: NOW, progress=lambda *step: steps.append(step))
    assert path.read_bytes() == before
    assert sorted(digests(tmp_path / "report")) == [
        "methods.md",
        "references.bib",
        "report.html",
        "report.json",
        "tables/accounts.csv",
        "tables/averages.csv",
        "tables/brokers.csv",
        "tables/changes_by_account.csv",
        "tables/changes_by_month.csv",
        "tables/communities.csv",
        "tables/cores.csv",
        "tables/coverage.csv",
        "tables/degree_distribution.csv",
        "tables/flows.csv",
        "tables/log.csv",
        "tables/map_accounts.csv",
        "tables/map_follows.csv",
        "tables/map_links.csv",
        "tables/map_squares.csv",
        "tables/reported_observed.csv",
        "tables/resolutions.csv",
        "tables/saturation.csv",
        "tables/stability.csv",
        "tables/suspicious.csv",
    ]
    assert [done for _, done, _ in steps] == [0, 1, 2, 3, 4, 5]


def test_what_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    """A missing database and an output that is a file are told apart, each with a remedy."""
    with pytest.raises(MissingDatabase):
        build(tmp_path / "none.db", tmp_path / "report", now=lambda: NOW)
    (tmp_path / "report").write_text("mine")
    with pytest.raises(OutputNotWritable) as refused:
        build(write(tmp_path / "sample.db", SMALL), tmp_path / "report", now=lambda: NOW)
    assert "--output" in refused.value.hint
    assert (tmp_path / "report").read_text() == "mine"
