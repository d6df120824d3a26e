"""The paper's pre-tokenizer: as tokenizer.json writes it, and a fast equal of it for ASCII.

The tokenizers library runs five regular expressions over every text, one after the other. Source
code repeats its words, so a table from piece to ids saves nearly all of that work, provided that
the pieces are cut the same way. Over ASCII one expression cuts like the five; lines with other
characters go through the library. The tests hold both against each other.

Source: DeepSeek-Coder §3.2; the expressions are those of the released models.
"""

from __future__ import annotations

import re
from typing import Any

_EXPRESSIONS = (
    "[\r\n]",
    r"\s?\p{L}+",
    r"\s?\p{P}+",
    "[一-龥ࠀ-一가-퟿]+",
)
DESCRIPTION: dict[str, Any] = {
    "type": "Sequence",
    "pretokenizers": [
        *(
            {"type": "Split", "pattern": {"Regex": e}, "behavior": "Isolated", "invert": False}
            for e in _EXPRESSIONS
        ),
        {"type": "Digits", "individual_digits": True},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
    ],
}

_SPACE = r"\t\x0b\x0c "
_LETTER = "A-Za-z"
_PUNCTUATION = r"!-#%-*,-/:;?@\[-\]_{}"  # \p{P} of ASCII; $ + < = > ^ ` | ~ are symbols
_ASCII_PIECE = re.compile(
    rf"[{_SPACE}]?(?:[{_LETTER}]+|[{_PUNCTUATION}]+)"
    r"|[\r\n0-9]"
    rf"|(?:[^{_SPACE}{_LETTER}{_PUNCTUATION}\r\n0-9]|[{_SPACE}](?![{_LETTER}{_PUNCTUATION}]))+"
)
_LINE = re.compile(r"[\r\n]|[^\r\n]+")


def is_papers(pre_tokenizer: object) -> bool:
    """Whether a `pre_tokenizer` of tokenizer.json splits as the paper's does."""
    if not isinstance(pre_tokenizer, dict) or pre_tokenizer.get("type") != "Sequence":
        return False
    return _essence(pre_tokenizer) == _essence(DESCRIPTION)


def _essence(sequence: dict[str, Any]) -> list[dict[str, Any]]:
    steps = sequence.get("pretokenizers", [])
    return [{key: step[key] for key in step if key != "trim_offsets"} for step in steps]


def pieces(text: str) -> list[str]:
    """Cut `text` where the paper's pre-tokenizer cuts; lines that are not ASCII stay whole."""
    if text.isascii():
        return _ASCII_PIECE.findall(text)
    found: list[str] = []
    for line in _LINE.findall(text):
        if line.isascii():
            found += _ASCII_PIECE.findall(line)
        else:
            found.append(line)
    return found
