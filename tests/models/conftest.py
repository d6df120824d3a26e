"""llama.cpp, as the package xllamacpp brings it: the oracle of GGUF files."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


class LlamaCpp:
    """A model loaded by llama.cpp, with a cache of fp32.

    Without flash attention, which on a CPU computes in 16 bits: with it, log-probabilities of an
    fp32 model are off by about 1e-2, without it by 5e-6.
    """

    def __init__(self, path: Path, context: int = 256) -> None:
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx, params.n_parallel = context, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.warmup, params.verbosity = False, 0
        self._server = xllamacpp.Server(params)

    def encode(self, text: str) -> list[int]:
        """The ids of a text in which no control token is looked for."""
        asked = {"content": text, "add_special": True, "parse_special": False}
        return self._post("/tokenize", asked)["tokens"]

    def greedy(self, ids: list[int], count: int, **options: Any) -> list[int]:
        """The ids that follow; without `ignore_eos` up to one that ends a text."""
        asked = {"prompt": ids, "n_predict": count, "temperature": 0, "return_tokens": True}
        return self._post("/completion", asked | {"cache_prompt": False} | options)["tokens"]

    def logprobs(self, ids: list[int], vocabulary: int) -> dict[int, float]:
        """Log-probability of each id after `ids`."""
        asked = {"prompt": ids, "n_predict": 1, "temperature": 0, "n_probs": vocabulary}
        answer = self._post("/completion", asked | {"cache_prompt": False})
        found = answer["completion_probabilities"][0]["top_logprobs"]
        return {entry["id"]: entry["logprob"] for entry in found}

    def template(self, messages: list[dict[str, str]]) -> str:
        """The prompt that the file's chat template makes."""
        return self._post("/apply-template", {"messages": messages})["prompt"]

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(
            self._server.listening_address + path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


@pytest.fixture
def llama_cpp() -> Callable[..., LlamaCpp]:
    """Loads a GGUF file; skips where llama.cpp is not installed."""
    pytest.importorskip("xllamacpp", reason="needs xllamacpp: pip install 'codekiln[dev]'")
    return LlamaCpp
