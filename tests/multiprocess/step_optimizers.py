"""Run by torchrun: optimisers on sharded parameters of odd shapes, against whole ones."""

import json
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from codekiln.parallel.world import joined
from codekiln.training.optim import build_optimizer
from codekiln.training.settings import OptimizerSettings

STEPS = 5
# what FSDP2 divides, unevenly; experts as they lie without expert ranks, and with them
SHAPES = {
    "embed_tokens.weight": (11, 6),
    "layers.0.up_proj.weight": (7, 6),
    "layers.0.down_proj.weight": (6, 7),
    "layers.0.norm.weight": (5,),
    "layers.0.mlp.gate.weight": (3, 6),
    "layers.0.mlp.experts.gate_up_proj": (3, 8, 6),
    "layers.1.mlp.experts.gate_up_proj": (4, 8, 6),
    "layers.1.mlp.experts.down_proj": (4, 6, 4),
}
BY_EXPERT = "layers.1.mlp.experts"


class Parts(nn.Module):
    """Parameters by dotted names."""

    def __init__(self) -> None:
        super().__init__()
        for name, shape in SHAPES.items():
            *path, last = name.split(".")
            module: nn.Module = self
            for part in path:
                if not hasattr(module, part):
                    module.add_module(part, nn.Module())
                module = getattr(module, part)
            generator = torch.Generator().manual_seed(len(name))
            module.register_parameter(last, nn.Parameter(torch.randn(shape, generator=generator)))


def divide(model: Parts, mesh: DeviceMesh, other: DeviceMesh) -> None:
    """The second layer's experts lie on a mesh of their own, the first dimension divided."""
    experts = model.get_submodule(BY_EXPERT)
    for name, parameter in list(experts.named_parameters()):
        spread = distribute_tensor(parameter.detach(), other, [Shard(0)])
        experts.register_parameter(name, nn.Parameter(spread))
    fully_shard(model, mesh=mesh, ignored_params=set(experts.parameters()))


def whole(value: Tensor) -> Tensor:
    return value.full_tensor() if isinstance(value, DTensor) else value


def steps(model: Parts, name: str) -> dict[str, Tensor]:
    settings = OptimizerSettings.model_validate({"name": name, "learning_rate": 0.02})
    optimizer = build_optimizer(model, settings)
    generator = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        for parameter in model.parameters():
            gradient = torch.randn(parameter.shape, generator=generator)
            if isinstance(parameter, DTensor):
                gradient = distribute_tensor(
                    gradient, parameter.device_mesh, parameter.placements, src_data_rank=None
                )
            parameter.grad = gradient
        optimizer.step()
    return {name: whole(parameter.detach()) for name, parameter in model.named_parameters()}


def main() -> None:
    out = Path(sys.argv[1])
    torch.set_num_threads(1)
    found: dict[str, dict[str, float]] = {}
    with joined(torch.device("cpu"), timeout_minutes=1.0) as ranks:
        mesh = init_device_mesh("cpu", (ranks.size,), mesh_dim_names=("shard",))
        other = init_device_mesh("cpu", (1, ranks.size), mesh_dim_names=("one", "expert"))["expert"]
        for name in ("adamw", "muon"):
            first = {key: value.detach().clone() for key, value in Parts().named_parameters()}
            alone = steps(Parts(), name)
            divided = Parts()
            divide(divided, mesh, other)
            assert all(isinstance(parameter, DTensor) for parameter in divided.parameters())
            together = steps(divided, name)
            for key in SHAPES:
                apart = float((together[key] - alone[key]).abs().max())
                moved = float((alone[key] - first[key]).abs().max())
                found.setdefault(name, {})[key] = apart
                assert moved > 0.01, key
        if ranks.first:
            out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
