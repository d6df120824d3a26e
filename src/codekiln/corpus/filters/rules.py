"""The rule filters: which files are not worth training on, and why.

Source: DeepSeek-Coder §2.1. The paper gives the thresholds; what it leaves open is decided here:

- A line ends at "\\n" (the last one may lack it); its length is in characters without the "\\n".
- The average is over all lines, empty ones included.
- A character is alphabetic if `str.isalpha` says so, so that Chinese comments count; the share
  is of all characters, white space and line ends included.
- Visible text of HTML: see `html_text.py`.
- JSON and YAML are measured in characters; both ends of the range are kept.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from codekiln.corpus.filters.html_text import visible_characters
from codekiln.recipe import Settings
from codekiln.types import SourceFile

LONG_AVERAGE = "average line too long"
LONG_LINE = "line too long"
FEW_LETTERS = "too few letters"
XML = "XML"
LITTLE_TEXT = "too little visible text"
DATA_SIZE = "data file too small or too large"
REASONS = (LONG_AVERAGE, LONG_LINE, FEW_LETTERS, XML, LITTLE_TEXT, DATA_SIZE)

_NOT_LETTERS = bytes(code for code in range(256) if not (code < 128 and chr(code).isalpha()))
_PIECE = 1 << 14  # most files have enough letters within their first 16 KiB
_DATA_LANGUAGES = frozenset({"json", "yaml"})


class RuleSettings(Settings):
    """Thresholds of the rule filters; the defaults are the paper's.

    Source: DeepSeek-Coder §2.1.
    """

    max_average_line: float = Field(default=100, gt=0, description="characters")
    max_line: int = Field(default=1000, ge=1, description="characters")
    min_alphabetic_rate: float = Field(
        default=0.25, ge=0, le=1, description="share of all characters"
    )
    xml_head: int = Field(default=100, ge=0, description="characters searched for '<?xml version='")
    min_visible_rate: float = Field(
        default=0.2, ge=0, le=1, description="HTML: visible text by code"
    )
    min_visible: int = Field(default=100, ge=0, description="HTML: characters of visible text")
    min_data: int = Field(default=50, ge=0, description="JSON and YAML: characters")
    max_data: int = Field(default=5000, ge=0, description="JSON and YAML: characters")

    @model_validator(mode="after")
    def _ordered(self) -> RuleSettings:
        if self.min_data > self.max_data:
            raise ValueError(f"min_data ({self.min_data}) is above max_data ({self.max_data})")
        return self


PAPER = RuleSettings()


def reason(file: SourceFile, settings: RuleSettings = PAPER) -> str | None:
    """Why the rules drop `file`: one of REASONS, the first that applies; None if it is kept.

    Source: DeepSeek-Coder §2.1.
    """
    text, language = file.text, file.language
    length = len(text)
    if average_line(text) > settings.max_average_line:
        return LONG_AVERAGE
    if has_longer_line(text, settings.max_line):
        return LONG_LINE
    if not has_letters(text, settings.min_alphabetic_rate * length):
        return FEW_LETTERS
    if language != "xslt" and "<?xml version=" in text[: settings.xml_head]:
        return XML
    if language == "html":
        visible = visible_characters(text)
        if visible < settings.min_visible or visible < settings.min_visible_rate * length:
            return LITTLE_TEXT
    elif language in _DATA_LANGUAGES and not settings.min_data <= length <= settings.max_data:
        return DATA_SIZE
    return None


def average_line(text: str) -> float:
    """Average length of the lines of `text`, in characters; 0 without lines."""
    ends = text.count("\n")
    lines = ends + (not text.endswith("\n")) if text else 0
    return (len(text) - ends) / lines if lines else 0.0


def has_longer_line(text: str, limit: int) -> bool:
    """Whether some line has more than `limit` characters.

    Looks at one line end in `limit` characters: from the start of a line, the last line end
    within reach closes only lines that are short enough.
    """
    start, length = 0, len(text)
    while length - start > limit:
        end = text.rfind("\n", start, start + limit + 1)
        if end < 0:
            return True
        start = end + 1
    return False


def has_letters(text: str, wanted: float) -> bool:
    """Whether `text` has at least `wanted` alphabetic characters; stops once it has."""
    found = 0
    for start in range(0, len(text), _PIECE):
        if found >= wanted:
            return True
        found += count_letters(text[start : start + _PIECE])
    return found >= wanted


def count_letters(text: str) -> int:
    """Number of characters for which `str.isalpha` holds."""
    if text.isascii():
        return len(text.encode("ascii").translate(None, _NOT_LETTERS))
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    return int(np.count_nonzero(_alphabetic()[codes]))


@cache
def _alphabetic() -> npt.NDArray[Any]:
    """`str.isalpha` of every code point; built on the first text that is not ASCII."""
    return np.fromiter(map(str.isalpha, map(chr, range(0x110000))), dtype=np.bool_)
