"""Texts in rows: JSON lines by ranges of bytes, Parquet by row groups."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from codekiln.corpus.sources.compressed import DAMAGE, PACKED, open_packed
from codekiln.corpus.sources.intake import Tally
from codekiln.corpus.sources.text_settings import TextSource
from codekiln.errors import SourceError

NOT_JSON = "not JSON"
NO_TEXT_FIELD = "no text field"
UNUSABLE = "characters that no text has"
TOO_LARGE = "too large"
ROWS = 256  # decoded at a time
WHOLE = 1 << 62

Record = tuple[str, str, str]


def cut_lines(path: Path, bytes_per_batch: int) -> list[tuple[int, int]]:
    """Ranges of bytes; a line belongs to the range that its first byte lies in.

    A compressed file is one piece: there is no way into its middle.

    Raises:
        SourceError: no such file.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SourceError(path, got=f"cannot be read ({error.strerror})") from error
    if path.name.lower().endswith(PACKED):
        return [(0, WHOLE)]
    return [
        (start, min(start + bytes_per_batch, size)) for start in range(0, size, bytes_per_batch)
    ]


def read_lines(
    path: Path, start: int, stop: int, source: TextSource, tally: Tally
) -> Iterator[Record]:
    """(id, text, date) of each line of a range; without an id field its first byte is the id.

    Raises:
        SourceError: cannot be read, or the compressed data are damaged.
    """
    try:
        with open_packed(path) as file:
            if start:
                file.seek(start - 1)
            place = start
            for at, line in _lines(file, start, source.max_record_bytes):
                place = at
                if place >= stop:
                    return
                if len(line) > 2 * source.max_record_bytes:
                    tally.drop(TOO_LARGE, f"byte {place}", len(line))
                elif line.strip():
                    record = _from_json(line, place, source, tally)
                    if record is not None:
                        yield record
    except DAMAGE as error:
        raise SourceError(
            path, got=f"cannot be read: {error}", wanted="whole JSON lines"
        ) from error


def _lines(file: IO[bytes], start: int, limit: int) -> Iterator[tuple[int, bytes]]:
    """(first byte, line) from the first line that starts at `start` or later.

    Of a line that is too long only the first part is held; JSON may spell a character with six.
    """
    most = 2 * limit + 1
    place = max(start - 1, 0)
    if start:  # what stands here belongs to the line before
        while part := file.readline(most):
            place += len(part)
            if part.endswith(b"\n"):
                break
    while line := file.readline(most):
        first, place = place, place + len(line)
        if len(line) == most and not line.endswith(b"\n"):
            while part := file.readline(most):
                place += len(part)
                if part.endswith(b"\n"):
                    break
        yield first, line


def _from_json(line: bytes, place: int, source: TextSource, tally: Tally) -> Record | None:
    where = f"byte {place}"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # ValueError: also what is not UTF-8
        tally.drop(NOT_JSON, where, len(line))
        return None
    if not isinstance(row, dict):
        tally.drop(NO_TEXT_FIELD, where, len(line))
        return None
    return _record(row, str(place), len(line), source, tally)


def _record(
    row: dict[str, Any], number: str, size: int, source: TextSource, tally: Tally
) -> Record | None:
    text = row.get(source.text_field)
    name = row.get(source.id_field) if source.id_field else None
    name = number if name is None or isinstance(name, (dict, list)) else str(name)
    if not isinstance(text, str):
        tally.drop(NO_TEXT_FIELD, name, size)
        return None
    if "\0" in text or not _encodes(text) or not _encodes(name):
        tally.drop(UNUSABLE, number, size)
        return None
    date = row.get(source.date_field) if source.date_field else None
    return name, text, str(date)[:40] if date is not None else ""


def _encodes(text: str) -> bool:
    """Whether a string can be written as UTF-8; JSON can spell half a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# ---- Parquet ----


def cut_row_groups(path: Path, bytes_per_batch: int) -> list[tuple[int, int]]:
    """Ranges of row groups, by their uncompressed size.

    Raises:
        SourceError: missing or damaged.
    """
    facts = _parquet(path).metadata
    cuts, start, size = [], 0, 0
    for number in range(facts.num_row_groups):
        one = facts.row_group(number).total_byte_size
        if size + one > bytes_per_batch and number > start:
            cuts.append((start, number))
            start, size = number, 0
        size += one
    if start < facts.num_row_groups:
        cuts.append((start, facts.num_row_groups))
    return cuts


def read_row_groups(
    path: Path, start: int, stop: int, source: TextSource, tally: Tally
) -> Iterator[Record]:
    """(id, text, date) of each row; without an id field its number in the file is the id.

    Raises:
        SourceError: missing or damaged, or without the text column.
    """
    import pyarrow as arrow

    file = _parquet(path)
    names = [n for n in (source.text_field, source.id_field, source.date_field) if n]
    if missing := [name for name in names if name not in file.schema_arrow.names]:
        raise SourceError(
            path,
            got=f"no column {missing[0]!r}; there are " + ", ".join(file.schema_arrow.names[:20]),
            wanted="the columns that the settings name",
            remedy="set text_field, id_field and date_field",
        )
    number = sum(file.metadata.row_group(group).num_rows for group in range(start))
    try:
        batches = file.iter_batches(
            ROWS, row_groups=list(range(start, stop)), columns=names, use_threads=False
        )
        for batch in batches:
            for row in batch.to_pylist():
                text = row.get(source.text_field)
                size = len(text) if isinstance(text, str) else 0
                record = _record(row, str(number), size, source, tally)
                number += 1
                if record is not None:
                    yield record
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise SourceError(
            path, got=f"cannot be read: {error}", wanted="a whole Parquet file"
        ) from error


def _parquet(path: Path) -> Any:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        return parquet.ParquetFile(path)
    except (arrow.ArrowException, OSError) as error:
        raise SourceError(
            path, got=f"cannot be read: {error}", wanted="a whole Parquet file"
        ) from error
