"""Agreement of partitions against values worked out by hand and by definition."""

from __future__ import annotations

from itertools import combinations
from math import log

import numpy as np
import pytest

from analysis.agreement import ari, jaccard, nmi

ONE = np.array([0, 0, 0, 1, 1, 1])
OTHER = np.array([0, 0, 1, 1, 2, 2])


def test_equal_partitions_agree_whatever_their_numbers() -> None:
    """Names do not matter; one group against one group is full agreement, not an error."""
    swapped = np.array([1, 1, 1, 0, 0, 0])
    assert (nmi(ONE, swapped), ari(ONE, swapped)) == (pytest.approx(1), pytest.approx(1))
    assert (nmi(np.zeros(4, int), np.zeros(4, int)), ari(np.zeros(4, int), np.zeros(4, int))) == (1.0, 1.0)


def test_nmi_is_its_definition() -> None:
    """Twice the mutual information over the sum of the entropies, in nats."""
    shared = 2 / 6 * log(2) * 2 + 1 / 6 * log(6 / (3 * 2)) * 2
    entropies = log(2) + log(3)
    assert nmi(ONE, OTHER) == pytest.approx(2 * shared / entropies)
    assert nmi(np.arange(6) % 2, np.arange(6) // 2) == pytest.approx(0, abs=1e-12)


def test_ari_is_its_definition() -> None:
    """Pairs kept together by both, less what chance would keep."""
    pairs = list(combinations(range(6), 2))
    both = sum(ONE[a] == ONE[b] and OTHER[a] == OTHER[b] for a, b in pairs)
    left, right = (sum(labels[a] == labels[b] for a, b in pairs) for labels in (ONE, OTHER))
    chance = left * right / len(pairs)
    assert ari(ONE, OTHER) == pytest.approx((both - chance) / ((left + right) / 2 - chance))


def test_jaccard_finds_the_best_counterpart() -> None:
    """Each group is compared with the group that overlaps it most for its size."""
    assert jaccard(ONE, OTHER).tolist() == pytest.approx([2 / 3, 2 / 3])
    assert jaccard(OTHER, ONE).tolist() == pytest.approx([2 / 3, 1 / 4, 2 / 3])
