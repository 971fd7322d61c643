"""The tail of a degree distribution: is it a power law, and can these data tell?

Clauset, Shalizi & Newman 2009: the exponent by maximum likelihood, the start of the tail where the fit comes closest
(Kolmogorov-Smirnov) of all possible starts, the rivals by Vuong's test, the goodness of the fit by a semi-parametric
bootstrap. All distributions are discrete.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erfc, exp, sqrt
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import chdtrc, ndtr, zeta

from analysis.engine import Floats, Ints

ENOUGH = 100
"""Fewer values in the tail tell nothing: the tests have no power."""

LEVEL = 0.1
"""A difference between rivals counts from this p-value down, as in Clauset, Shalizi & Newman."""

SETS, BEYOND = 200, 20
"""Sets that are drawn at most for the goodness of a fit; it is known well enough once so many fit worse."""

DISTINCT = 2_000
"""Different values beyond which the goodness is not measured: it would take longer than all the rest."""

CUT_OFF = "power law with an exponential cut-off"

_LEAST = 10
"""A tail of fewer values, or of one value only, has no shape."""

_LOWEST, _HIGHEST = 1.01, 8.0
_OF_STRETCHED = (-40, -5), (40, 2)
_OF_CUT = (1, -40), (_HIGHEST, 2)
"""From where to where the rivals' parameters are searched: of the stretched exponential the logarithms of scale and
shape, of the law with a cut-off its exponent and the logarithm of its decay."""
_COARSE, _FINE = 16, 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another distribution on the same tail. `ratio` is Vuong's normalised log-likelihood ratio, positive where the
    power law fits better; `p` the probability of one as large by chance if neither does.

    The power law is one of the laws with a cut-off. That rival never fits worse: its `ratio` is the signed root of
    twice the difference, its `p` that of the likelihood-ratio test (Wilks 1938).
    """

    name: str
    parameters: tuple[float, ...]
    ratio: float
    p: float

    @property
    def is_better(self) -> bool:
        """Whether it fits better than the power law, as far as these data tell."""
        return self.ratio < 0 and self.p < LEVEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodness:
    """Of `sets` drawn from the fitted law and fitted anew, `worse` lie as far from their fit or farther."""

    worse: int
    sets: int

    @property
    def p(self) -> float:
        """The probability of so bad a fit if the power law holds, where drawing ended with the BEYOND-th worse one or
        with the SETS-th set (Besag & Clifford 1991)."""
        return self.worse / self.sets if self.worse >= BEYOND else (self.worse + 1) / (self.sets + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The power law that fits a tail best: P(x) ~ x**-exponent from `start` on, over `values` of `of` positive values.

    `error` is the exponent's standard error, `distance` the Kolmogorov-Smirnov distance. `goodness` is None where it
    decides nothing, for the tail is short or a rival better, and where it would take too long.
    """

    exponent: float
    error: float
    start: int
    values: int
    of: int
    distance: float
    rivals: tuple[Rival, ...]
    goodness: Goodness | None = None

    @property
    def verdict(self) -> str:
        """What may be said, in a sentence or two."""
        if self.values < ENOUGH:
            return f"Cannot tell: the tail has {self.values:,} values, too few to tell one shape from another."
        better = [rival for rival in self.rivals if rival.is_better]
        if better:
            best = min(better, key=lambda rival: rival.ratio)
            pure = "pure " if best.name == CUT_OFF else ""
            return f"Not a {pure}power law: {_one(best.name)} fits the tail better ({_chance(best.p)})."
        fit = self.goodness
        if fit is not None and fit.p <= LEVEL:
            # Or the reader finds another p.
            counted = "" if fit.worse >= BEYOND else ", these values counted with them"
            return (
                f"Not a power law: of {fit.sets:,} sets drawn from the fitted one, {fit.worse:,} lie as far from their "
                f"own fit as these values do (p = {fit.p:.2g}{counted})."
            )
        tested = (
            "Whether it fits at all was not tested: there are too many different values."
            if fit is None
            else f"It cannot be ruled out (p = {fit.p:.2g})."
        )
        # A cut-off that is not better is one that is not needed, and leaves nothing open.
        undecided = [rival.name for rival in self.rivals if rival.p >= LEVEL and rival.name != CUT_OFF]
        if undecided:
            *others, last = (_one(name) for name in undecided)
            names = f"{', '.join(others)} or {last}" if others else last
            return f"Cannot tell: a power law fits the tail no better and no worse than {names}. {tested}"
        return f"A power law fits the tail better than each of its rivals; that does not prove it. {tested}"


def _chance(p: float) -> str:
    return f"p = {p:.2g}" if p >= 0.0001 else "p < 0.0001"


def _one(name: str) -> str:
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


@dataclass(frozen=True, slots=True, eq=False)
class _Law:
    """The best power law of some values: where in the distinct ones it starts, and how far from them it lies."""

    at: int
    exponent: float
    distance: float


def fit(values: Ints, *, rng_seed: int = 1) -> Tail | None:
    """Fit the tail of some counts, shape (n,); None where fewer than ten are positive or all are alike."""
    value, count = np.unique(values[values > 0], return_counts=True)
    found = _closest(value, count)
    if found is None:
        return None
    tail, times = value[found.at :], count[found.at :]
    start, size = int(tail[0]), int(times.sum())
    rivals = _rivals(tail, times, start, found.exponent)
    is_open = size >= ENOUGH and not any(rival.is_better for rival in rivals)
    return Tail(
        exponent=found.exponent,
        error=_error(found.exponent, start, size),
        start=start,
        values=size,
        of=int(count.sum()),
        distance=found.distance,
        rivals=rivals,
        goodness=_goodness(value, count, found, rng_seed) if is_open and len(value) <= DISTINCT else None,
    )


def _closest(value: Ints, count: Ints) -> _Law | None:
    """Return the power law that lies closest of those from every start, None where no tail has a shape.

    The distance at some of the values is never more than that at all of them, so starts are tried by the former, and
    those which even there lie farther off than the best so far need no full look.
    """
    below = np.cumsum(count) - count
    size = int(count.sum()) - below
    starts = np.flatnonzero((size >= _LEAST) & (np.arange(len(value)) < len(value) - 1))
    if not len(starts):
        return None
    logs = np.cumsum((count * np.log(value))[::-1])[::-1]
    exponent = _exponents(value[starts].astype(np.float64), logs[starts] / size[starts])
    whole = zeta(exponent, value[starts])
    # Between two values the law goes on while the data stand still: the gap is widest at one of the two ends.
    upto = np.append(value[1:], value[-1] + 1)

    def gaps(rows: Ints, places: Ints) -> Floats:
        """The distance of the laws from `starts[rows]` at some places among the distinct values, for each row."""
        first = starts[rows][:, None]
        observed = (below[places] + count[places] - below[first]) / size[first]
        power, scale = exponent[rows][:, None], whole[rows][:, None]
        ends = (np.abs(observed - 1 + zeta(power, after[places]) / scale) for after in (value + 1, upto))
        found: Floats = np.maximum(*ends).max(axis=1)
        return found

    def some(rows: Ints, steps: int) -> Floats:
        first = starts[rows][:, None]
        # In the tail's upper part values are rare and the law has little room to be off: equal numbers of values.
        wanted = below[first] + size[first] * (np.arange(steps) + 0.5) / steps
        return gaps(rows, np.clip(np.searchsorted(below, wanted, side="right") - 1, first, len(value) - 1))

    least = some(np.arange(len(starts)), _COARSE)
    best = _Law(0, 0.0, np.inf)
    for row in np.argsort(least, kind="stable").tolist():
        if least[row] >= best.distance:
            break
        one = np.array([row])
        if len(value) - starts[row] > 4 * _FINE and some(one, _FINE)[0] >= best.distance:
            continue
        distance = float(gaps(one, np.arange(starts[row], len(value))[None, :])[0])
        if distance < best.distance:
            best = _Law(int(starts[row]), float(exponent[row]), distance)
    return best


def _exponents(start: Floats, logs: Floats) -> Floats:
    """Return the likeliest exponents of tails by their starts and their mean logarithms, all of shape (k,).

    The negative log-likelihood exponent * logs + log zeta(exponent, start) is convex: its slope is brought to nothing
    by Newton's steps, and by halving where one leads out of what is left of the range.
    """
    low, high = np.full(len(start), _LOWEST), np.full(len(start), _HIGHEST)
    # The approximation of Clauset, Shalizi & Newman, their equation 3.7.
    found = np.clip(1 + 1 / np.maximum(logs - np.log(start - 0.5), 1e-9), _LOWEST, _HIGHEST)
    step = 1e-4
    for _ in range(60):
        before, here, after = (np.log(zeta(found + shift, start)) for shift in (-step, 0, step))
        slope, bend = logs + (after - before) / (2 * step), (after - 2 * here + before) / step**2
        low, high = np.where(slope < 0, found, low), np.where(slope > 0, found, high)
        newton = found - slope / np.maximum(bend, 1e-12)
        further: Floats = np.where((newton > low) & (newton < high), newton, (low + high) / 2)
        if float(np.abs(further - found).max()) < 1e-9:
            return further
        found = further
    return found


def _error(exponent: float, start: int, n: int) -> float:
    """Return the standard error from the curvature of the likelihood."""
    step = 1e-4
    logs = [float(np.log(zeta(exponent + shift, start))) for shift in (-step, 0, step)]
    return 1 / sqrt(n * (logs[0] - 2 * logs[1] + logs[2]) / step**2)


def _goodness(value: Ints, count: Ints, law: _Law, rng_seed: int) -> Goodness:
    """Draw sets like these values, their tails from the fitted law and the rest from the values below its start."""
    rng = np.random.default_rng(rng_seed)
    body = np.repeat(value[: law.at], count[: law.at])
    n, start = int(count.sum()), int(value[law.at])
    inside = int(count[law.at :].sum())
    table = np.arange(start, start + 10_000)
    above = zeta(law.exponent, table) / zeta(law.exponent, start)
    worse = sets = 0
    while sets < SETS and worse < BEYOND:
        tail = int(rng.binomial(n, inside / n))
        luck = 1 - rng.random(tail)
        drawn = table[np.searchsorted(-above, -luck, side="right") - 1]
        # Beyond the table the law is as good as continuous (their equation D.6).
        far = luck <= above[-1]
        further = (table[-1] - 0.5) * (luck[far] / above[-1]) ** (1 / (1 - law.exponent)) + 0.5
        drawn[far] = np.minimum(further, 1e15).astype(np.int64)
        rest = rng.choice(body, n - tail) if len(body) else body
        again = _closest(*np.unique(np.concatenate((rest, drawn)), return_counts=True))
        worse += again is None or again.distance >= law.distance
        sets += 1
    return Goodness(worse=worse, sets=sets)


def _rivals(value: Ints, count: Ints, start: int, exponent: float) -> tuple[Rival, ...]:
    size = int(count.sum())
    law = -exponent * np.log(value) - np.log(zeta(exponent, start))
    mean, middle = float((count * value).sum()) / size, float((count * np.log(value)).sum()) / size
    spread = sqrt(float((count * (np.log(value) - middle) ** 2).sum()) / size)
    rate = float(np.log1p(1 / max(mean - start, 1e-12)))
    exponential = np.log(-np.expm1(-rate)) - rate * (value - start)

    def lognormal(given: Any) -> Any:
        centre, width = given[0], np.exp(given[1])

        def above(x: Any) -> Any:  # of the normal's upper tail, whose differences keep their digits
            return ndtr((centre - np.log(x)) / width)

        share = above(value - 0.5) - above(value + 0.5)
        return np.log(np.maximum(share, 1e-300)) - np.log(max(float(above(start - 0.5)), 1e-300))

    def stretched(given: Any) -> Any:  # Nakagawa & Osaki 1975; the exponential is its case of shape 1
        scale, shape = np.exp(np.clip(given, *_OF_STRETCHED))
        here, after = (value / scale) ** shape, ((value + 1) / scale) ** shape
        shares: Floats = (start / scale) ** shape - here + np.log(np.maximum(-np.expm1(here - after), 1e-300))
        return shares

    def cut(given: Any) -> Any:
        power, fall = np.clip(given, *_OF_CUT).tolist()
        decay = exp(fall)
        return -power * np.log(value / start) - decay * (value - start) - _log_sum(power, decay, start)

    def best(shape: Any, *starts: tuple[float, float]) -> Any:
        def cost(given: Floats) -> float:
            return -float(np.sum(count * shape(given)))

        tries = [minimize(cost, np.array(one), method="Nelder-Mead") for one in starts]
        return min(tries, key=lambda one: float(one.fun)).x

    normal = best(lognormal, (middle, float(np.log(max(spread, 0.1)))))
    weibull = best(stretched, (float(np.log(mean)), float(np.log(0.5))), (float(np.log(1 / rate)), 0.0))
    ended = best(cut, (exponent, -float(np.log(value[-1]))), (exponent / 2, -float(np.log(mean))))
    # What a search hands back may lie beyond the bounds, where nothing changes any more.
    scale, shape = np.exp(np.clip(weibull, *_OF_STRETCHED)).tolist()
    power, fall = np.clip(ended, *_OF_CUT).tolist()
    more = max(float(np.sum(count * (cut(ended) - law))), 0.0)
    return (
        _rival("lognormal distribution", (float(normal[0]), float(np.exp(normal[1]))), law - lognormal(normal), count),
        _rival("exponential distribution", (rate,), law - exponential, count),
        _rival("stretched exponential distribution", (scale, shape), law - stretched(weibull), count),
        Rival(
            name=CUT_OFF,
            parameters=(power, exp(fall)),
            ratio=-sqrt(2 * more),
            p=float(chdtrc(1, 2 * more)),
        ),
    )


_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)


def _log_sum(power: float, decay: float, start: int) -> float:
    """Return the logarithm of the sum of (x / start)**-power * exp(-decay * (x - start)) over x from `start` on.

    The first terms as they are, the rest by the formula of Euler and Maclaurin, its integral over t = log(x / end).
    """
    x = np.arange(start, start + 64, dtype=np.float64)
    terms = float(np.sum(np.exp(-power * np.log(x / start) - decay * (x - start))))
    end = start + 64.0
    until = np.log1p(60 / (decay * end))
    if power > 1:
        until = min(until, 60 / (power - 1))
    t = until * (_NODES + 1) / 2
    integral = end * until / 2 * float(np.sum(_WEIGHTS * np.exp((1 - power) * t - decay * end * np.expm1(t))))
    first = np.exp(-power * np.log(end / start) - decay * (end - start))
    return float(np.log(terms + first * (integral + 0.5 + (power / end + decay) / 12)))


def _rival(name: str, parameters: tuple[float, ...], difference: Floats, count: Ints) -> Rival:
    n = int(count.sum())
    total = float(np.sum(count * difference))
    spread = sqrt(max(float(np.sum(count * (difference - total / n) ** 2)) / n, 1e-300))
    ratio = total / (spread * sqrt(n))
    return Rival(name=name, parameters=parameters, ratio=ratio, p=erfc(abs(ratio) / sqrt(2)))
