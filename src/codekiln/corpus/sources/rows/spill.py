"""First pass over a collection: rows are spilled to disk, sorted into partitions by repository.

    spill-00000/rows.arrow     one record batch for each partition
    spill-00000/sizes.npy      bytes of each, expanded
    spill-00000/facts.json     how far the inputs have been read, and what was dropped

One spill holds what fits into memory, of as many inputs as that takes. It appears whole, and tells
where the next one begins, so a killed run goes on from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from codekiln.corpus.sources.rows.columns import RowColumns, RowDrops
from codekiln.corpus.sources.rows.inputs import Input, RawRows
from codekiln.corpus.sources.rows.tidy import TIDY, tidy
from codekiln.errors import CodekilnError, MissingToolError
from codekiln.storage import atomic_path, read_json

FACTS = "facts.json"
_PARTS_OF_MEMORY = 4  # rows held, their copy in order, what Parquet decodes, and room


class Spiller:
    """Reads inputs and spills their rows.

    Args:
        folder: of the grouping.
        memory_bytes: about what the pass may take.
    """

    def __init__(
        self,
        folder: Path,
        *,
        partitions: int,
        memory_bytes: int,
        advance: Callable[[int], None] | None = None,
    ) -> None:
        self._folder = folder
        self._spills = sorted(folder.glob("spill-*"))
        self._partitions = partitions
        self._most = max(memory_bytes // _PARTS_OF_MEMORY, 1)
        self._advance = advance
        self._held: list[pa.Table] = []
        self._bytes = 0
        self._drops = RowDrops()
        self._failures: list[list[str]] = []

    def run(self, inputs: Sequence[Input], columns: RowColumns) -> list[Path]:
        """Spill what is not spilled yet; the spills' folders in order."""
        number, start = self._reached()
        while number < len(inputs):
            self._read(inputs[number], number, start, columns)
            number, start = number + 1, 0
        if self._held or self._failures or self._drops.rows:
            self._spill([number, 0])
        return self._spills

    def _reached(self) -> tuple[int, int]:
        """Input and row from which to read on."""
        number, start = read_json(self._spills[-1] / FACTS)["next"] if self._spills else (0, 0)
        return number, start

    def _read(self, source: Input, number: int, start: int, columns: RowColumns) -> None:
        for raw in self._batches(source, columns, start):
            table = tidy(raw, number=number, first=start, drops=self._drops)
            start += raw.count
            if len(table):
                self._held.append(table)
                self._bytes += table.nbytes
            if self._advance:
                self._advance(raw.count)
            if self._bytes >= self._most:
                self._spill([number, start])

    def _batches(self, source: Input, columns: RowColumns, start: int) -> Iterator[RawRows]:
        """The batches of an input up to where it is damaged, which is noted."""
        count = start
        batches = iter(source.batches(columns, start))
        while True:
            try:  # around the reading alone: a full disk while spilling is no input's failure
                raw = next(batches)
            except StopIteration:
                return
            except MissingToolError:
                raise
            except CodekilnError as error:
                self._failures.append([source.location, f"after {count:,} rows: {error}"])
                return
            count += raw.count
            yield raw

    def _spill(self, reached: list[int]) -> None:
        rows = pa.concat_tables([TIDY.empty_table(), *self._held]).combine_chunks()
        self._held, self._bytes = [], 0  # of chunks, pyarrow would make one for each `take` anew
        facts = {
            "next": reached,
            "dropped": self._drops.to_json(),
            "failures": self._failures,
        }
        spill = self._folder / f"spill-{len(self._spills):05d}"
        with atomic_path(spill) as folder:
            folder.mkdir()
            sizes = _write(rows, folder / "rows.arrow", self._partitions)
            np.save(folder / "sizes.npy", sizes)
            (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
        self._spills.append(spill)
        self._drops, self._failures = RowDrops(), []


def partition_of(hashes: pa.ChunkedArray | pa.Array, partitions: int) -> np.ndarray:
    """The partition of each row, int64 [rows]."""
    return (np.asarray(hashes) % np.uint64(partitions)).astype(np.int64)


def _write(rows: pa.Table, path: Path, partitions: int) -> np.ndarray:
    """Write one batch for each partition; their sizes in bytes, int64 [partitions]."""
    parts = partition_of(rows.column("hash"), partitions)
    order = np.argsort(parts, kind="stable")
    bounds = np.searchsorted(parts[order], np.arange(partitions + 1))
    sizes = np.zeros(partitions, np.int64)
    with ipc_file(path, TIDY, "lz4") as writer:
        for part in range(partitions):
            batch = one_batch(rows.take(order[bounds[part] : bounds[part + 1]]))
            sizes[part] = batch.nbytes
            writer.write_batch(batch)
    return sizes


@contextmanager
def ipc_file(path: Path, schema: pa.Schema, compression: str | None) -> Iterator[Any]:
    """A writer of an Arrow file; its batches can be read in any order."""
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema, options=options) as out:
        yield out


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """A table as a single record batch."""
    batches = table.combine_chunks().to_batches()
    if len(batches) == 1:
        return batches[0]
    if not batches:
        return pa.RecordBatch.from_pylist([], schema=table.schema)
    return pa.concat_batches(batches)
