"""Randomness that depends on names, never on the order of arrival.

Invariant: the same seed and the same names give the same draw, in every process and on every machine.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def generator(rng_seed: int, purpose: str) -> np.random.Generator:
    """Return a generator of its own for one purpose, so that a draw more in one place changes no other."""
    digest = blake2b(f"{rng_seed}|{purpose}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest))


def fraction(rng_seed: int, *names: object) -> float:
    """Return a number in [0, 1) that looks uniform and is fixed by the seed and the names."""
    return int.from_bytes(_digest(rng_seed, names, 6)) / 2**48


def token(rng_seed: int, *names: object) -> str:
    """Return 24 hexadecimal digits fixed by the seed and the names."""
    return _digest(rng_seed, names, 12).hex()


def _digest(rng_seed: int, names: tuple[object, ...], size: int) -> bytes:
    # surrogatepass: a handle is whatever a client wrote into the path.
    text = "\x1f".join(map(str, (rng_seed, *names)))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()
