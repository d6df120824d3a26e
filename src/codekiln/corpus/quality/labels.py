"""Rows of labelled files: what a quality model is trained on.

JSON lines with `language`, `label` (1 good, 0 bad, or a probability) and either `text` or `path`
(relative to the file of labels). `group` names the repository; files of one group are never on
both sides of a split. Without it each row is a group of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codekiln.errors import SourceError

WANTED = '{"text": "…" or "path": "…", "language": "…", "label": 0 or 1, "group": "…"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One labelled file.

    Args:
        label: probability that it is good.
        group: its repository.
        kind: how the label came about, for the report; may be empty.
    """

    data: bytes
    language: str
    label: float
    group: str
    kind: str = ""


def read(path: Path) -> Iterator[Row]:
    """The rows of a file of labels.

    Raises:
        SourceError: no such file, or a row without text, language or label, named by its line.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _row(path, number, line)
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(path, got=f"cannot be read: {error}", wanted="JSON lines") from error


def _row(path: Path, number: int, line: str) -> Row:
    where = f"{path}:{number}"
    try:
        row = json.loads(line)
    except ValueError as error:
        raise SourceError(where, got=f"not JSON: {error}", wanted=WANTED) from None
    if not isinstance(row, dict):
        raise SourceError(where, got=type(row).__name__, wanted=WANTED)
    label = row.get("label")
    if isinstance(label, bool):
        label = int(label)
    if not isinstance(label, int | float) or not 0 <= label <= 1:
        raise SourceError(where, got=f"label {label!r}", wanted="a number from 0 to 1")
    if not isinstance(row.get("language"), str):
        raise SourceError(where, got="no language", wanted=WANTED)
    data = _data(path, where, row)
    return Row(
        data=data,
        language=row["language"],
        label=float(label),
        group=str(row.get("group") or hashlib.blake2b(data, digest_size=8).hexdigest()),
        kind=str(row.get("kind", "")),
    )


def _data(path: Path, where: str, row: dict[str, Any]) -> bytes:
    if isinstance(row.get("text"), str):
        return str(row["text"]).encode("utf-8", "surrogatepass")
    if not isinstance(row.get("path"), str):
        raise SourceError(where, got="neither text nor path", wanted=WANTED)
    try:
        return (path.parent / row["path"]).read_bytes()
    except OSError as error:
        raise SourceError(where, got=f"{row['path']}: {error.strerror}", wanted=WANTED) from error
