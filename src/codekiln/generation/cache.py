"""Keys and values of what was read already, in memory that is laid out once and doubled."""

from __future__ import annotations

import torch
from torch import Tensor

FIRST_CAPACITY = 256


class KVCache:
    """Keys and values of every layer, [batch, kv_heads, sequence, head_dim].

    All rows of the batch are equally long. Memory is one block a layer, written in place: a
    step copies nothing of what is there, save when the block is full and doubles (up to
    `limit`). Dtype and device are those of what comes in.

    Args:
        layers: number of layers.
        limit: the most positions it will ever hold (the model's context).
    """

    def __init__(self, layers: int, limit: int) -> None:
        self.limit = limit
        self._keys: list[Tensor | None] = [None] * layers
        self._values: list[Tensor | None] = [None] * layers
        self._lengths = [0] * layers

    @property
    def length(self) -> int:
        """Positions that every layer holds: it moves when the last layer has been written."""
        return self._lengths[-1]

    @property
    def capacity(self) -> int:
        """Positions that fit before the next doubling."""
        return 0 if self._keys[0] is None else self._keys[0].shape[2]

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add [batch, kv_heads, S, head_dim] to a layer; all it now holds, as views.

        Raises:
            ValueError: more positions than `limit`; callers cut requests before.
        """
        start, end = self._lengths[layer], self._lengths[layer] + keys.shape[2]
        if end > self.limit:
            raise ValueError(f"{end} positions, but the cache holds at most {self.limit}")
        self._keys[layer] = key_block = self._room(self._keys[layer], keys, start, end)
        self._values[layer] = value_block = self._room(self._values[layer], values, start, end)
        key_block[:, :, start:end] = keys
        value_block[:, :, start:end] = values
        self._lengths[layer] = end
        return key_block[:, :, :end], value_block[:, :, :end]

    def select(self, rows: Tensor) -> None:
        """Keep these rows of the batch (int64 indices), in this order."""
        self._keys = [None if block is None else block[rows] for block in self._keys]
        self._values = [None if block is None else block[rows] for block in self._values]

    def _room(self, block: Tensor | None, new: Tensor, start: int, end: int) -> Tensor:
        if block is not None and end <= block.shape[2]:
            return block
        capacity = FIRST_CAPACITY if block is None else 2 * block.shape[2]
        capacity = min(max(capacity, end), self.limit)
        batch, heads, _, width = new.shape
        larger = torch.zeros(batch, heads, capacity, width, dtype=new.dtype, device=new.device)
        if block is not None:
            larger[:, :, :start] = block[:, :, :start]
        return larger
