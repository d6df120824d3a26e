"""Logits, losses and gradients against transformers' DeepseekV2ForCausalLM, in both directions."""

from pathlib import Path
from typing import Any

import pytest
import torch

from codekiln.generation.cache import KVCache
from codekiln.models.moe import DeepseekV2ForCausalLM
from codekiln.models.moe_config import DeepseekV2Config
from codekiln.models.positions import YarnScaling
from codekiln.models.weights import import_hf, load_model, save_model

transformers = pytest.importorskip("transformers")

SHAPE: dict[str, Any] = {
    "vocab_size": 311,
    "hidden_size": 64,
    "intermediate_size": 176,
    "moe_intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 24,
    "qk_rope_head_dim": 16,
    "v_head_dim": 20,
    "n_routed_experts": 16,
    "n_shared_experts": 2,
    "num_experts_per_tok": 4,
    "first_k_dense_replace": 1,
    "initializer_range": 0.1,  # logits of a few units, as a trained model has them
    "max_position_embeddings": 163840,
}
GROUPED: dict[str, Any] = {
    "topk_method": "group_limited_greedy",
    "n_group": 4,
    "topk_group": 2,
    "routed_scaling_factor": 16.0,
}
YARN: dict[str, Any] = {"factor": 40.0, "original_max_position_embeddings": 4096}
KINDS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "compressed queries": {"q_lora_rank": 40},
    "grouped": GROUPED,
    "grouped, compressed queries": {**GROUPED, "q_lora_rank": 40},
    "yarn, both mscales": {"rope_scaling": YarnScaling(**YARN, mscale=0.707, mscale_all_dim=0.707)},
    "yarn, plain": {"rope_scaling": YarnScaling(**YARN)},
    "yarn, mscales differ": {"rope_scaling": YarnScaling(**YARN, mscale=0.7, mscale_all_dim=1.0)},
    "yarn, mscale alone": {"rope_scaling": YarnScaling(**YARN, mscale=0.5)},
    "yarn, grouped, compressed queries": {
        **GROUPED,
        "q_lora_rank": 40,
        "rope_scaling": YarnScaling(**YARN, mscale=1.0, mscale_all_dim=1.0),
    },
    "no shared experts' room, tied": {"n_shared_experts": 1, "tie_word_embeddings": True},
}
LIMIT = 1e-4


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def config(request: pytest.FixtureRequest) -> DeepseekV2Config:
    return DeepseekV2Config(**SHAPE | request.param)


def _ours(config: DeepseekV2Config) -> DeepseekV2ForCausalLM:
    model = DeepseekV2ForCausalLM(config)
    model.init_weights(torch.Generator().manual_seed(3))
    return model


def _tokens(batch: int = 2, length: int = 300) -> torch.Tensor:
    return torch.randint(0, 311, (batch, length), generator=torch.Generator().manual_seed(4))


def _report(record: Any, name: str, difference: float) -> None:
    record(name, f"{difference:.2e}")
    print(f"{name}: {difference:.2e}")


@torch.no_grad()
@pytest.mark.parametrize("first", [0, 4000, 40000])
def test_ours_to_transformers(
    config: DeepseekV2Config, first: int, tmp_path: Path, record_property: Any
) -> None:
    ours = _ours(config).eval()
    save_model(ours, None, tmp_path / "m", max_shard_bytes=100_000)
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "m", output_loading_info=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert type(theirs).__name__ == "DeepseekV2ForCausalLM"
    positions = torch.arange(first, first + 300).expand(2, -1)
    mine = ours(_tokens(), positions=positions)
    difference = (mine - theirs(_tokens(), position_ids=positions).logits).abs().max().item()
    _report(record_property, f"largest difference of a logit from position {first}", difference)
    assert difference <= LIMIT
    assert mine.std() > 0.5  # something to tell apart


@torch.no_grad()
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["yarn, both mscales", "yarn, plain"])
def test_a_sequence_of_4096_tokens(kind: str, record_property: Any) -> None:
    config = DeepseekV2Config(**SHAPE | KINDS[kind])
    ours, theirs, tokens = _ours(config).eval(), _theirs(config), _tokens(1, 4096)
    difference = (ours(tokens) - theirs(tokens).logits).abs().max().item()
    _report(record_property, "largest difference of a logit in 4096 tokens", difference)
    assert difference <= LIMIT


@torch.no_grad()
def test_transformers_to_ours_and_back(
    config: DeepseekV2Config, tmp_path: Path, record_property: Any
) -> None:
    torch.manual_seed(5)
    theirs = transformers.DeepseekV2ForCausalLM(_their_config(config)).eval()
    theirs.save_pretrained(tmp_path / "hf", max_shard_size="100KB")
    import_hf(tmp_path / "hf", tmp_path / "m")
    ours = load_model(tmp_path / "m").eval()
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


def test_loss_and_gradients(config: DeepseekV2Config, record_property: Any) -> None:
    ours, theirs = _ours(config).eval(), _theirs(config)  # eval: without the balance loss
    tokens, targets = _tokens(), _tokens().roll(-1, 1)
    targets[:, -40:] = -100
    loss = ours.loss(tokens, targets)
    loss.backward()
    expected = theirs(input_ids=tokens, labels=targets, shift_labels=targets).loss
    expected.backward()
    assert abs(loss.item() - expected.item()) <= 1e-5
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    assert gradients.keys() == {name for name, _ in ours.named_parameters()}
    worst = max(
        ((p.grad - gradients[name]).abs().max() / gradients[name].abs().max()).item()
        for name, p in ours.named_parameters()
    )
    _report(record_property, "largest relative difference of a gradient", worst)
    assert worst <= 1e-4


@torch.no_grad()
def test_packed_documents_equal_transformers_on_each_alone(config: DeepseekV2Config) -> None:
    ours, theirs, tokens = _ours(config).eval(), _theirs(config), _tokens(1, 120)
    lengths = (50, 1, 69)
    ids = torch.cat([torch.full((n,), i) for i, n in enumerate(lengths)])[None]
    positions = torch.cat([torch.arange(n) for n in lengths])[None]
    packed = ours(tokens, document_ids=ids, positions=positions).split(lengths, 1)
    for mine, piece in zip(packed, tokens.split(lengths, 1), strict=True):
        assert (mine - theirs(piece).logits).abs().max() <= LIMIT


@torch.no_grad()
@pytest.mark.parametrize("chunks", [(300,), (100, 1, 1, 70, 1, 127), (1,) * 40 + (260,)])
def test_cached_equals_full(config: DeepseekV2Config, chunks: tuple[int, ...]) -> None:
    ours, tokens = _ours(config).eval(), _tokens()
    cache = KVCache(config.num_hidden_layers, 512)
    pieces = [ours(piece, cache=cache) for piece in tokens.split(chunks, 1)]
    assert (torch.cat(pieces, 1) - ours(tokens)).abs().max() <= LIMIT


@torch.no_grad()
def test_greedy_continuation_of_200_tokens(config: DeepseekV2Config) -> None:
    ours, theirs, prompt = _ours(config).eval(), _theirs(config), _tokens(1, 30)
    wanted = theirs.generate(
        prompt, max_new_tokens=200, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    cache, piece, chosen = KVCache(config.num_hidden_layers, 512), prompt, [prompt]
    for _ in range(200):
        piece = ours(piece, cache=cache, last_only=True).argmax(-1)
        chosen.append(piece)
    assert torch.equal(torch.cat(chosen, 1), wanted)


@torch.no_grad()
def test_bf16_is_no_further_from_fp32_than_transformers(config: DeepseekV2Config) -> None:
    ours, theirs, tokens = _ours(config).eval(), _theirs(config), _tokens()
    exact = ours(tokens)
    mine = (ours.bfloat16()(tokens) - exact).abs().mean()
    other = (theirs.bfloat16()(tokens).logits - exact).abs().mean()
    assert 0 < mine <= 1.1 * other


def _their_config(config: DeepseekV2Config) -> Any:
    values = config.to_hf()
    return transformers.DeepseekV2Config(
        **{k: v for k, v in values.items() if k not in ("architectures", "model_type")}
    )


def _theirs(config: DeepseekV2Config) -> Any:
    theirs = transformers.DeepseekV2ForCausalLM(_their_config(config)).eval()
    theirs.load_state_dict(_ours(config).state_dict())
    return theirs
