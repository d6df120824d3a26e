"""The control tokens: how they are spelt, which ids they have.

A control token marks structure (the start of a text, a hole to fill, the end of a turn). Only
codekiln puts it into a sequence, by id; the same characters inside a user's text are text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codekiln.errors import TokenizerError

BOS = "<｜begin▁of▁sentence｜>"
EOS = "<｜end▁of▁sentence｜>"
FIM_HOLE = "<｜fim▁hole｜>"
FIM_BEGIN = "<｜fim▁begin｜>"
FIM_END = "<｜fim▁end｜>"
PAD = "<pad>"
USER = "<|User|>"
ASSISTANT = "<|Assistant|>"
EOT = "<|EOT|>"

# In the order of the released models, where they follow the BPE entries.
SPELLINGS = (BOS, EOS, FIM_HOLE, FIM_BEGIN, FIM_END, PAD, USER, ASSISTANT, EOT)

# (begin, hole, end) as other families of code models spell the same three roles.
_FIM_FAMILIES = (
    (FIM_BEGIN, FIM_HOLE, FIM_END),
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
)
# Besides the flagged ones; <div> or <=> may well be a token that stands for text.
_LOOKS_LIKE_CONTROL = re.compile(
    r"<[|｜].*[|｜]>|<(pad|s|/s|unk|mask|fim_\w+)>|▁<(PRE|SUF|MID|EOT)>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialTokens:
    """Ids of the control tokens; None where a tokenizer has no such token.

    `bos` is `eos` for tokenizers without a token of its own for the start. `pad` is `eos` where
    the folder names none; training masks padding by position, never by id, because a model
    whose `eos` is masked never learns to stop.
    """

    bos: int
    eos: int
    pad: int
    fim_begin: int | None = None
    fim_hole: int | None = None
    fim_end: int | None = None
    user: int | None = None
    assistant: int | None = None
    eot: int | None = None

    def fim(self) -> tuple[int, int, int]:
        """The ids of (begin, hole, end).

        Raises:
            TokenizerError: when the tokenizer has no fill-in-the-middle tokens.
        """
        if self.fim_begin is None or self.fim_hole is None or self.fim_end is None:
            raise TokenizerError(
                "tokenizer",
                got="no fill-in-the-middle tokens",
                wanted=f"{FIM_BEGIN}, {FIM_HOLE} and {FIM_END}",
                remedy="use a model trained to infill, or complete without a suffix",
            )
        return self.fim_begin, self.fim_hole, self.fim_end

    def end_of_turn(self) -> int:
        """The id that ends an answer.

        Raises:
            TokenizerError: when the tokenizer has no such token.
        """
        if self.eot is None:
            raise TokenizerError(
                "tokenizer",
                got=f"no {EOT}",
                wanted="a token that ends an answer",
                remedy="`codekiln tokenizer train RECIPE` adds it to a starting model's",
            )
        return self.eot


def is_control(added_token: Mapping[str, Any]) -> bool:
    """Whether an entry of `added_tokens` marks structure rather than stands for text.

    The released models flag their FIM tokens as not special, so the spelling decides too.
    """
    spelling = added_token["content"]
    return bool(added_token.get("special")) or bool(_LOOKS_LIKE_CONTROL.fullmatch(spelling))


def find_special(ids: Mapping[str, int], config: Mapping[str, Any], where: str) -> SpecialTokens:
    """Find the control tokens of a loaded tokenizer.

    Args:
        ids: spelling -> id.
        config: the content of tokenizer_config.json; what it names comes first.
        where: for messages.

    Raises:
        TokenizerError: when there is no token for the end of a text.
    """
    eos = _named(ids, config, "eos_token", (EOS, "</s>", "<|endoftext|>", "<|end_of_text|>"))
    if eos is None:
        raise TokenizerError(
            where,
            got="no token that ends a text",
            wanted="eos_token in tokenizer_config.json, and that token in tokenizer.json",
        )
    bos = _named(ids, config, "bos_token", (BOS, "<s>", "<|begin_of_text|>"))
    pad = _named(ids, config, "pad_token", (PAD,))
    family = next((f for f in _FIM_FAMILIES if all(s in ids for s in f)), None)
    begin, hole, end = (ids[s] for s in family) if family else (None, None, None)
    return SpecialTokens(
        bos=eos if bos is None else bos,
        eos=eos,
        pad=eos if pad is None else pad,
        fim_begin=begin,
        fim_hole=hole,
        fim_end=end,
        user=ids.get(USER),
        assistant=ids.get(ASSISTANT),
        eot=ids.get(EOT),
    )


def _named(
    ids: Mapping[str, int], config: Mapping[str, Any], key: str, usual: tuple[str, ...]
) -> int | None:
    value = config.get(key)
    spelling = value.get("content") if isinstance(value, Mapping) else value
    if isinstance(spelling, str) and spelling in ids:
        return ids[spelling]
    return next((ids[s] for s in usual if s in ids), None)


def added_entries(model: str, spellings: tuple[str, ...], first: int) -> str:
    """The text of tokenizer.json with control tokens added from id `first` on."""
    description = json.loads(model)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    description["added_tokens"] = (description.get("added_tokens") or []) + [
        {"id": first + place, "content": spelling, **flags, "special": True}
        for place, spelling in enumerate(spellings)
    ]
    return json.dumps(description, ensure_ascii=False)
