from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch

from codekiln.errors import CheckpointError, PromptError
from codekiln.generation.engine import LOCKSTEP_TOKENS, PREFILL_TOKENS, Engine
from codekiln.generation.sample import Sampling
from codekiln.models.dense import LlamaForCausalLM

GREEDY = Sampling(max_new_tokens=24)


def prompts(tokenizer, count: int, longest: int = 150) -> list[list[int]]:
    """Prompts of random text ids and very different lengths."""
    generator = torch.Generator().manual_seed(3)
    lengths = torch.randint(1, longest, (count,), generator=generator).tolist()
    return [
        [tokenizer.special.bos, *torch.randint(0, 340, (n,), generator=generator).tolist()]
        for n in lengths
    ]


def naive_greedy(model, ids: list[int], count: int, ends: set[int]) -> list[int]:
    """No cache, the whole sequence at every step."""
    made: list[int] = []
    with torch.no_grad():
        while len(made) < count and not (made and made[-1] in ends):
            logits = model(torch.tensor([ids + made]))
            made.append(int(logits[0, -1].argmax()))
    return made


def test_greedy_equals_a_loop_without_a_cache(tiny_engine, tiny_model, tiny_tokenizer):
    special = tiny_tokenizer.special
    ends = {special.eos, special.bos, special.eot, special.fim_begin, special.fim_hole}
    ends |= {special.fim_end, special.pad, special.user, special.assistant}
    for ids in prompts(tiny_tokenizer, 6):
        result = tiny_engine.complete(ids, GREEDY)
        wanted = naive_greedy(tiny_model, ids, 24, ends)
        assert [choice.token for choice in result.choices] == wanted
        assert result.tokens == len(wanted)
        assert result.prompt_tokens == len(ids)


def test_greedy_equals_transformers_generate(tiny_engine, tiny_model_folder, tiny_tokenizer):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.LlamaForCausalLM.from_pretrained(tiny_model_folder)
    ends = sorted(tiny_engine._ends)
    for ids in prompts(tiny_tokenizer, 6):
        out = theirs.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.int64),
            max_new_tokens=24,
            do_sample=False,
            eos_token_id=ends,
            pad_token_id=tiny_tokenizer.special.pad,
        )
        result = tiny_engine.complete(ids, GREEDY)
        assert [choice.token for choice in result.choices] == out[0, len(ids) :].tolist()


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_a_batch_gives_what_single_requests_give(tiny_engine, tiny_tokenizer, batch_size):
    many = prompts(tiny_tokenizer, 13)
    lengths = sorted(map(len, many))
    assert lengths[-1] - lengths[0] > LOCKSTEP_TOKENS  # several groups
    assert lengths[1] != lengths[2]  # and unequal lengths inside a group
    single = [tiny_engine.complete(ids, GREEDY) for ids in many]
    assert tiny_engine.complete_batch(many, GREEDY, batch_size=batch_size) == single
    assert len({result.finish_reason for result in single}) == 2  # some end early


def test_a_batch_with_settings_of_its_own_for_each_prompt(tiny_engine, tiny_tokenizer):
    many = prompts(tiny_tokenizer, 6, longest=20)
    settings = [
        Sampling(temperature=0.9, seed=i, max_new_tokens=5 + 3 * i, stop=("e",)) for i in range(6)
    ]
    single = [tiny_engine.complete(*pair) for pair in zip(many, settings, strict=True)]
    assert tiny_engine.complete_batch(many, settings) == single
    assert tiny_engine.complete_batch([], GREEDY) == []


def test_a_prompt_read_in_chunks_gives_the_same(tiny_model, tiny_tokenizer):
    config = replace(tiny_model.config, max_position_embeddings=2 * PREFILL_TOKENS + 200)
    model = LlamaForCausalLM(config)
    model.load_state_dict(tiny_model.state_dict())
    engine = Engine(model, tiny_tokenizer)
    ids = [7, 8, 9, 10] * (PREFILL_TOKENS // 2) + [11, 12]
    pieces = list(engine.generate(ids, Sampling(max_new_tokens=8)))
    assert [piece.tokens for piece in pieces[:2]] == [0, 0]  # cancellable while it reads
    made = [piece.choice.token for piece in pieces if piece.choice]
    assert made == naive_greedy(model, ids, 8, set(engine._ends))


def test_the_pieces_are_the_text_and_every_one_is_valid(tiny_engine, tiny_tokenizer):
    ids = tiny_tokenizer.encode('NAMES = {"é": "日本", ')
    for seed in range(5):
        settings = Sampling(temperature=1.5, seed=seed, max_new_tokens=80, logprobs=0)
        pieces = list(tiny_engine.generate(ids, settings))
        result = tiny_engine.complete(ids, settings)
        assert "".join(piece.text for piece in pieces) == result.text
        assert sum(piece.tokens for piece in pieces) == result.tokens
        assert [piece.finish_reason for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
        data = b"".join(tiny_tokenizer.token_bytes(choice.token) for choice in result.choices)
        assert result.text.rstrip("\ufffd") == data.decode("utf-8", "replace").rstrip("\ufffd")


def biased(token: int, count: int, **values) -> Sampling:
    return Sampling(max_new_tokens=count, logit_bias=((token, 1000.0),), **values)


def test_a_stop_string_ends_the_text_before_it(tiny_engine, tiny_tokenizer):
    ids = [tiny_tokenizer.special.bos]
    free = tiny_engine.complete(ids, Sampling(temperature=1.0, seed=4, max_new_tokens=60))
    stop = free.text[20:23]
    cut = tiny_engine.complete(
        ids, Sampling(temperature=1.0, seed=4, max_new_tokens=60, stop=(stop,))
    )
    assert cut.text == free.text[: free.text.index(stop)]
    assert cut.finish_reason == "stop"
    assert cut.tokens < free.tokens


@pytest.mark.parametrize("name", ["eos", "eot", "fim_begin", "user", "bos"])
def test_every_control_token_ends_a_text(tiny_engine, tiny_tokenizer, name):
    token = getattr(tiny_tokenizer.special, name)
    result = tiny_engine.complete([5], biased(token, 9))
    assert (result.text, result.finish_reason, result.tokens) == ("", "stop", 1)


def test_new_tokens_are_cut_to_what_the_context_holds(tiny_engine, tiny_tokenizer):
    token = tiny_tokenizer.encode("a")[0]
    result = tiny_engine.complete([5] * 250, biased(token, 100))
    assert (result.text, result.finish_reason) == ("a" * 6, "length")
    assert tiny_engine.complete([5] * 256, Sampling(max_new_tokens=0)).finish_reason == "length"


def test_half_a_character_at_the_end_is_not_shown(tiny_engine, tiny_tokenizer):
    first = next(
        i for i in range(tiny_tokenizer.vocab_size) if tiny_tokenizer.token_bytes(i) == b"\xf0"
    )
    result = tiny_engine.complete([5], biased(first, 1))
    assert (result.text, result.tokens) == ("", 1)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "no token at all"),
        ([5, 350], "token id 350"),
        ([-1], "token id -1"),
        ([5] * 256, "256 tokens"),
    ],
)
def test_prompts_that_cannot_be_continued_are_refused_at_once(tiny_engine, ids, message):
    with pytest.raises(PromptError, match=message):
        tiny_engine.generate(ids, GREEDY)
    with pytest.raises(PromptError, match=message):
        tiny_engine.complete_batch([[5], ids], GREEDY)


def test_the_error_of_a_long_prompt_says_how_long_and_what_to_do(tiny_engine):
    with pytest.raises(PromptError) as caught:
        tiny_engine.complete([5] * 300, GREEDY)
    assert caught.value.got == "300 tokens"
    assert "at most 255" in caught.value.wanted
    assert "shorten" in caught.value.remedy


def test_threads_at_once_get_what_each_gets_alone(tiny_engine, tiny_tokenizer):
    many = prompts(tiny_tokenizer, 6, longest=40)
    settings = [Sampling(temperature=1.0, seed=i, max_new_tokens=40) for i in range(6)]
    alone = [tiny_engine.complete(*pair) for pair in zip(many, settings, strict=True)]
    got: list[object] = [None] * 6

    def work(i: int) -> None:
        got[i] = tiny_engine.complete(many[i], settings[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == alone


def test_a_request_that_is_dropped_halfway_blocks_nobody(tiny_engine):
    settings = Sampling(temperature=1.0, seed=0, max_new_tokens=50)
    abandoned = tiny_engine.generate([5, 6], settings)
    next(abandoned)
    forgotten = tiny_engine.generate([5, 6], settings)  # alive, and never read again
    next(forgotten)
    abandoned.close()
    with pytest.raises(StopIteration):
        next(abandoned)
    assert tiny_engine.complete([5, 6], settings).tokens > 0


def test_score_is_the_log_softmax_of_each_next_token(tiny_engine, tiny_model):
    ids = [5, 9, 100, 7, 30]
    scores = tiny_engine.score(ids, logprobs=2)
    with torch.no_grad():
        wanted = tiny_model(torch.tensor([ids]))[0].log_softmax(-1)
    for at, score in enumerate(scores):
        assert score.token == ids[at + 1]
        assert score.logprob == pytest.approx(float(wanted[at, ids[at + 1]]), abs=1e-4)
        assert [token for token, _ in score.top] == wanted[at].topk(2).indices.tolist()
    assert len(scores) == 4
    assert tiny_engine.score([5]) == []


def test_logprobs_of_a_continuation_are_the_models_own(tiny_engine):
    settings = Sampling(temperature=2.0, seed=1, max_new_tokens=10, logprobs=1)
    result = tiny_engine.complete([5, 9], settings)
    made = [choice.token for choice in result.choices]
    scores = tiny_engine.score([5, 9, *made], logprobs=1)[1:]
    assert len(made) == 10
    for choice, score in zip(result.choices, scores, strict=True):
        assert choice.logprob == pytest.approx(score.logprob, abs=1e-4)


def test_load_takes_a_model_folder_and_a_run_folder(tiny_engine, tiny_model_folder):
    alone = tiny_engine.complete([5, 6, 7], GREEDY)
    for folder in (tiny_model_folder, tiny_model_folder.parent):
        engine = Engine.load(folder, device="cpu")
        assert engine.complete([5, 6, 7], GREEDY) == alone


def test_load_says_what_is_missing(tmp_path):
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        Engine.load(tmp_path)
    with pytest.raises(CheckpointError, match="no such folder"):
        Engine.load(tmp_path / "nowhere")


def test_a_tokenizer_with_more_ids_than_the_model_is_refused(tiny_model, tiny_tokenizer):
    config = replace(tiny_model.config, vocab_size=300, bos_token_id=None, eos_token_id=None)
    model = LlamaForCausalLM(config)
    with pytest.raises(CheckpointError, match="350 ids"):
        Engine(model, tiny_tokenizer)


def test_training_goes_on_after_generating_with_the_same_model(tiny_model, tiny_tokenizer):
    model = LlamaForCausalLM(tiny_model.config)
    Engine(model, tiny_tokenizer).complete([5, 6], GREEDY)
    tokens = torch.tensor([[5, 6, 7, 8]])
    model.loss(tokens, tokens).backward()
    assert model.lm_head.weight.grad is not None


def test_every_end_that_the_configuration_names_ends_a_text(tiny_model, tiny_tokenizer):
    other = tiny_tokenizer.encode("x")[0]  # an ordinary token for the tokenizer
    model = LlamaForCausalLM(
        replace(tiny_model.config, eos_token_id=(tiny_tokenizer.special.eos, other))
    )
    result = Engine(model, tiny_tokenizer).complete([1, 5], biased(other, 9))
    assert (result.text, result.finish_reason, result.tokens) == ("", "stop", 1)
