"""Which weights decay, and one AdamW step against the formula."""

from typing import Any

import pytest
import torch
from torch import nn

from codekiln.training.optim import build_optimizer, set_learning_rate
from codekiln.training.settings import OptimizerSettings


class Small(nn.Module):
    def __init__(self, *, tied: bool = False) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(5, 4)
        self.inner = nn.Linear(4, 4, bias=True)
        self.norm = nn.RMSNorm(4)
        self.head = nn.Linear(4, 5, bias=False)
        if tied:
            self.head.weight = self.embed_tokens.weight


def split(model: nn.Module, **settings: Any) -> tuple[set[str], set[str]]:
    """Names of what decays and of what does not, as the optimiser's groups have them."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed: set[str] = set()
    free: set[str] = set()
    for group in build_optimizer(model, OptimizerSettings(**settings)).param_groups:
        found = {names[id(parameter)] for parameter in group["params"]}
        (decayed if group["weight_decay"] else free).update(found)
    return decayed, free


def test_only_matrices_decay_and_no_embedding() -> None:
    decayed, free = split(Small())
    assert decayed == {"inner.weight", "head.weight"}
    assert free == {"embed_tokens.weight", "inner.bias", "norm.weight"}


def test_a_recipe_says_what_decays() -> None:
    decayed, free = split(Small(), decay=("embeddings", "norms"))
    assert decayed == {"embed_tokens.weight", "inner.bias", "norm.weight"}
    assert free == {"inner.weight", "head.weight"}


def test_a_tied_head_is_the_embedding() -> None:
    decayed, free = split(Small(tied=True))
    assert decayed == {"inner.weight"}
    assert "embed_tokens.weight" in free


def test_frozen_weights_are_left_out() -> None:
    model = Small()
    model.inner.weight.requires_grad_(False)
    decayed, _ = split(model)
    assert decayed == {"head.weight"}


def test_one_step_is_the_formula() -> None:
    torch.manual_seed(0)
    model = Small()
    settings = OptimizerSettings(betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
    optimizer = build_optimizer(model, settings)
    set_learning_rate(optimizer, 0.01)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        assert gradient is not None
        # first step: the corrected averages are the gradient and its square
        decay = 0.1 if name in ("inner.weight", "head.weight") else 0.0
        expected = before[name] * (1 - 0.01 * decay) - 0.01 * gradient / (gradient.abs() + 1e-8)
        torch.testing.assert_close(parameter.detach(), expected)


def test_a_token_that_never_occurs_keeps_its_row() -> None:
    model = Small()
    optimizer = build_optimizer(model, OptimizerSettings())
    row = model.embed_tokens.weight[3].detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        model.head(model.embed_tokens(torch.tensor([0, 1, 2]))).sum().backward()
        optimizer.step()
    assert torch.equal(model.embed_tokens.weight[3], row)
    assert not torch.equal(model.embed_tokens.weight[0], row)


@pytest.mark.parametrize("rate", [1e-3, 0.5])
def test_every_group_gets_the_rate(rate: float) -> None:
    optimizer = build_optimizer(Small(), OptimizerSettings())
    set_learning_rate(optimizer, rate)
    assert {group["lr"] for group in optimizer.param_groups} == {rate}
