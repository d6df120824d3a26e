"""Membership of many hashes in a set, at memory speed."""

from __future__ import annotations

import numpy as np

from codekiln.corpus.duplicates.grams import Hashes, Indices


class Lookup:
    """Which of many hashes are in a set: a bit table first, then a binary search.

    Args:
        keys: sorted, without repeats.
    """

    def __init__(self, keys: Hashes) -> None:
        self.keys = keys
        bits = max(10, (8 * len(keys)).bit_length())
        self._shift = np.uint64(64 - bits)
        self._table = np.zeros(1 << bits, dtype=np.bool_)
        self._table[(keys >> self._shift).view(np.int64)] = True

    def find(self, values: Hashes) -> tuple[Indices, Indices]:
        """(places in `values`, places in `keys`) of all values that are in the set."""
        maybe = np.flatnonzero(self._table[(values >> self._shift).view(np.int64)])
        if not len(maybe):
            return maybe, maybe
        places = np.minimum(np.searchsorted(self.keys, values[maybe]), len(self.keys) - 1)
        sure = self.keys[places] == values[maybe]
        return maybe[sure], places[sure]
