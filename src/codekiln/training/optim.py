"""AdamW with decoupled decay on matrices only.

Open in the papers: which weights decay. Here: every matrix that multiplies activations, the
head included. Not norms and biases. Not the embedding table: a token that a batch lacks has no
gradient, so decay alone would move its row, and rare tokens would shrink towards zero. A head
tied to the embedding is the embedding, hence not decayed either.
"""

from __future__ import annotations

import torch
from torch import nn

from codekiln.training.settings import OptimizerSettings


def build_optimizer(
    model: nn.Module, settings: OptimizerSettings, device: torch.device
) -> torch.optim.AdamW:
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
        fused=device.type in ("cpu", "cuda"),
    )


def split_parameters(
    model: nn.Module,
) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """Trainable parameters by name: those that decay, those that do not."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    decayed: dict[str, nn.Parameter] = {}
    free: dict[str, nn.Parameter] = {}
    for name, parameter in model.named_parameters():  # a tied weight comes once
        if parameter.requires_grad:
            decays = parameter.ndim >= 2 and id(parameter) not in tables
            (decayed if decays else free)[name] = parameter
    return decayed, free


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
