"""Test data as users have it on disk: rows of JSON, JSONL, Parquet or text, packed or not.

Every string anywhere in a row counts as test data (prompt, solution, tests, docstring): a name,
an identifier or a language's name has too few words to matter. Numbers do not count.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from codekiln.errors import BenchmarkError
from codekiln.log import logger

FORMATS = (".jsonl", ".json", ".txt", ".parquet", ".tar")
WANTED = "a file or folder of .jsonl, .json, .txt, .parquet (also .gz), .tar or .tar.gz"
NAME_KEYS = ("task_id", "question_id", "id", "name", "idx")


def files_of(location: str) -> list[Path]:
    """The files of test data at a location, sorted; others in a folder are named and passed over.

    Raises:
        BenchmarkError: when nothing is there, or nothing of a known format.
    """
    path = Path(location).expanduser()
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise BenchmarkError(path, got="no such file or folder", wanted=WANTED)
    files = sorted(f for f in path.rglob("*") if f.is_file())
    known = [f for f in files if _format(f.name)[0] in FORMATS]
    if not known:
        raise BenchmarkError(path, got=f"{len(files)} files, none of test data", wanted=WANTED)
    for file in sorted(set(files) - set(known)):
        logger.debug("not test data, passed over: %s", file)
    return known


def strings(path: Path) -> Iterator[tuple[str, str]]:
    """(problem, text) for every string in a file of test data; a file is read row by row.

    A file named by the user that has none of the known suffixes is read as text.

    Raises:
        BenchmarkError: when the file is damaged or not what its name says.
    """
    try:
        with path.open("rb") as file:
            yield from _content(path.name, file.read(), str(path))
    except (OSError, EOFError, zlib.error, tarfile.TarError, UnicodeDecodeError) as error:
        raise BenchmarkError(
            path, got=f"cannot be read: {error}", wanted=WANTED, remedy="fetch the file anew"
        ) from error


def _format(name: str) -> tuple[str, bool]:
    """('.jsonl', True) for data.jsonl.gz."""
    lowered = name.lower()
    if lowered.endswith(".tgz"):
        return ".tar", True
    packed = lowered.endswith(".gz")
    return PurePosixPath(lowered.removesuffix(".gz")).suffix, packed


def _content(name: str, data: bytes, where: str) -> Iterator[tuple[str, str]]:
    form, packed = _format(name)
    if packed:
        data = gzip.decompress(data)
    if form == ".tar":
        yield from _tar(data, where)
    elif form == ".parquet":
        yield from _rows(_parquet(data, where), name)
    elif form == ".jsonl":
        yield from _rows(_json_lines(data.decode("utf-8-sig"), where), name)
    elif form == ".json":
        yield from _rows(_json(data.decode("utf-8-sig"), where), name)
    else:
        yield name, data.decode("utf-8-sig")


def _tar(data: bytes, where: str) -> Iterator[tuple[str, str]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if member.isfile() and _format(member.name)[0] in FORMATS:
                content = archive.extractfile(member)
                assert content is not None  # a file has content
                yield from _content(member.name, content.read(), f"{where}:{member.name}")


def _json(text: str, where: str) -> Iterator[Any]:
    """Rows of a list; of an object {"rows": […], …}; an object's values; or one row a line."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # many published .json files are JSONL
            yield from _json_lines(text, where)
            return
        raise BenchmarkError(where, got=f"not JSON: {error}", wanted=WANTED) from error
    for part in value.values() if isinstance(value, dict) else [value]:
        if isinstance(part, list):
            yield from part
        else:
            yield part


def _json_lines(text: str, where: str) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise BenchmarkError(
                    f"{where}, line {number}", got=f"not JSON: {error}", wanted="one row a line"
                ) from error


def _parquet(data: bytes, where: str) -> Iterator[Any]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        for batch in parquet.ParquetFile(arrow.BufferReader(data)).iter_batches(1024):
            yield from batch.to_pylist()
    except arrow.ArrowException as error:
        raise BenchmarkError(where, got=f"not Parquet: {error}", wanted=WANTED) from error


def _rows(rows: Iterator[Any], name: str) -> Iterator[tuple[str, str]]:
    for number, row in enumerate(rows):
        label = f"{name}#{number}"
        if isinstance(row, dict):
            label = next((f"{name}: {row[key]}" for key in NAME_KEYS if key in row), label)
        for text in _walk(row):
            yield label, text


def _walk(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _walk(part)
    elif isinstance(value, list):
        for part in value:
            yield from _walk(part)
