"""Rows of JSON to documents of kind "conversation"; what is no conversation is counted and named.

A document's text is what the model reads, without control tokens. Each turn is a span: from
`start` to `body` what is given, from `body` to `end` what is answered and learnt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codekiln.corpus.conversations.settings import InstructSettings
from codekiln.errors import SourceError
from codekiln.tokenizer.chat import ASSISTANT, SYSTEM, USER, turns
from codekiln.types import Document, Span

Messages = list[dict[str, str]]
SUFFIX = ".jsonl"
SHOWN_LINES = 5
FIELDS = "messages [{role, content}], or instruction and output"


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a file holds: rows that serve, and by reason the lines (from 1) of those that do not."""

    rows: int
    dropped: dict[str, list[int]] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For people: each reason with its count and its first lines."""
        shown = []
        for reason, numbers in self.dropped.items():
            first = ", ".join(map(str, numbers[:SHOWN_LINES]))
            more = ", …" if len(numbers) > SHOWN_LINES else ""
            shown.append(f"{len(numbers):,} rows dropped: {reason} (lines {first}{more})")
        return shown


def conversation_files(settings: InstructSettings) -> list[Path]:
    """The files that the recipe names, sorted within each pattern.

    Raises:
        SourceError: a pattern that fits no file, or a file of another kind.
    """
    files: list[Path] = []
    for pattern in settings.conversations:
        path = Path(pattern).expanduser().absolute()
        found = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        wrong = next((path for path in found if path.suffix != SUFFIX), None)
        if not found or wrong:
            raise SourceError(
                f"[instruct] conversations {wrong or pattern}",
                got="no such file" if not found else f"a {wrong.suffix if wrong else ''} file",
                wanted=f"JSONL files (*{SUFFIX}), a conversation a row: {FIELDS}",
            )
        files += [path for path in found if path not in files]
    return files


def inspect(path: Path) -> Findings:
    """Read a file through.

    Raises:
        SourceError: a file that cannot be read, or without a single conversation.
    """
    rows, dropped = 0, dict[str, list[int]]()
    for number, found in _rows(path):
        if isinstance(found, str):
            dropped.setdefault(found, []).append(number)
        else:
            rows += 1
    findings = Findings(rows=rows, dropped=dropped)
    if not rows:
        raise SourceError(
            path,
            got="; ".join(findings.lines()) or "an empty file",
            wanted=f"rows with {FIELDS}",
        )
    return findings


def documents(path: Path, split: str, settings: InstructSettings) -> Iterator[Document]:
    """The conversations of a file that belong to "train" or to "held_out"."""
    for number, found in _rows(path):
        if isinstance(found, str):
            continue
        document = _document(found, path, number, settings.system)
        if (_chance(document.text) < settings.held_out_rate) == (split == "held_out"):
            yield document


def _rows(path: Path) -> Iterator[tuple[int, Messages | str]]:
    """Line number and messages, or why there are none."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, _messages(line)
    except OSError as error:
        raise SourceError(path, got=f"unreadable ({error})", wanted="a JSONL file") from None


def _messages(line: bytes) -> Messages | str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # of brackets by the thousand
        return "not JSON"
    if not isinstance(row, dict):
        return "not a JSON object"
    if "messages" in row:
        return _checked(row["messages"])
    if "instruction" in row and "output" in row:
        return _alpaca(row)
    return "neither messages nor instruction and output"


def _checked(messages: object) -> Messages | str:
    if not isinstance(messages, list) or not messages:
        return "messages is no list, or empty"
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            return "a message without text in content"
        if message.get("role") not in (SYSTEM, USER, ASSISTANT):
            return "a role other than system, user and assistant"
    return _answered([{"role": m["role"], "content": m["content"]} for m in messages])


def _alpaca(row: Mapping[str, Any]) -> Messages | str:
    instruction, given, output = row["instruction"], row.get("input") or "", row["output"]
    if not all(isinstance(text, str) for text in (instruction, given, output)):
        return "instruction, input or output is no text"
    question = f"{instruction}\n{given}" if given else instruction
    return _answered([_said(USER, question), _said(ASSISTANT, output)])


def _answered(messages: Messages) -> Messages | str:
    if messages[-1]["role"] != ASSISTANT:
        return "it does not end with an answer"
    if not all(m["content"].strip() for m in messages if m["role"] == ASSISTANT):
        return "an empty answer"
    if messages[0]["role"] == ASSISTANT or not any(m["role"] == USER for m in messages):
        return "an answer without a question"
    return messages


def _said(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _document(messages: Messages, path: Path, number: int, system: str) -> Document:
    if system and messages[0]["role"] != SYSTEM:
        messages = [_said(SYSTEM, system), *messages]
    text, spans = "", []
    for prompt, answer in _said_and_answered(messages):
        start, body = len(text), len(text) + len(prompt)
        text += prompt + answer
        spans.append(Span(path=ASSISTANT, language="", start=start, body=body, end=len(text)))
    return Document(
        id=f"{path.name}:{number}",
        text=text,
        kind="conversation",
        source=path.name,
        spans=tuple(spans),
    )


def _said_and_answered(messages: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    for prompt, answer in turns(messages):
        assert answer is not None  # it ends with an answer
        yield prompt, answer


def _chance(text: str) -> float:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
