"""A seeded shuffle of 0 … n-1 that needs no memory: any place of it can be asked for.

A Feistel network over the smallest even number of bits that holds n, walked until the value is
below n again. So a loader resumes at any place at once, and an epoch of a billion sequences costs
nothing to set up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 6
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_STEP = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


def permuted(places: NDArray[np.int64], size: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """The values at `places` of the shuffle of 0 … size-1 that belongs to (seed, epoch)."""
    half = max((size - 1).bit_length() + 1, 2) // 2
    start = int(mixed(np.array([seed ^ (epoch * _STEP & _MASK)], dtype=np.uint64))[0])
    keys = np.array([(start + i * _STEP) & _MASK for i in range(_ROUNDS)], dtype=np.uint64)
    values = _network(places.astype(np.uint64), half, keys)
    while (outside := values >= size).any():
        values[outside] = _network(values[outside], half, keys)
    return values.astype(np.int64)


def _network(values: NDArray[np.uint64], half: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    shift, mask = np.uint64(half), np.uint64(2**half - 1)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (mixed(right + key) & mask)
    return (left << shift) | right


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hashes of numbers, uint64: each bit moves every bit (the finaliser of SplitMix64)."""
    values = (values ^ (values >> np.uint64(30))) * _MULTIPLIERS[0]
    values = (values ^ (values >> np.uint64(27))) * _MULTIPLIERS[1]
    return values ^ (values >> np.uint64(31))
