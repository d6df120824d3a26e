"""Tensor parallelism: each rank has some heads, and some columns of each feed-forward.

Between two such blocks the sequence is divided among the same ranks. A block gathers it, computes
with its part of the matrices, and what comes out is summed and divided again: two exchanges a block
in each direction, and no norm or residual is computed twice.

Source: DeepSeek-Coder §3.5 (tensor parallelism); Shoeybi et al. 2019; Korthikanti et al. 2022.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.distributed import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from codekiln.models.layers import DecoderLayer
from codekiln.parallel.collectives import gather, scatter_sum

SEQUENCE = 1  # the dimension of the stream that ranks divide


def divide(layer: DecoderLayer, mesh: DeviceMesh) -> list[nn.Module]:
    """Leave this rank its part of a layer's matrices; the modules that hold them come back."""
    divided = []
    for block in (layer.self_attn, layer.mlp):
        plan: dict[str, int] = getattr(block, "tensor_parallel", {})
        for name, dim in plan.items():
            matrix = getattr(block, name, None)
            if matrix is not None:
                matrix.weight = part_of(matrix.weight, mesh, dim)
                divided.append(matrix)
        if plan:
            _gather_and_scatter(block, mesh)
    return divided


def part_of(parameter: nn.Parameter, mesh: DeviceMesh, dim: int) -> nn.Parameter:
    """This rank's part of a parameter that every rank has whole, as a DTensor."""
    mine = parameter.detach().chunk(mesh.size(), dim)[mesh.get_local_rank()].clone()
    return nn.Parameter(DTensor.from_local(mine, mesh, [Shard(dim)], run_check=False))


def _gather_and_scatter(block: nn.Module, mesh: DeviceMesh) -> None:
    group = mesh.get_group()

    def before(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return gather(inputs[0], SEQUENCE, group), *inputs[1:]

    def after(_: nn.Module, __: tuple[Any, ...], out: Tensor) -> Tensor:
        return scatter_sum(out, SEQUENCE, group)

    block.register_forward_pre_hook(before)
    block.register_forward_hook(after)
