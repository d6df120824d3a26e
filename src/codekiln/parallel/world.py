"""The ranks of a run, and the meshes on which model and batches lie.

Ranks are numbered (pipeline, replicate, data, context, tensor), the last the fastest, so that those
who talk most are neighbours. Three meshes of the same ranks follow from what a weight is:

| weights | lie on | and are sharded (FSDP2) over |
|---|---|---|
| matrices of attention and feed-forward, if tensor > 1 | tensor | data x context |
| routed experts, if expert > 1 | expert | what expert leaves of data x context x tensor |
| all others | | data x context x tensor |

Every rank has tokens of its own: sequences are divided among replicate x data ranks, each sequence
among context ranks, and between two layers once more among tensor ranks (Korthikanti et al. 2022,
sequence parallelism). So a gradient is the sum over all ranks that share a pipeline stage.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import DeviceMesh, ProcessGroup
from torch.distributed.device_mesh import init_device_mesh

from codekiln.parallel.checks import Degrees

AXES = ("pipeline", "replicate", "data", "context", "tensor")


PATIENCE = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Who this process is among `size`; alone, it needs no process group.

    Args:
        timeout: how long a rank waits for the others in an exchange.
        patient: a group of all that waits for much longer; None alone.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    timeout: timedelta = timedelta(minutes=10)
    patient: ProcessGroup | None = None

    @property
    def alone(self) -> bool:
        """Whether there is no other rank."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this rank speaks for all."""
        return self.rank == 0

    def sums(self, *values: float) -> list[float]:
        """Of each value over all ranks, fp64."""
        return self._reduced(dist.ReduceOp.SUM, values)

    def maxima(self, *values: float) -> list[float]:
        """Of each value over all ranks."""
        return self._reduced(dist.ReduceOp.MAX, values)

    def _reduced(self, operation: Any, values: tuple[float, ...]) -> list[float]:
        if self.alone:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor, operation)
        return tensor.tolist()

    def from_first(self, value: Any) -> Any:
        """Rank 0's value, on every rank; anything that pickles."""
        if self.alone:
            return value
        held = [value]
        dist.broadcast_object_list(held, src=0)
        return held[0]

    def gathered(self, value: Any) -> list[Any]:
        """Every rank's value, on every rank; anything that pickles."""
        if self.alone:
            return [value]
        held: list[Any] = [None] * self.size
        dist.all_gather_object(held, value)
        return held

    def wait(self) -> None:
        """Until every rank has come here."""
        if not self.alone:
            dist.barrier()

    def wait_for_first(self) -> None:
        """Until rank 0 has done what it does alone, however long that takes; if it dies, no more.

        To be called by every rank, by rank 0 when it has done.
        """
        if not self.alone:
            dist.barrier(group=self.patient)


ALONE = Ranks()


def launched() -> bool:
    """Whether torchrun, or something like it, started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def joined(device: torch.device, *, timeout_minutes: float) -> Iterator[Ranks]:
    """Join the ranks that torchrun started; leave them at the end."""
    if not launched():
        yield Ranks(device=device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    timeout = timedelta(minutes=timeout_minutes)
    dist.init_process_group(backend, timeout=timeout)
    try:
        yield Ranks(
            rank=dist.get_rank(),
            size=dist.get_world_size(),
            device=device,
            timeout=timeout,
            patient=dist.new_group(backend="gloo", timeout=PATIENCE),
        )
        dist.barrier()  # who leaves early breaks off what others are still exchanging
    finally:
        dist.destroy_process_group()


class Meshes:
    """The meshes of one layout; see the module's table.

    Attributes:
        ranks, degrees: what they are made of.
        place: this rank's coordinate on each of `AXES`.
        plain, dense, experts: FSDP2's meshes: one axis, or two with replicate. None: nothing to
            share. `dense` is None unless tensor > 1, `experts` unless expert > 1.
    """

    def __init__(self, ranks: Ranks, degrees: Degrees) -> None:
        self.ranks, self.degrees = ranks, degrees
        shape = tuple(getattr(degrees, axis) for axis in AXES)
        places = torch.arange(ranks.size).view(shape)
        self.place = dict(zip(AXES, (places == ranks.rank).nonzero()[0].tolist(), strict=True))
        self.plain: DeviceMesh | None = None
        self.dense: DeviceMesh | None = None
        self.experts: DeviceMesh | None = None
        self.tensor: DeviceMesh | None = None
        self.expert: DeviceMesh | None = None
        if ranks.alone:
            return
        self._axes = init_device_mesh(ranks.device.type, shape, mesh_dim_names=AXES)
        tokens = degrees.data * degrees.context * degrees.tensor
        if degrees.replicate * tokens > 1:
            self.plain, _ = self._sharding(tokens, 1, "whole")
        if degrees.tensor > 1:
            self.dense, self.tensor = self._sharding(
                tokens // degrees.tensor, degrees.tensor, "tensor"
            )
        if degrees.expert > 1:
            self.experts, self.expert = self._sharding(
                tokens // degrees.expert, degrees.expert, "expert"
            )

    def _sharding(self, shards: int, parts: int, name: str) -> tuple[DeviceMesh, DeviceMesh]:
        shape = (self.degrees.pipeline, self.degrees.replicate, shards, parts)
        names = ("pipeline", "replicate", "shard", name)
        mesh = init_device_mesh(self.ranks.device.type, shape, mesh_dim_names=names)
        over = mesh["replicate", "shard"] if self.degrees.replicate > 1 else mesh["shard"]
        return over, mesh[name]

    def group(self, axis: str) -> ProcessGroup | None:
        """The ranks along one of `AXES`; None where there is one."""
        if getattr(self.degrees, axis) == 1:
            return None
        return self._axes[axis].get_group()

    def shared_by(self, *axes: str) -> ProcessGroup | None:
        """The ranks along several axes together; None where there is one. All ranks must ask."""
        used = [axis for axis in axes if getattr(self.degrees, axis) > 1]
        if len(used) < 2:
            return self.group(used[0]) if used else None
        mesh: Tensor = self._axes.mesh
        kept = [AXES.index(axis) for axis in used]
        rows = mesh.movedim(kept, list(range(-len(kept), 0))).reshape(
            -1, int(torch.tensor([mesh.shape[i] for i in kept]).prod())
        )
        mine, _ = dist.new_subgroups_by_enumeration(rows.tolist())
        return mine
