"""Learn the merges of a byte-level BPE from words that are counted already.

The trainer of the tokenizers library takes text only, counts its words itself and holds a count
of pairs in 32 bits. Counting is most of its time, and it counts a word as often as it stands
there. Here each distinct word stands once, with its count, in one array of symbols linked to
their neighbours; a merge touches all places of its pair at once.

The result is the library's to the last merge. Of pairs that are equally frequent, the one with the
smaller ids comes first. A token is spelt by one merge alone: where nothing was merged across its
ends, the merges within it are the same each time. So all places of a pair come from one merge, the
one that made the younger of the two, and a pair that was merged never comes up again.

Only pairs seen `floor` times or more have an entry; when none is left, the floor is lowered and
the pairs are counted anew, so that the many rare pairs, never merged, cost nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codekiln.tokenizer.alphabet import BYTE_TO_CHARACTER

Ints = NDArray[np.int64]
Places = NDArray[Any]  # int32, int64 where there are more of them

_NONE = -1  # the symbol between words, and of a place that was merged into the one before it
_LOWER_BY = 64
_HIGH = 32  # a pair (a, b) is the number a << 32 | b, which sorts as the pair does
_LOW = (1 << _HIGH) - 1

# ids of single bytes: in the order of their characters, as the library numbers them
ALPHABET = sorted(BYTE_TO_CHARACTER)
_SYMBOL_OF_BYTE = np.array([ALPHABET.index(c) for c in BYTE_TO_CHARACTER], np.int32)


def learn_merges(
    words: Mapping[bytes, int],
    *,
    size: int,
    min_frequency: int,
    advance: Callable[[], None] | None = None,
) -> tuple[list[str], list[tuple[int, int]]]:
    """The vocabulary and the merges that byte-pair encoding learns from counted words.

    Args:
        words: distinct words, as bytes, and how often each was seen.
        size: entries of the vocabulary at most, the 256 bytes included.
        min_frequency: a pair seen less often is not merged.
        advance: called after each new entry.

    Returns:
        The vocabulary in the order of its ids, as byte-level characters; the merges in the order
        of their ranks, as pairs of ids.

    Source: DeepSeek-Coder §3.2.
    """
    pairs = _Pairs(words, max(min_frequency, 1))
    vocabulary = list(ALPHABET)
    merges: list[tuple[int, int]] = []
    while len(vocabulary) < size and (pair := pairs.pop()) is not None:
        a, b = pair >> _HIGH, pair & _LOW
        pairs.merge(a, b, len(vocabulary))
        vocabulary.append(vocabulary[a] + vocabulary[b])
        merges.append((a, b))
        if advance is not None:
            advance()
    return vocabulary, merges


class _Pairs:
    """The words as they stand, where each pair stands in them, and which pair is next."""

    def __init__(self, words: Mapping[bytes, int], least: int) -> None:
        lengths = np.fromiter(map(len, words), np.int64, len(words)) + 1
        size = 1 + int(lengths.sum())
        place: type = np.int32 if size < 2**31 else np.int64
        self._symbol = np.full(size, _NONE, np.int32)
        within = np.ones(size, np.bool_)
        within[0] = False
        within[np.cumsum(lengths)] = False
        self._symbol[within] = _SYMBOL_OF_BYTE[np.frombuffer(b"".join(words), np.uint8)]
        counts = np.fromiter(words.values(), np.int64, len(words))
        self._weight = np.concatenate([np.zeros(1, np.int64), np.repeat(counts, lengths)])
        self._next: Places = np.arange(1, size + 1, dtype=place)
        self._last: Places = np.arange(-1, size - 1, dtype=place)
        self._least = least
        self._counts: dict[int, int] = {}
        self._places: dict[int, Places] = {}
        self._queue: list[tuple[int, int]] = []  # (-count, pair); the count may be out of date
        self._floor = 0

    def pop(self) -> int | None:
        """The most frequent pair; None when none is seen often enough."""
        while True:
            while self._queue:
                count, pair = heapq.heappop(self._queue)
                if -count == (now := self._counts[pair]):
                    return pair
                if now >= self._floor:
                    heapq.heappush(self._queue, (-now, pair))
                else:
                    del self._counts[pair], self._places[pair]
            if self._floor == self._least:
                return None
            self._count_anew()

    def _count_anew(self) -> None:
        """Find the pairs above a lower floor."""
        left = np.flatnonzero(self._symbol >= 0).astype(self._next.dtype)
        left = left[self._symbol[self._next[left]] >= 0]
        pair = self._pairs_at(left)
        order = np.argsort(pair, kind="stable")
        left, pair = left[order], pair[order]
        start, end = _runs(pair)
        counts = np.add.reduceat(self._weight[left], start) if len(start) else start
        highest = int(counts.max(initial=0))
        self._floor = max(self._least, min(self._floor or highest, highest) // _LOWER_BY)
        for row in np.flatnonzero(counts >= self._floor).tolist():
            key = int(pair[start[row]])
            self._counts[key] = int(counts[row])
            self._places[key] = left[start[row] : end[row]]
        self._queue = [(-self._counts[pair], pair) for pair in self._places]
        heapq.heapify(self._queue)

    def _pairs_at(self, left: Places) -> Ints:
        first = self._symbol[left].astype(np.int64)
        return (first << _HIGH) | self._symbol[self._next[left]]

    def merge(self, a: int, b: int, token: int) -> None:
        """Put a new `token` in place of the pair (a, b) wherever that stands."""
        first = self._standing(a, b)
        second = self._next[first]
        before, after = self._last[first], self._next[second]
        joined = np.zeros(len(first) + 1, np.bool_)  # to the one merged just before
        joined[1:-1] = after[:-1] == first[1:]
        self._symbol[first], self._symbol[second] = token, _NONE
        self._next[first] = after
        self._last[after] = first
        left = (self._symbol[before] >= 0) & ~joined[:-1]
        right = (self._symbol[after] >= 0) & ~joined[1:]
        x = self._symbol[before[left]].astype(np.int64) << _HIGH
        y = self._symbol[after[right]].astype(np.int64)
        self._change(x | a, x | token, first[left], before[left])
        self._change(b << _HIGH | y, token << _HIGH | y, first[right], first[right])
        two = first[joined[1:]]
        same = np.zeros(len(two), np.int64)
        self._change(same | b << _HIGH | a, same | token << _HIGH | token, two, two)

    def _standing(self, a: int, b: int) -> Places:
        """The places where the pair still stands, in order; every other one of a row."""
        pair = a << _HIGH | b
        del self._counts[pair]
        first = self._places.pop(pair)
        first = first[(self._symbol[first] == a) & (self._symbol[self._next[first]] == b)]
        if a == b and len(first):
            number = np.arange(len(first))
            starts = np.append(True, first[1:] != self._next[first[:-1]])
            first = first[(number - np.maximum.accumulate(number * starts)) % 2 == 0]
        return first

    def _change(self, old: Ints, new: Ints, merged: Places, place: Places) -> None:
        """For each place that was merged, one pair goes and one comes, which stands at `place`.

        Equal new pairs have equal old ones.
        """
        if not len(place):
            return
        order = np.argsort(new, kind="stable")
        old, new, place = old[order], new[order], place[order]
        start, end = _runs(new)
        sums = np.add.reduceat(self._weight[merged[order]], start)
        counts = self._counts
        for pair, count in zip(old[start].tolist(), sums.tolist(), strict=True):
            if pair in counts:
                counts[pair] -= count
        for row in np.flatnonzero(sums >= self._floor).tolist():
            pair, count = int(new[start[row]]), int(sums[row])
            counts[pair], self._places[pair] = count, place[start[row] : end[row]]
            heapq.heappush(self._queue, (-count, pair))


def _runs(values: Ints) -> tuple[Ints, Ints]:
    """Where each run of equal values starts and ends."""
    start = np.flatnonzero(np.append(True, values[1:] != values[:-1])[: len(values)])
    return start, np.append(start[1:], len(values))
