"""Logits, losses and gradients against transformers' LlamaForCausalLM, in both directions."""

from pathlib import Path
from typing import Any

import pytest
import torch

from codekiln.models.dense import LlamaForCausalLM
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.positions import LinearScaling
from codekiln.models.weights import import_hf, load_model, save_model

transformers = pytest.importorskip("transformers")

SHAPE: dict[str, Any] = {
    "vocab_size": 311,
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "initializer_range": 0.1,  # logits of a few units, as a trained model has them
    "max_position_embeddings": 1024,
}
KINDS: dict[str, dict[str, Any]] = {
    "mha": {},
    "gqa": {"num_key_value_heads": 2},
    "mqa, wide heads": {"num_key_value_heads": 1, "head_dim": 32},
    "linear rope x4": {
        "num_key_value_heads": 2,
        "rope_theta": 100000.0,
        "rope_scaling": LinearScaling(factor=4.0),
    },
    "tied": {"tie_word_embeddings": True},
}
LIMIT = 1e-5


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def config(request: pytest.FixtureRequest) -> LlamaConfig:
    return LlamaConfig(**SHAPE | request.param)


def _ours(config: LlamaConfig) -> LlamaForCausalLM:
    model = LlamaForCausalLM(config)
    model.init_weights(torch.Generator().manual_seed(3))
    return model


def _tokens(batch: int = 2, length: int = 300) -> torch.Tensor:
    return torch.randint(0, 311, (batch, length), generator=torch.Generator().manual_seed(4))


def _report(record: Any, name: str, difference: float) -> None:
    record(name, f"{difference:.2e}")
    print(f"{name}: {difference:.2e}")


@torch.no_grad()
def test_ours_to_transformers(config: LlamaConfig, tmp_path: Path, record_property: Any) -> None:
    ours = _ours(config)
    save_model(ours, None, tmp_path / "m", max_shard_bytes=100_000)
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "m", output_loading_info=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    difference = (ours(_tokens()) - theirs(_tokens()).logits).abs().max().item()
    _report(record_property, "largest difference of a logit", difference)
    assert difference <= LIMIT


@torch.no_grad()
def test_transformers_to_ours_and_back(
    config: LlamaConfig, tmp_path: Path, record_property: Any
) -> None:
    torch.manual_seed(5)
    theirs = transformers.LlamaForCausalLM(_their_config(config)).eval()
    theirs.save_pretrained(tmp_path / "hf", max_shard_size="200KB")
    import_hf(tmp_path / "hf", tmp_path / "m")
    ours = load_model(tmp_path / "m")
    assert ours.config.rope_scaling == config.rope_scaling
    difference = (ours(_tokens()) - theirs(_tokens()).logits).abs().max().item()
    _report(record_property, "largest difference of a logit", difference)
    assert difference <= LIMIT
    save_model(ours, None, tmp_path / "back")
    again, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "back", output_loading_info=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    first, last = theirs.state_dict(), again.state_dict()
    assert first.keys() == last.keys()
    assert all(torch.equal(first[name], last[name]) for name in first)


def test_loss_and_gradients(config: LlamaConfig, record_property: Any) -> None:
    ours, theirs = _ours(config), _theirs(config)
    tokens, targets = _tokens(), _tokens().roll(-1, 1)
    targets[:, -40:] = -100
    loss = ours.loss(tokens, targets)
    loss.backward()
    expected = theirs(input_ids=tokens, labels=targets, shift_labels=targets).loss
    expected.backward()
    assert abs(loss.item() - expected.item()) <= 1e-5
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    worst = max(
        ((p.grad - gradients[name]).abs().max() / gradients[name].abs().max()).item()
        for name, p in ours.named_parameters()
    )
    _report(record_property, "largest relative difference of a gradient", worst)
    assert worst <= 2e-5


@torch.no_grad()
def test_packed_documents_equal_transformers_on_each_alone(config: LlamaConfig) -> None:
    ours, theirs, tokens = _ours(config), _theirs(config), _tokens(1, 120)
    lengths = (50, 1, 69)
    ids = torch.cat([torch.full((n,), i) for i, n in enumerate(lengths)])[None]
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    packed = ours(tokens, document_ids=ids, positions=positions).split(lengths, 1)
    for mine, piece in zip(packed, tokens.split(lengths, 1), strict=True):
        assert (mine - theirs(piece).logits).abs().max() <= LIMIT


@torch.no_grad()
def test_left_padding_equals_transformers(config: LlamaConfig) -> None:
    ours, theirs, tokens = _ours(config), _theirs(config), _tokens(2, 40)
    mask = torch.ones_like(tokens)
    mask[0, :13] = 0
    mine = ours(tokens, attention_mask=mask)
    places = (mask.cumsum(1) - 1).clamp(min=0)
    other = theirs(tokens, attention_mask=mask, position_ids=places).logits
    kept = mask.bool()
    assert (mine[kept] - other[kept]).abs().max() <= LIMIT


@torch.no_grad()
def test_bf16_is_no_further_from_fp32_than_transformers(config: LlamaConfig) -> None:
    ours, theirs, tokens = _ours(config), _theirs(config), _tokens()
    exact = ours(tokens)
    mine = (ours.bfloat16()(tokens) - exact).abs().mean()
    other = (theirs.bfloat16()(tokens).logits - exact).abs().mean()
    assert 0 < mine <= 1.1 * other


def _their_config(config: LlamaConfig) -> Any:
    values = config.to_hf()
    return transformers.LlamaConfig(
        **{k: v for k, v in values.items() if k not in ("architectures", "model_type")}
    )


def _theirs(config: LlamaConfig) -> Any:
    theirs = transformers.LlamaForCausalLM(_their_config(config)).eval()
    theirs.load_state_dict(_ours(config).state_dict())
    return theirs
