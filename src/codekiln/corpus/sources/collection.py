"""Locations that stand for many repositories: rows of files, grouped before they are read.

    found = prepare(settings.repositories, work / "rows")
    found.locations                   # of single repositories, for open_repository
    for each in found.grouped.repositories(): ...     # name, revision, metadata, location

Collections are Parquet files, JSONL files (plain, .gz, .zst, .bz2, .xz), here or at a URL, each
with wildcards, and data sets of the Hugging Face hub (`hf:`). All collections that are named
together are grouped together, since The Stack and its kin keep the files of one repository apart
by language: a repository's files meet whatever collection they come from.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codekiln.corpus.sources.locations import URL
from codekiln.corpus.sources.read import expand_locations
from codekiln.errors import SourceError

if TYPE_CHECKING:
    from codekiln.corpus.sources.rows.columns import RowColumns
    from codekiln.corpus.sources.rows.group import GroupedRows
    from codekiln.corpus.sources.rows.inputs import Input

_HUB = "hf:"
_ROW_FILE = re.compile(r"\.(parquet|(jsonl|ndjson|json)(\.(gz|zst|bz2|xz))?)$")
MEMORY_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What the patterns of a recipe stand for.

    Args:
        locations: of single repositories.
        grouped: the collections' repositories; None if there is no collection.
    """

    locations: tuple[str, ...]
    grouped: GroupedRows | None


def is_collection(pattern: str) -> bool:
    """Whether a location stands for many repositories: rows of files."""
    return pattern.startswith(_HUB) or _ROW_FILE.search(pattern) is not None


def prepare(
    patterns: Iterable[str],
    work: Path,
    *,
    columns: RowColumns | None = None,
    memory_bytes: int = MEMORY_BYTES,
    advance: Callable[[int], None] | None = None,
) -> Prepared:
    """Expand locations, and group the rows of those that are collections.

    Args:
        patterns: as in a recipe's `repositories`.
        work: folder for the grouped rows; used only if there is a collection, kept for the build.
        columns: which columns hold what, where their names do not tell.
        memory_bytes: about what grouping takes.
        advance: called with the number of rows read.

    Raises:
        SourceError: a pattern matches nothing, or not one row of the collections can be used.
        MissingToolError: a library for a collection is not installed.
    """
    every = list(patterns)
    single = [pattern for pattern in every if not is_collection(pattern)]
    inputs = [each for p in every if is_collection(p) for each in _inputs(p)]
    locations = tuple(expand_locations(single))
    if not inputs:
        return Prepared(locations=locations, grouped=None)
    from codekiln.corpus.sources.rows.group import group_rows

    unique = {each.location: each for each in inputs}
    grouped = group_rows(
        [unique[location] for location in sorted(unique)],
        work,
        columns=columns,
        memory_bytes=memory_bytes,
        advance=advance,
    )
    if not grouped.count:
        raise _nothing(grouped)
    return Prepared(locations=locations, grouped=grouped)


def _inputs(pattern: str) -> list[Input]:
    """The files of rows, or the data set, that a pattern stands for."""
    from codekiln.corpus.sources.rows.inputs import JsonInput, ParquetInput

    if pattern.startswith(_HUB):
        from codekiln.corpus.sources.rows.hub import HubInput

        return [HubInput(pattern)]
    return [
        (ParquetInput if place.endswith(".parquet") else JsonInput)(place)
        for place in _places(pattern)
    ]


def _places(pattern: str) -> list[str]:
    if URL.match(pattern):
        from codekiln.corpus.sources.remote import expand_remote

        return expand_remote(pattern)
    expanded = os.path.expanduser(pattern)  # noqa: PTH111 (Path.expanduser raises for "~nobody")
    if os.path.lexists(expanded):
        return [expanded]
    found = sorted(glob.glob(expanded, recursive=True))  # noqa: PTH207
    if not found:
        raise SourceError(
            pattern,
            got="matches nothing",
            wanted="Parquet or JSONL files with a row for each file of a repository",
            remedy="check the path; relative paths start at the current folder",
        )
    return found


def _nothing(grouped: GroupedRows) -> SourceError:
    """The error for collections of which no row can be used."""
    reasons = [f"{reason}: {facts['rows']:,} rows" for reason, facts in grouped.dropped.items()]
    reasons += [f"{place}: {problem}" for place, problem in grouped.failures[:3]]
    return SourceError(
        "rows of files",
        got="none can be used (" + ("; ".join(reasons) or "there are none") + ")",
        wanted="rows with a repository's name, a path and the content",
        remedy="The Stack v2 holds ids alone: fetch the contents first; or name the columns",
    )
