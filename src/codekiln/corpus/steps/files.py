"""The files of a batch of repositories on disk, between reading and composing.

    files.parquet    one row a file that was decoded: place, language, text, licence, signals, and
                     why it is dropped, where that is settled already (then without its text)
    edges.parquet    which file needs which: numbers of files within the repository, and the kind

Rows of a repository stand together, in path order; so do the repositories.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

FILES = "files.parquet"
EDGES = "edges.parquet"
ROW_GROUP_BYTES = 16_000_000
ROW_GROUP_FILES = 20_000

PLACE = [
    ("repository", arrow.int32()),  # number within the batch
    ("path", arrow.string()),
    ("language", arrow.string()),
    ("bytes", arrow.int64()),  # of the text as it was read
    ("digest", arrow.binary(16)),
    ("licence", arrow.string()),
    ("redacted", arrow.int32()),  # secrets and personal data replaced
    ("reason", arrow.string()),  # why it is dropped; null if it is kept so far
    ("detail", arrow.string()),  # what that rests on, for `corpus why`
]
EDGE_SCHEMA = arrow.schema(
    [
        ("repository", arrow.int32()),
        ("source", arrow.int32()),
        ("target", arrow.int32()),
        ("kind", arrow.string()),
    ]
)


def schema(signals: Sequence[tuple[str, arrow.DataType]]) -> arrow.Schema:
    """Columns of `files.parquet`, with those of the quality signals behind."""
    return arrow.schema([*PLACE, ("text", arrow.large_string()), *signals])


class FileWriter:
    """Writes `files.parquet` of one batch, row group by row group.

    Args:
        path: the file.
        columns: its schema.
    """

    def __init__(self, path: Path, columns: arrow.Schema) -> None:
        self._schema = columns
        self._writer = parquet.ParquetWriter(
            path,
            columns,
            compression="zstd",
            compression_level=1,
            use_dictionary=["language", "licence", "reason"],
            write_statistics=["repository"],
        )
        self._rows: list[tuple[Any, ...]] = []
        self._texts: list[bytes | None] = []
        self._size = 0

    def add(self, row: tuple[Any, ...], text: bytes | None) -> None:
        """Append one file: its values in the schema's order but for the text, in UTF-8."""
        self._rows.append(row)
        self._texts.append(text)
        self._size += len(text or b"")
        if self._size >= ROW_GROUP_BYTES or len(self._rows) >= ROW_GROUP_FILES:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        fields = [field for field in self._schema if field.name != "text"]
        columns = dict(zip((f.name for f in fields), zip(*self._rows, strict=True), strict=True))
        arrays = {field.name: arrow.array(columns[field.name], field.type) for field in fields}
        text = arrow.array(self._texts, type=arrow.large_binary())
        arrays["text"] = text.view(arrow.large_string())
        table = arrow.table([arrays[name] for name in self._schema.names], schema=self._schema)
        self._writer.write_table(table)
        self._rows, self._texts, self._size = [], [], 0

    def close(self) -> None:
        """Write what is left and the footer."""
        self._flush()
        self._writer.close()


def write_edges(path: Path, edges: Sequence[tuple[int, int, int, str]]) -> None:
    """Write (repository, source, target, kind) rows."""
    arrays = [
        arrow.array([edge[column] for edge in edges], field.type)
        for column, field in enumerate(EDGE_SCHEMA)
    ]
    table = arrow.Table.from_arrays(arrays, schema=EDGE_SCHEMA)
    parquet.write_table(table, path, compression="zstd", use_dictionary=["kind"])


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryTables:
    """What is stored of one repository: `files` without texts, and its edges.

    `number` is that within the batch, `first_row` that of its first file.
    """

    number: int
    first_row: int
    files: arrow.Table
    edges: arrow.Table


def columns_of(folder: Path, names: Sequence[str]) -> arrow.Table:
    """Some columns of a batch's files, all rows."""
    return parquet.read_table(folder / FILES, columns=list(names), use_threads=False)


def repositories(folder: Path) -> Iterator[RepositoryTables]:
    """The repositories of a batch that have files, one at a time, without the texts."""
    names = [name for name in parquet.read_schema(folder / FILES).names if name != "text"]
    rows = columns_of(folder, names)
    edges = parquet.read_table(folder / EDGES, use_threads=False)
    numbers, of_edges = (table.column("repository").to_numpy() for table in (rows, edges))
    for number in np.unique(numbers):
        first, last = np.searchsorted(numbers, [number, number + 1])
        start, end = np.searchsorted(of_edges, [number, number + 1])
        yield RepositoryTables(
            number=int(number),
            first_row=int(first),
            files=rows.slice(first, last - first),
            edges=edges.slice(start, end - start),
        )


class TextReader:
    """Texts of a batch by row number, read row group by row group in ascending order.

    Holds one row group at a time: asking for an earlier row than the last one is an error.
    """

    def __init__(self, folder: Path) -> None:
        self._file = parquet.ParquetFile(folder / FILES)
        self._group, self._start, self._texts = -1, 0, arrow.chunked_array([], arrow.large_string())

    def text(self, row: int) -> str | None:
        """The text of a row; None where it was dropped before it was written."""
        while row >= self._start + len(self._texts):
            self._start += len(self._texts)
            self._group += 1
            read = self._file.read_row_group(self._group, columns=["text"], use_threads=False)
            self._texts = read.column("text")
        if row < self._start:
            raise ValueError(f"row {row} is asked for after row {self._start}")
        found: str | None = self._texts[row - self._start].as_py()
        return found
