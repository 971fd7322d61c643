"""The tail of a degree distribution: is it a power law, and can these data tell?

Clauset, Shalizi & Newman 2009: the exponent by maximum likelihood, the start of the tail where the fit comes closest
(Kolmogorov-Smirnov), the rivals by Vuong's test. All distributions are discrete.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, sqrt
from typing import Any

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import ndtr, zeta

from analysis.engine import Floats, Ints

ENOUGH = 100
"""Fewer values in the tail tell nothing: the tests have no power."""

LEVEL = 0.1
"""A difference between rivals counts from this p-value down, as in Clauset, Shalizi & Newman."""

_STARTS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another distribution on the same tail. `ratio` is Vuong's normalised log-likelihood ratio, positive where the
    power law fits better; `p` the probability of one as large by chance if neither does."""

    name: str
    parameters: tuple[float, ...]
    ratio: float
    p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The power law that fits a tail best: P(x) ~ x**-exponent from `start` on, over `values` of `of` positive values.

    `error` is the exponent's standard error, `distance` the Kolmogorov-Smirnov distance.
    """

    exponent: float
    error: float
    start: int
    values: int
    of: int
    distance: float
    rivals: tuple[Rival, ...]

    @property
    def verdict(self) -> str:
        """What may be said, in a sentence."""
        if self.values < ENOUGH:
            return f"Cannot tell: the tail has {self.values:,} values, too few to tell one shape from another."
        better = [rival for rival in self.rivals if rival.p < LEVEL and rival.ratio < 0]
        open_ = [rival for rival in self.rivals if rival.p >= LEVEL]
        if better:
            best = min(better, key=lambda rival: rival.ratio)
            return f"Not a power law: a {best.name} fits the tail better (p = {best.p:.2g})."
        if open_:
            names = " or a ".join(rival.name for rival in open_)
            return f"Cannot tell: a power law fits the tail no better and no worse than a {names}."
        return "A power law fits the tail better than each of its rivals; that does not prove it."


def fit(values: Ints) -> Tail | None:
    """Fit the tail of some counts, shape (n,); None where fewer than ten are positive or all are alike."""
    values = np.sort(values[values > 0])
    distinct, first = np.unique(values, return_index=True)
    # A tail of fewer than ten values, or of one value only, has no shape.
    candidates = [(int(start), at) for start, at in zip(distinct[:-1], first, strict=False) if len(values) - at >= 10]
    if not candidates:
        return None
    step = max(1, len(candidates) // _STARTS)
    tries = [(*_law(values[at:], start), start, at) for start, at in candidates[::step]]
    distance, exponent, start, at = min(tries)
    tail = values[at:]
    return Tail(
        exponent=exponent,
        error=_error(exponent, start, len(tail)),
        start=start,
        values=len(tail),
        of=len(values),
        distance=distance,
        rivals=_rivals(tail, start, exponent),
    )


def _law(tail: Ints, start: int) -> tuple[float, float]:
    """Return the distance and the exponent of the best power law from `start` on."""
    logs = float(np.log(tail).sum())

    def cost(exponent: float) -> float:
        return exponent * logs + len(tail) * float(np.log(zeta(exponent, start)))

    exponent = float(minimize_scalar(cost, bounds=(1.01, 8), method="bounded", options={"xatol": 1e-6}).x)
    value, count = np.unique(tail, return_counts=True)
    observed = np.cumsum(count) / len(tail)
    above = zeta(exponent, np.append(value, value[-1] + 1)) / zeta(exponent, start)
    # Between two values the law goes on while the data stand still: the gap is widest at one of the two ends.
    gaps = np.abs(observed - 1 + zeta(exponent, value + 1) / zeta(exponent, start)), np.abs(observed - 1 + above[1:])
    return float(np.max(gaps)), exponent


def _error(exponent: float, start: int, n: int) -> float:
    """Return the standard error from the curvature of the likelihood."""
    step = 1e-4
    logs = [float(np.log(zeta(exponent + shift, start))) for shift in (-step, 0, step)]
    return 1 / sqrt(n * (logs[0] - 2 * logs[1] + logs[2]) / step**2)


def _rivals(tail: Ints, start: int, exponent: float) -> tuple[Rival, ...]:
    value, count = np.unique(tail, return_counts=True)
    law = -exponent * np.log(value) - np.log(zeta(exponent, start))
    mean = float(tail.mean())
    rate = float(np.log1p(1 / max(mean - start, 1e-12)))
    exponential = np.log(-np.expm1(-rate)) - rate * (value - start)
    logs = np.log(tail)

    def lognormal(given: Any) -> Any:
        centre, width = given[0], np.exp(given[1])

        def above(x: Any) -> Any:  # of the normal's upper tail, whose differences keep their digits
            return ndtr((centre - np.log(x)) / width)

        share = above(value - 0.5) - above(value + 0.5)
        return np.log(np.maximum(share, 1e-300)) - np.log(max(float(above(start - 0.5)), 1e-300))

    spread = float(np.log(max(logs.std(), 0.1)))

    def cost(given: Floats) -> float:
        return -float(np.sum(count * lognormal(given)))

    best = minimize(cost, np.array([float(logs.mean()), spread]), method="Nelder-Mead")
    fitted = (float(best.x[0]), float(np.exp(best.x[1])))
    return (
        _rival("lognormal distribution", fitted, law - lognormal(best.x), count),
        _rival("exponential distribution", (rate,), law - exponential, count),
    )


def _rival(name: str, parameters: tuple[float, ...], difference: Floats, count: Ints) -> Rival:
    n = int(count.sum())
    total = float(np.sum(count * difference))
    spread = sqrt(max(float(np.sum(count * (difference - total / n) ** 2)) / n, 1e-300))
    ratio = total / (spread * sqrt(n))
    return Rival(name=name, parameters=parameters, ratio=ratio, p=erfc(abs(ratio) / sqrt(2)))
