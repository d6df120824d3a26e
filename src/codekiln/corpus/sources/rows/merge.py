"""Second pass over a collection: each partition becomes a folder, one repository after another.

    part-00000/files.arrow    batches of (path, content); each belongs to one repository
    part-00000/index.arrow    the repositories, sorted by name, and where their batches are
    part-00000/facts.json     how many, and what was dropped

The index is not compressed, so that one repository is found by binary search in a mapped file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codekiln.corpus.sources.intake import DUPLICATE
from codekiln.corpus.sources.metadata import joined
from codekiln.corpus.sources.rows.columns import RowDrops
from codekiln.corpus.sources.rows.spill import FACTS, ipc_file, one_batch
from codekiln.corpus.sources.rows.tidy import TIDY
from codekiln.storage import atomic_path

FILES = "files.arrow"
INDEX_FILE = "index.arrow"
PART = pa.schema([("path", pa.string()), ("content", pa.large_binary())])
INDEX = pa.schema(
    [
        ("name", pa.string()),
        ("revision", pa.string()),
        ("first_batch", pa.int64()),
        ("batches", pa.int64()),
        ("files", pa.int64()),
        ("bytes", pa.int64()),
        ("stars", pa.int64()),
        ("updated", pa.float64()),
        ("licence", pa.string()),
        ("fork_of", pa.string()),
    ]
)
_BATCH_BYTES = 16 << 20  # of a repository that is read at once
_SORTED = [(name, "ascending") for name in ("repository", "path", "input", "row")]


def merge(spills: Sequence[Path], part: Path, *, number: int, passes: int) -> None:
    """Write one partition; rows whose path is there twice are dropped.

    Args:
        part: the folder to write.
        number: of the partition.
        passes: how many times the spills are read, each time for a share of the repositories, so
            that what is held at once fits into memory.
    """
    drops = RowDrops()
    with atomic_path(part) as folder:
        folder.mkdir()
        with ipc_file(folder / FILES, PART, "zstd") as writer:
            output = _Output(writer)
            for turn in range(passes):
                rows = _rows(spills, number, turn, passes)
                for repository in _repositories(rows, drops):
                    output.add(repository)
                del rows
        index = pa.Table.from_pylist(output.index, schema=INDEX).sort_by("name")
        with ipc_file(folder / INDEX_FILE, INDEX, None) as writer:
            writer.write_batch(one_batch(index))
        facts = {
            "repositories": len(index),
            "files": sum(row["files"] for row in output.index),
            "bytes": sum(row["bytes"] for row in output.index),
            "dropped": drops.to_json(),
        }
        (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def _rows(spills: Sequence[Path], number: int, turn: int, passes: int) -> pa.Table:
    """The partition's rows of one turn, repository by repository, in order of path and input."""
    held = [TIDY.empty_table()]
    for spill in spills:
        with pa.memory_map(str(spill / "rows.arrow")) as file:
            batch = pa.ipc.open_file(file).get_batch(number)
            if passes > 1:
                hashes = np.asarray(batch.column("hash"))
                # other bits than those which chose the partition
                share = (hashes >> np.uint64(32)) % np.uint64(passes)
                batch = batch.filter(pa.array(share == turn))
            held.append(pa.Table.from_batches([batch]))
    table = pa.concat_tables(held).combine_chunks()
    held.clear()
    order = pc.sort_indices(table.drop_columns(["content"]), sort_keys=_SORTED)
    return table.take(order)


def _repositories(rows: pa.Table, drops: RowDrops) -> Iterator[pa.Table]:
    """The rows of each repository, paths once; of equal paths the first input's is kept."""
    if not len(rows):
        return
    starts = np.flatnonzero(_changes(rows.column("repository").combine_chunks()))
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        repository = rows.slice(start, end - start)
        new = _changes(repository.column("path").combine_chunks())
        if not new.all():
            name = repository.column("repository")[0].as_py()
            again = repository.filter(pa.array(~new)).column("path")
            drops.add(DUPLICATE, f"{name}: {again[0].as_py()}", len(again))
            repository = repository.filter(pa.array(new))
        yield repository


def _changes(values: pa.Array) -> np.ndarray:
    """Where a value differs from the one before it, bool [rows]; the first does."""
    differs = np.ones(len(values), bool)
    if len(values) > 1:
        differs[1:] = np.asarray(pc.not_equal(values.slice(1), values.slice(0, len(values) - 1)))
    return differs


@dataclass(slots=True)
class _Output:
    """Writes repositories and notes where they are."""

    writer: Any
    written: int = 0
    index: list[dict[str, Any]] = field(default_factory=list)

    def add(self, repository: pa.Table) -> None:
        """Write one repository's rows."""
        first = self.written
        files = repository.select(PART.names)
        for piece in _pieces(files):
            self.writer.write_batch(one_batch(piece))
            self.written += 1
        sizes = pc.binary_length(files.column("content"))
        self.index.append(
            {
                "name": repository.column("repository")[0].as_py(),
                "revision": _revision(files),
                "first_batch": first,
                "batches": self.written - first,
                "files": len(files),
                "bytes": pc.sum(sizes).as_py(),
                **_facts(repository),
            }
        )


def _facts(repository: pa.Table) -> dict[str, Any]:
    """The most stars, the latest date, all licences, the first fork that its rows tell of."""
    forks = [name for name in repository.column("fork_of").unique().to_pylist() if name]
    return {
        "stars": pc.max(repository.column("stars")).as_py(),
        "updated": pc.max(repository.column("updated")).as_py(),
        "licence": joined(repository.column("licence").unique().to_pylist()),
        "fork_of": min(forks, default=None),
    }


def _pieces(files: pa.Table) -> Iterator[pa.Table]:
    """The rows in pieces of some megabytes."""
    ends = np.cumsum(np.asarray(pc.binary_length(files.column("content"))))
    start = 0
    while start < len(files):
        before = ends[start - 1] if start else 0
        end = max(int(np.searchsorted(ends, before + _BATCH_BYTES, side="right")), start + 1)
        yield files.slice(start, end - start)
        start = end


def _revision(files: pa.Table) -> str:
    """Hash of all paths and contents."""
    total = hashlib.sha256()
    for batch in files.to_batches():
        contents = batch.column("content")
        for path, content in zip(batch.column("path").to_pylist(), contents, strict=True):
            data = content.as_buffer()
            total.update(f"{path}\0{data.size}\0".encode())
            total.update(data)
    return total.hexdigest()
