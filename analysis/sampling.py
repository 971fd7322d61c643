"""Averages over the accounts with a follower, and what a crawl lets one say about them.

A crawl is not a random sample: an interval computed as if it were one misses the truth far oftener than it says. So an
interval is given only from a control sample of three waves (rule R). What cannot be said is a value like any other:
`average` returns one of four, and raises nothing. Formulas and their evidence: docs/estimators.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.graph import Ints
from analysis.sample import Control, Sample, Wave, reported
from storage.sampling import CREDITS_A_WAVE, UNSPENT

Floats = npt.NDArray[np.float64]

SPREAD, DRIFT = 2.0, 0.5
"""Constants of rule R: of the two waves' errors together, and of the distance from the crawl's own estimates."""

USELESS = 0.5
"""An interval whose half-width is a larger part of the value tells an order of magnitude."""

CALM = (0.8, 1.25)
"""Where the alarm's number is in a crawl that shows no bias by it. Being inside is no clearance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An average with its 95 % interval: `error` is the last wave's standard error, `draws` its draws with a list.

    `drift` is how far the control sample went from the crawl's own estimates; half of it is part of the interval.
    """

    value: float
    low: float
    high: float
    error: float
    drift: float
    draws: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Uninformative(Interval):
    """An interval too wide for more than the order of magnitude."""


@dataclass(frozen=True, slots=True)
class NoInterval:
    """A value without an interval, and why there is none."""

    value: float
    reason: str


@dataclass(frozen=True, slots=True)
class NotIdentifiable:
    """Nothing can be said from this sample, and why."""

    reason: str


Average = Interval | Uninformative | NoInterval | NotIdentifiable

NOT_RANDOM = "no interval: the crawl is not random, and it has no control sample"
TOO_FEW_CREDITS = f"no interval: a wave of the control sample had fewer than {CREDITS_A_WAVE} credits"
ALL_ALIKE = "no interval: every draw of the control sample says the same"
NOTHING_TO_COMPARE = "no interval: the second wave, or the crawl itself, brought no whole list"
NO_LIST = "no list was read to its end"
NO_FACTS = "of nobody on a list read to its end are the followers, and what is to be averaged, known"
NO_DRAW = "no list of the control sample was read to its end"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Whether the crawl gives its bias away: `balance` is near 1 where sources are drawn by followers.

    `biased` is certain only when true.
    """

    balance: float

    @property
    def biased(self) -> bool:
        """Whether the number is outside CALM."""
        return not CALM[0] <= self.balance <= CALM[1]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What each source adds to a ratio of sums, two columns of shape (n,): `above` and `below` the line."""

    above: Floats
    below: Floats


def of_accounts(sample: Sample, values: Floats) -> Parts:
    """Return the parts of the average of `values`, shape (n,), over the accounts with a follower. NaN: not known.

    With F = max(followers, 1): above_u = sum over v listed by u of values_v / F_v, below_u = the same of 1 / F_v.
    Accounts whose value or followers are not known are left out of both. Hansen & Hurwitz 1943, as a ratio: an account
    is listed in proportion to its followers.
    """
    counted = reported(sample.followers) & ~np.isnan(values)
    weight = np.where(counted, 1.0 / np.maximum(sample.followers, 1), 0.0)
    above = np.where(counted, values, 0.0) * weight
    return Parts(_by_source(sample, above[sample.dst]), _by_source(sample, weight[sample.dst]))


def of_follows(sample: Sample, values: Floats) -> Parts:
    """Return the parts of the average of `values`, shape (m,), over the follows of accounts with a follower."""
    counted = ~np.isnan(values)
    return Parts(_by_source(sample, np.where(counted, values, 0.0)), _by_source(sample, counted.astype(np.float64)))


def _by_source(sample: Sample, weights: Floats) -> Floats:
    sums: Floats = np.bincount(sample.src, weights=weights, minlength=len(sample)).astype(np.float64)
    return sums


def average(sample: Sample, control: Control | None, values: Floats) -> Average:
    """Return the average of `values`, shape (n,), over the accounts with a follower; NaN where it is not known."""
    known = values[~np.isnan(values) & (sample.followers > 0)]
    bounds = (float(known.min()), float(known.max())) if len(known) else (-np.inf, np.inf)
    return ratio(sample, control, of_accounts(sample, values), bounds)


def exceeding(sample: Sample, control: Control | None, values: Floats, limits: Floats) -> list[Average]:
    """Return for each limit the share of accounts with a larger value: a distribution, one interval a point.

    Each interval holds by itself, not all of them together.
    """
    above = (np.where(np.isnan(values), np.nan, np.greater(values, limit)) for limit in limits)
    return [ratio(sample, control, of_accounts(sample, share), (0.0, 1.0)) for share in above]


def ratio(sample: Sample, control: Control | None, parts: Parts, bounds: tuple[float, float]) -> Average:
    """Estimate sum(above) / sum(below) over the accounts with a follower; clip the interval to `bounds`.

    Without a control sample it is the *double* estimate: sources weighted 1 / followers. With one it is rule R:
    theta_3 = sum(above) / sum(below) over the draws of wave 3; m = max(|theta_3 - double|, |theta_3 - k/F|), the latter
    with all sources alike, both on the main crawl; the interval is theta_3 ± (2 * sqrt(se_3^2 + se_2^2) + 0.5 * m).
    """
    sources = np.flatnonzero(sample.main & sample.complete & (parts.below > 0))
    if control is None:
        if not len(sources):
            return NotIdentifiable(_without_source(sample))
        return NoInterval(_double(sample, parts, sources), NOT_RANDOM)
    theta, error, draws = _of_wave(sample, control.waves[2], parts)
    if not draws:
        return NotIdentifiable(NO_DRAW)
    if control.credits < CREDITS_A_WAVE - UNSPENT:
        return NoInterval(theta, TOO_FEW_CREDITS)
    _, before, earlier = _of_wave(sample, control.waves[1], parts)
    if not earlier or not len(sources):
        return NoInterval(theta, NOTHING_TO_COMPARE)
    if error == 0:
        return NoInterval(theta, ALL_ALIKE)
    plain = float(parts.above[sources].sum() / parts.below[sources].sum())
    drift = max(abs(theta - _double(sample, parts, sources)), abs(theta - plain))
    half = SPREAD * float(np.hypot(error, before)) + DRIFT * drift
    kind = Uninformative if half > USELESS * abs(theta) else Interval
    low, high = max(bounds[0], theta - half), min(bounds[1], theta + half)
    return kind(value=theta, low=low, high=high, error=error, drift=drift, draws=draws)


def _without_source(sample: Sample) -> str:
    return NO_FACTS if (sample.main & sample.complete).any() and len(sample.src) else NO_LIST


def _double(sample: Sample, parts: Parts, sources: Ints) -> float:
    weight = inverse_followers(sample, sources)
    return float((weight * parts.above[sources]).sum() / (weight * parts.below[sources]).sum())


def inverse_followers(sample: Sample, sources: Ints) -> Floats:
    """Return 1 / max(F, 1) of each source; 0 where F is not known, as of a seed that nobody listed, unless of all."""
    known = reported(sample.followers[sources])
    if not known.any():
        return np.ones(len(sources))
    return np.where(known, 1.0 / np.maximum(sample.followers[sources], 1), 0.0)


def _of_wave(sample: Sample, wave: Wave, parts: Parts) -> tuple[float, float, int]:
    """Return theta_w, its standard error and the draws n that have a list.

    Linearised, as of a ratio of means (Cochran 1977, 6.4): sqrt(n / (n - 1) * sum (above - theta * below)^2) / sum
    below.
    """
    told = sample.complete[wave.accounts] & (parts.below[wave.accounts] > 0)
    accounts, draws = wave.accounts[told], wave.draws[told]
    n = int(draws.sum())
    if not n:
        return np.nan, np.nan, 0
    above, below = parts.above[accounts], parts.below[accounts]
    total = float((draws * below).sum())
    theta = float((draws * above).sum()) / total
    squares = float((draws * (above - theta * below) ** 2).sum())
    return theta, float(np.sqrt(n / max(n - 1, 1) * squares)) / total, n


def alarm(sample: Sample) -> Alarm | NotIdentifiable:
    """Return sum(y_u / F_u) / sum(1 / F_u) over the sources of the main crawl, y_u = sum over v listed by u of 1 / F_v.

    Summed over all accounts y is the number of accounts with a follower, so its average is near 1, and 1 / F_u makes
    an average of sources that were drawn in proportion to F.
    """
    below = of_accounts(sample, np.zeros(len(sample))).below
    sources = np.flatnonzero(sample.main & sample.complete & (below > 0))
    if not len(sources):
        return NotIdentifiable(_without_source(sample))
    weight = inverse_followers(sample, sources)
    return Alarm(float((weight * below[sources]).sum() / weight.sum()))
