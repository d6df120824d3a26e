"""What the parts of a model weigh: all numbers, those that learn, what the optimiser keeps.

Read off a model on the meta device, which takes no memory, so that it holds for any architecture,
with additions (`[lora]`) or without, and for any optimiser.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from codekiln.models.causal import build_model
from codekiln.models.config import ModelConfig
from codekiln.models.lora import add_adapters
from codekiln.models.lora_settings import LoraSettings
from codekiln.training.optim import takes_muon

EXPERTS = ".mlp.experts."


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Numbers of a part of a model.

    Args:
        weights: of all parameters.
        experts: of these, in the routed experts.
        learning: of the parameters that learn; `added` of them stand beside a matrix (LoRA).
        kept: that the optimiser keeps: two of each that learns, with Muon one of each in a
            layer's matrices.
        largest: of the largest parameter that Muon steps with, but for experts', and in those.
    """

    weights: int = 0
    experts: int = 0
    learning: int = 0
    added: int = 0
    kept: int = 0
    largest: int = 0
    largest_experts: int = 0

    def __add__(self, other: Held) -> Held:
        return Held(
            weights=self.weights + other.weights,
            experts=self.experts + other.experts,
            learning=self.learning + other.learning,
            added=self.added + other.added,
            kept=self.kept + other.kept,
            largest=max(self.largest, other.largest),
            largest_experts=max(self.largest_experts, other.largest_experts),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A whole model: its embeddings, each of its layers, its head; a tied head weighs nothing."""

    embeddings: Held
    layers: tuple[Held, ...]
    head: Held

    @property
    def all(self) -> Held:
        """The whole model."""
        return sum(self.layers, self.embeddings + self.head)


def parts(config: ModelConfig, lora: LoraSettings, optimizer: str) -> Parts:
    """What the parts of a model hold.

    Args:
        optimizer: its name in `[optimizer]`.
    """
    with torch.device("meta"):
        model = build_model(config)
    add_adapters(model, lora)
    embeddings, head = Held(), Held()
    layers = [Held() for _ in range(config.num_hidden_layers)]
    for name, parameter in model.named_parameters():  # a tied weight comes once
        held = _of(name, parameter, muon=optimizer == "muon")
        _, _, inside = name.partition("model.layers.")
        if inside:
            layers[int(inside.partition(".")[0])] += held
        elif "embed_tokens" in name:
            embeddings += held
        else:
            head += held
    return Parts(embeddings=embeddings, layers=tuple(layers), head=head)


def _of(name: str, parameter: nn.Parameter, *, muon: bool) -> Held:
    count, experts = parameter.numel(), EXPERTS in name
    learns = parameter.requires_grad
    stepped = learns and muon and takes_muon(name, parameter)
    return Held(
        weights=count,
        experts=count if experts else 0,
        learning=count if learns else 0,
        added=count if ".adapter." in name else 0,
        kept=count * (1 if stepped else 2) if learns else 0,
        largest=count if stepped and not experts else 0,
        largest_experts=count if stepped and experts else 0,
    )
