"""The decoder against itself: documents, caches, padding, first weights, precision."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from codekiln.models.dense import LlamaForCausalLM
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.loss import CHUNK_TOKENS, cross_entropy


class GrowingCache:
    """The cache protocol in its simplest form: concatenation."""

    def __init__(self) -> None:
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}
        self.length = 0

    def update(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        if layer in self.kept:
            before = self.kept[layer]
            keys, values = torch.cat((before[0], keys), 2), torch.cat((before[1], values), 2)
        self.kept[layer] = (keys, values)
        if layer == 1:  # the last layer of the model below
            self.length = keys.shape[2]
        return keys, values


def _model(kv_heads: int = 2, **changes: object) -> LlamaForCausalLM:
    values = {"vocab_size": 61, "hidden_size": 32, "intermediate_size": 48}
    values |= {"num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.3}
    model = LlamaForCausalLM(LlamaConfig(**values | {"num_key_value_heads": kv_heads} | changes))
    model.init_weights(torch.Generator().manual_seed(1))
    return model


def _tokens(*shape: int) -> Tensor:
    return torch.randint(0, 61, shape, generator=torch.Generator().manual_seed(2))


@pytest.fixture(params=[4, 1], ids=["mha", "gqa"])
def model(request: pytest.FixtureRequest) -> LlamaForCausalLM:
    return _model(request.param)


def test_a_later_token_changes_nothing_before_it(model: LlamaForCausalLM) -> None:
    tokens = _tokens(1, 9)
    changed = tokens.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 61
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


@pytest.mark.parametrize("pieces", [[1] * 12, [5, 1, 4, 2], [12], [11, 1]])
def test_cached_decoding_equals_the_whole_pass(model: LlamaForCausalLM, pieces: list[int]) -> None:
    tokens = _tokens(2, 12)
    whole = model(tokens)
    cache = GrowingCache()
    out = [model(piece, cache=cache) for piece in tokens.split(pieces, dim=1)]
    assert cache.length == 12
    torch.testing.assert_close(torch.cat(out, 1), whole, atol=1e-5, rtol=1e-5)


def test_last_only_gives_the_last_token(model: LlamaForCausalLM) -> None:
    tokens = _tokens(2, 7)
    last = model(tokens, last_only=True)
    assert last.shape == (2, 1, 61)
    torch.testing.assert_close(last, model(tokens)[:, -1:], atol=1e-6, rtol=1e-6)


IDS = torch.tensor([[7, 7, 7, 7, 2, 9, 9, 9, 9, 9], [3, 3, 4, 4, 4, 4, 4, 4, 4, 4]])
PARTS = [(0, 0, 4), (0, 4, 5), (0, 5, 10), (1, 0, 2), (1, 2, 10)]


def test_packed_documents_equal_each_alone(model: LlamaForCausalLM) -> None:
    tokens = _tokens(2, 10)
    positions = torch.tensor([[*range(4), 0, *range(5)], [*range(2), *range(8)]])
    packed = model(tokens, document_ids=IDS, positions=positions)
    for row, start, end in PARTS:
        alone = model(tokens[row : row + 1, start:end])
        torch.testing.assert_close(packed[row : row + 1, start:end], alone, atol=1e-5, rtol=1e-5)


def test_gradients_of_packed_documents_equal_the_sum_of_each_alone() -> None:
    model, tokens = _model(), _tokens(2, 10)
    targets = tokens.roll(-1, 1)
    model.loss(tokens, targets, document_ids=IDS).backward()
    packed = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    for row, start, end in PARTS:
        # positions go on within a row here: rotary attention knows only differences
        piece = (tokens[row : row + 1, start:end], targets[row : row + 1, start:end])
        (model.loss(*piece) * (end - start) / 20).backward()
    for ours, parameter in zip(packed, model.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad, atol=1e-5, rtol=1e-4)


def test_document_ids_of_one_document_change_nothing(model: LlamaForCausalLM) -> None:
    tokens = _tokens(2, 8)
    ids = torch.tensor([[1], [2]]).expand(2, 8)
    assert torch.equal(model(tokens, document_ids=ids), model(tokens))


def test_neighbouring_rows_with_the_same_document_id_stay_apart() -> None:
    model, tokens = _model(), _tokens(2, 6)
    ids = torch.tensor([[0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 2, 2]])
    together = model(tokens, document_ids=ids)
    alone = model(tokens[1:], document_ids=ids[1:])
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-5)


def test_left_padding_changes_nothing_for_the_rest(model: LlamaForCausalLM) -> None:
    tokens = _tokens(2, 9)
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[0, :4] = 0
    padded = model(tokens, attention_mask=mask)
    assert torch.isfinite(padded).all()
    torch.testing.assert_close(padded[:1, 4:], model(tokens[:1, 4:]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(padded[1:], model(tokens[1:]), atol=1e-5, rtol=1e-5)


def test_left_padding_with_a_cache(model: LlamaForCausalLM) -> None:
    tokens = _tokens(2, 9)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[0, :3] = False
    cache = GrowingCache()
    first = model(tokens[:, :6], attention_mask=mask[:, :6], cache=cache)
    second = model(tokens[:, 6:8], attention_mask=mask[:, :8], cache=cache)
    third = model(tokens[:, 8:], attention_mask=mask, cache=cache)
    ours = torch.cat((first, second, third), 1)[:1, 3:]
    torch.testing.assert_close(ours, model(tokens[:1, 3:]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [(2, 8), (3, 9), (1, 9)])
def test_a_mask_of_another_shape_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="attention_mask"):
        _model()(_tokens(2, 9), attention_mask=torch.ones(shape))


def test_documents_do_not_go_with_a_mask() -> None:
    ids = torch.zeros(2, 9, dtype=torch.long)
    with pytest.raises(ValueError, match="document_ids"):
        _model()(_tokens(2, 9), document_ids=ids, attention_mask=torch.ones(2, 9))


def test_loss_is_the_mean_over_targets_that_count() -> None:
    model, tokens = _model(), _tokens(2, 9)
    targets = tokens.roll(-1, 1)
    targets[:, -1] = -100
    logits = model(tokens)
    expected = -torch.stack(
        [logits[b, i].log_softmax(-1)[targets[b, i]] for b in range(2) for i in range(8)]
    ).mean()
    torch.testing.assert_close(model.loss(tokens, targets), expected, atol=1e-5, rtol=1e-5)


def test_a_model_that_generated_first_can_be_trained() -> None:
    model, tokens = _model(), _tokens(1, 6)
    with torch.inference_mode():
        model(tokens)
    model.loss(tokens, tokens.roll(-1, 1)).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_tied_weights_are_one_parameter_with_both_gradients() -> None:
    model = _model(tie_word_embeddings=True)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    tokens = _tokens(1, 6)
    model.loss(tokens, tokens.roll(-1, 1)).backward()
    plain = torch.nn.functional.cross_entropy(model(tokens)[0], tokens.roll(-1, 1)[0])
    (expected,) = torch.autograd.grad(plain, [model.lm_head.weight])
    torch.testing.assert_close(model.lm_head.weight.grad, expected, atol=1e-5, rtol=1e-4)


def test_first_weights_follow_from_the_generator() -> None:
    first, second, other = (_model() for _ in range(3))
    other.init_weights(torch.Generator().manual_seed(5))
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(first.lm_head.weight, other.lm_head.weight)
    assert abs(first.lm_head.weight.std().item() / 0.3 - 1) < 0.1
    assert torch.equal(first.model.norm.weight, torch.ones(32))


def test_autocast_is_near_fp32_and_gives_fp32_gradients() -> None:
    model, tokens = _model(initializer_range=0.1), _tokens(2, 32)
    targets = tokens.roll(-1, 1)
    exact = model.loss(tokens, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        narrow = model.loss(tokens, targets)
    narrow.backward()
    assert narrow.dtype == torch.float32
    assert abs(narrow.item() - exact.item()) < 0.02
    assert {p.grad.dtype for p in model.parameters()} == {torch.float32}


def test_a_bf16_model_is_near_its_fp32_self() -> None:
    model, tokens = _model(initializer_range=0.1), _tokens(1, 32)
    exact = model(tokens)
    narrow = model.bfloat16()(tokens)
    assert narrow.dtype == torch.bfloat16
    assert (narrow - exact).abs().max() < 0.05 * exact.abs().max()


def test_compiled_expressions_equal_the_lean_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = _model(), _tokens(2, 9)
    lean = model(tokens)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(model(tokens), lean, atol=1e-5, rtol=1e-5)


def test_documents_by_mask_equal_documents_one_by_one() -> None:
    """What CUDA in fp32 uses, on the CPU."""
    from codekiln.models.attention import Visibility, attend, document_mask, visibility

    torch.manual_seed(0)
    query, key = torch.randn(2, 4, 10, 8), torch.randn(2, 2, 10, 8)
    seen = visibility(2, 10, 0, device=key.device, dtype=key.dtype, document_ids=IDS)
    masked = Visibility(causal=False, mask=document_mask(IDS))
    torch.testing.assert_close(
        attend(query, key, key, seen), attend(query, key, key, masked), atol=1e-6, rtol=1e-5
    )


@pytest.mark.parametrize("tokens", [40, 2 * CHUNK_TOKENS["cpu"] + 7])
def test_z_loss_joins_the_gradient_and_not_the_loss(tokens: int) -> None:
    generator = torch.Generator().manual_seed(11)
    hidden = torch.randn(tokens, 16, generator=generator, requires_grad=True)
    weight = torch.randn(97, 16, generator=generator, requires_grad=True)
    targets = torch.randint(0, 97, (tokens,), generator=generator)
    targets[::5] = -100
    loss = cross_entropy(hidden, weight, targets, torch.float32, z_loss=0.1)
    loss.backward()
    ours = hidden.grad.clone(), weight.grad.clone()  # type: ignore[union-attr]
    hidden.grad = weight.grad = None
    logits = hidden @ weight.T
    plain = F.cross_entropy(logits, targets)
    kept = targets != -100
    (plain + 0.1 * logits.logsumexp(-1)[kept].square().mean()).backward()
    assert loss.item() == pytest.approx(plain.item(), rel=1e-6)
    torch.testing.assert_close(ours[0], hidden.grad, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours[1], weight.grad, atol=1e-6, rtol=1e-5)
