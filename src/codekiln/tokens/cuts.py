"""Where a file is cut: at characters, between tokens, or around pieces of its syntax.

A cut between tokens falls on a border of the file's ids as encoded whole: nothing is encoded
again, no token is split, and a layout is as long as the file and its control tokens. A model so
trained never sees the halves of a token; an editor sends them all the same. Where a character is
several tokens, a part may begin or end inside it, which no editor sends. And what an editor
encodes, the text before the place by itself, may have other ids near its end.

A cut by syntax is chosen in a process of its own (`syntax_cuts.py`). A file without an installed
grammar, or one that its parser does not get through, is cut at characters and counted.

Source: DeepSeek-Coder §3.1.2; open there. Gong et al. 2025 for syntax.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codekiln.languages.grammars import grammar_of, installed
from codekiln.languages.parser_process import Answer, ParserProcess, Question
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokens.fim import Spans
from codekiln.tokens.plan import FilePlan
from codekiln.tokens.syntax_cuts import ANSWER, QUESTION

WORKER = (sys.executable, "-m", "codekiln.tokens.syntax_cuts")
MOST_BYTES = (1 << 32) - 1


class SyntaxCutter:
    """Cuts files around nodes of their syntax; close it.

    Args:
        command: starts a process that speaks as `syntax_cuts.py` does.
    """

    def __init__(self, command: Sequence[str] = WORKER) -> None:
        self._process = ParserProcess(command, ANSWER)

    def cut(self, files: Sequence[FilePlan]) -> list[FilePlan | None]:
        """The files, cut. None where nothing can be said of a file's syntax.

        A span that would overlap an earlier one is left out.
        """
        bodies = [file.text[file.body :] for file in files]
        datas = [body.encode("utf-8", "surrogatepass") for body in bodies]
        questions = [_questions(*pair) for pair in zip(files, datas, strict=True)]
        found = iter(self._process.ask([question for each in questions for question in each]))
        cut: list[FilePlan | None] = []
        for file, body, data, asked in zip(files, bodies, datas, questions, strict=True):
            spans = _spans(body, data, [next(found) for _ in asked])
            cut.append(file.cut(spans) if spans else None)
        return cut

    def close(self) -> None:
        """End the parser's process."""
        self._process.close()


def cut_by_syntax(
    plans: Sequence[Sequence[FilePlan]], cutter: SyntaxCutter
) -> tuple[list[list[FilePlan]], list[int]]:
    """(the files of each document, how many of them are cut at characters after all)."""
    chosen = [file for files in plans for file in files if file.layout is not None]
    found = iter(cutter.cut(chosen))
    cut, fallbacks = [], []
    for files in plans:
        done, fell_back = [], 0
        for planned in files:
            if planned.layout is None:
                done.append(planned)
                continue
            by_syntax = next(found)
            fell_back += by_syntax is None
            done.append(by_syntax or planned.cut_at_characters())
        cut.append(done)
        fallbacks.append(fell_back)
    return cut, fallbacks


def _questions(file: FilePlan, data: bytes) -> list[Question]:
    """One question a span; none where there is no grammar."""
    grammar = grammar_of(file.language, file.path)
    if grammar is None or not installed(grammar.name) or len(data) > MOST_BYTES:
        return []
    name = grammar.name.encode()
    chances = file.draw.more(b"syntax", 4 * file.count)
    return [
        (QUESTION.pack(len(data), len(name), *chances[at : at + 4]), name, data)
        for at in range(0, len(chances), 4)
    ]


def _spans(text: str, data: bytes, answers: Sequence[Answer | None]) -> Spans:
    """The spans to mask, in characters; none where none can be had."""
    chosen: list[tuple[int, int]] = []
    for start, end in (answer for answer in answers if answer is not None):
        if start >= 0 and all(end <= low or high <= start for low, high in chosen):
            chosen.append((start, end))
    if text.isascii():
        return tuple(sorted(chosen))
    try:
        return tuple(
            (_characters(data, low), _characters(data, high)) for low, high in sorted(chosen)
        )
    except UnicodeDecodeError:  # a grammar's node that ends inside a character
        return ()


def _characters(data: bytes, place: int) -> int:
    return len(data[:place].decode("utf-8", "surrogatepass"))


class TokenBorders:
    """Which of a file's ids belong to its path header, which is never cut.

    Args:
        tokenizer: the one that made the ids.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        lengths = [len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size)]
        self._lengths = np.array(lengths, dtype=np.int64)
        # bytes that the tokenizer itself puts before every text
        self._added = int(self._lengths[tokenizer.encode("a")].sum()) - 1

    def header_ids(self, ids: NDArray[np.int32], header: str) -> int:
        """The number of ids up to the first border at or behind the header's end."""
        if not header:
            return 0
        size = len(header.encode("utf-8", "surrogatepass")) + self._added
        ends = np.cumsum(self._lengths[ids[:size]])
        return min(int(np.searchsorted(ends, size)) + 1, len(ids))
