"""Near-duplicates among many signatures: banding, verified pairs, connected components.

Only (band, id) pairs ever meet across repositories, one band at a time: memory is some 60 bytes
a unit, the signatures stay on disk. Units that share a band's id are compared by their whole
signatures: each with each up to SMALL of them; of more, each with its neighbours, and with one
leader after the other. What is connected by near pairs is one group.

Open in the paper, decided here: Jaccard 0.7 (The Stack's), and bands of as many rows as let 99% of
the pairs at the threshold meet.

Source: DeepSeek-Coder §2.3 (near-deduplication).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from codekiln.corpus.duplicates.grams import Hashes, mix

RECALL = 0.99  # of pairs at the threshold, this share meets in at least one band
SMALL = 32  # units that share an id, up to which each is compared with each
ROUNDS = 64  # of leaders beyond that; pairs at the threshold meet in other bands as well
CHUNK = 8192  # pairs compared at once
_BASE = np.uint64(0xD6E8FEB86659FD93)

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs that were compared: numbers of two units, and their estimated Jaccard similarity."""

    left: Numbers
    right: Numbers
    similarity: npt.NDArray[np.float32]


class Signatures:
    """The signatures of all units, lying in several arrays, as one.

    Args:
        parts: uint32 [units, bins] each, mapped into memory or not.
    """

    def __init__(self, parts: Sequence[npt.NDArray[np.uint32]]) -> None:
        self._parts = list(parts)
        self._ends = np.cumsum([len(part) for part in parts]) if parts else np.zeros(0, np.int64)
        self.bins = self._parts[0].shape[1] if parts else 0

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def band(self, first: int, last: int) -> Hashes:
        """One 64-bit id a unit, of the bins `first` to `last`."""
        ids = np.empty(len(self), np.uint64)
        for part, end in zip(self._parts, self._ends, strict=True):
            value = np.zeros(len(part), np.uint64)
            for column in range(first, last):
                value = (value + part[:, column]) * _BASE
            ids[end - len(part) : end] = mix(value)
        return ids

    def rows(self, numbers: Numbers) -> npt.NDArray[np.uint32]:
        """The signatures of some units."""
        out = np.empty((len(numbers), self.bins), np.uint32)
        owner = np.searchsorted(self._ends, numbers, side="right")
        for part in np.unique(owner):
            mine = owner == part
            start = self._ends[part] - len(self._parts[part])
            out[mine] = self._parts[part][numbers[mine] - start]
        return out

    def similarity(self, left: Numbers, right: Numbers) -> npt.NDArray[np.float32]:
        """Estimated Jaccard similarity, pair by pair."""
        parts = [np.empty(0, np.float32)]
        for start in range(0, len(left), CHUNK):
            rows = slice(start, start + CHUNK)
            equal = self.rows(left[rows]) == self.rows(right[rows])
            parts.append(equal.mean(axis=1, dtype=np.float32))
        return np.concatenate(parts)


@cache
def band_rows(bins: int, threshold: float) -> int:
    """Most rows a band for which pairs at `threshold` still meet with probability `RECALL`."""
    rows = 1
    while (rows < bins) and _meet(threshold, rows + 1, bins // (rows + 1)) >= RECALL:
        rows += 1
    return rows


def _meet(jaccard: float, rows: int, bands: int) -> float:
    return float(1 - (1 - jaccard**rows) ** bands)


class Groups:
    """Which units belong together: union-find over their numbers."""

    def __init__(self, count: int) -> None:
        self._parent = np.arange(count)

    def roots(self, numbers: Numbers) -> Numbers:
        """The representative of each unit's group."""
        found = self._parent[numbers]
        while True:
            above = self._parent[found]
            if np.array_equal(above, found):
                break
            found = above
        self._parent[numbers] = found
        return found

    def join(self, left: Numbers, right: Numbers) -> None:
        """Put the groups of each pair together, under the smaller number."""
        for one, other in zip(left.tolist(), right.tolist(), strict=True):
            low, high = sorted((self._root(one), self._root(other)))
            self._parent[high] = low

    def _root(self, number: int) -> int:
        parent = self._parent
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = int(parent[number])
        return number


def find_groups(
    signatures: Signatures,
    chosen: Numbers,
    threshold: float,
    advance: Callable[[], None] | None = None,
) -> tuple[Groups, Pairs]:
    """Groups of near-duplicates among the units numbered in `chosen`, and what was compared.

    Args:
        chosen: ascending; units that have a signature.
        threshold: smallest estimated Jaccard similarity of near-duplicates.
        advance: called once a band.
    """
    groups = Groups(len(signatures))
    compared: list[Pairs] = []
    rows = band_rows(signatures.bins, threshold) if len(signatures) else 1
    for band in range(signatures.bins // rows):
        ids = signatures.band(band * rows, (band + 1) * rows)[chosen]
        compared += _compare_equal(signatures, groups, chosen, ids, threshold)
        if advance is not None:
            advance()
    return groups, _joined(compared)


def _compare_equal(
    signatures: Signatures, groups: Groups, chosen: Numbers, ids: Hashes, threshold: float
) -> list[Pairs]:
    """Join what shares an id and is near; gives the pairs compared."""
    order = np.argsort(ids, kind="stable")
    members, ids = chosen[order], ids[order]
    done = []

    def compare(left: Numbers, right: Numbers) -> npt.NDArray[np.bool_]:
        near = signatures.similarity(left, right)
        done.append(Pairs(left=left, right=right, similarity=near))
        groups.join(left[near >= threshold], right[near >= threshold])
        return near >= threshold

    for distance in range(1, SMALL):  # all pairs of what is up to SMALL
        left, right = members[:-distance], members[distance:]
        open_ = np.flatnonzero(ids[:-distance] == ids[distance:])
        if not len(open_):
            return done
        left, right = left[open_], right[open_]
        apart = groups.roots(left) != groups.roots(right)
        compare(left[apart], right[apart])
    for _ in range(ROUNDS):  # and with one leader after the other what is larger
        fresh = np.append(True, ids[1:] != ids[:-1])[: len(ids)]
        leader = members[np.maximum.accumulate(np.where(fresh, np.arange(len(ids)), 0))]
        follows = ~fresh & (groups.roots(members) != groups.roots(leader))
        if not follows.any():
            break
        near = compare(leader[follows], members[follows])
        members, ids = members[follows][~near], ids[follows][~near]
    return done


def _joined(parts: Sequence[Pairs]) -> Pairs:
    none = np.empty(0, np.int64)
    return Pairs(
        left=np.concatenate([none, *(part.left for part in parts)]),
        right=np.concatenate([none, *(part.right for part in parts)]),
        similarity=np.concatenate([np.empty(0, np.float32), *(p.similarity for p in parts)]),
    )
