"""`[optimizer]` and `[training]` of a recipe. No torch here.

Source: DeepSeek-Coder §3.4 (AdamW, three-stage schedule); DeepSeek-Coder-V2 §3.2 (weight decay,
cosine). Open in the papers: the clip (1.0 here), eps (1e-8), the micro-batch.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from codekiln.recipe import Settings

Schedule = Literal["three_stage", "warmup_stable_decay", "cosine", "constant"]
DecayShape = Literal["linear", "cosine", "sqrt"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Beta = Annotated[float, Field(ge=0.0, lt=1.0)]


class OptimizerSettings(Settings):
    """`[optimizer]`: AdamW or Muon, and the learning rate over the steps."""

    name: Literal["adamw", "muon"] = Field(
        "adamw", description="muon: orthogonal steps for the layers' matrices, AdamW for the rest"
    )
    momentum: float = Field(0.95, ge=0, lt=1, description="muon: of the matrices")
    learning_rate: float = Field(5.3e-4, gt=0, le=10, description="the largest learning rate")
    betas: tuple[Beta, Beta] = Field((0.9, 0.95), description="AdamW's two averages")
    eps: float = Field(1e-8, gt=0, allow_inf_nan=False, description="AdamW's epsilon")
    weight_decay: float = Field(
        0.1,
        ge=0,
        allow_inf_nan=False,
        description="decoupled decay, of what `decay` names",
    )
    decay: tuple[Literal["matrices", "embeddings", "norms"], ...] = Field(
        ("matrices",), description="what decays: matrices (the head too), embeddings, norms"
    )
    gradient_clip: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description="largest norm of the whole gradient; 0 means no clipping",
    )
    z_loss: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="weight of the mean squared logarithm of the softmax's sum, in the gradient "
        "alone; 1e-4 where large models drift; 0: none",
    )
    batch_warmup_tokens: int = Field(
        0,
        ge=0,
        description="a step's micro-batches grow from 1 to training.gradient_accumulation over so "
        "many tokens; 0: all from the start",
    )
    schedule: Schedule = Field(
        "three_stage", description="three_stage, warmup_stable_decay, cosine or constant"
    )
    warmup_steps: int = Field(
        2000, ge=0, description="linear warm-up; never more than a tenth of the run"
    )
    stage_borders: tuple[Share, ...] = Field(
        (0.8, 0.9), description="three_stage: shares of the run at which the rate drops"
    )
    stage_factor: float = Field(
        math.sqrt(0.1), gt=0, le=1, description="three_stage: factor at each border"
    )
    decay_share: Share = Field(
        0.2, description="warmup_stable_decay: share of the run, at its end, that decays"
    )
    decay_shape: DecayShape = Field(
        "sqrt", description="warmup_stable_decay: linear, cosine or sqrt (1 - sqrt(progress))"
    )
    minimum_ratio: Share = Field(
        0.1, description="warmup_stable_decay, cosine: last learning rate over the largest"
    )

    @model_validator(mode="after")
    def _borders_rise(self) -> Self:
        if list(self.stage_borders) != sorted(self.stage_borders):
            raise ValueError(f"stage_borders must rise, not {list(self.stage_borders)}")
        return self


class TrainingSettings(Settings):
    """`[training]`: how long, how much at once, on what, and what is written on the way.

    The length is the smallest of the budgets that are set (`steps`, `tokens`, `max_minutes`);
    without any, one pass over the training tokens.
    """

    steps: int = Field(0, ge=0, description="optimiser steps; 0 means not limited by steps")
    tokens: int = Field(0, ge=0, description="training tokens; 0 means not limited by tokens")
    max_minutes: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="minutes of training; turned into a fixed number of steps by a measured "
        "trial before the first step; 0 means not limited by time",
    )
    batch_size: int = Field(8, ge=1, description="sequences in a micro-batch")
    gradient_accumulation: int = Field(1, ge=1, description="micro-batches in a step")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="of matrix products; weights stay float32. auto: bfloat16 where a measured "
        "trial finds it faster",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda if there is one")
    threads: int = Field(0, ge=0, description="CPU threads; 0 means one a core")
    attention: Literal["document", "full"] = Field(
        "document", description="document: none across packed documents; full: across them"
    )
    compile: bool = Field(False, description="torch.compile: faster steps, minutes to start")
    checkpoint_every: int = Field(
        0, ge=0, description="steps; 0 means ten times a run, at least every 1000 steps"
    )
    keep_checkpoints: int = Field(2, ge=1, description="how many of the newest are kept")
    keep_every: int = Field(
        0, ge=0, description="checkpoints of every so many steps are kept for good; 0: none"
    )
    evaluate_every: int = Field(
        0, ge=0, description="steps; 0 means ten times a run, at least every 1000 steps"
    )
    evaluate_tokens: int = Field(
        100_000, ge=0, description="held-out tokens an evaluation reads; 0 means no evaluation"
    )
    evaluate_fim_tokens: int = Field(
        20_000,
        ge=0,
        description="beside them, tokens of held-out files rearranged for infilling, for the loss "
        "on their middles; 0: none",
    )
    log_every: int = Field(1, ge=1, description="steps between rows of metrics.jsonl")
    tensorboard: bool = Field(
        False, description="metrics for TensorBoard too, in tensorboard/ (extra `tensorboard`)"
    )
    spike_factor: float = Field(
        8.0,
        ge=0,
        allow_inf_nan=False,
        description="a loss or gradient norm is a spike so many standard deviations above the "
        "median of the last steps (both robust, see spikes.py); 0: nothing is",
    )
    spike_window: int = Field(128, ge=8, description="these last steps")
    spike_action: Literal["report", "skip"] = Field(
        "report", description="what is done about a spike; skip: weights and averages stay"
    )
    max_skipped_steps: int = Field(
        10, ge=0, description="steps in a row that may be skipped: not finite, or spikes"
    )
