"""The learning rate as a pure function of the step: nothing to save, nothing to restore.

Steps count from 0. The three stages are borders in tokens (DeepSeek-LLM §2.3: at 80% and 90% of
the training tokens). Where every step has the same number of tokens they are borders in steps;
where batches grow at first, a step counts as the share of a full one that it is: see `position`.

Source: DeepSeek-Coder §3.4 (2000 warm-up steps, three stages, each sqrt(1/10) of the one before);
DeepSeek-Coder-V2 §3.2 (cosine to 10%). Warm-up stable decay is ours, beyond the papers.
"""

from __future__ import annotations

import math

from codekiln.training.batches import BatchSchedule
from codekiln.training.settings import DecayShape, OptimizerSettings

LARGEST_WARMUP_SHARE = 0.1
ROUNDING = 1e-6  # of a step: 0.9 of 10 steps is 9 of them


def warmup_steps(settings: OptimizerSettings, total_steps: float) -> int:
    """Warm-up steps of a run of `total_steps`: as set, but never over a tenth of the run."""
    return min(settings.warmup_steps, int(total_steps * LARGEST_WARMUP_SHARE))


def position(batches: BatchSchedule, step: int) -> float:
    """Where a step begins, in steps of the full batch."""
    return batches.before(step) / batches.largest


def learning_rate(settings: OptimizerSettings, step: float, total_steps: float) -> float:
    """The learning rate of one step.

    Args:
        settings: the `[optimizer]` table.
        step: counted from 0, or `position`'s; the first step of a warm-up of n steps has 1/n of
            the maximum.
        total_steps: length of the whole run, fixed before its first step.
    """
    return settings.learning_rate * factor(settings, step, total_steps)


def factor(settings: OptimizerSettings, step: float, total_steps: float) -> float:
    """The learning rate of one step as a share of the largest."""
    warmup = warmup_steps(settings, total_steps)
    if step < warmup:
        return min((step + 1) / warmup, 1.0)  # steps of growing batches are no whole numbers
    if settings.schedule == "three_stage":
        return _three_stage(settings, step, total_steps)
    if settings.schedule == "warmup_stable_decay":
        start = total_steps - round(settings.decay_share * total_steps)
        return _decay(settings, settings.decay_shape, step, max(start, warmup), total_steps)
    if settings.schedule == "cosine":
        return _decay(settings, "cosine", step, warmup, total_steps)
    return 1.0


def _three_stage(settings: OptimizerSettings, step: float, total_steps: float) -> float:
    passed = sum(step >= border * total_steps - ROUNDING for border in settings.stage_borders)
    return settings.stage_factor**passed


def _decay(
    settings: OptimizerSettings, shape: DecayShape, step: float, start: float, total_steps: float
) -> float:
    """From 1 at `start` to the minimum at `total_steps`, which is one past the last step: with a
    minimum of 0 no step is spent at rate 0."""
    if step < start:
        return 1.0
    progress = min((step - start) / max(total_steps - start, 1), 1.0)
    left = {
        "linear": 1.0 - progress,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * progress)),
        "sqrt": 1.0 - math.sqrt(progress),
    }[shape]
    return settings.minimum_ratio + (1.0 - settings.minimum_ratio) * left
