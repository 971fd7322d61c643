"""Tails: known laws are recognised, and too little or too alike is not decided."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.centrality import in_degree
from analysis.graph import load_graph
from analysis.tail import fit
from tests.analysis.sample import closed, edges, write


def test_a_power_law_is_recovered() -> None:
    """From 20,000 values drawn from a zeta distribution the exponent comes back within three standard errors."""
    found = fit(np.random.default_rng(1).zipf(2.5, 20_000))
    assert found is not None
    assert abs(found.exponent - 2.5) < 3 * found.error
    assert found.error < 0.05
    _, exponential = found.rivals
    assert exponential.ratio > 2
    assert exponential.p < 0.05
    assert "Not a power law" not in found.verdict


def test_an_exponential_is_no_power_law() -> None:
    """Geometric values are told from a power law, and the verdict names what fits better."""
    found = fit(np.random.default_rng(2).geometric(0.05, 20_000))
    assert found is not None
    assert found.verdict.startswith(("Not a power law", "Cannot tell"))
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
