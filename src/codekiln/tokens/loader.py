"""Batches out of shards. The loader holds no place: the caller holds a cursor, and gives it.

The documents of all shards stand one behind the other as one stream. Sequence i is the
`sequence_length` + 1 ids from `i * sequence_length` on, so that each id but the first is a target
once an epoch. Each epoch has its own seeded order. What is left over at the end, less than a
sequence of ids and less than a batch of sequences, is passed over.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from codekiln.errors import ShardError
from codekiln.tokens.batch import IGNORED, Batch
from codekiln.tokens.cursor import Cursor
from codekiln.tokens.permutation import permuted
from codekiln.tokens.shards import Shard

Matrix = NDArray[np.int64]


class Loader:
    """Gives the batch at any cursor; equal arguments give equal batches.

    Args:
        shards: in order; all of one tokenizer.
        sequence_length: ids in each input sequence.
        batch_size: sequences in a batch.
        seed: of the order.
        restart_positions: positions count from each document's start in the sequence.

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
    ) -> None:
        for shard in shards:
            shard.check_tokenizer(shards[0].tokenizer_sha256)
        self.sequence_length, self.batch_size, self.seed = sequence_length, batch_size, seed
        self.restart_positions = restart_positions
        self._shards = list(shards)
        self._vocab_size = shards[0].vocab_size if shards else 0
        # where each shard and each document starts in the stream
        self._offsets = np.cumsum([0, *(len(shard.tokens) for shard in shards)], dtype=np.int64)
        self._starts = np.concatenate(
            [shard.starts[:-1] + at for shard, at in zip(shards, self._offsets, strict=False)]
            or [np.empty(0, dtype=np.int64)]
        )
        tokens = int(self._offsets[-1])
        self.epoch_sequences = max(tokens - 1, 0) // sequence_length
        self.batches_per_epoch = self.epoch_sequences // batch_size
        if not self.batches_per_epoch:
            raise ShardError(
                shards[0].prefix.parent if shards else "token shards",
                got=f"{tokens:,} tokens: {self.epoch_sequences:,} sequences of {sequence_length:,}",
                wanted=f"at least one batch of {batch_size:,} sequences",
                remedy="give more text, or a smaller tokens.sequence_length or batch",
            )

    def batch(self, cursor: Cursor) -> tuple[Batch, Cursor]:
        """The batch at `cursor`, and the cursor behind it."""
        if cursor.index < 0 or cursor.index + self.batch_size > self.epoch_sequences:
            cursor = Cursor(epoch=cursor.epoch + 1, index=0)
        places = np.arange(cursor.index, cursor.index + self.batch_size, dtype=np.int64)
        chosen = permuted(places, self.epoch_sequences, seed=self.seed, epoch=cursor.epoch)
        batch = self.sequences_at(chosen, cursor)
        return batch, Cursor(epoch=cursor.epoch, index=cursor.index + self.batch_size)

    def sequences_at(self, numbers: NDArray[np.int64], cursor: Cursor) -> Batch:
        """The sequences with these numbers, in stream order, as a batch."""
        width = self.sequence_length + 1
        ids = np.empty((len(numbers), width), dtype=np.int64)
        first = np.zeros((len(numbers), width), dtype=bool)  # a document's first id
        for row, start in enumerate(numbers * self.sequence_length):
            self._read(start, ids[row])
            low, high = np.searchsorted(self._starts, (start, start + width))
            first[row, self._starts[low:high] - start] = True
        if ids.max() >= self._vocab_size:
            raise ShardError(
                self._shards[0].prefix.parent,
                got=f"token id {ids.max()}",
                wanted=f"ids below {self._vocab_size}",
                remedy="pack the tokens again",
            )
        targets = np.where(first[:, 1:], IGNORED, ids[:, 1:])
        documents, positions = self._structure(first[:, :-1])
        return Batch(
            tokens=torch.from_numpy(ids[:, :-1].copy()),
            targets=torch.from_numpy(targets),
            positions=torch.from_numpy(positions),
            document_ids=torch.from_numpy(documents),
            cursor=cursor,
        )

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
        shard = int(np.searchsorted(self._offsets, start, side="right")) - 1
        done = 0
        while done < len(row):
            at = start + done - self._offsets[shard]
            piece = self._shards[shard].tokens[at : at + len(row) - done]
            row[done : done + len(piece)] = piece
            done += len(piece)
            shard += 1
