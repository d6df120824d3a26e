"""Orthogonal steps against a singular value decomposition and PyTorch's own Muon."""

import math

import pytest
import torch
from torch import nn

from codekiln.training.muon import Muon, orthogonal
from codekiln.training.optim import build_optimizer
from codekiln.training.settings import OptimizerSettings


@pytest.mark.parametrize("shape", [(24, 24), (16, 40), (40, 16), (3, 16, 24)])
def test_the_step_has_the_svds_directions(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonal(matrices)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    inner = left.mT @ found @ right.mT  # nearly diagonal, and the diagonal nearly 1
    diagonal = inner.diagonal(dim1=-2, dim2=-1)
    assert ((diagonal > 0.6) & (diagonal < 1.3)).all()
    assert (inner - torch.diag_embed(diagonal)).abs().max() < 1e-3


def test_one_step_is_pytorchs() -> None:
    generator = torch.Generator().manual_seed(1)
    ours, theirs = (nn.Parameter(torch.ones(20, 30)) for _ in range(2))
    group = {"params": [ours], "weight_decay": 0.1, "muon": True, "halves": False}
    mine = Muon([group], momentum=0.95, lr=0.01)
    peer = torch.optim.Muon(
        [theirs], lr=0.01, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    for _ in range(4):
        gradient = torch.randn(20, 30, generator=generator)
        for parameter, optimizer in ((ours, mine), (theirs, peer)):
            parameter.grad = gradient.clone()
            optimizer.step()
    # theirs computes in bfloat16
    assert (ours - theirs).abs().max() < 0.02 * 0.01 * 0.2 * math.sqrt(30) * 4
    assert (ours - 1).abs().max() > 0.01


def test_halves_are_two_matrices() -> None:
    gradient = torch.randn(3, 16, 20, generator=torch.Generator().manual_seed(2))
    whole, upper, lower = (nn.Parameter(torch.zeros(3, n, 20)) for n in (16, 8, 8))
    for parameter, part, halves in (
        (whole, gradient, True),
        (upper, gradient[:, :8], False),
        (lower, gradient[:, 8:], False),
    ):
        group = {"params": [parameter], "weight_decay": 0.0, "muon": True, "halves": halves}
        optimizer = Muon([group], momentum=0.9, lr=0.1)
        parameter.grad = part.clone()
        optimizer.step()
    assert torch.allclose(whole, torch.cat((upper, lower), 1), atol=1e-6)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(9, 4)
        layer = nn.Module()
        layer.up_proj = nn.Linear(4, 6, bias=False)
        layer.norm = nn.RMSNorm(4)
        layer.mlp = nn.Module()
        layer.mlp.gate = nn.Linear(4, 3, bias=False)
        self.layers = nn.ModuleList([layer])
        self.lm_head = nn.Linear(4, 9, bias=False)


def test_layers_matrices_take_it_and_nothing_else() -> None:
    model = Model()
    optimizer = build_optimizer(model, OptimizerSettings(name="muon"))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    taken = [
        names[id(parameter)]
        for group in optimizer.param_groups
        if group["muon"]
        for parameter in group["params"]
    ]
    assert taken == ["layers.0.up_proj.weight"]
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    kept = {tuple(sorted(state)) for state in optimizer.state.values()}
    assert kept == {("momentum",), ("exp_avg", "exp_avg_sq", "step")}
