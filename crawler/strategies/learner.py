"""A log-linear rate, learned page by page: how many of the accounts that a page lists are of the kind wanted."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from typing import Any

import numpy as np

RIDGE = 20.0
FLOOR, CEILING = -12.0, 0.0
"""Bounds of the logarithm of a rate: none is above 1."""


class Learner:
    """hits ~ Poisson(items * exp(w.x)): recursive least squares with forgetting on the working response of the GLM.

    McCullagh & Nelder 1989, §2.5, one step a page; the prior `w0` keeps a ridge of its own weight at all times.
    """

    def __init__(self, prior: Sequence[float], forgetting: float, state: Sequence[Any] | None = None) -> None:
        self._prior = np.array(prior)
        self._forgetting = forgetting
        size = len(prior)
        if state is None:
            self._a = RIDGE * np.eye(size)
            self._b = RIDGE * self._prior
            self.weights: list[float] = list(prior)
        else:
            self._a = np.array(state[0])
            self._b = np.array(state[1])
            self.weights = list(state[2])

    def state(self) -> list[Any]:
        """Return what `state` of the constructor takes."""
        return [self._a.tolist(), self._b.tolist(), self.weights]

    def rate(self, features: Sequence[float]) -> float:
        """Return the expected hits an account listed, at most 1."""
        return exp(min(CEILING, max(FLOOR, self._line(features))))

    def _line(self, features: Sequence[float]) -> float:
        return sum(weight * feature for weight, feature in zip(self.weights, features, strict=True))

    def learn(self, features: Sequence[float], *, items: int, hits: int) -> None:
        """Take in a page that listed so many accounts with so many hits."""
        if not items:
            return
        line = min(CEILING, max(FLOOR, self._line(features)))
        expected = items * exp(line)
        weight = max(expected, 1.0)
        response = line + min(3.0, max(-3.0, (hits - expected) / weight))
        x = np.array(features)
        fresh = 1.0 - self._forgetting
        self._a = self._forgetting * self._a + weight * np.outer(x, x) + fresh * RIDGE * np.eye(len(x))
        self._b = self._forgetting * self._b + weight * response * x + fresh * RIDGE * self._prior
        self.weights = np.linalg.solve(self._a, self._b).tolist()
