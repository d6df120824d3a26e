"""AdamW with decoupled decay on matrices only.

Open in the papers: which weights decay. Here: every matrix that multiplies activations, the
head included. Not norms and biases. Not the embedding table: a token that a batch lacks has no
gradient, so decay alone would move its row, and rare tokens would shrink towards zero. A head
tied to the embedding is the embedding, hence not decayed either.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import nn

from codekiln.training.settings import OptimizerSettings

EMBEDDINGS = "embed_tokens.weight"


class Parameters(Protocol):
    """What an optimiser needs of a model."""

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Name and parameter; a tied weight comes once."""
        ...


def build_optimizer(model: Parameters, settings: OptimizerSettings) -> torch.optim.AdamW:
    """AdamW over the model's parameters in two groups, decayed and not.

    The fused kernel is used on CPU and CUDA alike: one pass over the weights instead of several.
    """
    decayed, free = split_parameters(model)
    groups = [
        {"params": list(decayed.values()), "weight_decay": settings.weight_decay},
        {"params": list(free.values()), "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.eps,
        fused=True,
    )


def split_parameters(
    model: Parameters,
) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """Trainable parameters by name: those that decay, those that do not."""
    decayed: dict[str, nn.Parameter] = {}
    free: dict[str, nn.Parameter] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decays = parameter.ndim >= 2 and not name.endswith(EMBEDDINGS)
            (decayed if decays else free)[name] = parameter
    return decayed, free


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
