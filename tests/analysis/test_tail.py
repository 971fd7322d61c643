"""Tails: known laws are recognised, and too little or too alike is not decided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.centrality import in_degree
from analysis.graph import load_graph
from analysis.tail import CUT_OFF, DISTINCT, Goodness, _log_sum, fit
from tests.analysis.sample import closed, edges, write


def test_a_power_law_is_recovered() -> None:
    """From 20,000 values drawn from a zeta distribution the exponent comes back within three standard errors."""
    found = fit(np.random.default_rng(1).zipf(2.5, 20_000))
    assert found is not None
    assert abs(found.exponent - 2.5) < 3 * found.error
    assert found.error < 0.05
    exponential = next(rival for rival in found.rivals if rival.name.startswith("exponential"))
    assert exponential.ratio > 2
    assert exponential.p < 0.05
    assert "Not a power law" not in found.verdict


def test_an_exponential_is_no_power_law() -> None:
    """Geometric values are told from a power law, and the verdict names what fits better."""
    found = fit(np.random.default_rng(2).geometric(0.05, 20_000))
    assert found is not None
    assert found.verdict.startswith(("Not a", "Cannot tell"))
    whole = next(rival for rival in found.rivals if rival.name.startswith("exponential"))
    assert whole.ratio < 2


def test_a_lognormal_is_not_taken_for_a_power_law() -> None:
    """Over its whole body a lognormal is told apart."""
    values = np.random.default_rng(3).lognormal(3, 0.7, 30_000).round().astype(np.int64)
    found = fit(values)
    assert found is not None
    assert "A power law fits the tail better" not in found.verdict


def test_few_values_decide_nothing() -> None:
    """A short tail is said to be too short; without ten values or without two different ones there is none."""
    short = fit(np.random.default_rng(4).zipf(2.2, 60))
    assert short is not None
    assert short.verdict.startswith("Cannot tell: the tail has")
    assert fit(np.array([1, 2, 3])) is None
    assert fit(np.full(50, 7)) is None
    assert fit(np.zeros(0, dtype=np.int64)) is None


def test_the_exponent_is_the_likeliest(tmp_path: Path) -> None:
    """On a real graph no other exponent has a higher likelihood from the same start on, to four digits."""
    from scipy.special import zeta

    degrees = in_degree(load_graph(write(tmp_path / "graph.db", closed(edges("wiki-vote")))))
    found = fit(degrees)
    assert found is not None
    tail = degrees[degrees >= found.start]
    assert (len(tail), found.of) == (found.values, int((degrees > 0).sum()))

    def likelihood(exponent: float) -> float:
        return float(-exponent * np.log(tail).sum() - len(tail) * np.log(zeta(exponent, found.start)))

    assert likelihood(found.exponent) >= max(likelihood(found.exponent + step) for step in (-1e-3, 1e-3))
    values = np.arange(found.start, degrees.max() + 1)
    observed = np.array([(tail <= value).mean() for value in values])
    expected = 1 - zeta(found.exponent, values + 1) / zeta(found.exponent, found.start)
    assert found.distance == pytest.approx(np.abs(observed - expected).max(), abs=1e-9)


def plain_distance(values: np.ndarray, start: int) -> float:
    """The distance of the likeliest power law from a start, by scipy's general minimiser and all whole numbers."""
    from scipy.optimize import minimize_scalar
    from scipy.special import zeta

    tail = values[values >= start]
    logs = float(np.log(tail).sum())
    exponent = minimize_scalar(
        lambda power: power * logs + len(tail) * np.log(zeta(power, start)), bounds=(1.01, 8), options={"xatol": 1e-9}
    ).x
    steps = np.arange(start, values.max() + 1)
    observed = np.searchsorted(np.sort(tail), steps, side="right") / len(tail)
    return float(np.abs(observed - 1 + zeta(exponent, steps + 1) / zeta(exponent, start)).max())


def test_every_start_is_tried() -> None:
    """With hundreds of possible starts the closest of all is found, not the closest of every n-th."""
    for seed in (5, 6):
        values = np.random.default_rng(seed).lognormal(4, 1.2, 3_000).round().astype(np.int64)
        values = values[values > 0]
        found = fit(values)
        assert found is not None
        starts = [start for start in np.unique(values)[:-1].tolist() if (values >= start).sum() >= 10]
        assert len(starts) > 200
        distances = [plain_distance(values, start) for start in starts]
        assert found.distance == pytest.approx(min(distances), abs=1e-6)
        assert found.start == starts[int(np.argmin(distances))]


def test_many_values_take_seconds() -> None:
    """A million accounts with tens of thousands of different counts are fitted in a few CPU seconds."""
    import time

    values = np.random.default_rng(1).lognormal(5, 2.2, 1_000_000).round().astype(np.int64)
    began = time.process_time()
    found = fit(values)
    assert time.process_time() - began < 20
    assert found is not None
    assert found.goodness is None
    assert len(np.unique(values)) > DISTINCT


def test_a_cut_off_is_found_and_named() -> None:
    """Of a power law that ends exponentially, exponent and end come back, and the verdict says not pure."""
    rng = np.random.default_rng(7)
    values = rng.zipf(1.8, 100_000)
    values = values[rng.random(len(values)) < np.exp(-0.01 * values)]
    found = fit(values)
    assert found is not None
    ended = next(rival for rival in found.rivals if rival.name == CUT_OFF)
    assert found.start == 1
    assert ended.parameters == (pytest.approx(1.8, abs=0.03), pytest.approx(0.01, rel=0.1))
    assert "Not a pure power law: a power law with an exponential cut-off fits the tail better" in found.verdict
    for power, decay, start in ((1.8, 0.01, 1), (0.5, 0.001, 40), (3.0, 1e-7, 250), (2.0, 1.0, 7)):
        x = np.arange(start, start + 200_000, dtype=float)
        plain = np.log(np.sum((x / start) ** -power * np.exp(-decay * (x - start))))
        assert _log_sum(power, decay, start) == pytest.approx(plain, abs=1e-5)


def test_the_stretched_exponential_has_the_exponential_as_a_case() -> None:
    """Geometric values from 1 on are a stretched exponential of shape 1, and its likelihood is no smaller."""
    values = np.random.default_rng(8).geometric(0.05, 20_000)
    found = fit(values)
    assert found is not None
    rivals = {rival.name.partition(" ")[0]: rival for rival in found.rivals}
    assert rivals["stretched"].ratio < 0
    scale, shape = rivals["stretched"].parameters
    tail = values[values >= found.start].astype(float)

    def likelihood(shape: float, scale: float) -> float:
        above = np.exp(-((tail / scale) ** shape)) - np.exp(-(((tail + 1) / scale) ** shape))
        return float(np.log(above).sum() + len(tail) * (found.start / scale) ** shape)

    [rate] = rivals["exponential"].parameters
    assert likelihood(shape, scale) >= likelihood(1.0, 1 / rate) - 1e-6
    assert likelihood(shape, scale) >= max(likelihood(shape * by, scale) for by in (0.99, 1.01)) - 1e-6


def test_goodness_tells_a_power_law_from_what_only_looks_like_one() -> None:
    """Values of a power law are rarely ruled out; the same heaped on round numbers are."""
    good = [fit(np.random.default_rng(seed).zipf(2.5, 2_000)) for seed in range(10, 18)]
    tested = [found.goodness.p for found in good if found is not None and found.goodness is not None]
    assert len(tested) >= 5
    assert sum(p <= 0.1 for p in tested) <= 2
    values = np.random.default_rng(9).zipf(2.2, 3_000)
    values = np.where(values > 3, values // 4 * 4, values)
    one, again = fit(values, rng_seed=4), fit(values, rng_seed=4)
    assert one == again
    assert one is not None
    assert one.goodness is not None
    assert one.goodness.p <= 0.1
    assert one.verdict.startswith("Not a power law: of ")
    told = replace(one, goodness=Goodness(worse=14, sets=200)).verdict
    assert told.endswith(
        ", 14 lie as far from their own fit as these values do (p = 0.075, these values counted with them)."
    )
    told = replace(one, goodness=Goodness(worse=20, sets=200)).verdict
    assert told.endswith(", 20 lie as far from their own fit as these values do (p = 0.1).")


def test_verdicts_are_english() -> None:
    """No verdict says a exponential."""
    for seed in range(4):
        found = fit(np.random.default_rng(seed).lognormal(3, 0.7, 3_000).round().astype(np.int64))
        assert found is not None
        assert " a exponential" not in found.verdict
