"""A tokenizer as GGUF's metadata, and back: llama.cpp and codekiln give a text the same ids."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codekiln.errors import TokenizerError
from codekiln.models.gguf.pretokenizers import named, recognise
from codekiln.storage import read_json
from codekiln.tokenizer.special import SpecialTokens, is_control
from codekiln.tokenizer.tokenizer import CONFIG_FILE, MODEL_FILE, Tokenizer

BYTE_LEVEL = "gpt2"  # llama.cpp's word for byte-level BPE of any kind
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5
_TEMPLATE = "tokenizer.chat_template"
_TEMPLATE_FILE = "chat_template.jinja"
_TEXT_CUTS = ("lstrip", "rstrip", "single_word")


def tokenizer_metadata(folder: Path, rows: int) -> dict[str, Any]:
    """The tokenizer of a model folder under GGUF's keys.

    Args:
        rows: of the embeddings; those beyond the tokenizer become tokens that nothing uses.

    Raises:
        TokenizerError: no tokenizer there, or one that llama.cpp would read differently.
    """
    tokenizer = Tokenizer.load(folder)
    description = read_json(folder / MODEL_FILE)
    config = read_json(folder / CONFIG_FILE) if (folder / CONFIG_FILE).is_file() else {}
    if tokenizer.vocab_size > rows:
        raise TokenizerError(
            folder,
            got=f"{tokenizer.vocab_size} ids, but the model has {rows} embeddings",
            wanted="the tokenizer that the model was trained with",
        )
    tokens, types = _tokens(description, tokenizer.special, rows, folder)
    values: dict[str, Any] = {
        "model": BYTE_LEVEL,
        "pre": recognise(description, folder),
        "tokens": tokens,
        "token_type": types,
        "merges": [_spelt(merge) for merge in description["model"].get("merges", [])],
        "add_bos_token": _adds_bos(description, config),
        "add_eos_token": False,
        "add_space_prefix": False,
        **_ids(tokenizer.special),
    }
    template = _chat_template(folder, config)
    return {
        **{f"tokenizer.ggml.{key}": value for key, value in values.items()},
        **({_TEMPLATE: template} if template else {}),
    }


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
    if isinstance(metadata.get(_TEMPLATE), str):
        config["chat_template"] = metadata[_TEMPLATE]
    description = _description(read, tokens, types, where)
    return Tokenizer(json.dumps(description, ensure_ascii=False), config, str(where))


def _tokens(
    description: Mapping[str, Any], special: SpecialTokens, rows: int, where: object
) -> tuple[list[str], list[int]]:
    """Spelling and type of each id; an id without a spelling of its own is unused."""
    added = description.get("added_tokens") or []
    ids = {**description["model"]["vocab"], **{t["content"]: t["id"] for t in added}}
    tokens = [f"[PAD{number}]" for number in range(rows)]
    types = [UNUSED] * rows
    for spelling, number in ids.items():
        tokens[number], types[number] = spelling, NORMAL
    ends = {special.bos, special.eos, special.pad}
    for token in added:
        control = is_control(token) or token["id"] in ends
        if not control and any(token.get(key) for key in _TEXT_CUTS):
            raise TokenizerError(
                f"{where} {token['content']!r}",
                got="an added token that takes blanks beside it, or whole words only",
                wanted="added tokens that stand for their text alone, as GGUF can say",
            )
        types[token["id"]] = CONTROL if control else USER_DEFINED
    return tokens, types


def _ids(special: SpecialTokens) -> dict[str, int]:
    """llama.cpp names the parts of a hole by what follows them: prefix, suffix, middle."""
    found = {
        "bos": special.bos,
        "eos": special.eos,
        "padding": special.pad,
        "eot": special.eot,
        "fim_pre": special.fim_begin,
        "fim_suf": special.fim_hole,
        "fim_mid": special.fim_end,
    }
    return {f"{name}_token_id": number for name, number in found.items() if number is not None}


def _spelt(merge: str | list[str]) -> str:
    return merge if isinstance(merge, str) else " ".join(merge)


def _adds_bos(description: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """What transformers does: by its configuration, else by the file's own post-processor."""
    if config.get("add_bos_token") is not None:
        return bool(config["add_bos_token"])
    step = description.get("post_processor") or {}
    steps = step.get("processors", [step])
    return any("SpecialToken" in piece for s in steps for piece in s.get("single", [])[:1])


def _chat_template(folder: Path, config: Mapping[str, Any]) -> str:
    template = config.get("chat_template")
    if template is None and (folder / _TEMPLATE_FILE).is_file():
        template = (folder / _TEMPLATE_FILE).read_text(encoding="utf-8")
    if isinstance(template, list):  # several by name
        template = {t.get("name"): t.get("template") for t in template}.get("default")
    return template if isinstance(template, str) else ""


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
