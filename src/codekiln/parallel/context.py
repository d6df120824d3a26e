"""Context parallelism: ranks divide each sequence, and gather its keys and values.

Causal attention is uneven: late tokens see more. Each of n ranks therefore has two of 2n pieces,
the r-th and the r-th from the end (Llama 3 report §3.3.2). Keys and values of the others are
gathered layer by layer: with grouped queries and with latents they are far narrower than the
stream.

Source: DeepSeek-Coder §3.6 needs 16K and V2 §3.4 128K tokens; how they were divided is open.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from codekiln.parallel.collectives import gather


def own_places(length: int, rank: int, ranks: int) -> Tensor:
    """int64 [length / ranks]: this rank's places in a sequence, rising."""
    if ranks == 1:
        return torch.arange(length)
    pieces = torch.arange(length).chunk(2 * ranks)
    return torch.cat((pieces[rank], pieces[-1 - rank]))


class GatheredKeys:
    """Stands where a cache stands while decoding: gives keys and values of the whole sequence.

    Args:
        group: ranks that share the sequence.
        length: tokens in it.
    """

    length = 0

    def __init__(self, group: ProcessGroup, length: int) -> None:
        self._group = group
        ranks = group.size()
        places = torch.cat([own_places(length, rank, ranks) for rank in range(ranks)])
        self._order = places.argsort()

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """[batch, kv_heads, own, width] twice -> [batch, kv_heads, length, width]."""
        return self._whole(keys), self._whole(values)

    def _whole(self, part: Tensor) -> Tensor:
        if not part.shape[-1]:  # latents come without values
            return part.new_empty(*part.shape[:2], len(self._order), 0)
        whole = gather(part, 2, self._group)
        return whole.index_select(2, self._order.to(part.device))
