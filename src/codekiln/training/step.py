"""One optimiser step: micro-batches, clipping, the update; or nothing, if it is not finite."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from codekiln.parallel.model import ParallelModel
from codekiln.tokens.batch import Batch
from codekiln.training.optim import set_learning_rate
from codekiln.training.plan import Timing
from codekiln.training.spikes import NO_LIMITS, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step gave.

    Args:
        gradient_norm: of the whole gradient, before clipping.
        skipped: it left weights and averages as they were.
        spike: loss or norm was beyond the limits.
    """

    loss_nats_per_token: float
    gradient_norm: float
    skipped: bool
    spike: bool = False


class Stepper:
    """Model and optimiser, and how to move them by one step.

    Args:
        model: this rank's part of it.
        optimizer: over its parameters.
        gradient_clip: largest norm of the whole gradient; 0 means no clipping.
    """

    def __init__(
        self, model: ParallelModel, optimizer: torch.optim.Optimizer, *, gradient_clip: float
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.ranks = model.meshes.ranks
        self.gradient_clip = gradient_clip or math.inf

    def step(
        self,
        batches: Sequence[Batch],
        learning_rate: float,
        limits: Limits = NO_LIMITS,
        *,
        skip_spikes: bool = False,
    ) -> StepResult:
        """Learn from the micro-batches as from one batch: each target has the same weight.

        A loss or gradient that is not finite leaves weights and averages as they were.

        Args:
            batches: this rank's rows of each micro-batch.
            limits: beyond them a step is a spike.
            skip_spikes: leave weights and averages as they were then, too.
        """
        targets = self.model.targets(batches)
        (loss,) = self.ranks.sums(float(self.model.backward(batches, max(targets, 1.0))))
        norm = self.model.clip(self.gradient_clip)
        finite = math.isfinite(loss) and math.isfinite(norm)
        spike = finite and (loss > limits.loss or norm > limits.gradient_norm)
        skipped = not finite or (spike and skip_spikes)
        if not skipped:
            set_learning_rate(self.optimizer, learning_rate)
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return StepResult(
            loss_nats_per_token=loss, gradient_norm=norm, skipped=skipped, spike=spike
        )


TRIAL_SECONDS, LEAST_TRIALS, MOST_TRIALS = 2.0, 2, 20


def measure(stepper: Stepper, batch: Batch) -> Timing:
    """Time real steps; the weights are of no use afterwards.

    After one step to warm up, medians over about two seconds, but at least two micro-batches. Of
    several ranks the slowest counts. A pipeline is filled once, so that its idle time counts, too.
    """
    batches = [batch] * stepper.model.meshes.degrees.pipeline
    stepper.step(batches, 0.0)
    micro_batches: list[float] = []
    while len(micro_batches) < MOST_TRIALS:
        seconds = _seconds(stepper, lambda: stepper.model.backward(batches, 1.0))
        micro_batches.append(seconds / len(batches))
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
    if stepper.ranks.device.type == "cuda":
        torch.cuda.synchronize()
    (seconds,) = stepper.ranks.maxima(time.perf_counter() - started)
    return seconds
