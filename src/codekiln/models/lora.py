"""Narrow additions to matrices, learnt while the matrices stay as they are.

A `Linear` with an adapter gives W x + scale up(down x). `up` begins at zero: nothing changes before
the first step. Merged, the additions are part of W, and the model is one like any other.

Source: Hu et al. 2021 (LoRA).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from codekiln.models.causal import CausalLM, own_generator
from codekiln.models.layers import Adapter, Linear
from codekiln.models.lora_settings import LoraSettings

Weights = Callable[[str, torch.Size], Tensor]
OUTSIDE = ("embed_tokens.weight", "lm_head.weight")


def add_adapters(model: CausalLM, settings: LoraSettings) -> None:
    """Give the named matrices adapters, on the model's device; everything else stays as it is."""
    if not settings.rank:
        return
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(settings.embeddings and name.endswith(OUTSIDE))
    for name, module in model.named_modules():
        if isinstance(module, Linear) and name.rpartition(".")[2] in settings.targets:
            with module.weight.device:
                module.adapter = Adapter(module, settings.rank, settings.alpha / settings.rank)


def first_adapters(weights: Weights, seed: int) -> Weights:
    """`weights`, and first values of adapters: `down` normal, one over the root of its width."""

    def read(name: str, shape: torch.Size) -> Tensor:
        if name.endswith(".adapter.up"):
            return torch.zeros(shape)
        if name.endswith(".adapter.down"):
            return torch.randn(shape, generator=own_generator(seed, name)) * shape[1] ** -0.5
        return weights(name, shape)

    return read


@torch.no_grad()
def merge(model: CausalLM) -> CausalLM:
    """Add the adapters to their matrices, in place; the model."""
    for module in model.modules():
        if isinstance(module, Linear) and module.adapter is not None:
            module.weight += module.adapter.scale * (module.adapter.up @ module.adapter.down)
            module.adapter = None
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def has_adapters(model: nn.Module) -> bool:
    """Whether any matrix has one."""
    return any(isinstance(module, Adapter) for module in model.modules())
