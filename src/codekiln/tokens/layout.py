"""Where each training sequence lies in the stream of documents: cut, or packed whole.

A sequence of length n is a row of n + 1 ids: the first n are the inputs, the last n the targets.
A row is made of pieces of the stream; the first id of a document is no target, since what stands
before it says nothing of it. Both layouts give each other id as a target exactly once.

- `Concatenated`: documents one behind the other; row i starts at id i * n. Less than a sequence
  is left over at the end, and passed over.
- `BestFit`: a document of up to n + 1 ids is one piece. Of a longer one full rows are cut, each
  beginning with the last id of the one before, as above; what is left is a piece like the others.
  Pieces are put into rows by best-fit decreasing; a row that is not full ends with padding. A
  document of a single id has nothing to be learnt and is left out.

A layout depends on lengths alone, not on how the documents are spread over shards.

Source: DeepSeek-Coder §3.1.2 (concatenated); Ding et al. 2024, §2 (best fit).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from codekiln.tokens.best_fit import best_fit
from codekiln.tokens.settings import Packing

Ints = NDArray[np.int64]
# pieces of the stream as (start, length), and the places in the row where a document begins
Row = tuple[Sequence[tuple[int, int]], Ints]


class Layout(Protocol):
    """Sequences made of documents.

    Attributes:
        sequences: how many there are.
        padding: inputs of all of them that are padding.
    """

    sequences: int
    padding: int

    @property
    def cut(self) -> int:
        """Documents that no sequence holds whole; what is left out counts as well."""

    def row(self, number: int) -> Row:
        """What sequence `number` is made of."""

    def targets(self, times: Ints) -> tuple[Ints, Ints]:
        """(documents, targets read of each), where sequence i is read `times[i]` times.

        A document may come several times. All int64 [any].
        """


def lay_out(
    packing: Packing, starts: Ints, sequence_length: int, rounds: Sequence[Ints] | None = None
) -> Layout:
    """Make sequences of documents.

    Args:
        starts: int64 [documents + 1], where each document starts in the stream.
        rounds: which documents are read, round by round; best fit packs each round by itself.
            Without it, each document once, as they come.
    """
    order = None if rounds is None else np.concatenate([np.empty(0, dtype=np.int64), *rounds])
    if packing == "concatenate":
        return Concatenated(starts, sequence_length, order)
    return BestFit(starts, sequence_length, order, [] if rounds is None else list(map(len, rounds)))


class Concatenated:
    """Documents one behind the other, cut into sequences. See the module."""

    padding = 0

    def __init__(self, starts: Ints, sequence_length: int, order: Ints | None = None) -> None:
        self._starts, self._length, self._order = starts, sequence_length, order
        # where each document of the order starts, if they stand one behind the other
        self._at = starts
        if order is not None:
            lengths = starts[order + 1] - starts[order]
            self._at = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self.sequences = max(int(self._at[-1]) - 1, 0) // sequence_length

    @property
    def cut(self) -> int:
        """See `Layout`."""
        row = self._at[:-1] // self._length
        whole = (self._at[1:] <= (row + 1) * self._length + 1) & (row < self.sequences)
        return int((~whole).sum())

    def row(self, number: int) -> Row:
        """See `Layout`."""
        start = number * self._length
        stop = start + self._length + 1
        low, high = self._at.searchsorted((start, stop))
        heads = self._at[low:high] - start
        if self._order is None:
            return [(start, stop - start)], heads
        first = low if high > low and not heads[0] else low - 1  # may have begun before
        edges = self._at[first : high + 1].clip(start, stop)
        documents = self._order[first:high]
        begins = self._starts[documents] + (edges[:-1] - self._at[first:high])
        return list(zip(begins.tolist(), np.diff(edges).tolist(), strict=True)), heads

    def targets(self, times: Ints) -> tuple[Ints, Ints]:
        """See `Layout`."""
        times = np.append(times, 0)  # what is passed over
        before = np.concatenate([[0], np.cumsum(times)]) * self._length

        def targets_to(place: Ints) -> Ints:
            """Targets at places 1 … place - 1 of the stream, each as often as it is read."""
            row, within = np.divmod(np.maximum(place - 1, 0), self._length)
            return before[row] + within * times[row]

        counts = targets_to(self._at[1:]) - targets_to(self._at[:-1] + 1)
        return np.arange(len(counts)) if self._order is None else self._order, counts


class BestFit:
    """Documents packed whole, and padded. See the module."""

    def __init__(
        self,
        starts: Ints,
        sequence_length: int,
        order: Ints | None = None,
        rounds: Sequence[int] = (),
    ) -> None:
        self._documents = starts
        begins = starts[:-1] if order is None else starts[order]
        lengths = np.diff(starts) if order is None else starts[order + 1] - begins
        lengths = lengths.astype(np.int32)  # shards have no longer ones
        full = np.maximum(lengths - 2, 0) // sequence_length
        rest = lengths - full * sequence_length
        bins, packed = _bins(rest, sequence_length + 1, rounds or [len(rest)])
        by_bin = np.argsort(bins, kind="stable")[(bins < 0).sum() :]
        cut = np.repeat(begins, full) + sequence_length * _counted(full)
        self.sequences = packed + len(cut)
        self._starts = np.concatenate([(begins + full * sequence_length)[by_bin], cut])
        self._lengths = np.concatenate(
            [rest[by_bin], np.full(len(cut), sequence_length + 1)], dtype=np.int32
        )
        pieces = np.concatenate(
            [np.bincount(bins[by_bin], minlength=packed), np.ones(len(cut), np.int64)]
        )
        self._first = np.concatenate([[0], np.cumsum(pieces, dtype=np.int64)])
        used = np.add.reduceat(self._lengths, self._first[:-1]) if self.sequences else pieces
        self.padding = int(np.maximum(sequence_length - used, 0).sum())
        self.cut = int(((full > 0) | (bins < 0)).sum())

    def row(self, number: int) -> Row:
        """See `Layout`."""
        pieces = slice(self._first[number], self._first[number + 1])
        lengths = self._lengths[pieces]
        heads = np.cumsum(lengths, dtype=np.int64) - lengths
        return list(zip(self._starts[pieces].tolist(), lengths.tolist(), strict=True)), heads

    def targets(self, times: Ints) -> tuple[Ints, Ints]:
        """See `Layout`."""
        documents = self._documents.searchsorted(self._starts, side="right") - 1
        return documents, np.repeat(times, np.diff(self._first)) * (self._lengths - 1)


def _bins(sizes: Ints, capacity: int, rounds: Sequence[int]) -> tuple[NDArray[np.int32], int]:
    """(the bin of each item, how many bins); -1 for an item of one id. Rounds share no bin."""
    bins = np.full(len(sizes), -1, dtype=np.int32)
    packed = start = 0
    for size in rounds:
        chosen = start + np.flatnonzero(sizes[start : start + size] > 1)
        bins[chosen] = best_fit(sizes[chosen], capacity) + packed
        packed = int(bins[start : start + size].max(initial=packed - 1)) + 1
        start += size
    return bins, packed


def _counted(counts: Ints) -> Ints:
    """0 … counts[0] - 1, then 0 … counts[1] - 1, and so on."""
    ends = np.cumsum(counts)
    return np.arange(counts.sum(), dtype=np.int64) - np.repeat(ends - counts, counts)
