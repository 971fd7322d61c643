"""Refreshes in a world that changes: every change is found, nothing ends that was only not seen, money is saved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import rehearsal
import virtual_time
from processes import edge_list
from refreshing import DAY, refresh
from study import Study, facts

from crawler import refresh as policy
from crawler.refresh import Intervals
from crawler.replay import replay
from socialfetch.simulator import network
from socialfetch.simulator.network import Network, Status
from socialfetch.simulator.service import Service
from storage.database import Database
from storage.rereads import REFUTED
from storage.revisits import Revisit

Pair = tuple[str, str]


def truth(graph: Network, sources: set[str]) -> set[Pair]:
    """Return the follows in the lists of these accounts, hidden ones included."""
    found = set()
    for source in sources:
        index = graph.index(source)
        assert index is not None
        found |= {(source, graph.handle(int(target))) for target in graph.following(index)[0]}
    return found


def churn(graph: Network, sources: list[str], *, changes: int, rng_seed: int) -> tuple[set[Pair], set[Pair]]:
    """Let so many follows begin and as many end; returns both."""
    rng = Random(rng_seed)
    before = truth(graph, set(sources))
    lost = set(rng.sample(sorted(before), changes))
    for source, target in lost:
        graph.remove_follow(source, target)
    gained: set[Pair] = set()
    names = [graph.handle(index) for index in range(graph.accounts)]
    while len(gained) < changes:
        source, target = rng.choice(sources), rng.choice(names)
        if source != target and (source, target) not in before | gained:
            graph.add_follow(source, target)
            gained.add((source, target))
    return gained, lost


def changes(path: Path, since: float, until: float) -> dict[str, set[Pair]]:
    """Return what `diff` says, by kind."""
    from storage.changes import between

    db = Database.open(path, now=lambda: 0.0, mode="read")
    found: dict[str, set[Pair]] = {}
    with db.read() as conn:
        for change in between(conn, since, until):
            assert change.source is not None
            assert change.target is not None
            found.setdefault(change.kind, set()).add((change.source, change.target))
    db.close()
    return found


def test_every_change_is_found(tmp_path: Path) -> None:
    """Gained and lost follows, hidden, private and vanished accounts, a rename, a handle taken over, and returns."""
    graph = network.generate(120, rng_seed=3, hidden=0, private=0, not_found=0)
    api, path = rehearsal.service(graph, page_size=10, latency_s=0.01), tmp_path / "a.db"

    async def months() -> None:
        await rehearsal.crawl(path, api, seeds=["u1", "u2", "u3"], budget=100_000)
        begin = virtual_time.now()
        whole = "SELECT handle FROM accounts JOIN frontier ON id = account_id WHERE completeness = 'complete'"
        visited = {row[0] for row in rehearsal.rows(path, whole)}
        assert rehearsal.edges(path) == truth(graph, visited)

        await asyncio.sleep(40 * DAY)
        away = {"u10": Status.HIDDEN, "u11": Status.PRIVATE, "u12": Status.NOT_FOUND}
        assert set(away) <= visited
        gained, lost = churn(graph, sorted(visited - set(away) - {"u20", "u21"}), changes=40, rng_seed=1)
        kept = truth(graph, set(away))
        for handle, status in away.items():
            graph.set_status(handle, status)
        graph.rename("u20", "u20.moved")
        graph.rename("u21", "u20")  # takes over the handle that is free now
        result, counted = await refresh(path, api, budget=100_000)
        assert result.stop_reason == "frontier_empty"
        assert counted == (40, 40)

        def renamed(pair: Pair) -> Pair:
            names = {"u20": "u20.moved", "u21": "u20"}
            return names.get(pair[0], pair[0]), names.get(pair[1], pair[1])

        found = changes(path, begin, virtual_time.now())
        assert found["new"] == {renamed(pair) for pair in gained}
        assert found["gone"] == {renamed(pair) for pair in lost}
        here = {renamed((handle, ""))[0] for handle in visited} - set(away)
        # Those who are away keep what was known of them.
        assert rehearsal.edges(path) == truth(graph, here) | {renamed(pair) for pair in kept}
        standing = dict(
            rehearsal.rows(path, "SELECT handle, completeness FROM accounts JOIN frontier ON id = account_id")
        )
        assert [standing[handle] for handle in away] == ["hidden", "private", "not_found"]
        history = rehearsal.rows(path, "SELECT handle, reason FROM handle_history ORDER BY handle, reason")
        assert ("u20", "renamed") in history or ("u20", "taken_over") in history
        assert rehearsal.findings(path) == []

        back = virtual_time.now()
        await asyncio.sleep(10 * DAY)
        for handle in away:
            graph.set_status(handle, Status.FOUND)
        source, target = min(lost)
        graph.add_follow(*renamed((source, target)))
        graph.add_follow("u10", "u119")
        _, counted = await refresh(path, api, budget=100_000)
        assert counted == (2, 0)
        assert changes(path, back, virtual_time.now()) == {
            "back": {renamed((source, target))},
            "new": {("u10", "u119")},
        }
        assert rehearsal.edges(path) == truth(graph, here | set(away))
        assert rehearsal.findings(path) == []

    virtual_time.run(months())


@pytest.mark.parametrize("part", [5, pytest.param(1, marks=pytest.mark.complete)], ids=["a_fifth", "complete"])
def test_a_real_graph_and_its_changed_copy(tmp_path: Path, part: int) -> None:
    """Of the followings of the Bundestag in 2018 and a changed copy every gained and lost follow is found."""
    graph = network.load_edge_list(edge_list("bundestag-followings-2018"), rng_seed=5)
    api, path = rehearsal.service(graph, page_size=200, latency_s=0.001), tmp_path / "a.db"
    sources = [graph.handle(index) for index in range(graph.accounts) if graph.following_counts[index]][::part]

    async def year() -> None:
        once = {"strategy": "bfs", "archive": False, "max_depth": 0}
        done = await rehearsal.crawl(path, api, seeds=sources, budget=10**6, **once)
        assert done.stop_reason == "frontier_empty"
        begin = virtual_time.now()
        assert rehearsal.edges(path) == truth(graph, set(sources))
        await asyncio.sleep(300 * DAY)
        gained, lost = churn(graph, sources, changes=500, rng_seed=2)
        still = {source for source in sources if graph.following_counts[graph.index(source)]}
        result, counted = await refresh(path, api, budget=10**6, batch=10**6, archive=False)
        assert result.stop_reason == "frontier_empty"
        assert counted == (len(gained), len(lost))
        found = changes(path, begin, virtual_time.now())
        assert found == {"new": gained, "gone": lost}
        assert rehearsal.edges(path) == truth(graph, still)
        assert rehearsal.findings(path) == []

    virtual_time.run(year())


def calls(api: Service) -> int:
    """Return the credits that were charged."""
    return sum(api.ledger.pages.values())


def test_a_plan_is_made_for_many_lists_where_many_are_known(tmp_path: Path) -> None:
    """Each plan looks at every account that was read: it is not made anew for each list, however few are asked for."""
    follows = [(f"a{n}", f"a{(n + 1) % 200}") for n in range(200)]
    api, path = rehearsal.service(network.from_follows(follows), latency_s=0.01), tmp_path / "a.db"
    plans: list[int] = []

    def choose(revisits: Iterable[Revisit], **more: Any) -> policy.Plan:
        made = policy.choose(revisits, **more)
        plans.append(len(made.choices))
        return made

    async def months() -> None:
        await rehearsal.crawl(path, api, seeds=["a0"], budget=1_000)
        await asyncio.sleep(5 * DAY)
        result, _ = await refresh(path, api, budget=1_000, batch=1, choose=choose)
        assert result.stop_reason == "frontier_empty"

    virtual_time.run(months())
    assert sum(plans) == 200
    assert plans[0] == 1  # nothing is known of how many there are
    assert set(plans[1:-2]) == {10}


def test_a_list_proven_newest_first_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Two pages instead of fifty once its order is proven; all of it as soon as somebody was unfollowed."""
    names = [f"x{number}" for number in range(1000)]
    graph = network.from_follows([("a", name) for name in names] + [("b", name) for name in reversed(names)])
    api, path = rehearsal.service(graph, page_size=20, latency_s=0.01), tmp_path / "a.db"
    costs: list[int] = []

    async def months() -> None:
        await rehearsal.crawl(path, api, seeds=["a"], budget=1000, max_depth=0)
        for step in ("new", "new", "new", "gone", "gone and new", "nothing"):
            await asyncio.sleep(5 * DAY)
            if "gone" in step:
                graph.remove_follow("a", names.pop())
            if "new" in step:
                graph.add_follow("a", f"x{1000 + len(costs)}" if graph.index(f"x{1000 + len(costs)}") else "b")
                graph.remove_follow("a", "b") if step == "gone and new" and len(costs) > 9 else None
            before = calls(api)
            await refresh(path, api, budget=1000)
            costs.append(calls(api) - before)
            assert rehearsal.edges(path) == truth(graph, {"a"})
        assert rehearsal.findings(path) == []

    virtual_time.run(months())
    assert costs[0] == 51  # nothing is known of its order: read to the end
    assert costs[3] >= 50
    assert costs[5] == 1


def test_order_is_found_out_and_refuted(tmp_path: Path) -> None:
    """New follows before all known ones count as evidence by their chance; one after a known one refutes for good."""
    study = Study(tmp_path / "a.db", "a")
    study.visit("a", *(facts(f"x{number}") for number in range(99)), reported_total=99)

    def chance() -> float | None:
        [found] = study.ask("SELECT max(order_chance) FROM rereads")
        return found[0]

    study.now += DAY
    study.visit("a", *(facts(f"x{number}") for number in range(99)), reported_total=99)
    assert chance() is None  # nothing new shows nothing
    study.now += DAY
    study.visit("a", facts("n1"), *(facts(f"x{number}") for number in range(99)), reported_total=100)
    assert chance() == pytest.approx(-2.0)
    study.now += DAY
    study.visit("a", facts("x0"), facts("n2"), *(facts(f"x{number}") for number in range(1, 99)), reported_total=100)
    assert chance() == REFUTED
    study.db.close()


def test_what_was_not_read_before_is_no_evidence(tmp_path: Path) -> None:
    """After a part, follows further down are unread ones and not new: they say nothing about the order."""
    study = Study(tmp_path / "a.db", "a")
    study.visit("a", facts("x"), has_more=True)
    study.now += DAY
    study.visit("a", facts("x"), facts("y"))
    assert study.ask("SELECT gone, order_chance FROM rereads") == [(0, None)]
    study.db.close()


@pytest.mark.parametrize("how", ["partial", "hidden", "private", "not_found"])
def test_only_a_whole_list_ends_a_follow(tmp_path: Path, how: str) -> None:
    """A visit that saw a part or nothing ends nothing; the next whole one does."""
    study = Study(tmp_path / "a.db", "a")
    study.visit("a", facts("x"), facts("y"))
    study.now += DAY
    if how == "partial":
        study.visit("a", facts("x"), has_more=True)
    else:
        study.visit("a", status=how)
    assert rehearsal.edges(study.path) == {("a", "x"), ("a", "y")}
    study.now += DAY
    study.visit("a", facts("x"))
    assert rehearsal.edges(study.path) == {("a", "x")}
    assert study.ask("SELECT gone FROM rereads ORDER BY visit_id") == [(0,), (1,)]
    assert rehearsal.findings(study.path) == []
    study.db.close()


@pytest.mark.parametrize("shares", [{}, {"audit": 0.3, "control": 0.5}])
def test_a_refresh_buys_no_new_list_and_keeps_to_its_budget(tmp_path: Path, shares: dict[str, Any]) -> None:
    """Waiting accounts stay unread, the budget holds to the credit, and a second refresh goes on with what is due.

    An audit and a control sample are of a crawl: of a config.toml that asks for them a refresh takes none.
    """
    graph = network.generate(200, rng_seed=3)
    api, path = rehearsal.service(graph, latency_s=0.01), tmp_path / "a.db"

    async def month() -> None:
        await rehearsal.crawl(path, api, seeds=["u1", "u2"], budget=200)
        read = rehearsal.rows(path, "SELECT count(DISTINCT account_id) FROM visits")
        await asyncio.sleep(3 * DAY)
        before = calls(api)
        waits = Intervals(shortest=DAY)
        result, _ = await refresh(path, api, budget=20, intervals=waits, **shares)
        assert result.stop_reason == "budget_exhausted"
        assert calls(api) - before == 20
        result, _ = await refresh(path, api, budget=500, intervals=waits, **shares)
        assert result.stop_reason == "frontier_empty"
        assert rehearsal.rows(path, "SELECT count(DISTINCT account_id) FROM visits") == read
        result, _ = await refresh(path, api, budget=500, intervals=waits, **shares)
        assert (result.stop_reason, result.detail) == ("frontier_empty", "no list is due to be read again")
        assert rehearsal.rows(path, "SELECT max(charged) FROM runs WHERE id = (SELECT max(id) FROM runs)") == [(0,)]
        assert rehearsal.rows(path, "SELECT count(*) FROM control_draws") == [(0,)]
        assert rehearsal.findings(path) == []

    virtual_time.run(month())


def test_a_refreshed_database_is_replayed(tmp_path: Path) -> None:
    """Replaying the archive gives the same database, lists read again and their order included."""
    graph = network.generate(120, rng_seed=3)
    api, path = rehearsal.service(graph, page_size=4, latency_s=0.01), tmp_path / "a.db"

    async def month() -> None:
        await rehearsal.crawl(path, api, seeds=["u1", "u2"], budget=5000)
        await asyncio.sleep(30 * DAY)
        churn(graph, ["u1", "u2", "u3", "u5"], changes=10, rng_seed=4)
        await refresh(path, api, budget=60)
        await asyncio.sleep(30 * DAY)
        await rehearsal.crawl(path, api, budget=50)

    virtual_time.run(month())
    source = Database.open(path, now=lambda: 0.0, mode="read")
    target = Database.open(tmp_path / "b.db", now=lambda: 0.0)
    replay(source, target)
    source.close()
    target.close()
    # Facts by key come in the order in which they were first known.
    assert sorted(rehearsal.contents(tmp_path / "b.db")) == sorted(rehearsal.contents(path))


def test_what_was_listed_meanwhile_is_known(tmp_path: Path) -> None:
    """Following counts in others' listings tell which lists are stale: those are read again first."""
    study: Callable[..., Study] = Study
    made = study(tmp_path / "a.db", "hub")
    made.visit("hub", facts("s", following=1, followers=50), facts("t", following=1, followers=50))
    for name in ("s", "t"):
        made.visit(name, facts("q"), reported_total=1)
    made.now += 20 * DAY
    made.visit("hub", facts("s", following=2, followers=50), facts("t", following=1, followers=51))
    from crawler.refresh import by_followers, choose, confirmed_at, is_known_stale
    from storage.revisits import Sightings

    found = {each.account_id: each for each in made.read(lambda conn: list(Sightings().read(conn, now=made.now)))}
    ids = dict(made.ask("SELECT handle, id FROM accounts"))
    assert is_known_stale(found[ids["s"]])
    assert not is_known_stale(found[ids["t"]])
    assert confirmed_at(found[ids["t"]]) == made.now
    plan = choose(found.values(), credits=9, now=made.now, weigh=by_followers, intervals=Intervals(shortest=0))
    assert plan.choices[0].account_id == ids["s"]
    made.db.close()
