"""AdamW or Muon, with decoupled decay on matrices only.

Open in the papers: which weights decay. Here: every matrix that multiplies activations, the
head included. Not norms and biases. Not the embedding table: a token that a batch lacks has no
gradient, so decay alone would move its row, and rare tokens would shrink towards zero. A head
tied to the embedding is the embedding, hence not decayed either.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import nn

from codekiln.training.muon import Muon
from codekiln.training.settings import OptimizerSettings

EMBEDDINGS, ROUTER = "embed_tokens.weight", "mlp.gate.weight"
HALVES = "experts.gate_up_proj"  # two matrices, one above the other


class Parameters(Protocol):
    """What an optimiser needs of a model."""

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Name and parameter; a tied weight comes once."""
        ...


def build_optimizer(model: Parameters, settings: OptimizerSettings) -> torch.optim.AdamW:
    """AdamW, or Muon, over the model's parameters, decayed and not.

    The fused kernel is used on CPU and CUDA alike: one pass over the weights instead of several.
    """
    groups: dict[tuple[bool, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():  # a tied weight comes once
        if parameter.requires_grad:
            muon = settings.name == "muon" and takes_muon(name, parameter)
            key = (decays(name, parameter, settings), muon, name.endswith(HALVES))
            groups.setdefault(key, []).append(parameter)
    made: list[dict[str, Any]] = [
        {
            "params": parameters,
            "weight_decay": settings.weight_decay if decayed else 0.0,
            "muon": muon,
            "halves": halves,
        }
        for (decayed, muon, halves), parameters in groups.items()
    ]
    common: dict[str, Any] = {
        "lr": settings.learning_rate,
        "betas": settings.betas,
        "eps": settings.eps,
        "fused": True,
    }
    if settings.name == "muon":
        return Muon(made, momentum=settings.momentum, **common)
    return torch.optim.AdamW(made, **common)


def decays(name: str, parameter: nn.Parameter, settings: OptimizerSettings) -> bool:
    """Whether a parameter decays."""
    if parameter.ndim < 2:
        return "norms" in settings.decay
    return ("embeddings" if name.endswith(EMBEDDINGS) else "matrices") in settings.decay


def takes_muon(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is a layer's matrix; a router's rows are experts, not a map."""
    return parameter.ndim >= 2 and ".layers." in f".{name}" and not name.endswith(ROUTER)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
