"""A tokenizer out of GGUF's metadata: codekiln gives a text the same ids as llama.cpp."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from codekiln.errors import TokenizerError
from codekiln.models.gguf.pretokenizers import named
from codekiln.models.gguf.write_tokenizer import (
    BYTE_LEVEL,
    CONTROL,
    NORMAL,
    TEMPLATE,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
)
from codekiln.tokenizer.tokenizer import Tokenizer


def tokenizer_of(metadata: Mapping[str, Any], where: object) -> Tokenizer:
    """The tokenizer of a GGUF file.

    Raises:
        TokenizerError: none there, not byte-level BPE, or damaged.
    """
    read = {k.removeprefix("tokenizer.ggml."): v for k, v in metadata.items()}
    if read.get("model") != BYTE_LEVEL:
        raise TokenizerError(
            f"{where} tokenizer.ggml.model",
            got=f"a vocabulary of kind {read.get('model')!r}",
            wanted=f"{BYTE_LEVEL!r}, byte-level BPE",
            remedy="import the model from its Hugging Face folder",
        )
    tokens = _strings(read, "tokens", where)
    types = read.get("token_type") or [NORMAL] * len(tokens)
    if not isinstance(types, list) or len(types) != len(tokens) or not tokens:
        raise TokenizerError(
            f"{where} tokenizer.ggml.token_type",
            got="not one type for each token",
            wanted=f"{len(tokens)} whole numbers",
        )
    config = _configuration(read, tokens, where)
    if isinstance(metadata.get(TEMPLATE), str):
        config["chat_template"] = metadata[TEMPLATE]
    description = _description(read, tokens, types, where)
    return Tokenizer(json.dumps(description, ensure_ascii=False), config, str(where))


def _strings(read: Mapping[str, Any], key: str, where: object) -> list[str]:
    value = read.get(key, [])
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise TokenizerError(
            f"{where} tokenizer.ggml.{key}", got="not a list of strings", wanted="one"
        )
    return value


def _configuration(read: Mapping[str, Any], tokens: list[str], where: object) -> dict[str, Any]:
    """tokenizer_config.json."""
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": bool(read.get("add_bos_token", False)),
        "add_eos_token": bool(read.get("add_eos_token", False)),
        "clean_up_tokenization_spaces": False,
    }
    for key, name in (("bos", "bos"), ("eos", "eos"), ("pad", "padding"), ("unk", "unknown")):
        number = read.get(f"{name}_token_id")
        if number is None:
            continue
        if not isinstance(number, int) or not 0 <= number < len(tokens):
            raise TokenizerError(
                f"{where} tokenizer.ggml.{name}_token_id",
                got=f"{number!r}, of which there is no token",
                wanted=f"an id from 0 to {len(tokens) - 1}",
            )
        config[f"{key}_token"] = tokens[number]
    return config


def _description(
    read: Mapping[str, Any], tokens: list[str], types: list[int], where: object
) -> dict[str, Any]:
    """tokenizer.json.

    Added tokens stand in the vocabulary too: the library numbers those that don't by itself.
    """
    cut = named(read.get("pre"), where)
    vocabulary = {t: i for i, t in enumerate(tokens) if types[i] != UNUSED}
    if len(vocabulary) != len(types) - types.count(UNUSED):
        raise TokenizerError(where, got="two ids with one spelling", wanted="each token once")
    merges = [merge.split(" ") for merge in _strings(read, "merges", where)]
    unknown = [m for m in merges if len(m) != 2 or not {*m, "".join(m)} <= vocabulary.keys()]
    if unknown:
        raise TokenizerError(
            f"{where} tokenizer.ggml.merges",
            got=f"{' '.join(unknown[0])!r}, which is no merge of this vocabulary",
            wanted="pairs of tokens that make a token",
        )
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added(i, tokens[i], kind) for i, kind in enumerate(types) if kind in _ADDED
        ],
        "normalizer": cut.normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": list(cut.steps)},
        "post_processor": _post_processor(read, tokens),
        "decoder": _BYTE_LEVEL_STEP,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": cut.ignore_merges,
            "vocab": vocabulary,
            "merges": merges,
        },
    }


_ADDED = (UNKNOWN, CONTROL, USER_DEFINED)
_BYTE_LEVEL_STEP = {
    "type": "ByteLevel",
    "add_prefix_space": True,
    "trim_offsets": True,
    "use_regex": True,
}


def _added(number: int, spelling: str, kind: int) -> dict[str, Any]:
    return {
        "id": number,
        "content": spelling,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": kind != USER_DEFINED,
    }


def _post_processor(read: Mapping[str, Any], tokens: list[str]) -> dict[str, Any] | None:
    """Puts the first token before a text, where the file asks for it."""
    bos = read.get("bos_token_id")
    if not read.get("add_bos_token") or bos is None:
        return None
    spelling = tokens[bos]
    first = {"SpecialToken": {"id": spelling, "type_id": 0}}
    text = [{"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB")]
    return {
        "type": "TemplateProcessing",
        "single": [first, text[0]],
        "pair": [first, text[0], text[1]],
        "special_tokens": {spelling: {"id": spelling, "ids": [bos], "tokens": [spelling]}},
    }
