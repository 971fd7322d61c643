"""How far reported follower counts can be trusted, and better ones where they cannot.

Two counts speak of an account: its reported followers F, and k, by how many of the lists read it is listed. What log
(k / F) scatters beyond chance is noise in F or imbalance of the crawl. A balanced sample of lists, the audit, tells
them apart; and the part of the imbalance that an account shares with those listed beside it is taken out first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.graph import UNKNOWN, Ints, Mask
from analysis.imputation import Links

Floats = npt.NDArray[np.float64]

ENOUGH = 60
"""Accounts that a spread is read from; fewer with much support lower the support asked for."""
SUPPORTS = (10, 5, 2)
"""sqrt(k * expected k) asked for, in turn."""
CLIP, LARGEST_OFFSET = 1.5, 1.0
OUTLYING, LEAST_SPREAD, IMPLAUSIBLE = 2.5, 0.15, 5
"""An account is flagged where F is beyond this many spreads, of at least this much, and this many times what its
listings tell: an uneven crawl lists many an account a third as often as others, whose F is right."""
LEAST_IMBALANCE, MOST_IMBALANCE = 0.1, 0.25
"""Variance of the crawl's imbalance beyond the offsets: no crawl is believed to have less, or counts that agree by luck
would rule, nor more: what scatters beyond that is noise in F, whatever a poor audit says."""
UNAUDITED = 0.25
"""Share of the spread's variance taken for noise in F where no audit says how much it is."""
TINY = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """How the lists read count accounts: k is about `rate` * exp(`offset`) * followers, `offset` of shape (n,).

    `variance` is what log(k / F) scatters around that beyond chance (tau^2), read from `accounts` accounts, each
    with a geometric mean of k and expected k of at least `support`.
    """

    rate: float
    offset: Floats
    variance: float
    accounts: int
    support: int

    @property
    def is_thin(self) -> bool:
        """Whether too few accounts are listed often enough for any ranking but an exploratory one."""
        return self.accounts < ENOUGH or self.support < SUPPORTS[0]


@dataclass(frozen=True, slots=True, eq=False)
class Mended:
    """Followers reported and to rank with, F*, and where F is far beyond what k makes plausible: all of shape (n,).

    `noise` is the variance of log F believed in (sigma^2); `audited` says whether it was measured.
    """

    reported: Ints
    followers: Floats
    flagged: Mask
    noise: float
    audited: bool
    fit: Fit

    @property
    def is_all_noise(self) -> bool:
        """Whether all by which counts and listings differ beyond chance is taken for noise in the counts."""
        return 0 < self.noise == self.fit.variance


def fit(links: Links, followers: Ints, weight: Ints, *, strict: bool) -> Fit:
    """Fit the rate, the local offsets and the spread of k / F, source u counted `weight[u]` times; all shapes (n,).

    rate = exp(median of log(k / F) - offset) and tau^2 = max(0, (1.4826 * MAD of that)^2 - mean of 1 / k), over the
    accounts with sqrt(k * expected k) of at least 10 (fewer than 60: 5, then 2), `strict` also with the smaller of the
    two at least half of that: bought followers pass the first test easily. The offset of v is a slope, by least
    squares, times the mean of log(k_w / (rate * F_w)) over the others w that the sources listing v list too: who is
    listed beside much-listed accounts is listed much. Twice: those flagged do not take part in the second round.
    """
    f, times = np.maximum(followers, 1).astype(np.float64), weight.astype(np.float64)
    k = links.matrix @ times
    offset, usable = np.zeros(len(f)), (k > 0) & (followers != UNKNOWN)
    found = Fit(1.0, offset, 0.0, 0, SUPPORTS[-1])
    if not usable.any():
        return found
    rate = float(k[usable].sum() / f[usable].sum())
    log_ratio = np.log(np.maximum(k, 0.5)) - np.log(f)
    for _ in range(2):
        expected = f * np.exp(offset)
        chosen, support = usable, SUPPORTS[-1]
        for _ in range(3):
            chosen, support = _supported(k, rate * expected, usable, strict=strict)
            if not chosen.any():
                return found
            rate = float(np.exp(np.median((log_ratio - offset)[chosen])))
        excess = np.where(chosen, np.clip(log_ratio - np.log(rate), -CLIP, CLIP), 0.0)
        offset = _offset(links, times, excess, chosen)
        left = (log_ratio - offset)[chosen]
        rate = float(np.exp(np.median(left)))
        variance = max(0.0, _scatter(left) ** 2 - float(np.mean(1.0 / k[chosen])))
        found = Fit(rate, offset, variance, int(chosen.sum()), support)
        usable = usable & ~_outlying(f, k, found)
    return found


def _supported(k: Floats, expected: Floats, usable: Mask, *, strict: bool) -> tuple[Mask, int]:
    chosen, support = usable, SUPPORTS[-1]
    for support in SUPPORTS:
        chosen = usable & (np.sqrt(k * expected) >= support)
        if strict:
            chosen &= np.minimum(k, expected) >= max(2.0, support / 2)
        if chosen.sum() >= ENOUGH:
            break
    return chosen, support


def _offset(links: Links, times: Floats, excess: Floats, chosen: Mask) -> Floats:
    others = links.matrix.T @ chosen.astype(np.float64)
    beside = links.matrix @ (times * (links.matrix.T @ excess))
    weight = links.matrix @ (times * others)
    # An account does not tell of itself: its own part of each list is taken off.
    own = np.where(chosen, links.matrix @ (times * (others > 0)), 0.0)
    mean = (beside - own * excess) / np.maximum(weight - own, TINY)
    x = mean[chosen] - mean[chosen].mean()
    if len(x) < ENOUGH // 3 or not x.any():
        return np.zeros(len(excess))
    slope = max(0.0, float((x * excess[chosen]).sum() / (x * x).sum()))
    return np.asarray(np.clip(slope * (mean - mean[chosen].mean()), -LARGEST_OFFSET, LARGEST_OFFSET))


def _scatter(values: Floats) -> float:
    """Return the standard deviation as the median absolute deviation tells it (Hampel 1974)."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _outlying(f: Floats, k: Floats, found: Fit) -> Mask:
    """Return where F > max(exp(2.5 * max(tau, 0.15)) * (k + 2 * sqrt(k) + 2), 5 * k) / expected k of one follower."""
    spread = float(np.exp(OUTLYING * max(float(np.sqrt(found.variance)), LEAST_SPREAD)))
    limit = np.maximum(spread * (k + 2 * np.sqrt(k) + 2), IMPLAUSIBLE * k)
    return np.asarray(np.log(f) > np.log(limit) - np.log(found.rate) - found.offset)


def mend(links: Links, followers: Ints, audit: Ints | None) -> Mended:
    """Blend reported followers with those that the listings tell; `audit` counts how often each account is a source.

    sigma^2 is the spread of the audit by itself, without an audit a quarter of tau^2 of the whole; at least tau^2 -
    0.25, at most tau^2.
    """
    whole = fit(links, followers, (links.listed > 0).astype(np.int64), strict=True)
    told = UNAUDITED * whole.variance if audit is None else fit(links, followers, audit, strict=False).variance
    noise = min(whole.variance, max(told, whole.variance - MOST_IMBALANCE))
    return blend(links, followers, whole, noise, audited=audit is not None)


def blend(links: Links, followers: Ints, whole: Fit, noise: float, *, audited: bool) -> Mended:
    """Blend by a known `noise`, sigma^2.

    With q = rate * exp(offset): s_k^2 = 1 / (k + 0.5) + max(tau^2 - sigma^2, 0.1); w = s_k^2 / (s_k^2 + sigma^2 +
    0.0001); log F* = w * log F + (1 - w) * log((k + 0.5) / q). Where F is flagged F* = (k + sqrt(k) + 0.5) / q, where
    it is not known (k + 0.5) / q; F* is at least k. From a thin fit nothing is flagged.
    """
    f, k = np.maximum(followers, 1).astype(np.float64), links.matrix @ (links.listed > 0).astype(np.float64)
    q = whole.rate * np.exp(whole.offset)
    by_listings = 1.0 / (k + 0.5) + max(whole.variance - noise, LEAST_IMBALANCE)
    w = by_listings / (by_listings + noise + TINY)
    w[followers == UNKNOWN] = 0.0
    blended = np.exp(w * np.log(f) + (1 - w) * np.log((k + 0.5) / q))
    # What a handful of accounts says of the rate would condemn everybody.
    flagged = _outlying(f, k, whole) & (followers != UNKNOWN) & (not whole.is_thin)
    mended = np.where(flagged, (k + np.sqrt(k) + 0.5) / q, blended)
    return Mended(followers, np.maximum(mended, k), flagged, noise, audited, whole)
