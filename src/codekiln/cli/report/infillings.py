"""Infillings beside the truth: which rows are shown, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = 5
WIDTH = 90  # characters of a line; what a small model repeats need not be read to its end


def chosen(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first rows, one a file while there are enough files: drawn by hash, never picked."""
    seen: set[tuple[str, str]] = set()
    first: list[Mapping[str, Any]] = []
    rest: list[Mapping[str, Any]] = []
    for row in rows:
        file = row["source"], row["path"]
        (rest if file in seen else first).append(row)
        seen.add(file)
    return (first + rest)[:SHOWN]


def shown(row: Mapping[str, Any]) -> str:
    """One row for a terminal."""
    mark = "=" if row["status"] == "passed" else " "
    truth, written = cut(row["truth"]), cut(row["written"])
    place = f"{row['source']}: {row['path']}:{row['line']}"
    return f"  {place}\n    truth    {truth}\n  {mark} written  {written}\n"


def cut(text: object) -> str:
    """A line without its indentation, cut where it gets long."""
    line = str(text).strip()
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
