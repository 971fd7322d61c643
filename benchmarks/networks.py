"""Drawn networks of any size for the benchmarks: R-MAT without communities, and a planted partition with them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.uint32]


def rmat(edges: int, *, rng_seed: int = 1) -> tuple[Indices, Indices]:
    """R-MAT (Chakrabarti, Zhan & Faloutsos 2004; a = .57, b = c = .19), loops and repeats taken out, ids compact."""
    scale = 16 + round(np.log2(edges / 1_000_000) * 1.2)
    rng = np.random.default_rng(rng_seed)
    kept = np.zeros(0, dtype=np.uint64)
    while len(kept) < edges:
        more = int((edges - len(kept)) * 1.2) + 1_000
        src, dst = np.zeros(more, dtype=np.uint64), np.zeros(more, dtype=np.uint64)
        for _ in range(scale):
            draw = rng.random(more)
            down, right = draw >= 0.76, ((draw >= 0.57) & (draw < 0.76)) | (draw >= 0.95)
            src, dst = src << np.uint64(1) | down, dst << np.uint64(1) | right
        kept = _distinct(np.concatenate((kept, src << np.uint64(32) | dst)), src, dst)
    return _compact(rng.permutation(kept)[:edges])


def planted(edges: int, *, rng_seed: int = 1, mixing: float = 0.35) -> tuple[Indices, Indices, npt.NDArray[np.int64]]:
    """A degree-corrected planted partition: power-law degrees and community sizes, a quarter of the follows returned.

    Returns sources, targets and the planted community of each account; some 12 follows an account.
    """
    rng = np.random.default_rng(rng_seed)
    n = max(edges * 8 // 100, 10)
    sizes = np.minimum((20 * (1 - rng.random(n)) ** (-1 / 1.2)).astype(np.int64), max(n // 20, 30))
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), n)) + 1]
    label = np.repeat(np.arange(len(sizes)), sizes)[:n]
    weight = np.minimum((1 - rng.random(n)) ** (-1 / 1.5), n**0.5)
    total = np.concatenate(([0.0], np.cumsum(weight)))
    first = np.searchsorted(label, np.arange(label[-1] + 1))
    last = np.concatenate((first[1:], [n]))
    kept = np.zeros(0, dtype=np.uint64)
    while len(kept) < edges:
        more = int((edges - len(kept)) * 0.9) + 1_000
        src = np.searchsorted(total, rng.random(more) * total[-1], side="right") - 1
        inside = rng.random(more) >= mixing
        low = np.where(inside, total[first[label[src]]], 0.0)
        high = np.where(inside, total[last[label[src]]], total[-1])
        dst = np.searchsorted(total, low + rng.random(more) * (high - low), side="right") - 1
        src, dst = src.clip(0, n - 1), dst.clip(0, n - 1)
        back = rng.random(more) < 0.14
        src, dst = np.concatenate((src, dst[back])), np.concatenate((dst, src[back]))
        src, dst = src.astype(np.uint64), dst.astype(np.uint64)
        kept = _distinct(np.concatenate((kept, src << np.uint64(32) | dst)), src, dst)
    keys = np.sort(rng.permutation(kept)[:edges])
    shuffled = rng.permutation(n)  # ids that betray no community
    truth = np.empty(n, dtype=np.int64)
    truth[shuffled] = label
    src, dst = shuffled[keys >> np.uint64(32)], shuffled[keys & np.uint64(0xFFFFFFFF)]
    order = np.lexsort((dst, src))
    return src[order].astype(np.uint32), dst[order].astype(np.uint32), truth


def _distinct(
    keys: npt.NDArray[np.uint64], src: npt.NDArray[np.uint64], dst: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    keys = np.sort(keys)
    loops = keys >> np.uint64(32) == keys & np.uint64(0xFFFFFFFF)
    fresh = np.concatenate(([True], keys[1:] != keys[:-1]))
    return keys[fresh & ~loops]


def _compact(keys: npt.NDArray[np.uint64]) -> tuple[Indices, Indices]:
    keys = np.sort(keys)
    src, dst = keys >> np.uint64(32), keys & np.uint64(0xFFFFFFFF)
    used = np.zeros(int(max(src.max(), dst.max())) + 1, dtype=np.bool_)
    used[src] = used[dst] = True
    number = np.cumsum(used, dtype=np.uint32) - np.uint32(1)
    return number[src], number[dst]
