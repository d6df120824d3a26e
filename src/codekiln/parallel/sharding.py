"""Builds a rank's part of a model: layer by layer, so that no rank ever holds it whole.

A model begins on the meta device. Each layer that belongs here is filled, divided among tensor and
expert ranks, and sharded by FSDP2, before the next one is touched.

Source: DeepSeek-Coder §3.5 (ZeRO data parallelism; Rajbhandari et al. 2020, stage 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.distributed import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import Shard

from codekiln.models.causal import CausalLM
from codekiln.models.layers import DecoderLayer
from codekiln.models.moe import MoE
from codekiln.parallel import experts, tensor
from codekiln.parallel.world import Meshes

Weights = Callable[[str, torch.Size], Tensor]


def stage_layers(layers: int, stages: int) -> list[range]:
    """The layers of each pipeline stage; what does not divide goes to the middle ones."""
    counts = [layers // stages] * stages
    from_middle = sorted(range(stages), key=lambda stage: abs(stage - (stages - 1) / 2))
    for stage in from_middle[: layers % stages]:
        counts[stage] += 1
    ends = [sum(counts[: stage + 1]) for stage in range(stages)]
    return [range(end - count, end) for end, count in zip(ends, counts, strict=True)]


def keep_stage(model: CausalLM, stage: int, stages: int) -> None:
    """Take away what other stages have; names of what is left stay as they were."""
    kept = stage_layers(len(model.model.layers), stages)[stage]
    for index in range(len(model.model.layers)):
        if index not in kept:
            setattr(model.model.layers, str(index), None)
    if stage > 0:
        model.model.embed_tokens = None  # type: ignore[assignment]
    if stage < stages - 1:
        model.model.norm = model.lm_head = None  # type: ignore[assignment]


def fill_and_shard(
    model: CausalLM,
    weights: Weights,
    meshes: Meshes,
    *,
    dtype: str = "float32",
    compiled: bool = False,
) -> None:
    """Give a stage its weights, and leave this rank its part of them.

    Args:
        model: on the meta device.
        weights: (name, shape) -> the whole tensor, the same on every rank.
        dtype: that layers compute in; weights, gradients' sums and averages are float32.
        compiled: whether each layer goes through torch.compile.
    """
    for name, layer in model.model.layers.named_children():
        assert isinstance(layer, DecoderLayer)
        _fill(layer, f"model.layers.{name}.", weights, meshes.ranks.device)
        if compiled:
            layer.compile()
        _shard_layer(layer, meshes, _policy(dtype))
    _fill(model, "", weights, meshes.ranks.device)
    model.tie_weights()


def shard_rest(root: nn.Module, meshes: Meshes) -> None:
    """Shard what stands around the layers, in float32, as part of `root`, which owns the model."""
    if meshes.plain is not None:
        _shard(root, meshes.plain, MixedPrecisionPolicy(cast_forward_inputs=False))


def _fill(module: nn.Module, prefix: str, weights: Weights, device: torch.device) -> None:
    for name, parameter in list(module.named_parameters()):
        if not parameter.is_meta:
            continue
        path, _, attribute = name.rpartition(".")
        whole = weights(prefix + name, parameter.shape).to(device, torch.float32)
        filled = nn.Parameter(whole, requires_grad=parameter.requires_grad)
        setattr(module.get_submodule(path), attribute, filled)


def _policy(dtype: str) -> MixedPrecisionPolicy:
    # angles and scores stay in float32: inputs are not cast
    narrow = torch.bfloat16 if dtype == "bfloat16" else None
    return MixedPrecisionPolicy(
        param_dtype=narrow, reduce_dtype=torch.float32, cast_forward_inputs=False
    )


def _shard_layer(layer: DecoderLayer, meshes: Meshes, policy: MixedPrecisionPolicy) -> None:
    if meshes.tensor is not None and meshes.dense is not None:
        _shard(tensor.divide(layer, meshes.tensor), meshes.dense, policy)
    if isinstance(layer.mlp, MoE):
        if meshes.expert is not None and meshes.experts is not None:
            experts.divide(layer.mlp.experts, meshes.expert)
            _shard(layer.mlp.experts, meshes.experts, policy)
        if meshes.plain is not None and policy.param_dtype is not None:
            # scores are made in float32
            _shard(layer.mlp.gate, meshes.plain, MixedPrecisionPolicy(cast_forward_inputs=False))
    if meshes.plain is not None:
        _shard(layer, meshes.plain, policy)


def _shard(
    modules: nn.Module | list[nn.Module],
    mesh: DeviceMesh,
    policy: MixedPrecisionPolicy,
) -> None:
    shards = mesh.size(mesh.ndim - 1)

    def placement(parameter: nn.Parameter) -> Shard | None:
        # not the dimension that is divided already: parts of parts are hard to find again
        divided = [p.dim for p in getattr(parameter, "placements", ()) if isinstance(p, Shard)]
        other = 1 if 0 in divided else 0
        return Shard(other) if divided and parameter.shape[other] % shards == 0 else None

    fully_shard(modules, mesh=mesh, mp_policy=policy, shard_placement_fn=placement)
    for module in _fsdp_modules(modules if isinstance(modules, list) else [modules]):
        # sums, not means: losses are divided by the number of targets of all ranks
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)


def _fsdp_modules(modules: Iterable[nn.Module]) -> list[FSDPModule]:
    return [module for module in modules if isinstance(module, FSDPModule)]
