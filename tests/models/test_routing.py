"""Routing and the balance loss against computations in plain Python."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.models.moe import DeepseekV2ForCausalLM, MoE
from codekiln.models.moe_config import DeepseekV2Config
from codekiln.models.routing import Router, balance_loss, within_groups


def _router(shape: dict[str, Any], **changes: Any) -> Router:
    router = Router(DeepseekV2Config(**shape | changes))
    torch.nn.init.normal_(router.weight, generator=torch.Generator().manual_seed(1))
    return router


def _hidden(tokens: int = 40) -> torch.Tensor:
    return torch.randn(tokens, 32, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_the_best_experts_are_chosen_with_their_scores(shape: dict[str, Any]) -> None:
    router, hidden = _router(shape, routed_scaling_factor=2.5), _hidden()
    scores, experts, weights = router(hidden)
    for token in range(len(hidden)):
        logits = [float(row @ hidden[token]) for row in router.weight]
        total = sum(map(math.exp, logits))
        plain = [math.exp(logit) / total for logit in logits]
        assert scores[token].tolist() == pytest.approx(plain, rel=1e-4)
        best = sorted(range(8), key=lambda e: -plain[e])[:2]
        assert sorted(experts[token].tolist()) == sorted(best)
        for expert, weight in zip(experts[token].tolist(), weights[token].tolist(), strict=True):
            assert weight == pytest.approx(2.5 * plain[expert], rel=1e-4)


@torch.no_grad()
def test_normalised_weights_sum_to_one_and_are_not_scaled(shape: dict[str, Any]) -> None:
    _, _, weights = _router(shape, norm_topk_prob=True, routed_scaling_factor=16.0)(_hidden())
    assert weights.sum(-1).tolist() == pytest.approx([1.0] * 40)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_groups_against_sorting(data: st.DataObject) -> None:
    groups, size = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4))
    kept = data.draw(st.integers(1, groups))
    values = data.draw(st.permutations(range(1, groups * size + 1)))
    row = [value / 100 for value in values]
    found = within_groups(torch.tensor([row]), groups, kept)[0].tolist()
    best = sorted(range(groups), key=lambda g: -max(row[g * size : (g + 1) * size]))[:kept]
    wanted = [value if i // size in best else 0.0 for i, value in enumerate(row)]
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize("by_sequence", [True, False])
def test_balance_loss_by_hand(by_sequence: bool) -> None:
    batch, length, count, chosen = 3, 7, 5, 2
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(batch * length, count, generator=generator).softmax(-1)
    experts = torch.stack(
        [torch.randperm(count, generator=generator)[:chosen] for _ in range(batch * length)]
    )
    rows = [range(b * length, (b + 1) * length) for b in range(batch)]
    if not by_sequence:
        rows = [range(batch * length)]
    total = 0.0
    for row in rows:
        for expert in range(count):
            # f_i = N / (K T) * tokens that chose i; P_i = mean of its scores (equations 23 to 25)
            choices = sum(expert in experts[token].tolist() for token in row)
            share = count / (chosen * len(row)) * choices
            total += share * sum(scores[token, expert].item() for token in row) / len(row)
    found = balance_loss(scores, experts, batch, by_sequence=by_sequence)
    assert found.item() == pytest.approx(total / len(rows), rel=1e-5)


def test_an_even_load_costs_one_and_an_uneven_one_more() -> None:
    even = torch.full((8, 4), 0.25)
    each = torch.tensor([[0, 1], [2, 3]] * 4)
    assert balance_loss(even, each, 1, by_sequence=True).item() == pytest.approx(1.0)
    uneven = torch.tensor([[0.7, 0.2, 0.05, 0.05]] * 8)
    first = torch.tensor([[0, 1]] * 8)
    assert balance_loss(uneven, first, 1, by_sequence=True).item() == pytest.approx(1.8)


def _model(shape: dict[str, Any], **changes: Any) -> DeepseekV2ForCausalLM:
    config = DeepseekV2Config(**shape | changes)
    return DeepseekV2ForCausalLM(config, torch.Generator().manual_seed(5))


def test_the_balance_loss_counts_in_the_gradient_alone(shape: dict[str, Any]) -> None:
    tokens = torch.randint(0, 97, (2, 30), generator=torch.Generator().manual_seed(6))
    targets = tokens.roll(-1, 1)
    gradients, values = [], []
    for alpha in (0.0, 0.5):
        model = _model(shape, aux_loss_alpha=alpha).train()
        loss = model.loss(tokens, targets)
        loss.backward()
        values.append(loss.item())
        gradients.append(model.model.layers[1].mlp.gate.weight.grad)
    assert values[0] == pytest.approx(values[1], abs=1e-6)
    # the difference is alpha times the gradient of the loss itself
    model = _model(shape).train()
    block = model.model.layers[1].mlp
    inputs: list[torch.Tensor] = []
    block.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
    model.loss(tokens, targets)
    scores, experts, _ = block.gate(inputs[0].flatten(0, 1))
    balance_loss(scores, experts, 2, by_sequence=True).backward()
    wanted = 0.5 * block.gate.weight.grad
    assert torch.allclose(gradients[1] - gradients[0], wanted, atol=1e-6)
    assert wanted.abs().max() > 1e-4


def test_no_balance_loss_outside_training(shape: dict[str, Any]) -> None:
    gradients = []
    for alpha in (0.0, 0.5):
        block = MoE(DeepseekV2Config(**shape | {"aux_loss_alpha": alpha})).eval()
        generator = torch.Generator().manual_seed(7)
        for parameter in block.parameters():
            torch.nn.init.normal_(parameter, generator=generator)
        block(_hidden()[None]).sum().backward()
        gradients.append(block.gate.weight.grad)
    assert torch.equal(*gradients)


def test_descending_the_balance_loss_evens_the_load(shape: dict[str, Any]) -> None:
    router, hidden = _router(shape), _hidden(512)
    optimizer = torch.optim.Adam(router.parameters(), lr=0.02)

    def largest_load() -> float:
        _, experts, _ = router(hidden)
        return float(experts.flatten().bincount(minlength=8).max() / experts.numel() * 8)

    before = largest_load()
    for _ in range(100):
        scores, experts, _ = router(hidden)
        balance_loss(scores, experts, 1, by_sequence=True).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert largest_load() < 0.9 * before
