"""A tokenizer as GGUF's metadata: llama.cpp gives a text the same ids as codekiln."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codekiln.errors import TokenizerError
from codekiln.models.gguf.pretokenizers import recognise
from codekiln.storage import read_json
from codekiln.tokenizer.special import SpecialTokens, is_control
from codekiln.tokenizer.tokenizer import CONFIG_FILE, MODEL_FILE, Tokenizer

BYTE_LEVEL = "gpt2"  # llama.cpp's word for byte-level BPE of any kind
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5
TEMPLATE = "tokenizer.chat_template"
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
        **({TEMPLATE: template} if template else {}),
    }


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
