"""Infillings beside the truth: which rows are shown, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = 5


def chosen(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first rows, one a file while there are enough files: drawn by hash, never picked."""
    seen: set[str] = set()
    first: list[Mapping[str, Any]] = []
    rest: list[Mapping[str, Any]] = []
    for row in rows:
        (rest if row["path"] in seen else first).append(row)
        seen.add(row["path"])
    return (first + rest)[:SHOWN]


def shown(row: Mapping[str, Any]) -> str:
    """One row for a terminal."""
    mark = "=" if row["status"] == "passed" else " "
    truth, written = str(row["truth"]).strip(), str(row["written"]).strip()
    return f"  {row['path']}:{row['line']}\n    truth    {truth}\n  {mark} written  {written}\n"
