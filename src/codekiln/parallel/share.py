"""This rank's part of the model, and of each batch: the one module that computes in training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codekiln.models.attention import Visibility, partial_visibility, visibility
from codekiln.models.causal import CausalLM
from codekiln.models.moe import MoE
from codekiln.models.precision import attention_dtype
from codekiln.parallel.context import GatheredKeys, own_places
from codekiln.parallel.world import Meshes
from codekiln.tokens.batch import IGNORED


class Share(nn.Module):
    """A stage of the model, for this rank's tokens of sequences that it has from their start.

    Args:
        model: the stage's layers, filled and sharded.
        meshes: how ranks share it.
        dtype: of matrix products: "float32" or "bfloat16".
    """

    def __init__(self, model: CausalLM, meshes: Meshes, dtype: str) -> None:
        super().__init__()
        self.model, self._narrow = model, dtype == "bfloat16"
        degrees, place = meshes.degrees, meshes.place
        self._context, self._tensor = degrees.context, degrees.tensor
        self._context_rank, self._tensor_rank = place["context"], place["tensor"]
        self._group = meshes.group("context")
        balance = meshes.shared_by("context", "tensor")
        everyone = meshes.shared_by("replicate", "data", "context", "tensor")
        for module in model.modules():
            if isinstance(module, MoE):
                module.balance_group = balance if module.config.seq_aux else everyone
        self._keys: dict[int, GatheredKeys] = {}

    def mine(self, sequences: Tensor) -> Tensor:
        """This rank's tokens of [batch, sequence, ...]: [batch, own, ...]."""
        own = self._own(sequences.shape[1]).chunk(self._tensor)[self._tensor_rank]
        return sequences if len(own) == sequences.shape[1] else sequences[:, own]

    def forward(
        self,
        entering: Tensor,
        positions: Tensor,
        targets: Tensor,
        document_ids: Tensor | None = None,
        groups: Tensor | None = None,
        count: int = 0,
    ) -> Tensor:
        """The stream [batch, own, hidden_size]; of the last stage nats, summed, fp32 [1].

        Args:
            entering: this rank's tokens [batch, own], or the stream of the stage before.
            positions: int64 [batch, sequence], whole.
            targets: int64 [batch, own].
            document_ids: int64 [batch, sequence], whole; None: attention across documents.
            groups: int64 [batch, own], 0 to `count` - 1: sum the nats of each group, fp64 [count];
                without gradients.
        """
        with torch.autocast(entering.device.type, torch.bfloat16, enabled=self._narrow):
            hidden = self._stream(entering, positions, document_ids)
            if self.model.lm_head is None:
                return hidden
            if groups is None:
                return self.model.loss_of(hidden, targets) * (targets != IGNORED).sum().view(1)
            nats = self.model.nats_of(hidden, targets).double()
            return nats.new_zeros(count).index_add_(0, groups.flatten(), nats.flatten())

    def _stream(self, entering: Tensor, positions: Tensor, document_ids: Tensor | None) -> Tensor:
        model, device = self.model, entering.device
        length = positions.shape[1]
        own = self._own(length)
        if self._context > 1:
            positions = positions[:, own]
        rotation = model.rotary(positions.to(device), 0, len(own), device)
        seen = self._seen(own, document_ids, entering.shape[0], length, device)
        hidden: Tensor = model.model(entering, rotation, seen, self._gathered_keys(length))
        return hidden

    def _seen(
        self,
        own: Tensor,
        document_ids: Tensor | None,
        batch: int,
        length: int,
        device: torch.device,
    ) -> Visibility:
        dtype = attention_dtype(next(self.model.parameters()))
        if self._context == 1:
            ids = None if document_ids is None else document_ids.to(device)
            return visibility(batch, length, 0, device=device, dtype=dtype, document_ids=ids)
        ids = document_ids.cpu() if document_ids is not None else torch.zeros(batch, length)
        return partial_visibility(own, ids, device=device, dtype=dtype)

    def _gathered_keys(self, length: int) -> GatheredKeys | None:
        if self._group is None:
            return None
        if length not in self._keys:
            self._keys = {length: GatheredKeys(self._group, length)}
        return self._keys[length]

    def _own(self, length: int) -> Tensor:
        return own_places(length, self._context_rank, self._context)
