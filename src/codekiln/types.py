"""The words that flow through the system. No torch here, no behaviour: only values.

Repository -> Document -> token shard -> batch -> logits -> Completion -> Verdict -> score.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["code", "english", "chinese", "conversation"]
FinishReason = Literal["stop", "length", "cancelled"]
Mode = Literal["complete", "infill", "chat"]
Status = Literal[
    "passed",
    "wrong",
    "compile_error",
    "runtime_error",
    "timeout",
    "out_of_memory",
    "infrastructure",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One file of a repository, decoded.

    Args:
        path: relative to the repository's root, with forward slashes.
        text: the content, decoded; line ends as in the file.
        language: a name of the language table, such as "python".
        licence: SPDX identifier where one is known.
    """

    path: str
    text: str
    language: str
    licence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A repository at one revision; `files` in path order."""

    name: str
    revision: str
    files: tuple[SourceFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where one file lies in a document's text, in characters.

    `text[start:body]` is the path header, `text[body:end]` the file's own text with the final
    newline that every file of a document ends with. Spans touch: the next starts at `end`.
    `licence` is an SPDX expression where one is known.
    """

    path: str
    language: str
    start: int
    body: int
    end: int
    licence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One training sample: files in dependency order, each behind its path header.

    Source: DeepSeek-Coder §2.2 (repository-level concatenation).
    """

    id: str
    text: str
    kind: Kind = "code"
    source: str
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem of a benchmark."""

    id: str
    prompt: str
    language: str = "python"
    suffix: str = ""
    mode: Mode = "complete"
    tests: str = ""
    setup: str = ""
    stop: tuple[str, ...] = ()
    entry_point: str = ""
    reference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What a model wrote for one problem; `text` is what follows the prompt."""

    problem_id: str
    sample: int = 0
    text: str
    finish_reason: FinishReason = "stop"
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What happened when a program ran. `infrastructure` is our fault, never a wrong answer."""

    status: Status
    stdout: str = ""
    stderr: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    notes: tuple[str, ...] = field(default_factory=tuple)
