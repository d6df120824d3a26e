"""Batches out of shards. The loader holds no place: the caller holds a cursor, and gives it.

A pass over the data (an epoch) reads the documents that `sampling.py` says, made into sequences by
`layout.py`, in a seeded order of its own. What is left over at its end, less than a batch of
sequences, is passed over. Everything follows from the cursor and the seed. The layout of one pass
is kept: where passes read different documents, the first batch of each pass makes a new one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from codekiln.errors import ShardError
from codekiln.tokens.batch import IGNORED, Batch
from codekiln.tokens.cursor import Cursor
from codekiln.tokens.layout import Layout, lay_out
from codekiln.tokens.permutation import permuted
from codekiln.tokens.sampling import Documents, Sampling
from codekiln.tokens.settings import Packing
from codekiln.tokens.shards import Shard

Matrix = NDArray[np.int64]
_NO_LAYOUTS: Matrix = np.empty((0, 3), dtype=np.int64)
_MOST_EMPTY = 1000  # passes without a batch, one after the other: there will be none


class Loader:
    """Gives the batch at any cursor; equal arguments give equal batches.

    Args:
        shards: in order; all of one tokenizer.
        sequence_length: ids in each input sequence.
        batch_size: sequences in a batch.
        seed: of the order.
        restart_positions: positions count from each document's start in the sequence.
        packing: how documents become sequences.
        pad_id: what fills up sequences that are not full.
        sampling: of these shards' documents; without it, each pass reads each of them once.
        chosen: bool [documents], those that are read at all; without it, all.
        middle_only: of FIM layouts the middle alone is a target. Of conversations the answers are,
            always.

    Attributes:
        epoch_sequences: in the first pass. Where passes read different documents, later ones may
            have a few more or less; `sequences_in` says.

    Raises:
        ShardError: when an epoch is shorter than one batch, or the shards don't belong together.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        *,
        sequence_length: int,
        batch_size: int,
        seed: int,
        restart_positions: bool = True,
        packing: Packing = "concatenate",
        pad_id: int = 0,
        sampling: Sampling | None = None,
        chosen: NDArray[np.bool_] | None = None,
        middle_only: bool = False,
    ) -> None:
        for shard in shards:
            shard.check_tokenizer(shards[0].tokenizer_sha256)
        self.sequence_length, self.batch_size, self.seed = sequence_length, batch_size, seed
        self.restart_positions, self.packing, self.pad_id = restart_positions, packing, pad_id
        self._shards = list(shards)
        self._tokens = [np.asarray(shard.tokens) for shard in shards]  # a memmap is slow to slice
        self._offsets = np.cumsum([0, *map(len, self._tokens)]).tolist()
        self._vocab_size = shards[0].vocab_size if shards else 0
        self._sampling = sampling
        self._documents = sampling.documents if sampling else Documents.of(shards)
        self._same = sampling is None or sampling.same
        self._chosen = chosen
        self._layouts = _layouts(shards, self._offsets, middle_only)
        self._layout: tuple[int, Layout] | None = None
        self.epoch_sequences = self.sequences_in(0)
        self.batches_per_epoch = self.epoch_sequences // batch_size
        if not self.batches_per_epoch:
            raise self._too_short()

    def sequences_in(self, epoch: int) -> int:
        """Sequences in a pass; the last ones, less than a batch, are passed over."""
        return self.layout(epoch).sequences

    def layout(self, epoch: int) -> Layout:
        """The sequences of a pass."""
        number = 0 if self._same else epoch
        if self._layout is None or self._layout[0] != number:
            self._layout = None  # two at a time would need twice the memory
            rounds = self._rounds(number)
            made = lay_out(self.packing, self._documents.starts, self.sequence_length, rounds)
            self._layout = number, made
        return self._layout[1]

    def _rounds(self, number: int) -> list[Matrix] | None:
        rounds = self._sampling.rounds(number) if self._sampling else None
        if self._chosen is None:
            return rounds
        if rounds is None:
            return [np.flatnonzero(self._chosen)]
        return [documents[self._chosen[documents]] for documents in rounds]

    def batch(self, cursor: Cursor, rows: slice = slice(None)) -> tuple[Batch, Cursor]:
        """The batch at `cursor`, or some of its rows, and the cursor behind it.

        Raises:
            ShardError: when no pass from here on fills a batch.
        """
        last = cursor.epoch + _MOST_EMPTY
        while cursor.index + self.batch_size > self.sequences_in(cursor.epoch):
            cursor = replace(cursor, epoch=cursor.epoch + 1, index=0)
            if cursor.epoch > last:
                raise self._too_short()
        places = np.arange(cursor.index, cursor.index + self.batch_size, dtype=np.int64)
        total = self.sequences_in(cursor.epoch)
        chosen = permuted(places, total, seed=self.seed, epoch=cursor.epoch)
        batch = self.sequences_at(chosen[rows], cursor)
        return batch, replace(cursor, index=cursor.index + self.batch_size)

    def sequences_at(self, numbers: NDArray[np.int64], cursor: Cursor) -> Batch:
        """The sequences with these numbers in the layout of the cursor's pass, as a batch."""
        layout, width = self.layout(cursor.epoch), self.sequence_length + 1
        ids = np.empty((len(numbers), width), dtype=np.int64)
        first = np.zeros((len(numbers), width), dtype=bool)  # a document's first id
        asked = np.zeros((len(numbers), width), dtype=bool)  # ids before a middle, if left out
        ends = []
        for row, number in enumerate(numbers.tolist()):
            pieces, heads = layout.row(number)
            first[row, heads] = True
            end = 0
            for start, length in pieces:
                self._read(start, ids[row, end : end + length])
                self._mark_asked(start, asked[row, end : end + length])
                end += length
            if end < width:  # padding is a document of its own
                ids[row, end:], first[row, end] = self.pad_id, True
            ends.append(end)
        if ids.max() >= self._vocab_size:
            raise ShardError(
                self._shards[0].prefix.parent,
                got=f"token id {ids.max()}",
                wanted=f"ids below {self._vocab_size}",
                remedy="pack the tokens again",
            )
        targets = np.where((first | asked)[:, 1:], IGNORED, ids[:, 1:])
        for row, end in enumerate(ends):
            targets[row, end - 1 :] = IGNORED
        documents, positions = self._structure(first[:, :-1])
        return Batch(
            tokens=torch.from_numpy(ids[:, :-1].copy()),
            targets=torch.from_numpy(targets),
            positions=torch.from_numpy(positions),
            document_ids=torch.from_numpy(documents),
            cursor=cursor,
        )

    def passes(self, cursor: Cursor) -> dict[str, float]:
        """How often each source has been read once the loader stands at `cursor`, exactly.

        Targets given, over the targets that the source's documents have. Where passes read
        different documents, the layout of each pass up to here is made again.
        """
        codes = self._documents.codes
        read = np.zeros(len(self._documents.sources))
        times = np.zeros(0, dtype=np.int64)
        for epoch in range(cursor.epoch + 1):
            given, last = self._given(epoch, cursor), epoch == cursor.epoch
            times = times + given if len(times) else given
            if last or not self._same:
                documents, targets = self.layout(epoch).targets(times)
                read += np.bincount(codes[documents], weights=targets, minlength=len(read))
                times = times[:0]
        wanted = np.bincount(codes, weights=np.diff(self._documents.starts) - 1)
        return {
            source.label: float(count / size)
            for source, count, size in zip(self._documents.sources, read, wanted, strict=True)
            if size
        }

    def _given(self, epoch: int, cursor: Cursor) -> NDArray[np.int64]:
        """How often each sequence of a pass was given before `cursor`, which stands in it or later.

        int64 [sequences].
        """
        total = self.sequences_in(epoch)
        stop = cursor.index if epoch == cursor.epoch else total - total % self.batch_size
        times = np.ones(total, dtype=np.int64)
        left = np.arange(stop, total, dtype=np.int64)
        times[permuted(left, total, seed=self.seed, epoch=epoch)] = 0
        return times

    def _structure(self, first: NDArray[np.bool_]) -> tuple[Matrix, Matrix]:
        """(document ids, positions) of sequences in which `first` marks documents' first ids."""
        inner = first.copy()
        inner[:, 0] = False  # whatever the sequence starts with is its document 0
        documents = np.cumsum(inner, axis=1, dtype=np.int64)
        places = np.broadcast_to(np.arange(first.shape[1], dtype=np.int64), first.shape)
        if not self.restart_positions:
            return documents, places.copy()
        return documents, places - np.maximum.accumulate(np.where(inner, places, 0), axis=1)

    def _read(self, start: int, row: NDArray[np.int64]) -> None:
        """Fill `row` with the ids of the stream from `start` on, across shards."""
        shard = bisect_right(self._offsets, start) - 1
        done = 0
        while done < len(row):
            at = start + done - self._offsets[shard]
            piece = self._tokens[shard][at : at + len(row) - done]
            row[done : done + len(piece)] = piece
            done += len(piece)
            shard += 1

    def _mark_asked(self, start: int, row: NDArray[np.bool_]) -> None:
        """Mark in `row`, ids of the stream from `start` on, those of layouts before the middle."""
        low = np.searchsorted(self._layouts[:, 1], start, side="right")
        high = np.searchsorted(self._layouts[:, 0], start + len(row))
        for begin, middle in (self._layouts[low:high, :2] - start).tolist():
            row[max(begin, 0) : middle] = True

    def _too_short(self) -> ShardError:
        lengths = np.diff(self._documents.starts)
        tokens = int(lengths.sum() if self._chosen is None else lengths[self._chosen].sum())
        return ShardError(
            self._shards[0].prefix.parent if self._shards else "token shards",
            got=f"{tokens:,} tokens: {self.epoch_sequences:,} sequences of "
            f"{self.sequence_length:,}",
            wanted=f"at least one batch of {self.batch_size:,} sequences",
            remedy="give more text, or a smaller tokens.sequence_length or batch",
        )


def _layouts(shards: Sequence[Shard], offsets: Sequence[int], middle_only: bool) -> Matrix:
    """Layouts of which the first part is not learnt, by their places in the stream.

    Of conversations the questions, always; of files for infilling what is kept, if so set.
    """
    found = [_NO_LAYOUTS]
    for shard, at in zip(shards, offsets, strict=False):
        talks = np.array([source.kind == "conversation" for source in shard.sources], dtype=bool)
        layouts = shard.layouts
        if not middle_only:
            if not talks.any():
                continue
            document = np.searchsorted(shard.starts, layouts[:, 0], side="right") - 1
            layouts = layouts[talks[shard.source_codes[document]]]
        found.append(layouts + at)
    return np.concatenate(found)
