"""One repository of a grouped collection, read like any other source."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from codekiln.corpus.sources.intake import FOREIGN, Intake, foreign_folder
from codekiln.corpus.sources.locations import ROWS
from codekiln.corpus.sources.metadata import Metadata
from codekiln.corpus.sources.rows.merge import FILES, INDEX, INDEX_FILE, PART
from codekiln.errors import SourceError

_DAMAGE = (pa.ArrowException, OSError, LookupError, ValueError, TypeError, OverflowError)
_PLACE = re.compile(r"(.*?/part-\d{5})#(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRepository:
    """A repository of a grouped collection, as its index tells.

    Args:
        name: as the collection has it.
        revision: hash of its paths and contents.
        files: how many.
        bytes: of their contents.
        metadata: what its rows tell of it.
        location: what `open_repository` takes.
    """

    name: str
    revision: str
    files: int
    bytes: int
    metadata: Metadata
    location: str


def read_index(part: Path) -> Iterator[RowRepository]:
    """The repositories of one partition, sorted by name."""
    for row in _index(*_state(part / INDEX_FILE)).to_pylist():
        yield _repository(part, row)


def _repository(part: Path, row: dict[str, Any]) -> RowRepository:
    return RowRepository(
        name=row["name"],
        revision=row["revision"],
        files=row["files"],
        bytes=row["bytes"],
        metadata=Metadata(
            stars=row["stars"],
            updated=row["updated"],
            licence=row["licence"],
            fork_of=row["fork_of"],
        ),
        location=f"{ROWS}{part}#{row['name']}",
    )


class RowSource:
    """The files of one repository of a grouped collection; only its own rows are read.

    Args:
        location: "rows:PART#NAME", where PART is a folder of the grouped collection.

    Raises:
        SourceError: no such file, damaged, or no such repository in it.
    """

    def __init__(self, location: str) -> None:
        place = _PLACE.fullmatch(location.removeprefix(ROWS))
        if place is None:
            raise SourceError(location, got="malformed", wanted="rows:FOLDER/part-00000#NAME")
        self._part, self.name = Path(place[1]), place[2]
        try:
            row = _find(_index(*_state(self._part / INDEX_FILE)), self.name)
        except _DAMAGE as error:
            raise _damaged(self._part, error) from error
        if row is None:
            raise SourceError(location, got="no such repository there")
        self._batches = range(row["first_batch"], row["first_batch"] + row["batches"])
        found = _repository(self._part, row)
        self.revision, self.metadata = found.revision, found.metadata

    def blobs(self, intake: Intake) -> Iterator[tuple[str, bytes]]:
        """Paths and contents, in order of path, of the files that `intake` admits.

        Raises:
            SourceError: the file is damaged.
        """
        try:
            reader = _reader(*_state(self._part / FILES))
            for number in self._batches:
                batch = _checked(reader.get_batch(number), PART)
                contents = batch.column("content")
                for path, content in zip(batch.column("path").to_pylist(), contents, strict=True):
                    data = content.as_buffer()
                    if foreign_folder(path):
                        intake.tally.drop(FOREIGN, path, data.size)
                    elif intake.admit(path, data.size):
                        yield path, data.to_pybytes()
        except _DAMAGE as error:
            raise _damaged(self._part, error) from error


def _find(index: pa.RecordBatch, name: str) -> dict[str, Any] | None:
    """The row of a name, by binary search."""
    names = index.column("name")
    low, high = 0, len(names)
    while low < high:
        middle = (low + high) // 2
        if names[middle].as_py() < name:
            low = middle + 1
        else:
            high = middle
    if low < len(names) and names[low].as_py() == name:
        return index.slice(low, 1).to_pylist()[0]
    return None


def _state(path: Path) -> tuple[str, int, int]:
    """A file's path, size and time: what its mapping is kept by."""
    try:
        facts = path.stat()
    except OSError as error:
        raise SourceError(path, got=f"cannot be read ({error.strerror})") from error
    return str(path), facts.st_size, facts.st_mtime_ns


# Mapped files, by path and state: one that was written anew is mapped anew.
@lru_cache(maxsize=16)
def _index(path: str, size: int, time: int) -> pa.RecordBatch:
    return _checked(pa.ipc.open_file(pa.memory_map(path)).get_batch(0), INDEX)


@lru_cache(maxsize=16)
def _reader(path: str, size: int, time: int) -> Any:
    return pa.ipc.open_file(pa.memory_map(path))


def _checked(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch, if it is whole: pyarrow believes what a damaged file says of its own lengths."""
    if not batch.schema.equals(schema):
        raise pa.ArrowInvalid("other columns than they were written with")
    batch.validate(full=True)
    return batch


def _damaged(path: Path, error: BaseException) -> SourceError:
    return SourceError(
        path,
        got=f"damaged ({str(error).strip() or type(error).__name__})",
        wanted="rows that codekiln grouped",
        remedy="remove its folder, and build again",
    )
