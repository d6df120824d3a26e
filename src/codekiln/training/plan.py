"""What is decided once, before the first step, and never again: length, precision, threads.

A budget in minutes cannot be kept exactly and reproducibly at the same time: a learning rate
that follows the clock makes no two runs alike. So the clock is read before the first step only.
A trial of real steps on throwaway weights is timed, the number of steps is worked out from it
and fixed, the weights are made anew from the seed. From then on every step is a function of its
number, and a run that resumes takes the plan as it was written, on a slower machine too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from codekiln.errors import ShardError
from codekiln.training.batches import BatchSchedule
from codekiln.training.settings import TrainingSettings

MARKS = 10  # evaluations and checkpoints a run, where the recipe names no interval
LARGEST_INTERVAL = 1000  # steps, likewise
FORWARD_SHARE = 0.4  # of a training step's time: an evaluation of as many tokens
EVALUATION_SHARE = 0.25  # of a budget in minutes: more than this, and there are fewer evaluations


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Measured seconds: forward and backward of one micro-batch; one update of the weights."""

    micro_batch_seconds: float
    update_seconds: float

    def step_seconds(self, accumulation: int) -> float:
        """Seconds of one optimiser step."""
        return self.micro_batch_seconds * accumulation + self.update_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run's fixed quantities. `trial_seconds`: seconds a step, by precision, where measured."""

    total_steps: int
    tokens_per_step: int
    dtype: str
    threads: int
    checkpoint_every: int
    evaluate_every: int
    trial_seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def decide(
    settings: TrainingSettings,
    *,
    sequence_length: int,
    epoch_sequences: int,
    precisions: list[str],
    threads: int,
    batches: BatchSchedule,
    trial: Callable[[str], Timing],
    fastest: Callable[[dict[str, float]], str],
) -> Plan:
    """Fix a run's length and precision; `trial` is called only where something is to be measured.

    Args:
        batches: the sizes of its steps; `Plan.tokens_per_step` is that of the largest.

    Raises:
        ShardError: when the tokens do not fill one step.
    """
    sequences = settings.batch_size * settings.gradient_accumulation
    tokens_per_step = sequences * sequence_length
    if epoch_sequences < sequences:
        raise ShardError(
            "training tokens",
            got=f"{epoch_sequences} sequences of {sequence_length} tokens",
            wanted=f"at least one step of {sequences}",
            remedy=_smaller_step(settings, epoch_sequences),
        )
    seconds: dict[str, float] = {}
    if len(precisions) > 1 or settings.max_minutes:
        seconds = {
            dtype: trial(dtype).step_seconds(settings.gradient_accumulation) for dtype in precisions
        }
    dtype = fastest(seconds) if len(precisions) > 1 else precisions[0]
    micro_batch = settings.batch_size * sequence_length
    limits = [settings.steps, batches.steps(-(-settings.tokens // micro_batch))]
    marks, timed = MARKS, bool(settings.max_minutes)
    if timed:
        marks, steps = _in_time(settings, seconds[dtype], tokens_per_step)
        limits.append(batches.steps(steps * batches.largest))
    set_limits = [limit for limit in limits if limit]
    one_pass = batches.steps(epoch_sequences // settings.batch_size + 1) - 1
    total = max(min(set_limits) if set_limits else one_pass, 1)
    return Plan(
        total_steps=total,
        tokens_per_step=tokens_per_step,
        dtype=dtype,
        threads=threads,
        checkpoint_every=settings.checkpoint_every or _interval(total, MARKS),
        evaluate_every=settings.evaluate_every or _interval(total, marks, timed),
        trial_seconds=seconds,
    )


def _smaller_step(settings: TrainingSettings, epoch_sequences: int) -> str:
    """What to type where the tokens do not fill one step."""
    if not epoch_sequences:
        return "add repositories, or lower tokens.sequence_length (--set tokens.sequence_length=N)"
    size = epoch_sequences // settings.gradient_accumulation
    keys = f"--set training.batch_size={size or 1}"
    if not size:
        keys += " --set training.gradient_accumulation=1"
    return f"{keys}; or lower tokens.sequence_length, or add repositories"


def _interval(total_steps: int, marks: int, timed: bool = False) -> int:
    every = -(-total_steps // marks)
    return every if timed else min(every, LARGEST_INTERVAL)


def _in_time(
    settings: TrainingSettings, step_seconds: float, tokens_per_step: int
) -> tuple[int, int]:
    """Evaluations after the one at the start, and steps, that fit into `max_minutes`.

    Where the recipe fixes so many or so long evaluations that little is left, half of the time
    is training all the same.
    """
    budget = settings.max_minutes * 60
    read = settings.evaluate_tokens + settings.evaluate_fim_tokens * bool(settings.evaluate_tokens)
    evaluation = step_seconds * FORWARD_SHARE * read / tokens_per_step
    marks = MARKS
    if evaluation:
        marks = min(max(int(budget * EVALUATION_SHARE / evaluation) - 1, 1), MARKS)
    if settings.evaluate_every:
        steps = (budget - evaluation) / (step_seconds + evaluation / settings.evaluate_every)
    else:
        steps = (budget - (marks + 1) * evaluation) / step_seconds
    return marks, max(int(steps), int(budget / 2 / step_seconds), 1)
