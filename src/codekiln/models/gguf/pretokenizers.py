"""Pre-tokenizers that llama.cpp knows by name, as tokenizer.json writes them.

A GGUF file has a vocabulary and the name of a way to cut text into words; the expressions are
inside llama.cpp. A name is written only for a tokenizer that cuts in just that way.

Held against llama.cpp, ids are equal but for three things. It knows letters of another Unicode
than the tokenizers library. It normalises nothing (`qwen2` has NFC). Under `deepseek-llm` it
takes U+3000, the ideographic space, for a blank where the expressions have it as punctuation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codekiln.errors import TokenizerError
from codekiln.tokenizer.split import DESCRIPTION

# \p{L} without letters that have no case, as of Unicode 11: what DeepSeek-LLM's file spells out
_CASED_LETTERS = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af"
    "\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1"
    "\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5"
    "\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a"
    "\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d"
    "\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3"
    "\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115"
    "\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149"
    "\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d"
    "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06"
    "\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df"
    "\U0001e900-\U0001e943"
)
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

Step = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreTokenizer:
    """How text becomes words.

    `steps` stand in tokenizer.json one after the other; with `ignore_merges` a word that is in
    the vocabulary is one token without asking the merges; `normalizer` comes before all.
    """

    steps: tuple[Step, ...]
    ignore_merges: bool = False
    normalizer: Step | None = None


def _split(expression: str) -> Step:
    return {
        "type": "Split",
        "pattern": {"Regex": expression},
        "behavior": "Isolated",
        "invert": False,
    }


def _byte_level(*, use_regex: bool) -> Step:
    return {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": use_regex,
    }


_DIGITS: Step = {"type": "Digits", "individual_digits": True}

KNOWN: dict[str, PreTokenizer] = {
    "deepseek-coder": PreTokenizer(steps=tuple(DESCRIPTION["pretokenizers"])),
    "deepseek-llm": PreTokenizer(
        steps=(
            _split("[\r\n]"),
            _split(rf"\s?[{_CASED_LETTERS}]+"),
            _split("\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+"),
            _split(r"\s+$"),
            _split("[一-龥ࠀ-一가-퟿]+"),
            _DIGITS,
            _byte_level(use_regex=False),
        )
    ),
    "smollm": PreTokenizer(steps=(_DIGITS, _byte_level(use_regex=True))),
    "gpt-2": PreTokenizer(steps=(_byte_level(use_regex=True),)),
    "llama-bpe": PreTokenizer(
        steps=(_split(_CONTRACTIONS + r"\p{N}{1,3}" + _REST), _byte_level(use_regex=False)),
        ignore_merges=True,
    ),
    "qwen2": PreTokenizer(
        steps=(_split(_CONTRACTIONS + r"\p{N}" + _REST), _byte_level(use_regex=False)),
        normalizer={"type": "NFC"},
    ),
}
# other names under which llama.cpp cuts in the same way
SAME = {
    "starcoder": "smollm",
    "refact": "smollm",
    "gpt2": "gpt-2",
    "llama3": "llama-bpe",
    "llama-v3": "llama-bpe",
    "deepseek-r1-qwen": "qwen2",
}


def named(name: object, where: object) -> PreTokenizer:
    """The pre-tokenizer of a `tokenizer.ggml.pre`.

    Raises:
        TokenizerError: a name that is not in the table.
    """
    found = KNOWN.get(SAME.get(str(name), str(name)))
    if found is None:
        raise TokenizerError(
            f"{where} tokenizer.ggml.pre",
            got=f"the pre-tokenizer {name!r}",
            wanted=", ".join([*KNOWN, *SAME]),
            remedy="import the model from its Hugging Face folder, which has its tokenizer.json",
        )
    return found


def recognise(description: Mapping[str, Any], where: object) -> str:
    """The name under which llama.cpp cuts text as this tokenizer.json does.

    Raises:
        TokenizerError: it has no name for this one, or other parts that GGUF cannot hold.
    """
    model = description["model"]
    cuts = (
        _essence(description.get("pre_tokenizer")),
        bool(model.get("ignore_merges")),
        _normalizer(description.get("normalizer")),
    )
    plain = not any(model.get(key) for key in ("continuing_subword_prefix", "end_of_word_suffix"))
    for name, known in KNOWN.items():
        steps = _essence({"type": "Sequence", "pretokenizers": list(known.steps)})
        if plain and cuts == (steps, known.ignore_merges, known.normalizer):
            return name
    raise TokenizerError(
        where,
        got="a tokenizer that llama.cpp has no name for",
        wanted="byte-level BPE that cuts text as one of these: " + ", ".join(KNOWN),
        remedy="export with `--to hf` and convert with llama.cpp's own script",
    )


def _essence(pre_tokenizer: object) -> list[Step]:
    if not isinstance(pre_tokenizer, Mapping):
        return []
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    kept = [{k: v for k, v in s.items() if k not in ("trim_offsets", "invert")} for s in steps]
    for step, whole in zip(kept, steps, strict=True):
        if whole.get("invert"):
            step["invert"] = True
        if step.get("type") == "ByteLevel":
            step.setdefault("use_regex", True)
    return kept


def _normalizer(step: object) -> Step | None:
    """None for those that do nothing."""
    if not isinstance(step, Mapping) or step.get("normalizers") == []:
        return None
    return dict(step)
