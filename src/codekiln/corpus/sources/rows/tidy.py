"""Rows as they stand become rows that can be grouped; what is unfit is counted by reason."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa

from codekiln.corpus.sources.intake import OUTSIDE, UNUSABLE_NAME, usable_name
from codekiln.corpus.sources.metadata import licence_of, name_of, seconds_of, stars_of
from codekiln.corpus.sources.rows.columns import RowDrops
from codekiln.corpus.sources.rows.inputs import RawRows

NO_CONTENT = "row without content"
NO_PATH = "row without a path"
NO_REPOSITORY = "row without a repository"
ABSURD = "absurd path"
_LONGEST_PATH = 4096  # bytes, as Linux has it
_LONGEST_PART = 255
_LONGEST_NAME = 500  # characters of a repository's name

TIDY = pa.schema(
    [
        ("repository", pa.string()),
        ("path", pa.string()),
        ("input", pa.int32()),
        ("row", pa.int64()),
        ("hash", pa.uint64()),
        ("content", pa.large_binary()),
        ("stars", pa.int64()),
        ("updated", pa.float64()),
        ("licence", pa.string()),
        ("fork_of", pa.string()),
    ]
)


def tidy(raw: RawRows, *, number: int, first: int, drops: RowDrops) -> pa.Table:
    """Rows of the schema TIDY; the others are counted in `drops`.

    Args:
        number: of the input among all.
        first: the number of the first row in the input.
    """
    for reason in raw.bad:
        drops.add(reason, f"input {number}, rows from {first}")
    if raw.content is None:
        drops.add(NO_CONTENT, f"input {number}, rows from {first}", raw.count)
        return TIDY.empty_table()
    names, paths, kept = [], [], []
    empty = np.asarray(raw.content.is_null())
    rows = zip(raw.values["repository"], raw.values["path"], strict=True)
    for row, (name, path) in enumerate(rows):
        clean, problem = _judge(name, path, bool(empty[row]))
        if problem:
            drops.add(problem, f"{name}: {path}")
        else:
            names.append(name)
            paths.append(clean)
            kept.append(row)
    indices = pa.array(kept, pa.int64())
    return pa.table(
        {
            "repository": pa.array(names, pa.string()),
            "path": pa.array(paths, pa.string()),
            "input": pa.array([number] * len(kept), pa.int32()),
            "row": pa.array([first + row for row in kept], pa.int64()),
            "hash": pa.array(_hashes(names), pa.uint64()),
            "content": raw.content if len(kept) == len(raw.content) else raw.content.take(indices),
            "stars": pa.array(_mapped(raw, "stars", stars_of, kept), pa.int64()),
            "updated": pa.array(_mapped(raw, "updated", seconds_of, kept), pa.float64()),
            "licence": pa.array(_mapped(raw, "licence", licence_of, kept), pa.string()),
            "fork_of": pa.array(_mapped(raw, "fork_of", name_of, kept), pa.string()),
        },
        schema=TIDY,
    )


def _judge(name: Any, path: Any, empty: bool) -> tuple[str, str]:
    """A row's clean path, or the reason why it is dropped."""
    if not isinstance(name, str) or not name.strip():
        return "", NO_REPOSITORY
    if not isinstance(path, str) or not path:
        return "", NO_PATH
    if len(name) > _LONGEST_NAME or not usable_name(name) or not usable_name(path):
        return "", UNUSABLE_NAME
    if empty:
        return "", NO_CONTENT
    return clean_row_path(path)


def clean_row_path(path: str) -> tuple[str, str]:
    """A path from a row, relative and with forward slashes; or the reason why it has none.

    A slash at the start is taken for the repository's root, as The Stack v2 writes it;
    backslashes are those of Windows; drive letters and ways out are refused.
    """
    path = path.replace("\\", "/")
    if len(path) > 200 or "//" in f"{path}/" or "./" in f"{path}/" or path[0] == "/":
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts:
            return "", OUTSIDE
        path = "/".join(parts)
        longest = max((len(part.encode()) for part in parts), default=0)
        if not path or longest > _LONGEST_PART or len(path.encode()) > _LONGEST_PATH:
            return "", ABSURD
    if path[1:2] == ":":
        return "", OUTSIDE
    return path, ""


def _hashes(names: list[str]) -> list[int]:
    """A number below 2**64 of each name, the same in every process and on every machine."""
    known: dict[str, int] = {}
    for name in names:
        if name not in known:
            digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
            known[name] = int.from_bytes(digest, "little")
    return [known[name] for name in names]


def _mapped(raw: RawRows, role: str, convert: Any, kept: list[int]) -> list[Any]:
    values = raw.values.get(role)
    return [None] * len(kept) if values is None else [convert(values[row]) for row in kept]
