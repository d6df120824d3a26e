"""Near-duplicates among many signatures: banding, verified pairs, connected components.

Only (band, id) pairs ever meet across repositories, a few bands at a time: memory is some 80
bytes a unit, the signatures stay on disk and are read once for every few bands. Units that share a
band's id are compared by their whole signatures: each with each up to SMALL of them; of more, each
with its neighbours, and with one leader after the other. What is connected by near pairs is one
group.

Open in the paper, decided here: Jaccard 0.7 (The Stack's), and bands of as many rows as let 99% of
the pairs at the threshold meet.

Source: DeepSeek-Coder §2.3 (near-deduplication).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from codekiln.corpus.duplicates import sketch
from codekiln.corpus.duplicates.grams import Hashes, mix
from codekiln.corpus.duplicates.sketch import BORROWED, Signature

RECALL = 0.99  # of pairs at the threshold, this share meets in at least one band
SMALL = 32  # units that share an id, up to which each is compared with each
ROUNDS = 64  # of leaders beyond that; pairs at the threshold meet in other bands as well
CHUNK = 1024  # pairs compared at once: fits the cache
READ = 4096  # signatures read at once
BANDS = 4  # looked at in one pass over the signatures, at 8 bytes a unit each
MOST_FAR = 2_000_000  # pairs kept that were compared and are not near: for people to ask about
_BASE = np.uint64(0xD6E8FEB86659FD93)

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs that were compared: numbers of two units, and their estimated Jaccard similarity.

    Each once, in order; of those below the threshold some MOST_FAR, the first that were met.
    """

    left: Numbers
    right: Numbers
    similarity: npt.NDArray[np.float32]


class Signatures:
    """The signatures of all units, lying in several arrays, as one.

    Args:
        parts: uint8 [units, bins] each, mapped into memory or not.
    """

    def __init__(self, parts: Sequence[Signature]) -> None:
        self._parts = list(parts)
        self._ends = np.cumsum([len(part) for part in parts]) if parts else np.zeros(0, np.int64)
        self.bins = self._parts[0].shape[1] if parts else 0

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def bands(self, first: int, count: int, rows: int, chosen: Numbers) -> Hashes:
        """[count, chosen] ids of 64 bits, of the bands of `rows` bins from `first` on.

        Args:
            chosen: numbers of units, ascending.
        """
        ids = np.zeros((count, len(chosen)), np.uint64)
        for place, found in self._read(chosen, slice(first * rows, (first + count) * rows)):
            columns = np.ascontiguousarray(found.T) & ~BORROWED
            for band, mine in enumerate(columns.reshape(count, rows, -1)):
                value = ids[band, place]
                for column in mine:
                    value += column
                    value *= _BASE
                mix(value)
        return ids

    def _read(self, chosen: Numbers, bins: slice) -> Iterator[tuple[slice, Signature]]:
        """Some bins of the chosen units, READ rows of a part at a time, and their place."""
        for part, end in zip(self._parts, self._ends.tolist(), strict=True):
            begin = end - len(part)
            for start in range(begin, end, READ):
                low, high = np.searchsorted(chosen, [start, min(start + READ, end)]).tolist()
                if low < high:
                    yield slice(low, high), part[chosen[low:high] - begin, bins]

    def rows(self, numbers: Numbers) -> Signature:
        """The signatures of some units."""
        out = np.empty((len(numbers), self.bins), np.uint8)
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
            parts.append(sketch.similarity(self.rows(left[rows]), self.rows(right[rows])))
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
        self._size = np.ones(count, np.int32)

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
        """Put the groups of each pair together, the smaller under the larger.

        So no path is longer than the logarithm of the group, in whatever order pairs come.
        """
        parent, size = self._parent, self._size
        for pair in zip(left.tolist(), right.tolist(), strict=True):
            one, other = (self._root(number) for number in pair)
            if one == other:
                continue
            if size[one] < size[other]:
                one, other = other, one
            parent[other] = one
            size[one] += size[other]

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
    search = _Search(signatures, threshold)
    rows = band_rows(signatures.bins, threshold) if len(signatures) else 1
    bands = signatures.bins // rows
    for first in range(0, bands, BANDS):
        for ids in signatures.bands(first, min(BANDS, bands - first), rows, chosen):
            search.compare_equal(*_shared(ids, chosen))
            if advance is not None:
                advance()
    return search.groups, _each_once(search.compared)


def _shared(ids: Hashes, chosen: Numbers) -> tuple[Numbers, Hashes]:
    """The units whose id is that of another one, in order of id, then of number; and the ids.

    Sorted as one number, what is left of the id in front of the place: several times faster than
    sorting places by id. The few that only agree in front are told apart by their signatures.
    """
    width = np.uint64(max(len(ids) - 1, 1).bit_length())
    ids >>= width
    ids <<= width
    ids |= np.arange(len(ids), dtype=np.uint64)
    ids.sort()
    front = ids >> width
    same = front[1:] == front[:-1]
    stay = np.append(same, False) | np.append(False, same) if len(ids) else same
    place = ids[stay] & ((np.uint64(1) << width) - np.uint64(1))
    return chosen[place.astype(np.int64)], front[stay]


def _open_runs(members: Numbers, ids: Hashes, roots: Numbers) -> tuple[Numbers, Hashes]:
    """What shares an id with a unit of another group: the rest is joined already."""
    if not len(ids):
        return members, ids
    starts = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    several = np.minimum.reduceat(roots, starts) != np.maximum.reduceat(roots, starts)
    stay = np.repeat(several, np.diff(np.append(starts, len(ids))))
    return members[stay], ids[stay]


class _Search:
    """The groups so far, and the pairs compared."""

    def __init__(self, signatures: Signatures, threshold: float) -> None:
        self.groups = Groups(len(signatures))
        self.compared: list[Pairs] = []
        self._signatures, self._threshold = signatures, threshold
        self._far = 0

    def compare_equal(self, members: Numbers, ids: Hashes) -> None:
        """Join what shares an id and is near."""
        roots = self.groups.roots
        members, ids = _open_runs(members, ids, roots(members))
        for distance in range(1, SMALL):  # all pairs of what is up to SMALL
            left, right = members[:-distance], members[distance:]
            open_ = np.flatnonzero(ids[:-distance] == ids[distance:])
            if not len(open_):
                return
            left, right = left[open_], right[open_]
            apart = roots(left) != roots(right)
            self._compare(left[apart], right[apart])
        for _ in range(ROUNDS):  # and with one leader after the other what is larger
            fresh = np.append(True, ids[1:] != ids[:-1])[: len(ids)]
            leader = members[np.maximum.accumulate(np.where(fresh, np.arange(len(ids)), 0))]
            follows = ~fresh & (roots(members) != roots(leader))
            if not follows.any():
                break
            near = self._compare(leader[follows], members[follows])
            members, ids = members[follows][~near], ids[follows][~near]

    def _compare(self, left: Numbers, right: Numbers) -> npt.NDArray[np.bool_]:
        """Which pairs are near; these are joined."""
        similarity = self._signatures.similarity(left, right)
        near = similarity >= self._threshold
        self.groups.join(left[near], right[near])
        keep = near | (np.cumsum(~near) <= MOST_FAR - self._far)
        self._far += int(np.count_nonzero(keep & ~near))
        self.compared.append(Pairs(left=left[keep], right=right[keep], similarity=similarity[keep]))
        return near


def _each_once(parts: Sequence[Pairs]) -> Pairs:
    """All pairs in one; one may have met in several bands."""
    none = np.empty(0, np.int64)
    left = np.concatenate([none, *(part.left for part in parts)])
    right = np.concatenate([none, *(part.right for part in parts)])
    near = np.concatenate([np.empty(0, np.float32), *(part.similarity for part in parts)])
    order = np.lexsort((right, left))
    left, right, near = left[order], right[order], near[order]
    first = np.append(True, (left[1:] != left[:-1]) | (right[1:] != right[:-1]))[: len(left)]
    return Pairs(left=left[first], right=right[first], similarity=near[first])
