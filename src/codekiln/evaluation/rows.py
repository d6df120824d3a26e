"""Reading JSON lines that others wrote: every fault is named with its line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codekiln.errors import BenchmarkError

WANTED = "one JSON object a line, UTF-8"


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of a .jsonl or .jsonl.gz file; empty lines are passed over.

    Raises:
        BenchmarkError: missing, damaged, not UTF-8, not JSON or not an object; with the line.
    """
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, _object(f"{path}:{number}", line)
    except FileNotFoundError:
        raise BenchmarkError(
            path, got="no such file", wanted="a .jsonl or .jsonl.gz file"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        place = f"{path}:{number + 1}"
        raise BenchmarkError(place, got=f"cannot be read: {error}", wanted=WANTED) from error


def _object(place: str, line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        got = f"byte {error.start + 1} of the line is not UTF-8"
        raise BenchmarkError(place, got=got, wanted=WANTED) from None
    except (json.JSONDecodeError, RecursionError) as error:
        raise BenchmarkError(place, got=f"not JSON ({error})", wanted=WANTED) from None
    if not isinstance(row, dict):
        raise BenchmarkError(place, got=f"a JSON {type(row).__name__}", wanted=WANTED)
    return row


def text_field(place: str, row: dict[str, Any], name: str) -> str:
    """A field that must be there and hold text.

    Raises:
        BenchmarkError: it is missing or of another type.
    """
    value = row.get(name)
    if not isinstance(value, str):
        got = f"no field {name!r}" if name not in row else f"{name} is {type(value).__name__}"
        raise BenchmarkError(place, got=got, wanted=f"a text field {name!r}")
    return value
