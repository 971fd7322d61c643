"""What a report says beyond the lists read: each number against a second computation in plain loops or networkx."""

from __future__ import annotations

import csv
import json
import math
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import rehearsal
from jsonschema import Draft202012Validator

from analysis.report.build import build
from socialfetch.simulator import network
from storage.database import Database
from tests.analysis.sample import START, Sample, Visit, insert, write

NOW = 1_793_500_000.7
SCHEMA = Path(__file__).parents[2] / "docs" / "report.schema.json"


def crawl() -> Sample:
    """A network of 300 accounts of which 90 were read: some neighbourhoods, some accounts far more followed."""
    rng = random.Random(5)
    lists = {
        u: sorted({min(299, int(rng.paretovariate(0.6)) - 1) if rng.random() < 0.5 else (u + rng.randrange(1, 9)) % 300
                   for _ in range(rng.randrange(3, 30))} - {u})
        for u in range(300)
    }  # fmt: skip
    followers = {v: sum(v in listed for listed in lists.values()) for v in range(300)}
    read = [*range(60), *range(200, 230)]
    return Sample(
        seeds=("u0", "u1"),
        visits={f"u{u}": Visit(tuple(f"u{v}" for v in lists[u])) for u in read},
        followers={f"u{v}": count for v, count in followers.items()},
        following={f"u{u}": len(listed) for u, listed in lists.items()},
    )


CRAWL = crawl()
READ = list(CRAWL.visits)
AUDITED, WAVES = READ[50:60], (READ[60:70], READ[70:80], READ[80:90])


def drawn(path: Path, *, charged: int = 12) -> Path:
    """Say which lists were bought for the audit and the control sample, and what each cost.

    At 12 credits a list each wave was charged 100 and more.
    """
    write(path, CRAWL)
    ids = CRAWL.ids()
    with closing(Database.open(path, now=lambda: NOW)) as database:

        def mark(conn: Any) -> None:
            for handle in AUDITED:
                conn.exec_driver_sql("UPDATE visits SET queue = 'audit' WHERE account_id = ?", (ids[handle],))
            for wave, handles in enumerate(WAVES, start=1):
                for handle in handles:
                    conn.exec_driver_sql(
                        "UPDATE visits SET queue = ? WHERE account_id = ?", (f"control-{wave}", ids[handle])
                    )
                    conn.exec_driver_sql(
                        "UPDATE ledger SET charged = ? WHERE account_id = ? AND cursor = ''", (charged, ids[handle])
                    )
                rows = [(1, wave, place, ids[handle]) for place, handle in enumerate([*handles, handles[0]])]
                insert(conn, "control_draws", ["run_id", "wave", "place", "account_id"], rows)

        database.transact(mark)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, Path]:
    folder = tmp_path_factory.mktemp("drawn")
    files = build(drawn(folder / "a.db"), folder / "report", now=lambda: NOW, top=300)
    return json.loads(files.json.read_text()), files.html.read_text(encoding="utf-8"), folder / "report" / "tables"


def parts(handle: str, value: Any) -> tuple[float, float]:
    """What one list adds above and below the line."""
    listed = CRAWL.visits[handle].listed
    weights = [1 / max(CRAWL.followers[v], 1) for v in listed]
    return sum(w * value(v) for w, v in zip(weights, listed, strict=True)), sum(weights)


def averaged(draws: list[tuple[float, float]], weights: list[float]) -> float:
    above, below = (sum(w * draw[at] for w, draw in zip(weights, draws, strict=True)) for at in (0, 1))
    return above / below


def test_averages_follow_rule_r(made: tuple[dict[str, Any], str, Path]) -> None:
    """Value and interval of the mean following and of a share are those of the rule, draw by draw."""
    found = {row["name"]: row for row in made[0]["estimates"]["averages"]}
    main = [handle for handle in READ if handle not in {*READ[50:]}]
    for name, value, most in (
        ("following_mean", lambda v: CRAWL.following[v], max(CRAWL.following[v] for v in CRAWL.ids())),
        ("following_over_10", lambda v: float(CRAWL.following[v] > 10), 1.0),
    ):
        theta, square = {}, {}
        for wave in (1, 2):
            draws = [parts(handle, value) for handle in [*WAVES[wave], WAVES[wave][0]]]
            theta[wave] = averaged(draws, [1.0] * len(draws))
            spread = sum((a - theta[wave] * y) ** 2 for a, y in draws) * len(draws) / (len(draws) - 1)
            square[wave] = spread / sum(y for _, y in draws) ** 2
        crawled = [parts(handle, value) for handle in main]
        ends = [
            averaged(crawled, [1.0] * len(main)),
            averaged(crawled, [1 / max(CRAWL.followers[handle], 1) for handle in main]),
        ]
        drift = max(abs(theta[2] - end) for end in ends)
        half = 2 * math.sqrt(square[1] + square[2]) + drift / 2
        row = found[name]
        assert row["value"] == pytest.approx(theta[2])
        assert row["high"] == pytest.approx(min(most, theta[2] + half))
        assert row["informative"] == (half <= theta[2] / 2)
        assert row["reason"] is None


def test_without_a_control_sample_there_is_no_interval(tmp_path: Path) -> None:
    """Every average says that the crawl is not random, on the page too."""
    files = build(write(tmp_path / "a.db", CRAWL), tmp_path / "report", now=lambda: NOW)
    rows = json.loads(files.json.read_text())["estimates"]["averages"]
    assert {(row["low"], row["high"], row["informative"]) for row in rows} == {(None, None, False)}
    assert {row["reason"] for row in rows} == {"no interval: the crawl is not random, and it has no control sample"}
    assert "95\u202f% interval" not in files.html.read_text(encoding="utf-8")


def test_a_control_sample_too_small_gives_no_interval_and_says_so_once(tmp_path: Path) -> None:
    """What is said above the averages is what each of them says."""
    files = build(drawn(tmp_path / "a.db", charged=2), tmp_path / "report", now=lambda: NOW, top=10)
    html = files.html.read_text(encoding="utf-8")
    assert "No interval: the control sample is too small." in html
    assert "The values below are of its last wave and may be far off." in html
    assert "No average has an interval, because none would be right." in html  # ranks may have some all the same
    assert "Only a control sample gives intervals of averages;" in html
    assert "Intervals come from the control sample" not in html


def test_noise_that_may_be_an_uneven_crawl_is_said_to_be(tmp_path: Path) -> None:
    """Every count here is exact, and a small control sample takes all that the crawl is uneven by for noise in them."""
    crawled = tmp_path / "a.db"
    service = rehearsal.service(network.generate(5_000, rng_seed=0))
    rehearsal.go(crawled, service, seeds=["u1", "u2"], budget=600, control=0.3)
    files = build(crawled, tmp_path / "report", now=lambda: NOW)
    html = files.html.read_text(encoding="utf-8")
    assert json.loads(files.json.read_text())["estimates"]["ranking"]["basis"] == "audited"
    assert "all by which counts and listings differ beyond chance: an uneven crawl may have its part in it;" in html
    assert "as much as counts and listings differ beyond chance)" in files.methods.read_text(encoding="utf-8")
    assert "follower counts can be trusted, and where there is none a control sample does" in html


def test_bias_size_and_queues_are_those_of_the_lists(made: tuple[dict[str, Any], str, Path]) -> None:
    """The alarm, the size by bisection, and what each queue was charged."""
    found = made[0]["estimates"]
    main = [handle for handle in READ if handle not in {*READ[50:]}]
    weights = [1 / max(CRAWL.followers[handle], 1) for handle in main]
    balance = sum(w * parts(h, lambda _: 1)[1] for w, h in zip(weights, main, strict=True)) / sum(weights)
    assert found["alarm"]["balance"] == pytest.approx(balance)
    assert found["alarm"]["biased"] == (not 0.8 <= balance <= 1.25)
    times: dict[str, int] = {}
    for visit in CRAWL.visits.values():
        for other in visit.listed:
            times[other] = times.get(other, 0) + 1
    counts = [max(CRAWL.followers[v], k) for v, k in times.items()]
    low, high, q = 1e-9, 1.0, 0.5
    for _ in range(200):
        q = (low + high) / 2
        low, high = (q, high) if sum(q * f / -math.expm1(-q * f) for f in counts) < sum(times.values()) else (low, q)
    assert found["size"]["accounts"] == pytest.approx(sum(1 / -math.expm1(-q * f) for f in counts), rel=1e-6)
    queues = {row["name"]: row for row in found["queues"]}
    pages = {h: max(1, -(-len(visit.listed) // 20)) for h, visit in CRAWL.visits.items()}
    assert queues["audit"]["credits"] == sum(pages[handle] for handle in AUDITED)
    assert queues["main"]["credits"] == sum(pages[handle] for handle in main)
    assert queues["control-3"]["credits"] == sum(pages[handle] + 11 for handle in WAVES[2])
    assert [queues[name]["visits"] for name in ("main", "audit", "control-1")] == [len(main), 10, 10]


def test_rankings_stand_beside_each_other(made: tuple[dict[str, Any], str, Path]) -> None:
    """Ranks by reported and observed followers and within the crawl are those of plain sorts, and so is the overlap."""
    found, _, tables = made
    ids = CRAWL.ids()
    follows = [(u, v) for u, visit in CRAWL.visits.items() for v in visit.listed]
    graph = nx.DiGraph(follows)
    graph.add_nodes_from(ids)
    orders = {
        "followers_reported": sorted(ids, key=lambda h: (-CRAWL.followers[h], ids[h])),
        "followers_observed": sorted(ids, key=lambda h: (-graph.in_degree(h), ids[h])),
        "pagerank_within_crawl": sorted(ids, key=lambda h: (-round(scores[h], 9), ids[h]))
        if (scores := nx.pagerank(graph, tol=1e-12, max_iter=500))
        else [],
    }
    first = [row["handle"] for row in found["central"]][:100]
    for name, order in orders.items():
        place = {handle: number for number, handle in enumerate(order, start=1)}
        wrong = [row for row in found["central"] if abs(row["places"][name] - place[row["handle"]]) > 1]
        assert not wrong, name
        shared = found["estimates"]["ranking"]["shared_with"][name]
        assert shared == {"shared": len({*first} & {*order[:100]}), "of": 100}
    with (tables / "accounts.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [row["handle"] for row in found["central"]]
    assert [row["tier"] for row in rows[:11]] == ["0"] * 10 + ["1"]


def test_the_replay_counts_what_was_known(made: tuple[dict[str, Any], str, Path]) -> None:
    """After each step so many accounts had been visited or listed; credits are those before audit and control."""
    pages = {h: max(1, -(-len(visit.listed) // 20)) for h, visit in CRAWL.visits.items()}
    curve = made[0]["estimates"]["saturation"]
    assert curve[-1]["credits"] == sum(pages[handle] for handle in READ[:50])
    before = (0, 0)
    for step in curve:
        spent, known = 0, set()
        for handle in READ:
            spent += pages[handle]
            known |= {handle, *CRAWL.visits[handle].listed}
            if spent >= step["credits"]:
                break
        assert (spent, len(known)) == (step["credits"], step["accounts"])
        assert step["novelty"] == pytest.approx((len(known) - before[1]) / (spent - before[0]))
        before = spent, len(known)


def test_structure_agrees_with_networkx(made: tuple[dict[str, Any], str, Path]) -> None:
    """Bow-tie parts sum to all accounts, cores and the strong core are networkx's, stability is between 0 and 1."""
    found = made[0]
    graph = nx.DiGraph([(u, v) for u, visit in CRAWL.visits.items() for v in visit.listed])
    graph.add_nodes_from(CRAWL.ids())
    shape = found["structure"]
    assert sum(shape["bow_tie"].values()) == len(graph)
    core = max(nx.strongly_connected_components(graph), key=len)
    assert shape["bow_tie"]["core"] == len(core)
    assert shape["bow_tie"]["out"] == len(nx.descendants(graph, min(core)) - core)
    cores = nx.core_number(graph.to_undirected())
    assert shape["core_profile"] == [sum(n >= k for n in cores.values()) for k in range(max(cores.values()) + 1)]
    assert found["communities"]["runs"] == len(found["communities"]["found_by_run"]) == 20
    assert all(0 < row["stability"] <= 1 for row in found["communities"]["list"])
    assert [row["resolution"] for row in found["communities"]["sweep"]] == [0.25, 0.5, 1, 2, 4]


def test_the_page_says_how_the_sample_was_drawn(made: tuple[dict[str, Any], str, Path]) -> None:
    """The method paragraph and the caveats name the control sample, its draws, the runs and their seeds."""
    found, html, _ = made
    assert "three waves of 11, 11 and 11 draws with replacement" in html
    assert "run 1: flow, rng seed 7, budget 10,000, stopped because its budget was reached" in html
    assert "Control sample, wave 3" in html
    alone = found["communities"]["found_by_run"]
    limits = f"{min(alone)}" if min(alone) == max(alone) else f"{min(alone)} to {max(alone)}"
    assert f"A run by itself finds {limits}." in html
    assert "Intervals come from the control sample" in html
    assert START < NOW


@pytest.mark.parametrize("sample", [CRAWL, Sample(), Sample(seeds=("a",), visits={"a": Visit(("b",))})])
def test_report_json_keeps_to_its_schema(tmp_path: Path, sample: Sample) -> None:
    """report.json of any crawl is what docs/report.schema.json promises, and nothing else."""
    files = build(write(tmp_path / "a.db", sample), tmp_path / "report", now=lambda: NOW)
    schema = json.loads(SCHEMA.read_text())
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(json.loads(files.json.read_text()))
