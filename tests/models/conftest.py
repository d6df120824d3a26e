"""A small mixture of experts; llama.cpp, the oracle of GGUF files."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def shape() -> dict[str, Any]:
    """A small mixture of experts, by its configuration's keys."""
    return {
        "vocab_size": 97,
        "hidden_size": 32,
        "intermediate_size": 64,
        "moe_intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "kv_lora_rank": 16,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 8,
        "v_head_dim": 8,
        "n_routed_experts": 8,
        "n_shared_experts": 1,
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 1,
        "initializer_range": 0.2,
    }


SERVER = """
import sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel = 256, 1
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
params.warmup, params.verbosity = False, 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


class LlamaCpp:
    """A model loaded by llama.cpp, with a cache of fp32, in a process of its own.

    Inside the tests' process, a run of many servers once hung (why was not found out).

    Without flash attention, which on a CPU computes in 16 bits: with it, log-probabilities of an
    fp32 model are off by about 1e-2, without it by 5e-6.
    """

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        address = self._process.stdout.readline().decode().strip()
        assert address, "llama.cpp did not load the file"
        self._connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=120)

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.kill()
        self._process.communicate()

    def encode(self, text: str) -> list[int]:
        """The ids of a text in which no control token is looked for."""
        asked = {"content": text, "add_special": True, "parse_special": False}
        return self._post("/tokenize", asked)["tokens"]

    def greedy(self, ids: list[int], count: int, **options: Any) -> list[int]:
        """The ids that follow; without `ignore_eos` up to one that ends a text."""
        asked = {"prompt": ids, "n_predict": count, "temperature": 0, "return_tokens": True}
        return self._post("/completion", asked | {"cache_prompt": False} | options)["tokens"]

    def logprobs(self, ids: list[int], vocabulary: int, letter: int) -> dict[int, float]:
        """The model's log-probability of each id after `ids`.

        `letter` is the id that is made to follow: of one that ends a text, or is part of a
        character, llama.cpp says nothing.
        """
        asked = {"prompt": ids, "n_predict": 1, "temperature": 0, "n_probs": vocabulary}
        asked |= {"logit_bias": [[letter, 1000.0]], "cache_prompt": False}
        answer = self._post("/completion", asked)
        found = answer["completion_probabilities"][0]["top_logprobs"]
        return {entry["id"]: entry["logprob"] for entry in found}

    def template(self, messages: list[dict[str, str]]) -> str:
        """The prompt that the file's chat template makes."""
        return self._post("/apply-template", {"messages": messages})["prompt"]

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", path, json.dumps(body).encode(), headers)
        return json.load(self._connection.getresponse())


@pytest.fixture
def llama_cpp() -> Iterator[Callable[[Path], LlamaCpp]]:
    """Loads a GGUF file; skips where llama.cpp is not installed."""
    pytest.importorskip("xllamacpp", reason="needs xllamacpp: pip install 'codekiln[dev]'")
    with contextlib.ExitStack() as opened:
        yield lambda path: opened.enter_context(contextlib.closing(LlamaCpp(path)))
