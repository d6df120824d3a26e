"""What a run says of itself: rows of metrics.jsonl, TensorBoard, the console's line.

Every number of a row is worked out here from what a step gave; nothing of it moves a weight. Only
the rank that speaks for all writes.
"""

from __future__ import annotations

import math
import resource
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from codekiln.log import MetricsFile
from codekiln.models.config import ModelConfig
from codekiln.models.lora_settings import LoraSettings
from codekiln.parallel.world import Ranks
from codekiln.training.checkpoint import TrainingState
from codekiln.training.estimate import flops_per_token
from codekiln.training.expert_load import Counts, figures, shares
from codekiln.training.hardware import recognised
from codekiln.training.step import StepResult
from codekiln.training.tensorboard import TensorBoard, check

METRICS, TENSORBOARD = "metrics.jsonl", "tensorboard"
LAST_STEPS = 20  # whose speed tells the time left


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What a step's time is held against.

    Args:
        flops_per_token: of the model, forward and backward (`models/flops.py`).
        peak_flops: of all devices together, a second; None where nobody knows it.
        total_tokens: of the whole run.
    """

    flops_per_token: float
    peak_flops: float | None
    total_tokens: int


def speed_of(
    config: ModelConfig,
    sequence_length: int,
    ranks: Ranks,
    dtype: str,
    total_tokens: int,
    lora: LoraSettings,
) -> Speed:
    """A run's; the peak is known of GPUs that `hardware.py` has, for bfloat16."""
    known = None
    if ranks.device.type == "cuda" and dtype == "bfloat16":
        known = recognised(torch.cuda.get_device_name(ranks.device))
    return Speed(
        flops_per_token=flops_per_token(config, sequence_length, lora),
        peak_flops=known.peak_flops * ranks.size if known else None,
        total_tokens=total_tokens,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Of one step: its tokens, all its seconds, and those of them that the loader took."""

    tokens: int
    seconds: float
    loader_seconds: float


class Watch:
    """Keeps a run's metrics.

    Args:
        directory: the run's folder.
        speaks: whether this rank writes; the others' calls do nothing.
        tensorboard: whether TensorBoard's files are written, too.

    Raises:
        UserError: TensorBoard is wanted and not there.
    """

    def __init__(self, directory: Path, *, speaks: bool, tensorboard: bool) -> None:
        self._file, self._folder = MetricsFile(directory / METRICS), directory / TENSORBOARD
        self._speaks, self._wanted = speaks, tensorboard and speaks
        self._board: TensorBoard | None = None
        self._last: deque[StepTimes] = deque(maxlen=LAST_STEPS)
        self._load: Counts | None = None
        self._utilisation: float | None = None
        if self._wanted:
            check()

    def begin(self, step: int, speed: Speed) -> None:
        """Go on after `step`: rows of later ones, which a broken-off run left, are dropped."""
        self.speed = speed
        last = step if step else -1
        if self._speaks:
            self._file.truncate_after(last)
        if self._wanted:
            self._board = TensorBoard(self._folder, last + 1)

    def write(self, **values: Any) -> None:
        """One row as it is; it has a `step`."""
        if self._speaks:
            self._file.write(**values)
        if self._board is not None:
            self._board.write(values)

    def time(self, times: StepTimes) -> None:
        """Take note of a step's times; of each step."""
        self._last.append(times)
        flops = self.speed.flops_per_token * times.tokens / times.seconds
        self._utilisation = flops / self.speed.peak_flops if self.speed.peak_flops else None

    def step(
        self,
        state: TrainingState,
        result: StepResult,
        rate: float,
        device: torch.device,
        load: Counts | None,
    ) -> None:
        """The row of the step that was timed last.

        Args:
            state: after it.
            rate: its learning rate.
            load: [layers, experts], choices of experts since the last row, of all ranks; None
                without experts.
        """
        times = self._last[-1]
        if load is not None:
            self._load = load if self._load is None else self._load + load
        self.write(
            step=state.step,
            loss_nats_per_token=_finite(result.loss_nats_per_token),
            learning_rate=rate,
            gradient_norm=_finite(result.gradient_norm),
            tokens=state.tokens,
            tokens_per_second=times.tokens / times.seconds,
            mfu=self._utilisation,
            step_seconds=times.seconds,
            loader_seconds=times.loader_seconds,
            loader_share=times.loader_seconds / times.seconds,
            seconds_left=self.seconds_left(state.tokens),
            memory_peak_bytes=_memory_peak(device),
            skipped_steps=state.skipped_steps,
            spiked_steps=state.spiked_steps,
            **(figures(load) if load is not None else {}),
        )

    def load_shares(self) -> dict[str, list[list[float]]]:
        """`expert_load_shares`, [layers with experts, experts], since the last call; or nothing."""
        load, self._load = self._load, None
        return {} if load is None else {"expert_load_shares": shares(load)}

    def seconds_left(self, tokens: int) -> float:
        """Of training alone, at the speed of the last steps."""
        rate = sum(t.tokens for t in self._last) / sum(t.seconds for t in self._last)
        return max(self.speed.total_tokens - tokens, 0) / rate

    def note(self, step: str, result: StepResult, rate: float) -> str:
        """The end of the console's line, behind share, speed and time left."""
        parts = [step, f"loss {result.loss_nats_per_token:.3f}", f"rate {rate:.2e}"]
        if self._utilisation is not None:
            parts.append(f"MFU {self._utilisation:.1%}")
        return ", ".join(parts)

    def close(self) -> None:
        """Nothing comes any more."""
        if self._board is not None:
            self._board.close()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN


def _memory_peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts kilobytes
