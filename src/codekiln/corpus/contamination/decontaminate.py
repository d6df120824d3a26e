"""Files that hold test data are dropped: any 10 words in a row shared, or a short text exactly.

The paper's rule, with its open points decided here:

- A gram is a word n-gram as `grams` defines it: case, layout and punctuation do not matter.
- Test strings of 10 words or more: a file that shares any 10-gram with one is dropped. Grams of
  nothing but numbers are left out, since "0 1 2 3 4 5 6 7 8 9" is no test's own.
- Test strings of 3 to 9 words: exact match, which here does count punctuation: the string stands
  in the file, from word boundary to word boundary, with runs of white space as one and ASCII
  case folded. Common one-liners (`return x + y` is a whole solution in HumanEval) therefore
  drop clean files too, and single lines of an infilling benchmark (`for i in`) drop very many:
  the report counts them, and `decontaminate_shortest` raises the 3, up to 10 for no such match.
- Test strings of fewer than 3 words are not looked for.

A second rule, which the paper does not have, finds solutions whose names were changed; it is off
unless asked for (`renamed.py`).

What else can hit a clean file: boilerplate inside the test data (licence texts, import blocks,
prompt templates). The report names each file, the problem and the words they share.

Source: DeepSeek-Coder §2.4 (n-gram filter).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from codekiln.corpus.contamination import testdata
from codekiln.corpus.contamination.lookup import Lookup
from codekiln.corpus.contamination.renamed import Renamed, tokens
from codekiln.corpus.duplicates.grams import (
    Hashes,
    Indices,
    Words,
    blocks,
    grams,
    grams_at,
    plain_gram,
    plain_words,
)
from codekiln.errors import BenchmarkError
from codekiln.log import Progress

LONG = 10
SHORTEST = 3
EXCERPT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """Why a text is dropped: `text` is its number, `shared` the words in question."""

    text: int
    problem: str
    rule: Literal["10-gram", "exact", "renamed"]
    shared: str


class Decontaminator:
    """Test data, ready to be looked for; goes to worker processes as it is.

    Args:
        problems: names, for the report.
        long_grams: sorted hashes of the 10-grams of long test strings.
        long_problems: for each, the number of the first problem that has it.
        short: (collapsed text, problem's number) of short test strings.
        renamed: runs of the second rule, where it is asked for.
    """

    def __init__(
        self,
        problems: Sequence[str],
        long_grams: Hashes,
        long_problems: Indices,
        short: Sequence[tuple[bytes, int]],
        renamed: Renamed | None = None,
    ) -> None:
        self.problems = list(problems)
        self.long_grams, self.long_problems = long_grams, long_problems
        self.short = list(short)
        self.renamed = renamed

    @classmethod
    def load(
        cls, locations: Iterable[str], *, shortest: int = SHORTEST, renamed: int = 0
    ) -> Decontaminator:
        """Read the files and folders that the user names.

        Args:
            shortest: words from which on a short string is looked for, at least 3.
            renamed: tokens in a run of the second rule; 0 is without it.

        Raises:
            BenchmarkError: missing or damaged, or without any string of 3 words.
        """
        files = [file for location in locations for file in testdata.files_of(location)]
        with Progress("test data", total=sum(f.stat().st_size for f in files), unit="B") as shown:
            pairs: list[tuple[str, str]] = []
            for file in files:
                pairs += testdata.strings(file)
                shown.advance(file.stat().st_size)
        found = cls.from_strings(pairs, shortest=shortest, renamed=renamed)
        if files and not len(found.long_grams) and not found.short:
            raise BenchmarkError(
                ", ".join(map(str, files)), got="no text of 3 words", wanted=testdata.WANTED
            )
        return found

    @classmethod
    def from_strings(
        cls, pairs: Iterable[tuple[str, str]], *, shortest: int = SHORTEST, renamed: int = 0
    ) -> Decontaminator:
        """From (problem, text); a text that stands in several problems counts for the first."""
        problems: dict[str, int] = {}
        texts: dict[str, int] = {}
        for problem, text in pairs:
            texts.setdefault(text, problems.setdefault(problem, len(problems)))
        owners = np.array(list(texts.values()), dtype=np.int64)
        short: dict[bytes, int] = {}
        long = [np.empty(0, np.uint64)]
        long_problems = [np.empty(0, np.int64)]
        for text, owner in texts.items():
            parts = plain_words(text.encode("utf-8", "surrogatepass"))
            if shortest <= len(parts) < LONG and not all(map(bytes.isdigit, parts)):
                short.setdefault(_collapse(text), owner)
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        for numbers, found in blocks(encoded):
            values, first = grams(found, LONG)
            worth = _with_letters([encoded[n] for n in numbers], LONG)[first]
            long.append(values[worth])
            long_problems.append(owners[numbers][found.text[first[worth]]])
        keys, places = np.unique(np.concatenate(long), return_index=True)
        runs = Renamed.from_texts(encoded, owners, renamed) if renamed else None
        long_owners = np.concatenate(long_problems)[places]
        return cls(list(problems), keys, long_owners, list(short.items()), runs)

    @cached_property
    def _long(self) -> Lookup:
        return Lookup(self.long_grams)

    @cached_property
    def _anchors(self) -> Lookup:
        """The first three words of short strings."""
        anchors = {plain_gram(plain_words(text)[:SHORTEST]) for text, _ in self.short}
        return Lookup(np.array(sorted(anchors), dtype=np.uint64))

    @cached_property
    def _by_words(self) -> dict[int, tuple[Lookup, dict[int, list[int]]]]:
        """Short strings by their number of words and by all of them."""
        found: dict[int, dict[int, list[int]]] = {}
        for number, (text, _) in enumerate(self.short):
            parts = plain_words(text)
            found.setdefault(len(parts), {}).setdefault(plain_gram(parts), []).append(number)
        return {
            count: (Lookup(np.array(sorted(by_words), dtype=np.uint64)), by_words)
            for count, by_words in sorted(found.items())
        }

    def check(self, texts: Sequence[str], found: Words) -> list[Hit]:
        """At most one hit for each text; `found` are the words of `texts`."""
        hits: dict[int, Hit] = {}
        if len(self.long_grams):
            self._check_long(texts, found, hits)
        if self.short:
            self._check_short(texts, found, hits)
        if self.renamed is not None:
            self._check_renamed(self.renamed, texts, hits)
        return [hits[text] for text in sorted(hits)]

    def _check_long(self, texts: Sequence[str], found: Words, hits: dict[int, Hit]) -> None:
        values, first = grams(found, LONG)
        for place, key in zip(*self._long.find(values), strict=True):
            word = int(first[place])
            text = int(found.text[word])
            if text not in hits:
                hits[text] = Hit(
                    text=text,
                    problem=self.problems[self.long_problems[key]],
                    rule="10-gram",
                    shared=_excerpt(texts, found, word, LONG),
                )

    def _check_short(self, texts: Sequence[str], found: Words, hits: dict[int, Hit]) -> None:
        collapsed: dict[int, bytes] = {}
        for text, number in sorted(self._short_candidates(found)):
            if text in hits:
                continue
            if text not in collapsed:
                collapsed[text] = _collapse(texts[text])
            wanted, problem = self.short[number]
            if _stands_in(wanted, collapsed[text]):
                shared = wanted.decode("utf-8", "replace")
                hits[text] = Hit(
                    text=text, problem=self.problems[problem], rule="exact", shared=shared
                )

    def _short_candidates(self, found: Words) -> set[tuple[int, int]]:
        """(text, short string) where all the string's words stand in a row in the text."""
        values, first = grams(found, SHORTEST)
        starts = first[self._anchors.find(values)[0]]
        candidates: set[tuple[int, int]] = set()
        for count, (lookup, by_words) in self._by_words.items():
            values, first = grams_at(found, starts, count)
            for place, key in zip(*lookup.find(values), strict=True):
                text = int(found.text[first[place]])
                candidates.update((text, n) for n in by_words[int(lookup.keys[key])])
        return candidates

    def _check_renamed(self, renamed: Renamed, texts: Sequence[str], hits: dict[int, Hit]) -> None:
        left = [number for number in range(len(texts)) if number not in hits]
        found = tokens(texts[number].encode("utf-8", "surrogatepass") for number in left)
        for place, (problem, first) in renamed.find(found).items():
            hits[left[place]] = Hit(
                text=left[place],
                problem=self.problems[problem],
                rule="renamed",
                shared=found.excerpt(first, renamed.length)[:EXCERPT],
            )


def _with_letters(texts: Sequence[bytes], n: int) -> npt.NDArray[np.bool_]:
    """For each word: whether the n-gram that it begins holds anything but numbers."""
    other = [not word.isdigit() for text in texts for word in plain_words(text)]
    total = np.concatenate([[0], np.cumsum(np.array(other, dtype=np.int64)), np.zeros(n, np.int64)])
    total[len(other) + 1 :] = total[len(other)]
    worth: npt.NDArray[np.bool_] = total[n:] > total[:-n]
    return worth


def _collapse(text: str) -> bytes:
    """Runs of white space as one blank, ASCII in lower case, nothing at the ends."""
    return b" ".join(text.encode("utf-8", "surrogatepass").lower().split())


def _stands_in(wanted: bytes, text: bytes) -> bool:
    """Whether `wanted` stands in `text` without cutting a word at its ends."""
    place = text.find(wanted)
    while place >= 0:
        end = place + len(wanted)
        # a cut word would join with its neighbour byte into one
        left = plain_words(text[max(place - 1, 0) : place + 1])
        right = plain_words(text[end - 1 : end + 1])
        cut_left = place > 0 and len(left) == 1 and len(left[0]) == 2
        cut_right = end < len(text) and len(right) == 1 and len(right[0]) == 2
        if not cut_left and not cut_right:
            return True
        place = text.find(wanted, place + 1)
    return False


def _excerpt(texts: Sequence[str], found: Words, word: int, n: int) -> str:
    """The n words from `word` on, as they stand in the text."""
    number = int(found.text[word])
    data = texts[number].encode("utf-8", "surrogatepass")
    offset = found.offsets[number]
    piece = data[found.starts[word] - offset : found.ends[word + n - 1] - offset]
    return " ".join(piece.decode("utf-8", "replace").split())[:EXCERPT]
