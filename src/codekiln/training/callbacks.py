"""What a run tells those who measure its model on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from codekiln.models.causal import CausalLM
from codekiln.training.evaluate import HeldOutLoss


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPoint:
    """What a callback is told at each evaluation point."""

    step: int
    total_steps: int
    tokens: int
    directory: Path
    model: CausalLM
    held_out: HeldOutLoss | None


class Callback(Protocol):
    """Called at each evaluation point; what it returns joins that row of metrics.jsonl."""

    def __call__(self, point: EvaluationPoint) -> Mapping[str, float] | None:
        """Measure something; the model is in evaluation mode and must stay unchanged."""
        ...
