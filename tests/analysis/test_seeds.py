"""What is left without one seed, against a crawl that never had it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import rehearsal
from jsonschema import Draft202012Validator

from analysis import communities
from analysis.report.build import build
from socialfetch.simulator import network

SCHEMA = Path(__file__).parents[2] / "docs" / "report.schema.json"


def apart(*sizes: int) -> list[tuple[str, str]]:
    """Return the follows of networks that nothing joins, a, b, c …, of so many accounts each."""
    follows = []
    for letter, size in zip("abc", sizes, strict=False):
        drawn = network.generate(size, rng_seed=size)
        pairs = rehearsal.follows(rehearsal.service(drawn), [drawn.handle(index) for index in range(size)])
        follows += [(f"{letter}{one}", f"{letter}{other}") for one, other in sorted(pairs)]
    return follows


def reported(folder: Path, follows: list[tuple[str, str]], seeds: list[str]) -> tuple[dict[str, Any], str]:
    """Crawl it all, and return the report as JSON and as a page."""
    rehearsal.go(folder / "a.db", rehearsal.service(follows), seeds=seeds, budget=10_000)
    files = build(folder / "a.db", folder / "report", now=lambda: 1_750_000_000.0)
    content = json.loads(files.json.read_text())
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(content)
    return content, files.html.read_text()


def first_ten(content: dict[str, Any]) -> set[str]:
    return {row["handle"] for row in content["central"][:10]}


def test_what_is_left_is_what_a_crawl_without_the_seed_finds(tmp_path: Path) -> None:
    """Of networks that nothing joins, leaving a seed out leaves what the other seeds find by themselves."""
    follows = apart(120, 90, 60)
    hubs = []
    for letter in "abc":
        names = [one for one, _ in follows if one.startswith(letter)]
        hubs.append(max(sorted(set(names)), key=names.count))
    (tmp_path / "all").mkdir()
    whole, page = reported(tmp_path / "all", follows, hubs)
    found = {row["handle"]: row for row in whole["without_seed"]}
    assert set(found) == set(hubs)
    assert [row["lists"] for row in whole["without_seed"]] == sorted(row["lists"] for row in found.values())[::-1]
    shared = []
    for left_out in hubs:
        folder = tmp_path / f"without-{left_out}"
        folder.mkdir()
        others, _ = reported(folder, follows, [hub for hub in hubs if hub != left_out])
        shared.append(len(first_ten(whole) & first_ten(others)))
        assert (found[left_out]["shared_of_first"], found[left_out]["first"]) == (shared[-1], 10)
    assert len(set(shared)) > 1
    assert "of the largest stable community is known" in page
    # That community is of one network: without that seed nobody of it is known, without another everybody is.
    assert sorted(row["known_of_largest_stable_community"] for row in found.values()) == [0.0, 1.0, 1.0]
    assert f"{min(shared)} to {max(shared)} of the first 10 stay among them" in page
    assert "Without any one of them" in page


@pytest.mark.parametrize("first_stable", [1, 3])
def test_a_seed_is_not_measured_by_an_unstable_community(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first_stable: int
) -> None:
    """The share that stays known is that of the largest stable community; where none is stable that is said."""
    settled = communities.consensus

    def shaken(*given: Any, **more: Any) -> communities.Consensus:
        found = settled(*given, **more)
        found.stability[:] = 0.5
        found.stability[first_stable : first_stable + 1] = 0.9
        return found

    monkeypatch.setattr(communities, "consensus", shaken)
    circles = {letter: [f"{letter}{at}" for at in range(size)] for letter, size in zip("abc", (9, 7, 5), strict=True)}
    follows = [(one, other) for circle in circles.values() for one in circle for other in circle if one != other]
    content, page = reported(tmp_path, follows, ["a0", "b0", "c0"])
    shares = {row["handle"]: row["known_of_largest_stable_community"] for row in content["without_seed"]}
    if first_stable == 1:
        assert shares == {"a0": 1.0, "b0": 0.0, "c0": 1.0}
        assert "of the largest stable community is known" in page
    else:
        assert set(shares.values()) == {None}
        assert "no community is stable enough to be looked for again" in page


@pytest.mark.parametrize("seeds", [["a"], ["a", "lonely"]])
def test_one_seed_is_not_left_out(tmp_path: Path, seeds: list[str]) -> None:
    """Where all lists belong to one seed there is nothing to compare."""
    content, page = reported(tmp_path, [("a", "b"), ("b", "c"), ("c", "a")], seeds)
    assert content["without_seed"] == []
    assert "only one that lists were read because of" in page
