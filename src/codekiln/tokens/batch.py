"""A batch of training sequences, as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from codekiln.tokens.cursor import Cursor

IGNORED = -100


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Sequences and what is known of them; all tensors int64 [batch, sequence].

    Args:
        tokens: the input ids.
        targets: the next ids; -100 where there is nothing to learn (the first token of the
            next document, which the text before it says nothing of).
        positions: places counted from the start of each document in the sequence, or of the
            sequence, by setting.
        document_ids: 0, 1, … along each sequence; one number a document.
        cursor: where this batch was taken.
    """

    tokens: Tensor
    targets: Tensor
    positions: Tensor
    document_ids: Tensor
    cursor: Cursor

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        tensors = (self.tokens, self.targets, self.positions, self.document_ids)
        moved = [tensor.to(device, non_blocking=True) for tensor in tensors]
        return Batch(
            tokens=moved[0],
            targets=moved[1],
            positions=moved[2],
            document_ids=moved[3],
            cursor=self.cursor,
        )
