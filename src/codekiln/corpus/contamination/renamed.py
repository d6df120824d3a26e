"""Solutions with other names in them: a second rule beside the paper's, off unless asked for.

The paper's rule sees words, so that a solution whose variables are called otherwise escapes it.
This rule compares **runs of tokens** in which names are numbered in the order of their first
appearance in the run. Exactly:

- Comments (`#` and `//` to the line's end, `/* */`) are dropped, a string literal is one token
  whatever it says, white space does not matter. A token is a word (as in `grams`, case folded)
  or one other sign. The marks of all languages hold for every text: a floor division hides the
  rest of its line in the test data and in the file alike.
- A word stays as it is if it is a keyword or a built-in name of a common language, begins with a
  digit, or follows a dot (`.append`). All others are names, and become their number.
- Only runs that say enough are kept of the test data: a fifth of the tokens words that stay, two
  names of which some stands twice, and between a quarter and three quarters signs. Prose, tables
  and import lists have no such runs.

It finds consistent renaming only, and no solution shorter than a run: a statement added or moved
within a run hides it. Longer runs find less and err less.

Source: none; the paper stops at n-grams (§2.4).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from codekiln.corpus.contamination.lookup import Lookup
from codekiln.corpus.duplicates.grams import (
    BLOCK_BYTES,
    Hashes,
    Indices,
    Words,
    grams,
    plain_gram,
    words,
)

RUN = 20
KEPT_RATE = 0.2
LEAST_SIGNS, MOST_SIGNS = 0.25, 0.75
_NAME = np.uint64(0x5851F42D4C957F2D)  # stands for any name
_SIGN = np.uint64(0x14057B7EF767814F)
_BLANK = re.compile(
    rb"\"\"\"[\s\S]*?(?:\"\"\"|\Z)|'''[\s\S]*?(?:'''|\Z)|/\*[\s\S]*?(?:\*/|\Z)|#[^\n]*|//[^\n]*"
    rb"|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'"
)
_KEYWORDS = """
abs all and any append array as assert async await bool boolean break byte case catch char class
const continue def default del delete dict do double elif else end enum enumerate eq except extends
false filter final finally float fn for foreach from func function global go goto if implements
import in include instanceof int interface is isinstance join key lambda len length let list local
long loop map match max min mod module mut namespace new nil none not null object or override
package pass print private protected public raise range return reversed round self set short sizeof
sort sorted static str string struct sum super switch template then this throw throws trait true
try tuple type typedef typeof uint union unless unsigned until use using val var vector virtual void
when where while with xor yield zip
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The tokens of several texts, in order.

    `hashes[i]` is the token's hash, with one for all names; `identity[i]` tells names apart and
    is 0 for what is none; `sign[i]` says that it is no word. `text[i]` is the number of the text.
    `source` are the texts as they were compared, `starts[i]`, `ends[i]` places in them joined by
    one byte, with one before the first.
    """

    hashes: Hashes
    identity: Hashes
    sign: npt.NDArray[np.bool_]
    text: Indices
    starts: Indices
    ends: Indices
    source: bytes

    def runs(self, length: int) -> tuple[Hashes, Indices]:
        """Hashes of all runs, names not told apart, and the first token of each."""
        nothing = np.empty(0, np.int64)
        shape = Words(
            hashes=self.hashes, text=self.text, starts=nothing, ends=nothing, offsets=nothing
        )
        return grams(shape, length)

    def pattern(self, first: int, length: int) -> bytes:
        """A run's names in the order of their appearance: 0 for no name, else its number."""
        numbers: dict[int, int] = {0: 0}
        ids = self.identity[first : first + length].tolist()
        return bytes(numbers.setdefault(one, len(numbers)) for one in ids)

    def excerpt(self, first: int, length: int) -> str:
        """A run as it was compared, on one line."""
        piece = self.source[self.starts[first] : self.ends[first + length - 1]]
        return " ".join(piece.decode("utf-8", "replace").split())


def tokens(texts: Iterable[bytes]) -> Tokens:
    """The tokens of texts (UTF-8), without comments and with string literals as one sign."""
    blanked = [_BLANK.sub(_stand_in, text) for text in texts]
    found = words(blanked)
    source = b"\0".join((b"", *blanked))
    data = np.frombuffer(source, dtype=np.uint8)
    signs = np.flatnonzero(_SIGNS[data])
    order = np.arange(len(found.starts)) + np.searchsorted(signs, found.starts)
    size = len(signs) + len(found.starts)
    hashes = np.empty(size, np.uint64)
    identity = np.zeros(size, np.uint64)
    starts, ends = np.empty(size, np.int64), np.empty(size, np.int64)
    sign = np.ones(size, np.bool_)
    sign[order] = False
    starts[order], starts[sign] = found.starts, signs
    ends[order], ends[sign] = found.ends, signs + 1
    hashes[sign] = (data[signs].astype(np.uint64) + np.uint64(1)) * _SIGN
    name = _names(found, data)
    hashes[order] = np.where(name, _NAME, found.hashes)
    identity[order] = np.where(name, found.hashes, np.uint64(0))
    return Tokens(
        hashes=hashes,
        identity=identity,
        sign=sign,
        text=np.searchsorted(found.offsets, starts, side="right") - 1,
        starts=starts,
        ends=ends,
        source=source,
    )


def _stand_in(match: re.Match[bytes]) -> bytes:
    return b'"' if match[0][:1] in b"\"'" else b" "


def _sign_table() -> npt.NDArray[np.bool_]:
    signs = [chr(byte).isprintable() and byte < 0x80 for byte in range(256)]
    words = [chr(byte).isalnum() or byte in b"_ " for byte in range(256)]
    return np.array(signs) & ~np.array(words)


_SIGNS = _sign_table()
_KEPT = Lookup(np.array(sorted(plain_gram([w.encode()]) for w in _KEYWORDS.split()), np.uint64))


def _names(found: Words, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Which words are names: no keywords, numbers or attributes."""
    first, before = data[found.starts], data[found.starts - 1]
    name: npt.NDArray[np.bool_] = ((first - np.uint8(48)) >= 10) & (before != ord("."))
    name[_KEPT.find(found.hashes)[0]] = False
    return name


def token_blocks(texts: Sequence[bytes]) -> Iterator[tuple[list[int], Tokens]]:
    """Tokens of many texts, block by block, with the texts' numbers."""
    numbers: list[int] = []
    size = 0
    for number, text in enumerate(texts):
        if numbers and size + len(text) > BLOCK_BYTES:
            yield numbers, tokens(texts[n] for n in numbers)
            numbers, size = [], 0
        numbers.append(number)
        size += len(text)
    if numbers:
        yield numbers, tokens(texts[n] for n in numbers)


class Renamed:
    """Runs of the test data, ready to be looked for.

    Args:
        length: tokens in a run.
        runs: hashes of runs, sorted, with repeats; `patterns` and `problems` stand beside them.
    """

    def __init__(
        self, length: int, runs: Hashes, patterns: Sequence[bytes], problems: Indices
    ) -> None:
        self.length = length
        self.runs, self.patterns, self.problems = runs, list(patterns), problems

    @classmethod
    def from_texts(cls, texts: Sequence[bytes], owners: Indices, length: int = RUN) -> Renamed:
        """Keep the runs that say enough; `owners[i]` is the number of the problem of text i."""
        known: dict[tuple[int, bytes], int] = {}
        for numbers, found in token_blocks(texts):
            values, first = found.runs(length)
            worth = _says_enough(found, first, length)
            for value, start in zip(values[worth].tolist(), first[worth].tolist(), strict=True):
                pattern = found.pattern(start, length)
                if 2 <= max(pattern) < sum(map(bool, pattern)):  # names, and one of them twice
                    owner = int(owners[numbers[int(found.text[start])]])
                    known.setdefault((value, pattern), owner)
        each = sorted(known.items())
        return cls(
            length,
            np.array([value for (value, _), _ in each], dtype=np.uint64),
            [pattern for (_, pattern), _ in each],
            np.array([owner for _, owner in each], dtype=np.int64),
        )

    @cached_property
    def _lookup(self) -> tuple[Lookup, dict[int, dict[bytes, int]]]:
        by_run: dict[int, dict[bytes, int]] = {}
        for value, pattern, problem in zip(
            self.runs.tolist(), self.patterns, self.problems.tolist(), strict=True
        ):
            by_run.setdefault(value, {})[pattern] = problem
        return Lookup(np.unique(self.runs)), by_run

    def find(self, found: Tokens) -> dict[int, tuple[int, int]]:
        """By text: the problem of the first run found in it, and that run's first token."""
        hits: dict[int, tuple[int, int]] = {}
        if not len(self.runs):
            return hits
        lookup, by_run = self._lookup
        values, first = found.runs(self.length)
        for place, key in zip(*lookup.find(values), strict=True):
            start = int(first[place])
            text = int(found.text[start])
            if text not in hits:
                problem = by_run[int(lookup.keys[key])].get(found.pattern(start, self.length))
                if problem is not None:
                    hits[text] = (problem, start)
        return hits


def _says_enough(found: Tokens, first: Indices, length: int) -> npt.NDArray[np.bool_]:
    """Which runs have enough words that stay, and as many signs as code has."""
    signs = _count(found.sign, first, length)
    kept = _count(~found.sign & (found.identity == 0), first, length)
    return (
        (kept >= KEPT_RATE * length)
        & (signs >= LEAST_SIGNS * length)
        & (signs <= MOST_SIGNS * length)
    )


def _count(which: npt.NDArray[np.bool_], first: Indices, length: int) -> Indices:
    total = np.concatenate([[0], np.cumsum(which, dtype=np.int64)])
    counts: Indices = total[first + length] - total[first]
    return counts
