"""One optimiser step: micro-batches, clipping, the update; or nothing, if it is not finite."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codekiln.models.causal import CausalLM
from codekiln.tokens.batch import IGNORED, Batch
from codekiln.training.device import autocast
from codekiln.training.optim import set_learning_rate
from codekiln.training.plan import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step gave. `gradient_norm`: of the whole gradient, before clipping."""

    loss_nats_per_token: float
    gradient_norm: float
    skipped: bool


class Stepper:
    """Model and optimiser, and how to move them by one step.

    Args:
        model: on its device, in float32.
        optimizer: over its parameters.
        dtype: of matrix products, "float32" or "bfloat16".
        gradient_clip: largest norm of the whole gradient; 0 means no clipping.
        across_documents: whether attention reaches across packed documents.
        compiled: whether the loss goes through torch.compile.
    """

    def __init__(
        self,
        model: CausalLM,
        optimizer: torch.optim.Optimizer,
        *,
        dtype: str,
        gradient_clip: float,
        across_documents: bool,
        compiled: bool = False,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.device = next(model.parameters()).device
        self.dtype, self.across_documents = dtype, across_documents
        self.gradient_clip = gradient_clip or math.inf
        self._loss = torch.compile(model.loss) if compiled else model.loss

    def step(self, batches: Sequence[Batch], learning_rate: float) -> StepResult:
        """Learn from the micro-batches as from one batch: each target has the same weight.

        A loss or gradient that is not finite leaves weights and averages as they were.
        """
        counts = [int((batch.targets != IGNORED).sum()) for batch in batches]
        total = max(sum(counts), 1)
        losses = [
            self.backward(batch, count / total)
            for batch, count in zip(batches, counts, strict=True)
        ]
        loss = sum(float(value) for value in losses)
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.gradient_clip))
        finite = math.isfinite(loss) and math.isfinite(norm)
        if finite:
            set_learning_rate(self.optimizer, learning_rate)
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return StepResult(loss_nats_per_token=loss, gradient_norm=norm, skipped=not finite)

    def backward(self, batch: Batch, weight: float) -> Tensor:
        """Add one micro-batch's gradient; its share of the step's loss comes back."""
        batch = batch.to(self.device)
        with autocast(self.device, self.dtype):
            loss = self._loss(
                batch.tokens,
                batch.targets,
                positions=batch.positions,
                document_ids=None if self.across_documents else batch.document_ids,
            )
        share = loss * weight
        share.backward()
        return share.detach()


TRIAL_SECONDS, LEAST_TRIALS, MOST_TRIALS = 2.0, 2, 20


def measure(stepper: Stepper, batch: Batch) -> Timing:
    """Time real steps; the weights are of no use afterwards.

    After one step to warm up, medians over about two seconds, but at least two micro-batches.
    """
    stepper.step([batch], 0.0)
    micro_batches: list[float] = []
    while len(micro_batches) < MOST_TRIALS:
        micro_batches.append(_seconds(stepper, lambda: stepper.backward(batch, 1.0)))
        if len(micro_batches) >= LEAST_TRIALS and sum(micro_batches) >= TRIAL_SECONDS:
            break
    updates = [_seconds(stepper, stepper.optimizer.step) for _ in range(LEAST_TRIALS + 1)]
    stepper.optimizer.zero_grad(set_to_none=True)
    return Timing(
        micro_batch_seconds=sorted(micro_batches)[len(micro_batches) // 2],
        update_seconds=sorted(updates)[1],
    )


def _seconds(stepper: Stepper, action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    if stepper.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
