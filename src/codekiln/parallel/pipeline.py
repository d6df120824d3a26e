"""Pipelines: stages of layers on different ranks, micro-batches of a step passing through them.

Training uses PyTorch's schedules (1F1B: Narayanan et al. 2019, PipeDream; interleaved: Narayanan
et al. 2021). Evaluation passes batches of any shape from stage to stage.

Source: DeepSeek-Coder §3.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleInterleaved1F1B

from codekiln.parallel.share import Share
from codekiln.parallel.world import Meshes

Micro = tuple[Tensor, Tensor, Tensor, Tensor | None]  # tokens, positions, targets, documents


class Pipeline:
    """This rank's stages, and the order in which they work.

    Args:
        shares: this rank's stages; several if interleaved.
        meshes: how ranks share the model.
        schedule: "1f1b" or "interleaved".
    """

    def __init__(self, shares: Sequence[Share], meshes: Meshes, schedule: str) -> None:
        group = meshes.group("pipeline")
        assert group is not None
        self._group, self._shares, self._interleaved = group, shares, schedule == "interleaved"
        self._ranks, self._rank = meshes.degrees.pipeline, meshes.place["pipeline"]
        self._device = meshes.ranks.device
        self._count = len(shares) * self._ranks
        self._schedules: dict[tuple[int, ...], Schedule1F1B | ScheduleInterleaved1F1B] = {}
        self._targets = 1.0
        self._width = shares[0].model.config.hidden_size

    @property
    def last(self) -> bool:
        """Whether this rank has the last stage."""
        return self._rank == self._ranks - 1

    def backward(self, micro_batches: Sequence[Micro], targets: float) -> Tensor:
        """Add the gradients of a step; its loss (the last stage's ranks; 0 on others).

        Args:
            micro_batches: this rank's, all alike.
            targets: of the whole step: what sums of nats are divided by.
        """
        self._targets = targets
        tokens, positions, wanted, documents = (
            None if parts[0] is None else torch.cat(parts)
            for parts in zip(*micro_batches, strict=True)
        )
        losses: list[Tensor] = []
        inputs: dict[str, Any] = {"positions": positions, "targets": wanted}
        if documents is not None:
            inputs["document_ids"] = documents
        entering = (tokens,) if self._rank == 0 else ()
        self._schedule(len(micro_batches), micro_batches[0][0].shape).step(
            *entering,
            target=torch.zeros(len(micro_batches), device=self._device) if self.last else None,
            losses=losses if self.last else None,
            return_outputs=False,
            **inputs,
        )
        zero = torch.zeros((), device=self._device)
        return torch.stack(losses).sum().detach() if losses else zero

    def _schedule(
        self, micro_batches: int, shape: torch.Size
    ) -> Schedule1F1B | ScheduleInterleaved1F1B:
        key = (micro_batches, *shape)
        if key not in self._schedules:
            stages = [
                PipelineStage(
                    share,
                    self._rank + chunk * self._ranks,
                    self._count,
                    self._device,
                    group=self._group,
                )
                for chunk, share in enumerate(self._shares)
            ]
            self._schedules[key] = self._made(stages, micro_batches)
        return self._schedules[key]

    def _made(
        self, stages: Sequence[PipelineStage], micro_batches: int
    ) -> Schedule1F1B | ScheduleInterleaved1F1B:
        if not self._interleaved:
            return Schedule1F1B(stages[0], micro_batches, loss_fn=self._loss, scale_grads=False)
        return ScheduleInterleaved1F1B(
            [*stages], micro_batches, loss_fn=self._loss, scale_grads=False
        )

    def _loss(self, nats: Tensor, _: Tensor) -> Tensor:
        return nats.sum() / self._targets

    @torch.no_grad()
    def nats(self, micro_batch: Micro, groups: Tensor, count: int) -> Tensor:
        """Summed nats of each group, fp64 [count]; 0 on ranks before the last stage."""
        tokens, *rest = micro_batch
        stream = tokens
        for chunk, share in enumerate(self._shares):
            stage = self._rank + chunk * self._ranks
            if stage > 0:
                stream = torch.empty(*tokens.shape, self._width, device=self._device)
                dist.recv(stream, group=self._group, group_src=(self._rank - 1) % self._ranks)
            stream = share(stream, *rest, groups, count)
            if stage < self._count - 1:
                out = stream.float().contiguous()
                dist.send(out, group=self._group, group_dst=(self._rank + 1) % self._ranks)
        return stream if self.last else torch.zeros(count, device=self._device)
