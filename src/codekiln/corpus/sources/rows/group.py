"""Rows of files from many repositories, grouped to repositories within a bounded memory.

Rows of one repository lie scattered over many files. They are partitioned on disk by a hash of
the repository's name (`spill`), then each partition is put in order (`merge`): two passes over
the data, in memory that does not grow with it, except that the largest single repository has to
fit. Each repository depends on the inputs alone; which part it lies in, on the number of
partitions too; nothing on the memory or on where a run was killed.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from codekiln.corpus.sources.rows.columns import RowColumns, RowDrops
from codekiln.corpus.sources.rows.inputs import Input
from codekiln.corpus.sources.rows.merge import merge
from codekiln.corpus.sources.rows.source import RowRepository, read_index
from codekiln.corpus.sources.rows.spill import FACTS, Spiller
from codekiln.storage import fingerprint, only_one, read_json, write_json

VERSION = 1  # raised when the same rows come to be grouped otherwise
MEMORY_BYTES = 1 << 30
_LEAST_MEMORY = 1 << 16  # with less, files and passes cost more than they save
_MOST_PARTITIONS = 4096
_UNKNOWN_PARTITIONS = 256  # for inputs that do not tell their size
_PARTS_OF_MEMORY = 4  # a partition's rows, their copy in order, what is written, and room
_WHOLE = "grouped.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedRows:
    """A collection that has been grouped.

    Args:
        folder: where it lies.
        partitions: number of parts.
        count: of repositories.
        files: rows that were kept.
        bytes: of their contents.
        dropped: rows that were not, by reason: {"rows": number, "examples": [...]}.
        failures: inputs that could not be read to their end, and why.
    """

    folder: Path
    partitions: int
    count: int
    files: int
    bytes: int
    dropped: dict[str, dict[str, object]]
    failures: tuple[tuple[str, str], ...]

    def repositories(self) -> Iterator[RowRepository]:
        """All repositories, partition by partition, each sorted by name."""
        for number in range(self.partitions):
            yield from read_index(_part(self.folder, number))


def group_rows(
    inputs: Sequence[Input],
    out: Path,
    *,
    columns: RowColumns | None = None,
    partitions: int | None = None,
    memory_bytes: int = MEMORY_BYTES,
    advance: Callable[[int], None] | None = None,
) -> GroupedRows:
    """Group the rows of all inputs in the folder `out`, or finish what was begun there.

    Args:
        inputs: read in this order: of rows with equal repository and path the first is kept.
        columns: which columns hold what, where that cannot be told by their names.
        partitions: how many parts; None chooses by the inputs' sizes.
        memory_bytes: about what it takes, or as much as the largest repository.
        advance: called with the number of rows read.

    Raises:
        UserError: another process works in `out`.
    """
    columns = columns or RowColumns()
    memory_bytes = max(memory_bytes, _LEAST_MEMORY)
    partitions = partitions or _partitions(inputs, memory_bytes)
    made_from = fingerprint(
        [VERSION, [each.identity for each in inputs], repr(columns), partitions]
    )
    with only_one(out):
        folder = out.absolute() / made_from[:20]
        _clear(out, folder)
        if not (folder / _WHOLE).exists():
            spiller = Spiller(
                folder, partitions=partitions, memory_bytes=memory_bytes, advance=advance
            )
            spills = spiller.run(inputs, columns)
            parts = _merge_all(spills, folder, partitions, memory_bytes)
            write_json(folder / _WHOLE, _summary(spills, parts))
        for spill in folder.glob("spill-*"):  # they have served
            shutil.rmtree(spill)
        return _grouped(folder)


def _partitions(inputs: Sequence[Input], memory_bytes: int) -> int:
    """So many that each is likely to fit into memory, with room for uneven ones."""
    sizes = [each.expanded_bytes for each in inputs]
    if not all(sizes):
        return _UNKNOWN_PARTITIONS
    total = sum(sizes)
    wanted = 2 * _PARTS_OF_MEMORY * total / memory_bytes
    return min(max(1 << math.ceil(math.log2(max(wanted, 1))), 1), _MOST_PARTITIONS)


def _clear(out: Path, folder: Path) -> None:
    """Remove what was made from other inputs, and what a killed run left half made."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (*out.iterdir(), *folder.iterdir()):
        if path.is_dir() and path != folder and (path.parent == out or path.name[0] == "."):
            shutil.rmtree(path)


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}"


def _merge_all(
    spills: Sequence[Path], folder: Path, partitions: int, memory_bytes: int
) -> list[Path]:
    sizes = np.zeros(partitions, np.int64)
    for spill in spills:
        sizes += np.load(spill / "sizes.npy")
    parts = [_part(folder, number) for number in range(partitions)]
    for number, part in enumerate(parts):
        if not part.exists():
            passes = math.ceil(int(sizes[number]) * _PARTS_OF_MEMORY / memory_bytes)
            merge(spills, part, number=number, passes=max(passes, 1))
    return parts


def _summary(spills: Sequence[Path], parts: Sequence[Path]) -> dict[str, Any]:
    drops = RowDrops()
    counts: Counter[str] = Counter()
    failures: list[list[str]] = []
    for spill in spills:
        facts = read_json(spill / FACTS)
        drops.merge(RowDrops.from_json(facts["dropped"]))
        failures.extend(facts["failures"])
    for part in parts:
        facts = read_json(part / FACTS)
        drops.merge(RowDrops.from_json(facts["dropped"]))
        counts.update({key: facts[key] for key in ("repositories", "files", "bytes")})
    return {
        "partitions": len(parts),
        "count": counts["repositories"],
        "files": counts["files"],
        "bytes": counts["bytes"],
        "dropped": drops.to_json(),
        "failures": failures,
    }


def _grouped(folder: Path) -> GroupedRows:
    facts = read_json(folder / _WHOLE)
    failures = tuple((location, problem) for location, problem in facts.pop("failures"))
    return GroupedRows(folder=folder, failures=failures, **facts)
