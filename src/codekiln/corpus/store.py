"""Documents on disk: Parquet, one row a document, read and written without holding them all.

    out/documents/00000.parquet …    id, text, kind, source, spans, split, language, bytes, copies
    out/documents/index.json         which shards there are, with their rows

The folder takes its name when all of it is written: a reader sees a whole corpus or none.

Row groups are bounded in bytes, so that reading and writing take the memory of one row group
(or of one document, where that is larger).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as arrow
import pyarrow.parquet as parquet

from codekiln.errors import SourceError
from codekiln.languages.table import main_language
from codekiln.storage import read_json, write_json
from codekiln.types import Document, Kind, Span

Split = Literal["train", "held_out"]
SPLITS: tuple[Split, ...] = ("train", "held_out")
ROW_GROUP_BYTES = 16_000_000
DOCUMENTS = "documents"
INDEX = "index.json"

_SPAN = arrow.struct(
    [
        ("path", arrow.string()),
        ("language", arrow.string()),
        ("start", arrow.int64()),
        ("body", arrow.int64()),
        ("end", arrow.int64()),
        ("licence", arrow.string()),
    ]
)
SCHEMA = arrow.schema(
    [
        ("id", arrow.string()),
        ("text", arrow.large_string()),  # a whole repository may exceed 2 GiB
        ("kind", arrow.string()),
        ("source", arrow.string()),
        ("spans", arrow.list_(_SPAN)),
        ("split", arrow.string()),
        ("language", arrow.string()),  # of most of the text
        ("bytes", arrow.int64()),  # of the text in UTF-8
        ("copies", arrow.int16()),  # how often it is read
    ]
)
REMEDY = "build the corpus anew: codekiln corpus build RECIPE"


class DocumentWriter:
    """Writes documents to one Parquet file; give it a path of `storage.atomic_path`.

    Args:
        path: the file.
        row_group_bytes: a row group is closed before its text exceeds this; a larger document is
            a row group of its own.
    """

    def __init__(self, path: Path, *, row_group_bytes: int = ROW_GROUP_BYTES) -> None:
        self._writer = _writer(path)
        self._limit = row_group_bytes
        self._columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
        self._size = 0
        self.documents = 0

    def add(self, document: Document, split: Split = "train") -> int:
        """Append one document; returns the size of its text in bytes."""
        return self.add_parts(
            [document.text],
            id=document.id,
            kind=document.kind,
            source=document.source,
            spans=document.spans,
            split=split,
        )

    def add_parts(
        self,
        parts: Iterable[str],
        *,
        id: str,
        kind: Kind,
        source: str,
        spans: Iterable[Span],
        split: Split,
    ) -> int:
        """Append one document whose text is in pieces; returns its size in bytes."""
        text = b"".join([part.encode() for part in parts])
        if self._size + len(text) > self._limit:
            self._flush()
        row = self._columns
        row["id"].append(id)
        row["text"].append(text)
        row["kind"].append(kind)
        row["source"].append(source)
        spans = list(spans)
        row["spans"].append([_span_row(span) for span in spans])
        row["language"].append(main_language(spans))
        row["bytes"].append(len(text))
        row["copies"].append(1)
        row["split"].append(split)
        self.documents += 1
        self._size += len(text)
        return len(text)

    def _flush(self) -> None:
        if not self._columns["id"]:
            return
        # text comes encoded: a str would keep a copy of its own in UTF-8, once asked for it
        text = arrow.array(self._columns.pop("text"), type=arrow.large_binary())
        columns = {
            name: arrow.array(v, SCHEMA.field(name).type) for name, v in self._columns.items()
        }
        columns["text"] = text.view(arrow.large_string())
        self._columns = {name: [] for name in SCHEMA.names}
        self._size = 0
        self._writer.write_table(arrow.table(columns, schema=SCHEMA))

    def close(self) -> None:
        """Write what is left and the footer."""
        self._flush()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            self._writer.close()


def _writer(path: Path) -> parquet.ParquetWriter:
    return parquet.ParquetWriter(
        path,
        SCHEMA,
        compression="zstd",
        compression_level=1,
        use_dictionary=[
            "kind",
            "source",
            "split",
            "spans.list.element.language",
            "spans.list.element.licence",
        ],
        write_statistics=["source", "split"],  # not of the text: they would repeat it
    )


def _span_row(span: Span) -> tuple[str, str, int, int, int, str | None]:
    return span.path, span.language, span.start, span.body, span.end, span.licence


def read_documents(folder: Path, split: str | None = None) -> Iterator[Document]:
    """The documents of a corpus, one after the other, in a stable order; copies follow each other.

    Args:
        folder: what `codekiln corpus build` wrote.
        split: "train" or "held_out"; all without it.

    Raises:
        SourceError: no corpus there, or a shard is missing, damaged or of another kind.
    """
    if split is not None and split not in SPLITS:
        raise SourceError(folder, got=f"no split {split!r}", wanted="one of " + ", ".join(SPLITS))
    for path in shards(folder):
        yield from read_shard(path, split)


def read_shard(path: Path, split: str | None = None) -> Iterator[Document]:
    """The documents of one Parquet file of a corpus, as `read_documents` gives them.

    Raises:
        SourceError: when the file is missing, damaged or of another kind.
    """
    for batch in _batches(path):
        yield from _documents(batch, split)


def shards(folder: Path) -> list[Path]:
    """The Parquet files of a corpus, in order.

    Raises:
        SourceError: no corpus there, or a shard that its index names is missing.
    """
    documents = Path(folder) / DOCUMENTS
    if not documents.is_dir():
        raise SourceError(
            folder, got=f"no folder {DOCUMENTS}/", wanted="a corpus folder", remedy=REMEDY
        )
    paths = sorted(documents.glob("*.parquet"))
    index = documents / INDEX
    listed = set(read_json(index)["shards"]) if index.exists() else {path.name for path in paths}
    missing = sorted(listed - {path.name for path in paths})
    if missing or not listed:
        got = f"{missing[0]} is missing" if missing else "no shards"
        raise SourceError(documents, got=got, wanted="a whole corpus", remedy=REMEDY)
    return paths


def write_index(documents: Path, rows: dict[str, int]) -> None:
    """Note down in a folder of shards which they are and how many rows each has."""
    write_json(documents / INDEX, {"shards": rows})


def row_count(path: Path) -> int:
    """Documents in one shard, by its footer."""
    rows: int = parquet.read_metadata(path).num_rows
    return rows


def _batches(path: Path) -> Iterator[arrow.RecordBatch]:
    """Row groups of one shard, one at a time."""
    for group in range(row_group_count(path)):
        yield from read_row_group(path, group).to_batches()


def row_group_count(path: Path) -> int:
    """Row groups of one shard, by its footer.

    Raises:
        SourceError: when the file is missing, damaged or of another kind.
    """
    with _opened(path) as file:
        groups: int = file.num_row_groups
    return groups


def read_row_group(path: Path, group: int, columns: Sequence[str] | None = None) -> arrow.Table:
    """One row group of a shard; of `columns` alone, parts of the spans included, where given.

    Raises:
        SourceError: when the file is missing, damaged or of another kind.
    """
    with _opened(path) as file:
        return file.read_row_group(group, columns=columns, use_threads=False)


@contextmanager
def _opened(path: Path) -> Iterator[parquet.ParquetFile]:
    try:
        with parquet.ParquetFile(path) as file:
            if not file.schema_arrow.equals(SCHEMA):
                raise SourceError(
                    path,
                    got="columns " + ", ".join(file.schema_arrow.names),
                    wanted=", ".join(SCHEMA.names),
                    remedy=REMEDY,
                )
            yield file
    except (arrow.ArrowException, OSError) as error:
        raise SourceError(
            path, got=f"cannot be read: {error}", wanted="a whole Parquet file", remedy=REMEDY
        ) from error


def _documents(batch: arrow.RecordBatch, split: str | None) -> Iterator[Document]:
    columns = {name: batch.column(name) for name in SCHEMA.names}
    for row in range(batch.num_rows):
        if split is not None and columns["split"][row].as_py() != split:
            continue
        document = Document(
            id=columns["id"][row].as_py(),
            text=columns["text"][row].as_py(),
            kind=columns["kind"][row].as_py(),
            source=columns["source"][row].as_py(),
            spans=tuple(Span(**span) for span in columns["spans"][row].as_py()),
        )
        for _ in range(columns["copies"][row].as_py()):
            yield document


def copy_documents(
    source: Path,
    target: Path,
    *,
    splits: Mapping[str, Split],
    copies: npt.NDArray[np.int16] | None = None,
) -> int:
    """Copy a shard; returns the number of rows written, in row groups no larger than before.

    Args:
        splits: overrules the split of the repositories that it names.
        copies: by row: how often a document counts; one without any is left out. What is held
            out counts once, if at all.
    """
    rows = seen = 0
    with _writer(target) as writer:
        for batch in _batches(source):
            names = batch.column("source").to_pylist()
            old = batch.column("split").to_pylist()
            new = [splits.get(name, given) for name, given in zip(names, old, strict=True)]
            batch = _with_column(batch, "split", arrow.array(new))
            if copies is not None:
                counts = copies[seen : seen + batch.num_rows].copy()
                counts[(np.array(new) == "held_out") & (counts > 0)] = 1
                seen += batch.num_rows
                batch = _with_column(batch, "copies", arrow.array(counts))
                batch = batch.filter(arrow.array(counts > 0))
            if batch.num_rows:
                writer.write_batch(batch)
                rows += batch.num_rows
    return rows


def _with_column(batch: arrow.RecordBatch, name: str, values: arrow.Array) -> arrow.RecordBatch:
    return batch.set_column(batch.schema.get_field_index(name), SCHEMA.field(name), values)


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentFacts:
    """What is known of the documents of a shard without their texts, row by row."""

    ids: list[str]
    kinds: list[str]
    languages: list[str]
    sizes: npt.NDArray[np.int64]
    splits: list[str]
    sources: list[str]


def read_facts(path: Path) -> DocumentFacts:
    """The facts of one shard's documents."""
    names = ["id", "kind", "language", "bytes", "split", "source"]
    rows = parquet.read_table(path, columns=names, use_threads=False)
    lists = {name: rows.column(name).to_pylist() for name in names if name != "bytes"}
    return DocumentFacts(
        ids=lists["id"],
        kinds=lists["kind"],
        languages=lists["language"],
        sizes=rows.column("bytes").to_numpy(),
        splits=lists["split"],
        sources=lists["source"],
    )
