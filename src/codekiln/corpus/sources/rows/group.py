"""Rows of files from many repositories, grouped to repositories within a bounded memory.

Rows of one repository lie scattered over many files. They are partitioned on disk by a hash of
the repository's name (`spill`), then each partition is put in order (`merge`): two passes over
the data, in memory that does not grow with it, except that the largest single repository has to
fit. Each repository depends on the inputs alone; which file it lies in, on the number of
partitions too; nothing on the memory or on where a run was killed.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codekiln.corpus.sources.rows.columns import RowColumns, RowDrops
from codekiln.corpus.sources.rows.inputs import Input
from codekiln.corpus.sources.rows.merge import index_path, merge
from codekiln.corpus.sources.rows.source import RowRepository, read_index
from codekiln.corpus.sources.rows.spill import SPILLS, Spiller
from codekiln.storage import Manifest, fingerprint, only_one

VERSION = 1  # raised when the same rows come to be grouped otherwise
MEMORY_BYTES = 1 << 30
_MOST_PARTITIONS = 4096
_UNKNOWN_PARTITIONS = 256  # for inputs that do not tell their size
_PARTS_OF_MEMORY = 4  # a partition's rows, their copy in order, what is written, and room
_WHOLE = "grouped"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedRows:
    """A collection that has been grouped.

    Args:
        folder: where it lies.
        partitions: number of files.
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
        partitions: how many files; None chooses by the inputs' sizes.
        memory_bytes: about what it takes, or as much as the largest repository.
        advance: called with the number of rows read.

    Raises:
        UserError: another process works in `out`.
    """
    columns = columns or RowColumns()
    partitions = partitions or _partitions(inputs, memory_bytes)
    made_from = fingerprint(
        [VERSION, [each.identity for each in inputs], repr(columns), partitions]
    )
    with only_one(out):
        manifest = Manifest(out / "manifest.json", made_from)
        if _WHOLE not in manifest:
            _clear(out, manifest)
            spiller = Spiller(
                out, manifest, partitions=partitions, memory_bytes=memory_bytes, advance=advance
            )
            spills = spiller.run(inputs, columns)
            _merge_all(spills, out, manifest, partitions, memory_bytes)
            _finish(out, manifest, partitions)
        shutil.rmtree(out / SPILLS, ignore_errors=True)  # they have served
        return _grouped(out, manifest)


def _partitions(inputs: Sequence[Input], memory_bytes: int) -> int:
    """So many that each is likely to fit into memory, with room for uneven ones."""
    total = sum(each.expanded_bytes for each in inputs)
    if not total:
        return _UNKNOWN_PARTITIONS
    wanted = 2 * _PARTS_OF_MEMORY * total / max(memory_bytes, 1)
    return min(max(1 << math.ceil(math.log2(max(wanted, 1))), 1), _MOST_PARTITIONS)


def _clear(out: Path, manifest: Manifest) -> None:
    """Remove what no entry of the manifest answers for."""
    kept = {"manifest.json", ".lock", SPILLS}
    for entry in manifest.entries:
        if entry.startswith("part-"):
            kept |= {f"{entry}.arrow", f"{entry}.index.arrow"}
    for path in out.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    spills = out / SPILLS
    for path in spills.iterdir() if spills.exists() else ():
        if path.name not in manifest:
            shutil.rmtree(path)


def _part(out: Path, number: int) -> Path:
    return out / f"part-{number:05d}.arrow"


def _merge_all(
    spills: Sequence[Path], out: Path, manifest: Manifest, partitions: int, memory_bytes: int
) -> None:
    sizes = np.zeros(partitions, np.int64)
    for spill in spills:
        sizes += np.load(spill / "sizes.npy")
    for number in range(partitions):
        part = _part(out, number)
        if part.stem not in manifest:
            passes = math.ceil(int(sizes[number]) * _PARTS_OF_MEMORY / max(memory_bytes, 1))
            facts = merge(spills, part, number=number, passes=max(passes, 1))
            manifest.add(part.stem, **facts)


def _finish(out: Path, manifest: Manifest, partitions: int) -> None:
    """Sum up."""
    drops = RowDrops()
    for entry in manifest.entries.values():
        drops.merge(RowDrops.from_json(entry["dropped"]))
    parts = [manifest[_part(out, number).stem] for number in range(partitions)]
    spills = [e for name, e in sorted(manifest.entries.items()) if name.startswith("spill-")]
    manifest.add(
        _WHOLE,
        partitions=partitions,
        count=sum(part["repositories"] for part in parts),
        files=sum(part["files"] for part in parts),
        bytes=sum(part["bytes"] for part in parts),
        dropped=drops.to_json(),
        failures=[failure for spill in spills for failure in spill["failures"]],
    )


def _grouped(out: Path, manifest: Manifest) -> GroupedRows:
    facts = manifest[_WHOLE]
    return GroupedRows(
        folder=out.absolute(),
        **{k: facts[k] for k in ("partitions", "count", "files", "bytes", "dropped")},
        failures=tuple((location, problem) for location, problem in facts["failures"]),
    )
