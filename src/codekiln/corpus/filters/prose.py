"""Rule filters for natural language: which texts are not worth training on, and why.

The papers leave open how natural language was cleaned. The rules here are those that the reports
on web text agree on (length, letters, repetition, and a word list for the language), with
thresholds loose enough for texts about code, which hold code:

- Code in fences (``` or ~~~) counts for the length only; the other rules look at the rest.
- A letter is what `str.isalpha` says; the share is of all characters that are no white space.
- Repetition is the share of characters on lines that stood before, and what zlib makes of the
  text: English prose shrinks to about two fifths, a phrase repeated over and over to nothing.
- English: enough of its commonest words among all words, and two of the eight that Gopher's rules
  ask for (other languages share some of the common ones); Chinese: enough Han characters among
  the letters, and too little kana or hangul for Japanese or Korean.
"""

from __future__ import annotations

import re
import zlib

from pydantic import Field, model_validator

from codekiln.corpus.filters.rules import count_letters, has_letters
from codekiln.recipe import Settings
from codekiln.types import Kind

TOO_SHORT = "too short"
TOO_LONG = "too long"
FEW_LETTERS = "too few letters"
REPEATED_LINES = "repeated lines"
REPEATED = "repeats itself"
NOT_ENGLISH = "not English"
NOT_CHINESE = "not Chinese"
REASONS = (TOO_SHORT, TOO_LONG, FEW_LETTERS, REPEATED_LINES, REPEATED, NOT_ENGLISH, NOT_CHINESE)

SAMPLE = 1 << 16  # characters that the rules about letters, repetition and language look at
_FENCED = re.compile(
    r"^[ \t]{0,3}(`{3,}|~{3,})[^\n]*\n(?:[^\n]*\n)*?[ \t]{0,3}\1[^\n]*(?:\n|\Z)", re.M
)
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA_HANGUL = re.compile(r"[\u3040-\u30ff\u1100-\u11ff\uac00-\ud7af]")
_COMMON_WORDS = (
    "the of to and a in is that for it on with as be this are you can if or not from by an at we "
    "have will but use when your which do has all was one"
)
_COMMON = frozenset(_COMMON_WORDS.split())
_SURE = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})  # Rae et al. 2021


class ProseSettings(Settings):
    """Thresholds of the rules for natural language."""

    min_characters: int = Field(default=100, ge=0, description="a shorter text is dropped")
    max_characters: int = Field(default=2_000_000, ge=1, description="a longer text is dropped")
    min_letter_rate: float = Field(
        default=0.6, ge=0, le=1, description="letters among the characters that are no white space"
    )
    max_repeated_lines: float = Field(
        default=0.4, ge=0, le=1, description="characters on lines that stood before"
    )
    min_compressed: float = Field(
        default=0.1, ge=0, le=1, description="size that zlib leaves, as a share of the text's bytes"
    )
    min_common_words: float = Field(
        default=0.07, ge=0, le=1, description="English: its commonest words among all words"
    )
    min_han: float = Field(
        default=0.3, ge=0, le=1, description="Chinese: Han characters among the letters"
    )
    max_kana_hangul: float = Field(
        default=0.1, ge=0, le=1, description="Chinese: kana and hangul among the letters"
    )

    @model_validator(mode="after")
    def _ordered(self) -> ProseSettings:
        if self.min_characters > self.max_characters:
            raise ValueError(
                f"min_characters ({self.min_characters}) is above max_characters"
                f" ({self.max_characters})"
            )
        return self


DEFAULT = ProseSettings()


def reason(text: str, kind: Kind, settings: ProseSettings = DEFAULT) -> str | None:
    """Why the rules drop a text of this kind: one of REASONS, the first that applies, or None.

    A text of kind "code" has to pass those rules only that are not about a language.
    """
    if len(text) < settings.min_characters:
        return TOO_SHORT
    if len(text) > settings.max_characters:
        return TOO_LONG
    words = plain(text[:SAMPLE])
    solid = sum(map(len, words.split()))
    if not has_letters(words, settings.min_letter_rate * max(solid, 1)):
        return FEW_LETTERS
    if repeated_lines(words) > settings.max_repeated_lines:
        return REPEATED_LINES
    if compressed(words) < settings.min_compressed:
        return REPEATED
    if kind == "english" and not is_english(words, settings):
        return NOT_ENGLISH
    if kind == "chinese" and not is_chinese(words, settings):
        return NOT_CHINESE
    return None


def kind_of(text: str, settings: ProseSettings = DEFAULT) -> Kind:
    """Chinese if enough of its letters are Han characters, else English."""
    words = plain(text[:SAMPLE])
    found = han(words)
    return "chinese" if found and found >= settings.min_han * count_letters(words) else "english"


def plain(text: str) -> str:
    """`text` without the code in fences; all of it where nothing else is left."""
    if "```" not in text and "~~~" not in text:
        return text
    rest = _FENCED.sub("", text)
    return rest if rest.strip() else text


def repeated_lines(text: str) -> float:
    """Share of the characters (blanks at line ends aside) on lines that stood before."""
    seen: set[str] = set()
    again = total = 0
    for line in text.split("\n"):
        line = line.strip()
        total += len(line)
        if line in seen:
            again += len(line)
        seen.add(line)
    return again / total if total else 0.0


def compressed(text: str) -> float:
    """Size of the text after zlib's fastest compression, as a share of its bytes."""
    data = text.encode("utf-8", "surrogatepass")
    return len(zlib.compress(data, 1)) / len(data) if data else 1.0


def is_english(text: str, settings: ProseSettings = DEFAULT) -> bool:
    """Whether enough of the words are English ones; a word is what white space sets apart."""
    words = text.lower().split()
    common = sum(word in _COMMON for word in words)
    return common >= settings.min_common_words * len(words) and len(_SURE.intersection(words)) > 1


def is_chinese(text: str, settings: ProseSettings = DEFAULT) -> bool:
    """Whether enough of the letters are Han characters, and few enough kana or hangul."""
    letters = count_letters(text)
    return (
        han(text) >= settings.min_han * letters
        and len(_KANA_HANGUL.findall(text)) <= settings.max_kana_hangul * letters
    )


def han(text: str) -> int:
    """Number of Han characters."""
    return 0 if text.isascii() else len(_HAN.findall(text))
