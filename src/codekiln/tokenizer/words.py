"""Count the words that a byte-level BPE learns from: the pieces its pre-tokenizer cuts text into.

Counted here, not by the library: a piece of ASCII is cut by one expression and counted in a table,
several times faster than the library's five; each distinct line with other characters goes through
the library once, however often it stands in the text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

import tokenizers
from tokenizers import models, pre_tokenizers

from codekiln.tokenizer.alphabet import CHARACTER_TO_BYTE
from codekiln.tokenizer.split import DESCRIPTION, pieces

_HELD_LINES = 50_000


class WordCounter:
    """Counts words of texts; memory grows with the distinct words, not with the text."""

    def __init__(self) -> None:
        self._ascii: Counter[str] = Counter()
        self._lines: Counter[str] = Counter()  # with other characters, whole
        self._words: Counter[bytes] = Counter()
        self._pre_tokenizer = papers_pre_tokenizer()

    def add(self, text: str, times: int = 1) -> None:
        """Count the words of `text`; a lone surrogate, which UTF-8 lacks, counts as `?`."""
        found = pieces(text)
        for _ in range(times):
            if text.isascii():
                self._ascii.update(found)
            else:
                self._ascii.update(filter(str.isascii, found))
                self._lines.update(piece for piece in found if not piece.isascii())
        if len(self._lines) > _HELD_LINES:
            self._cut_lines()

    def merge(self, words: Mapping[bytes, int]) -> None:
        """Add what another counter has counted."""
        self._words.update(words)

    def words(self) -> dict[bytes, int]:
        """Distinct words, as their bytes, and how often each was seen; empties the counter."""
        self._cut_lines()
        words, self._words = self._words, Counter()
        while self._ascii:
            piece, count = self._ascii.popitem()
            words[piece.encode()] += count
        return words

    def _cut_lines(self) -> None:
        for line, count in self._lines.items():
            whole = line.encode("utf-8", "replace").decode()
            for word, _ in self._pre_tokenizer.pre_tokenize_str(whole):
                self._words[bytes(map(CHARACTER_TO_BYTE.__getitem__, word))] += count
        self._lines.clear()


def papers_pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """The paper's, built by the library from its own file format: one description serves all."""
    empty = tokenizers.Tokenizer(models.BPE())
    description = {**json.loads(empty.to_str()), "pre_tokenizer": DESCRIPTION}
    return tokenizers.Tokenizer.from_str(json.dumps(description)).pre_tokenizer
