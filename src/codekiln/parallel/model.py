"""A model in training, wherever its parts are: one rank, or many."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.functional import pad

from codekiln.models.causal import CausalLM, build_model
from codekiln.models.config import ModelConfig
from codekiln.models.layers import DecoderLayer
from codekiln.models.lora import add_adapters, merge
from codekiln.models.lora_settings import LoraSettings
from codekiln.models.moe import MoE
from codekiln.models.moe_config import DeepseekV2Config
from codekiln.parallel import gradients
from codekiln.parallel.pipeline import Micro, Pipeline
from codekiln.parallel.settings import ParallelSettings
from codekiln.parallel.sharding import Weights, fill_and_shard, keep_stage, shard_rest
from codekiln.parallel.share import Share
from codekiln.parallel.world import Meshes
from codekiln.tokens.batch import IGNORED, Batch


class ParallelModel:
    """The ranks' parts of one model, and what training asks of them.

    Every rank calls every method, in the same order.

    Args:
        config: the model's shape.
        weights: (name, shape) -> the whole tensor, the same on every rank.
        meshes: how ranks share it.
        settings: `[parallel]`.
        dtype: that layers compute in.
        across_documents: whether attention reaches across packed documents.
        compiled: whether each layer goes through torch.compile.
        z_loss: see `models.loss`.
        lora: of which matrices additions learn in their place.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Weights,
        meshes: Meshes,
        settings: ParallelSettings,
        *,
        dtype: str = "float32",
        across_documents: bool = False,
        compiled: bool = False,
        z_loss: float = 0.0,
        lora: LoraSettings | None = None,
    ) -> None:
        self._lora = lora or LoraSettings()
        self.config, self.meshes, self._across = config, meshes, across_documents
        pipelined = meshes.degrees.pipeline > 1
        interleaved = pipelined and settings.pipeline_schedule == "interleaved"
        chunks = settings.pipeline_chunks if interleaved else 1
        stages = meshes.degrees.pipeline * chunks
        self.shares: list[Share] = []
        for chunk in range(chunks):
            with torch.device("meta"):
                model = build_model(config)
            add_adapters(model, self._lora)
            model.z_loss = z_loss
            model.model.checkpointing = settings.activation_checkpointing == "layer"
            stage = meshes.place["pipeline"] + chunk * meshes.degrees.pipeline
            keep_stage(model, stage, stages)
            fill_and_shard(model, weights, meshes, dtype=dtype, compiled=compiled)
            share = Share(model, meshes, dtype)
            shard_rest(share, meshes)
            self.shares.append(share)
            for _, moe in _experts(share):
                count = moe.config.n_routed_experts
                moe.gate.load = torch.zeros(count, dtype=torch.int64, device=meshes.ranks.device)
        self._pipeline = (
            Pipeline(self.shares, meshes, settings.pipeline_schedule) if pipelined else None
        )

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """This rank's, by the names of the whole model."""
        for share in self.shares:
            yield from share.model.named_parameters()

    def train(self, training: bool = True) -> None:
        """Set every part's mode."""
        for share in self.shares:
            share.train(training)

    def targets(self, batches: Sequence[Batch]) -> float:
        """Targets in a step, of all ranks."""
        share = self.shares[0]
        mine = sum(int((share.mine(batch.targets) != IGNORED).sum()) for batch in batches)
        (total,) = self.meshes.ranks.sums(mine)
        return total / self.meshes.degrees.pipeline

    def backward(self, batches: Sequence[Batch], targets: float) -> Tensor:
        """Add a step's gradients; this rank's part of its mean loss, a scalar.

        Args:
            batches: this rank's rows of each micro-batch, sequences whole.
            targets: in the step, of all ranks.
        """
        self._weigh_balance(len(batches))
        if self._pipeline is not None:
            return self._pipeline.backward([self._micro(b) for b in batches], targets)
        losses = []
        for batch in batches:
            loss = self.shares[0](*self._micro(batch))[0] / targets
            loss.backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def nats(self, tokens: Tensor, targets: Tensor, groups: Tensor, count: int) -> list[float]:
        """Summed nats of each group of targets, without gradients; the same on every rank.

        Args:
            tokens: int64 [batch, sequence], all of them on every rank; on the CPU.
            targets: int64 [batch, sequence].
            groups: int64 [batch, sequence], 0 to `count` - 1.
        """
        degrees, place = self.meshes.degrees, self.meshes.place
        rows = degrees.replicate * degrees.data
        pieces = degrees.context * degrees.tensor * (2 if degrees.context > 1 else 1)
        missing = (0, -tokens.shape[1] % pieces, 0, -tokens.shape[0] % rows)
        tokens, groups = pad(tokens, missing), pad(groups, missing)
        targets = pad(targets, missing, value=IGNORED)
        row = place["replicate"] * degrees.data + place["data"]
        tokens, targets, groups = (x.chunk(rows)[row] for x in (tokens, targets, groups))
        share, device = self.shares[0], self.meshes.ranks.device
        positions = torch.arange(tokens.shape[1]).expand(tokens.shape)
        micro = (share.mine(tokens).to(device), positions, share.mine(targets).to(device), None)
        own = share.mine(groups).to(device)
        with torch.no_grad():
            if self._pipeline is None:
                mine = share(*micro, own, count)
            else:
                mine = self._pipeline.nats(micro, own, count)
        return self.meshes.ranks.sums(*mine.tolist())

    def expert_load(self) -> NDArray[np.float64] | None:
        """How often training chose each expert since the last call, [layers with experts, experts].

        None for a model without experts. With layers that are computed twice
        (activation_checkpointing) choices may count twice.
        """
        config = self.config
        if not isinstance(config, DeepseekV2Config):
            return None
        sparse = [layer for layer in range(config.num_hidden_layers) if config.is_sparse(layer)]
        if not sparse:
            return None
        counts = torch.zeros(config.num_hidden_layers, config.n_routed_experts, dtype=torch.float64)
        for share in self.shares:
            for layer, moe in _experts(share):
                assert moe.gate.load is not None
                counts[layer] = moe.gate.load.cpu()
                moe.gate.load.zero_()
        summed = np.array(self.meshes.ranks.sums(*counts.flatten().tolist())).reshape(counts.shape)
        return summed[sparse]

    def whole(self) -> CausalLM | None:
        """The model in one piece, on rank 0; None on the others.

        Alone it may be training's own, unless it has additions, which are part of its matrices
        then. Of several ranks it is gathered on the CPU: no GPU holds all of it.
        """
        ranks = self.meshes.ranks
        if ranks.alone:
            model = self.shares[0].model
            return merge(copy.deepcopy(model)) if self._lora.rank else model
        with torch.device("meta"):
            model = build_model(self.config)
        add_adapters(model, self._lora)
        mine = dict(self.named_parameters())
        owners = self._owners()
        for name, parameter in list(model.named_parameters()):
            value = (
                _whole(mine[name])
                if name in mine
                else torch.empty(parameter.shape, device=ranks.device)
            )
            if self.meshes.degrees.pipeline > 1:
                dist.broadcast(value, src=owners[name])
            if ranks.first:
                path, _, attribute = name.rpartition(".")
                kept = nn.Parameter(value.to("cpu", copy=True))
                setattr(model.get_submodule(path), attribute, kept)
        model.tie_weights()
        return merge(model) if ranks.first else None

    def _owners(self) -> dict[str, int]:
        """The first rank that has each parameter."""
        found: dict[str, int] = {}
        names = [name for name, _ in self.named_parameters()]
        for rank, theirs in enumerate(self.meshes.ranks.gathered(names)):
            found |= {name: rank for name in theirs if name not in found}
        return found

    def clip(self, limit: float) -> float:
        """The norm of the whole gradient, which is then no longer than `limit`."""
        parameters = [parameter for _, parameter in self.named_parameters()]
        total = gradients.norm(parameters, self.meshes.ranks, copies=self.meshes.degrees.replicate)
        gradients.clip(parameters, limit, total)
        return total

    def _micro(self, batch: Batch) -> Micro:
        share, device = self.shares[0], self.meshes.ranks.device
        return (
            share.mine(batch.tokens).to(device),
            batch.positions,
            share.mine(batch.targets).to(device),
            None if self._across else batch.document_ids,
        )

    def rows(self, batch_size: int) -> slice:
        """This rank's rows of a micro-batch."""
        degrees, place = self.meshes.degrees, self.meshes.place
        each = batch_size // (degrees.replicate * degrees.data)
        first = (place["replicate"] * degrees.data + place["data"]) * each
        return slice(first, first + each)

    def _weigh_balance(self, micro_batches: int) -> None:
        """Each sequence's balance counts alike in a step."""
        degrees = self.meshes.degrees
        for share in self.shares:
            for _, moe in _experts(share):
                rows = degrees.replicate * degrees.data if moe.config.seq_aux else 1
                moe.balance_weight = 1.0 / (micro_batches * rows)


def _experts(share: Share) -> Iterator[tuple[int, MoE]]:
    """(number of the layer, its experts) of a share."""
    for name, layer in share.model.model.layers.named_children():
        if isinstance(layer, DecoderLayer) and isinstance(layer.mlp, MoE):
            yield int(name), layer.mlp


def _whole(parameter: nn.Parameter) -> Tensor:
    value = parameter.detach()
    return value.full_tensor() if isinstance(value, DTensor) else value
