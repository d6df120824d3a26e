"""The interface as users have it: the openai package against a real server."""

from __future__ import annotations

import time

import pytest

from codekiln.generation.engine import Engine
from codekiln.generation.infill import build_prompt
from codekiln.generation.sample import Sampling
from codekiln.generation.style import PromptStyle
from codekiln.serving.app import Limits

openai = pytest.importorskip("openai", reason="needs the package openai")

HOLES = [
    ("def add(left, right):\n    ", "    return total\n", "total = left + right\n"),
    ("def square(number):\n    return ", "\n", "number * number"),
    ('NAMES = {"é": "', '"}\n', "日本😀"),
]


def connect(address: str, key: str = "any"):
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def client(address):
    return connect(address)


def streamed(client, **request):
    """Texts and finish reasons by choice, logprob tokens by choice, and the usage, of a stream."""
    texts: dict[int, str] = {}
    reasons: dict[int, str] = {}
    tokens: dict[int, list[str]] = {}
    usage = None
    options = {"include_usage": True}
    for chunk in client.completions.create(stream=True, stream_options=options, **request):
        assert chunk.object == "text_completion"
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
            reasons[choice.index] = choice.finish_reason or reasons.get(choice.index)
            if choice.logprobs:
                tokens.setdefault(choice.index, []).extend(choice.logprobs.tokens)
        usage = chunk.usage or usage
        if chunk.usage:
            assert chunk.choices == []
    return texts, reasons, tokens, usage


def test_models(client):
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "codekiln"


@pytest.mark.parametrize(("prefix", "suffix", "middle"), HOLES)
def test_prompt_and_suffix_fill_the_hole(client, prefix, suffix, middle):
    request = {"model": "tiny", "prompt": prefix, "suffix": suffix, "max_tokens": 64}
    answer = client.completions.create(temperature=0, **request)
    assert answer.choices[0].text == middle
    assert answer.choices[0].finish_reason == "stop"
    texts, reasons, _, usage = streamed(client, temperature=0, **request)
    assert (texts, reasons) == ({0: middle}, {0: "stop"})
    assert usage == answer.usage


def test_usage_counts_tokens_and_not_characters(client, tiny_tokenizer):
    prefix, suffix, middle = HOLES[2]
    answer = client.completions.create(
        model="tiny", prompt=prefix, suffix=suffix, max_tokens=64, temperature=0
    )
    parts = [tiny_tokenizer.encode(text) for text in (prefix, suffix, middle)]
    assert answer.usage.prompt_tokens == len(parts[0]) + len(parts[1]) + 4  # bos and three of FIM
    assert answer.usage.completion_tokens == len(parts[2]) + 1  # the end token
    assert answer.usage.total_tokens == sum(map(len, parts)) + 5


def test_any_model_streams_what_it_completes(serving, any_engine):
    """Runs on the quick-start's model too: CODEKILN_QUICKSTART_RUN=DIR."""
    with serving(any_engine) as address:
        client = connect(address)
        for suffix in (None, "\n    return result\n"):
            request = {
                "model": "tiny",
                "prompt": "def mean(values):\n    ",
                "suffix": suffix,
                "max_tokens": 32,
                "temperature": 0.8,
                "seed": 3,
                "n": 2,
            }
            answer = client.completions.create(**request)
            texts, reasons, _, usage = streamed(client, **request)
            assert texts == {choice.index: choice.text for choice in answer.choices}
            assert reasons == {choice.index: choice.finish_reason for choice in answer.choices}
            assert usage == answer.usage
            prompt = build_prompt(
                any_engine.tokenizer,
                prefix=request["prompt"],
                suffix=suffix or "",
                max_tokens=any_engine.context_length - 1,
            )
            settings = Sampling(temperature=0.8, seed=3, max_new_tokens=32)
            assert any_engine.complete(prompt.ids, settings).text == answer.choices[0].text


@pytest.mark.parametrize("seed", range(4))
def test_a_stream_joined_is_the_whole_answer(client, seed):
    request = {
        "model": "tiny",
        "prompt": ["def add", 'NAMES = {"é'],
        "n": 2,
        "temperature": 1.8,
        "seed": seed,
        "max_tokens": 60,
        "stop": ["re", "\n\n", '"é'],
        "logprobs": 2,
        "echo": bool(seed % 2),
    }
    answer = client.completions.create(**request)
    texts, reasons, tokens, usage = streamed(client, **request)
    assert texts == {choice.index: choice.text for choice in answer.choices}
    assert reasons == {choice.index: choice.finish_reason for choice in answer.choices}
    assert usage == answer.usage
    assert tokens == {c.index: c.logprobs.tokens for c in answer.choices if c.logprobs.tokens}
    assert len({choice.text for choice in answer.choices}) == 4


def test_stop_strings_end_the_text(client):
    request = {"model": "tiny", "prompt": HOLES[0][0], "suffix": HOLES[0][1], "temperature": 0}
    for stop in ("= l", ["zzz", "ft + r"], [" right"]):
        answer = client.completions.create(stop=stop, max_tokens=60, **request)
        first = stop if isinstance(stop, str) else stop[-1]
        assert answer.choices[0].text == HOLES[0][2].split(first)[0]
        assert answer.choices[0].finish_reason == "stop"


def test_max_tokens_is_kept_and_its_default_is_openais(client):
    answer = client.completions.create(
        model="tiny", prompt="x", logit_bias={"97": 100}, temperature=0
    )
    assert answer.usage.completion_tokens == 16
    assert answer.choices[0].finish_reason == "length"
    assert len(set(answer.choices[0].text)) == 1


def test_echo_puts_the_prompt_before_the_text(client):
    prefix, suffix, middle = HOLES[0]
    request = {"model": "tiny", "prompt": prefix, "suffix": suffix, "temperature": 0}
    answer = client.completions.create(echo=True, max_tokens=60, **request)
    assert answer.choices[0].text == prefix + middle


def test_scoring_a_prompt_by_echo_and_no_new_token(client, engine, tiny_tokenizer):
    """How evaluation harnesses ask for the likelihood of a text."""
    ids = tiny_tokenizer.encode("def add(left, right):\n")
    answer = client.completions.create(
        model="tiny", prompt=ids, echo=True, max_tokens=0, logprobs=1, temperature=0
    )
    logprobs = answer.choices[0].logprobs
    assert answer.choices[0].text == "def add(left, right):\n"
    assert len(logprobs.tokens) == len(ids)
    assert logprobs.token_logprobs[0] is None
    wanted = [score.logprob for score in engine.score(ids)]
    assert logprobs.token_logprobs[1:] == pytest.approx(wanted, abs=1e-4)
    assert answer.usage.completion_tokens == 0


def test_logprobs_name_tokens_values_and_places(client):
    prefix, suffix, middle = HOLES[2]
    answer = client.completions.create(
        model="tiny", prompt=prefix, suffix=suffix, max_tokens=60, temperature=0, logprobs=3
    )
    logprobs = answer.choices[0].logprobs
    assert len(logprobs.tokens) == answer.usage.completion_tokens - 1  # not the end token
    for token, value, top in zip(
        logprobs.tokens, logprobs.token_logprobs, logprobs.top_logprobs, strict=True
    ):
        assert top[token] == value == max(top.values())
    for token, offset in zip(logprobs.tokens, logprobs.text_offset, strict=True):
        assert token.startswith("bytes:") or middle[offset:].startswith(token)


def test_n_draws_different_texts_and_a_seed_repeats_them(client):
    request = {"model": "tiny", "prompt": "def", "n": 3, "temperature": 1.5, "max_tokens": 30}
    first = client.completions.create(seed=9, **request)
    again = client.completions.create(seed=9, **request)
    assert [c.text for c in first.choices] == [c.text for c in again.choices]
    assert len({c.text for c in first.choices}) == 3
    assert [c.index for c in first.choices] == [0, 1, 2]


def test_context_and_path_reach_the_prompt_builder(client, tiny_tokenizer):
    context = [{"path": "pkg/names.py", "text": "names = []\n"}]
    request = {"model": "tiny", "prompt": "for name in ", "suffix": ":\n", "max_tokens": 1}
    extra = {"path": "pkg/main.py", "context": context}
    answer = client.completions.create(extra_body=extra, **request)
    parts = ["#pkg/names.py\nnames = []\n", "#pkg/main.py\nfor name in ", ":\n"]
    wanted = sum(len(tiny_tokenizer.encode(part)) for part in parts) + 4
    assert answer.usage.prompt_tokens == wanted


def test_prompts_are_laid_out_as_the_model_was_trained(serving, infilling_model, tiny_tokenizer):
    seen = []

    class Watched(Engine):
        def generate(self, ids, sampling):
            seen.append(list(ids))
            return super().generate(ids, sampling)

    style = PromptStyle(fim_order="spm", file_order="path")
    context = [{"path": "z.py", "text": "z = 1\n"}, {"path": "a.py", "text": "import z\n"}]
    with serving(Watched(infilling_model, tiny_tokenizer, style)) as address:
        connect(address).completions.create(
            model="tiny",
            prompt="x = ",
            suffix="\n",
            max_tokens=1,
            extra_body={"path": "main.py", "context": context},
        )
    encode, special = tiny_tokenizer.encode, tiny_tokenizer.special
    files = [*encode("#a.py\nimport z\n"), *encode("#z.py\nz = 1\n")]
    around = [special.fim_begin, special.fim_hole, *encode("\n"), special.fim_end]
    assert seen == [[special.bos, *files, *around, *encode("#main.py\nx = ")]]


# errors


@pytest.mark.parametrize(
    ("extra", "param", "words"),
    [
        ({"best_of": 5}, "best_of", "ranking"),
        ({"temperature": 3}, "temperature", "less than or equal to 2"),
        ({"max_tokens": -1}, "max_tokens", "greater than or equal to 0"),
        ({"max_tokens": 0}, "max_tokens", "echo"),
        ({"logprobs": 21}, "logprobs", "20"),
        ({"stop": ["x"] * 17}, "stop", "at most 16"),
        ({"stop": ""}, "stop", "empty"),
        ({"n": 200}, "n", "128"),
        ({"n": "two"}, "n", "integer"),
        ({"logit_bias": {"x": 1}}, "logit_bias", "token ids"),
        ({"logit_bias": {"9999": 1}}, None, "logit_bias"),
        ({"logit_bias": {"1" * 5000: 1}}, "logit_bias", "token ids"),
        ({"prompt": []}, "prompt", "empty list"),
        ({"prompt": [99999]}, "prompt", "token id 99999"),
        ({"prompt": {"a": 1}}, "prompt", "must be a string"),
        ({"prompt": [1, 2], "suffix": "x"}, "suffix", "needs a prompt of text"),
        ({"extra_body": {"temprature": 0}}, "temprature", "Did you mean 'temperature'"),
        ({"extra_body": {"tools": []}}, "tools", "Unrecognized"),
        ({"extra_body": {"stream_options": {}}}, "stream_options", "stream"),
    ],
)
def test_what_is_wrong_in_a_request_is_named(client, extra, param, words):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(**{"model": "tiny", "prompt": "x", **extra})
    assert caught.value.param == param
    assert words in caught.value.message
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("suffix", [None, "y\n"])
def test_a_prompt_longer_than_the_context_is_refused_with_its_code(client, stream, suffix):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(
            model="tiny", prompt="x = 1\n" * 999, suffix=suffix, stream=stream
        )
    assert caught.value.code == "context_length_exceeded"
    assert "512" in caught.value.message


def test_token_ids_longer_than_the_context_are_refused_too(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="tiny", prompt=[5] * 600)
    assert caught.value.code == "context_length_exceeded"


def test_truncate_shortens_instead(client):
    request = {"model": "tiny", "prompt": "x = 1\n" * 999, "suffix": "y\n", "max_tokens": 20}
    answer = client.completions.create(extra_body={"truncate": True}, **request)
    assert 400 < answer.usage.prompt_tokens <= 512 - 20


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.completions.create(model="gpt-4", prompt="x")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4")


def test_a_key_is_asked_for(serving, engine):
    with serving(engine, api_key="geheim-é") as address:
        with pytest.raises(openai.AuthenticationError) as caught:
            connect(address, "wrong").models.list()
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            connect(address, "wrong").completions.create(model="tiny", prompt="x")
    with serving(engine, api_key="right") as address:
        assert connect(address, "right").completions.create(model="tiny", prompt="x").choices


def test_a_full_queue_is_a_rate_limit(serving, slow_engine):
    with serving(slow_engine, limits=Limits(threads=1, queue_length=0)) as address:
        client = connect(address)
        request = {"model": "tiny", "prompt": "x", "logit_bias": {"97": 100}, "temperature": 0}
        stream = client.completions.create(stream=True, max_tokens=400, **request)
        next(iter(stream))
        with pytest.raises(openai.RateLimitError) as caught:
            client.completions.create(**request)
        assert caught.value.code == "queue_full"
        stream.close()
        _until_free(client)
        assert client.completions.create(max_tokens=2, **request).usage.completion_tokens == 2


def _until_free(client) -> None:
    for _ in range(100):
        state = client.get("/../health", cast_to=object)
        if state["running"] == 0:
            return
        time.sleep(0.05)
    pytest.fail("the request of a client that left is still running")


@pytest.mark.parametrize("stream", [False, True])
def test_the_time_limit_ends_a_request(serving, slow_engine, stream):
    with serving(slow_engine, limits=Limits(request_seconds=0.3)) as address:
        client = connect(address)
        started = time.monotonic()
        with pytest.raises(openai.APIError) as caught:
            answer = client.completions.create(
                model="tiny",
                prompt="x",
                max_tokens=500,
                logit_bias={"97": 100},
                temperature=0,
                stream=stream,
            )
            list(answer)
        assert "time limit" in str(caught.value)
        assert time.monotonic() - started < 9  # 500 tokens would take 10
        if not stream:
            assert caught.value.status_code == 504
        _until_free(client)
