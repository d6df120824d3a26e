"""Questions with their answers, out of a Stack Exchange dump.

A dump of one site is `Posts.xml`: one `<row>` a post, questions and answers mixed, a question's
answers anywhere behind it. It may lie there as it is, compressed (gz, bz2, xz), or in the 7z
archive that the site is published as. In one pass the posts are sorted by question into spill
files; then one spill file after the other is joined in memory. So memory is bounded however large
the dump is, and a record's text depends on the dump alone.

What a record looks like is open in the paper (DeepSeek-Coder §2 only names StackExchange): the
title as a heading, the question, its tags, then the answers, the accepted one first, the others by
score; HTML becomes Markdown with its code kept.

The XML is not trusted: a document type, which is where entities are declared, is refused.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from xml.parsers import expat

from codekiln.corpus.sources.archive_7z import pour_member
from codekiln.corpus.sources.compressed import DAMAGE, open_packed
from codekiln.corpus.sources.html_markdown import markdown_of
from codekiln.corpus.sources.intake import Tally
from codekiln.errors import SourceError

NO_ANSWER = "no answer good enough"
LOW_SCORE = "score too low"
NO_QUESTION = "answer without its question"
DAMAGED_ROW = "post without number or text"
TOO_LARGE = "too large"

MAX_BODY = 1 << 20  # the sites take 30,000 characters
PIECE = 1 << 20
ROW_BYTES = 64 << 20  # more than this without a row is no dump
PART_BYTES = 64 << 20  # of the dump, in one spill file
MOST_PARTS = 256  # so many files are open at once
MAX_EXPANSION = 200
QUESTION, ANSWER = "1", "2"
_TAG = re.compile(r"[^<>|]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which posts are taken.

    Args:
        min_question_score: votes up less votes down.
        min_answer_score: of an answer that is not the accepted one.
        max_answers: of one question.
        answered_only: drop a question that is left without an answer.
    """

    min_question_score: int = 0
    min_answer_score: int = 1
    max_answers: int = 5
    answered_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A question with its answers, as text."""

    number: int
    text: str
    date: str


def read_threads(path: Path, choice: Choice, tally: Tally) -> Iterator[Thread]:
    """The questions of one dump with their answers, in an order that follows from the dump alone.

    Posts that are not taken are counted in `tally`, by reason.

    Raises:
        SourceError: not a dump of posts, damaged, or hostile.
        MissingToolError: a 7z archive, and py7zr is not installed.
    """
    parts = min(max(path.stat().st_size // PART_BYTES, 1) * _swelling(path), MOST_PARTS)
    with tempfile.TemporaryDirectory(prefix="codekiln-posts-") as folder:
        names = [Path(folder) / str(number) for number in range(parts)]
        with contextlib.ExitStack() as stack:
            files: list[TextIO] = [
                stack.enter_context(name.open("w", encoding="utf-8")) for name in names
            ]
            _Posts(path, files, tally).read()
        for name in names:
            with name.open(encoding="utf-8") as file:
                yield from _join(file, choice, tally)
            name.unlink()


def _swelling(path: Path) -> int:
    """How many times larger the XML is than the file, roughly."""
    return {".7z": 7, ".xz": 7, ".bz2": 7, ".zst": 6, ".gz": 5}.get(path.suffix.lower(), 1)


class _Posts:
    """Reads the rows of a dump, and spills them by question."""

    def __init__(self, path: Path, files: list[TextIO], tally: Tally) -> None:
        self._path, self._files, self._tally = path, files, tally
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse
        self._root = ""
        self._size = 0
        self._last = 0  # where the last row began

    def read(self) -> None:
        """Read all of it."""
        try:
            _pour(self._path, self._feed)
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise self._error(f"not well-formed XML ({error})") from error

    def _feed(self, data: bytes) -> None:
        self._size += len(data)
        self._parser.Parse(data, False)
        if self._size - self._last > ROW_BYTES:
            raise self._error(f"{self._size - self._last} bytes without a row")

    def _error(self, got: str) -> SourceError:
        return SourceError(
            self._path,
            got=got,
            wanted="Posts.xml of a Stack Exchange dump, or the 7z archive that holds it",
            remedy="download it again; each archive of one site holds one Posts.xml",
        )

    def _refuse(self, *_: Any) -> None:
        raise self._error("a document type declaration, which no dump has")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._root:
            self._root = name
            if name != "posts":
                raise self._error(f"<{name}> at the top")
        if name != "row":
            return
        self._last = self._size
        kind = attributes.get("PostTypeId")
        if kind == QUESTION:
            self._spill(attributes, attributes.get("Id", ""), is_question=True)
        elif kind == ANSWER:
            self._spill(attributes, attributes.get("ParentId", ""), is_question=False)

    def _spill(self, attributes: dict[str, str], question: str, *, is_question: bool) -> None:
        number, body = attributes.get("Id", ""), attributes.get("Body", "")
        where = f"post {number[:20]}"
        sound = _number(number) and _number(question) and body
        if not sound or (number == question) != is_question:  # an answer to itself is none
            self._tally.drop(DAMAGED_ROW, where, len(body))
        elif len(body) > MAX_BODY:
            self._tally.drop(TOO_LARGE, where, len(body))
        else:
            row = [int(question), int(number), _score(attributes), body]
            if is_question:
                row += [
                    attributes.get("Title", ""),
                    attributes.get("Tags", ""),
                    attributes.get("AcceptedAnswerId", ""),
                    attributes.get("CreationDate", "")[:10],
                ]
            file = self._files[int(question) % len(self._files)]
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def _score(attributes: dict[str, str]) -> int:
    text = attributes.get("Score", "0")
    return int(text) if _number(text.removeprefix("-")) else 0


def _join(file: TextIO, choice: Choice, tally: Tally) -> Iterator[Thread]:
    """The threads of one spill file, by number of the question."""
    threads: dict[int, list[list[Any]]] = {}
    for line in file:
        row = json.loads(line)
        threads.setdefault(row[0], []).append(row)
    for number in sorted(threads):
        rows = {row[1]: row for row in threads.pop(number)}  # a post that stands twice counts once
        question = rows.pop(number, None)
        if question is None:
            for other in rows:
                tally.drop(NO_QUESTION, f"post {other}", len(rows[other][3]))
            continue
        thread = _thread(question, list(rows.values()), choice, tally)
        if thread is not None:
            yield thread


def _thread(
    question: list[Any], answers: list[list[Any]], choice: Choice, tally: Tally
) -> Thread | None:
    number, _, score, body, title, tags, accepted, date = question
    where = f"post {number}"
    if score < choice.min_question_score:
        tally.drop(LOW_SCORE, where, len(body))
        for answer in answers:
            tally.drop(LOW_SCORE, f"post {answer[1]}", len(answer[3]))
        return None
    chosen: list[list[Any]] = []
    for answer in sorted(answers, key=lambda row: (str(row[1]) != accepted, -row[2], row[1])):
        good = str(answer[1]) == accepted or answer[2] >= choice.min_answer_score
        if good and len(chosen) < choice.max_answers:
            chosen.append(answer)
        else:
            tally.drop(LOW_SCORE, f"post {answer[1]}", len(answer[3]))
    if not chosen and choice.answered_only:
        tally.drop(NO_ANSWER, where, len(body))
        return None
    parts = [f"# {' '.join(title.split())}"] if title.strip() else []
    parts.append(markdown_of(body))
    if tags:
        parts.append("Tags: " + ", ".join(_TAG.findall(tags)))
    for answer in chosen:
        parts += ["## Answer", markdown_of(answer[3])]
    return Thread(number=number, text="\n\n".join(filter(None, parts)) + "\n", date=date)


# ---- the bytes ----


def _pour(path: Path, feed: Callable[[bytes], None]) -> None:
    """Hand the XML of a dump to `feed`, piece by piece.

    Raises:
        SourceError: truncated, damaged, or expanding beyond reason.
    """
    feed = _bounded(path, feed)
    if path.suffix.lower() == ".7z":
        pour_member(path, "Posts.xml", feed)
        return
    try:
        with open_packed(path) as file:
            while data := file.read(PIECE):
                feed(data)
    except DAMAGE as error:
        raise SourceError(path, got=f"cannot be read: {error}", wanted="a whole file") from error


def _bounded(path: Path, feed: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """`feed`, but refusing a file that expands beyond reason."""
    left = path.stat().st_size * MAX_EXPANSION + (16 << 20)

    def pour(data: bytes) -> None:
        nonlocal left
        left -= len(data)
        if left < 0:
            got = f"expands to more than {MAX_EXPANSION} times its size"
            raise SourceError(path, got=got, wanted="a dump of posts")
        feed(data)

    return pour
