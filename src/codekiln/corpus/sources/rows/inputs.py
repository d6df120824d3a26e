"""Where rows are read from: Parquet and JSONL files, here or in an object store.

Rows come in batches of a few megabytes, whatever the size of the file or of its row groups. What
was read before a file turns out to be damaged stays; the rest of that file is named as failed.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, Protocol, cast

import pyarrow as pa
import pyarrow.parquet as pq

from codekiln.corpus.sources.compressed import DAMAGE, open_expanded
from codekiln.corpus.sources.remote import identity, open_binary
from codekiln.corpus.sources.rows.columns import RowColumns
from codekiln.errors import SourceError

_BATCH_BYTES = 8 << 20
_BATCH_ROWS = 2000
_LONGEST_LINE = 256 << 20  # bytes of a JSON line that is read; a longer one is counted
NOT_JSON = "row is not a JSON object"
TOO_LONG = "row too long"
_DAMAGE = (pa.ArrowException, *DAMAGE)


@dataclass(slots=True, kw_only=True)
class RawRows:
    """Some rows as they stand: `values` by role, row by row; `content` is large binary.

    `count` rows of the input are accounted for; `bad` are those among them (reason by offset)
    that could not be read at all and have no values.
    """

    count: int
    content: pa.Array | None
    values: dict[str, list[Any]]
    bad: list[str] = field(default_factory=list)


class Input(Protocol):
    """One file or data set of rows."""

    location: str

    @property
    def identity(self) -> list[Any]:
        """What changes when the rows change."""
        ...

    @property
    def expanded_bytes(self) -> int:
        """Roughly how much text it holds; 0 if that is not known."""
        ...

    def batches(self, columns: RowColumns, start: int) -> Iterator[RawRows]:
        """The rows from number `start` on.

        Raises:
            SourceError: the columns do not fit, or the rest is damaged.
        """
        ...


class ParquetInput:
    """The rows of one Parquet file."""

    def __init__(self, location: str) -> None:
        self.location = location

    @property
    def identity(self) -> list[Any]:
        """Location, size and time."""
        return [self.location, *identity(self.location)]

    @property
    def expanded_bytes(self) -> int:
        """As the file itself says; 1 if it cannot be read (reading it will say why)."""
        try:
            with open_binary(self.location) as raw, pq.ParquetFile(raw) as file:
                facts = file.metadata
                groups = (facts.row_group(i) for i in range(facts.num_row_groups))
                return sum(max(group.total_byte_size, 0) for group in groups)
        except (SourceError, *_DAMAGE):
            return 1

    def batches(self, columns: RowColumns, start: int) -> Iterator[RawRows]:
        """The rows from number `start` on; row groups before it are not read."""
        try:
            with (
                open_binary(self.location) as raw,
                pq.ParquetFile(raw, pre_buffer=False, buffer_size=1 << 20) as file,
            ):
                chosen = columns.among(file.schema_arrow.names, self.location)
                yield from self._groups(file, chosen, start)
        except _DAMAGE as error:
            raise damaged(self.location, error) from error

    def _groups(
        self, file: pq.ParquetFile, chosen: dict[str, str], start: int
    ) -> Iterator[RawRows]:
        for number in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(number)
            if start >= group.num_rows:
                start -= group.num_rows
                continue
            if "content" not in chosen:
                yield RawRows(count=group.num_rows - start, content=None, values={})
                start = 0
                continue
            size = max(group.total_byte_size, 1) // max(group.num_rows, 1)
            for batch in file.iter_batches(
                batch_size=max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(size, 1))),
                row_groups=[number],
                columns=sorted(set(chosen.values())),
                use_threads=False,
            ):
                skipped = min(start, len(batch))
                start -= skipped
                if skipped < len(batch):
                    yield raw_rows(batch.slice(skipped), chosen, self.location)


def raw_rows(batch: pa.RecordBatch | pa.Table, chosen: dict[str, str], where: object) -> RawRows:
    """The rows of an Arrow batch.

    Raises:
        SourceError: the contents are neither texts nor bytes.
    """
    content = batch.column(chosen["content"]) if "content" in chosen else None
    return RawRows(
        count=batch.num_rows,
        content=None if content is None else _binary(_whole(content), where),
        values={
            role: _listed(_whole(batch.column(name)))
            for role, name in chosen.items()
            if role != "content"
        },
    )


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # pyarrow keeps several if they are too large
            column = pa.concat_arrays(column.chunks)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _binary(column: pa.Array, where: object) -> pa.Array:
    kind = column.type
    if pa.types.is_null(kind):
        return pa.nulls(len(column), pa.large_binary())
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return column.cast(pa.binary()).cast(pa.large_binary())
    if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        return column.cast(pa.large_binary())
    raise SourceError(where, got=f"contents of type {kind}", wanted="texts or bytes")


def _listed(column: pa.Array) -> list[Any]:
    """Python values; times as seconds; a text that is not UTF-8 becomes one that is refused."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        exact = column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_pylist()
        return [None if value is None else value / 1e6 for value in exact]
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return [None if v is None else _text(v) for v in column.to_pylist()]
    try:
        return cast(list[Any], column.to_pylist())
    except UnicodeDecodeError:
        if pa.types.is_string(kind):
            return _listed(column.cast(pa.binary()))
        return [None] * len(column)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


class JsonInput:
    """The rows of one file with a JSON object a line, perhaps compressed."""

    def __init__(self, location: str) -> None:
        self.location = location

    @property
    def identity(self) -> list[Any]:
        """Location, size and time."""
        return [self.location, *identity(self.location)]

    @property
    def expanded_bytes(self) -> int:
        """From the file's size; compressed text is taken to expand fivefold."""
        with open_binary(self.location) as raw:
            size = raw.seek(0, io.SEEK_END)
        return size if self.location.endswith((".jsonl", ".ndjson", ".json")) else 5 * size

    def batches(self, columns: RowColumns, start: int) -> Iterator[RawRows]:
        """The rows from number `start` on; the lines before it are passed over."""
        try:
            with (
                open_binary(self.location) as raw,
                open_expanded(raw, self.location) as stream,
            ):
                yield from self._batches(stream, columns, start)
        except _DAMAGE as error:
            raise damaged(self.location, error) from error

    def _batches(self, stream: IO[bytes], columns: RowColumns, start: int) -> Iterator[RawRows]:
        """The columns are those of the first batch's rows, which need not all have the same."""
        rows: list[dict[str, Any]] = []
        bad: list[str] = []
        chosen: dict[str, str] = {}
        size = number = 0
        for line in _lines(stream):
            number += 1
            if number <= start and chosen:
                continue
            size += len(line or b"")
            row, problem = _object(line)
            if row is None:
                bad.append(problem)
            else:
                rows.append(row)
            if size >= _BATCH_BYTES or len(rows) + len(bad) >= _BATCH_ROWS:
                chosen = chosen or self._chosen(rows, columns)
                if number > start:
                    yield _from_objects(rows, bad, chosen)
                rows, bad, size = [], [], 0
        if (rows or bad) and number > start:
            yield _from_objects(rows, bad, chosen or self._chosen(rows, columns))

    def _chosen(self, rows: list[dict[str, Any]], columns: RowColumns) -> dict[str, str]:
        return columns.among(dict.fromkeys(key for row in rows for key in row), self.location)


def _lines(stream: IO[bytes]) -> Iterator[bytes | None]:
    """The lines that are not blank; None for one which is too long."""
    while line := stream.readline(_LONGEST_LINE):
        if len(line) < _LONGEST_LINE or line.endswith(b"\n"):
            if not line.isspace():
                yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(1 << 20)
        yield None


def _object(line: bytes | None) -> tuple[dict[str, Any] | None, str]:
    if line is None:
        return None, TOO_LONG
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None, NOT_JSON
    return (row, "") if isinstance(row, dict) else (None, NOT_JSON)


def _from_objects(rows: list[dict[str, Any]], bad: list[str], chosen: dict[str, str]) -> RawRows:
    name = chosen.get("content", "")
    contents = [_encoded(row.get(name)) for row in rows]
    return RawRows(
        count=len(rows) + len(bad),
        content=pa.array(contents, pa.large_binary()),
        values={
            role: [row.get(column) for row in rows]
            for role, column in chosen.items()
            if role != "content"
        },
        bad=bad,
    )


def _encoded(value: Any) -> bytes | None:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else None


def damaged(location: str, error: BaseException) -> SourceError:
    """The error for an input that cannot be read to its end."""
    return SourceError(
        location,
        got=f"truncated or damaged ({str(error).strip() or type(error).__name__})",
        wanted="a whole Parquet or JSONL file",
        remedy="fetch or make it anew",
    )
