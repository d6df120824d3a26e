"""GGUF's own kinds of values, read from the beginning of a file and never beyond its end."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np

from codekiln.errors import CheckpointError

_SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
_FLOAT32, _STRING, _ARRAY = 6, 8, 9


class Cursor:
    """Reads a file from its beginning and never beyond its end.

    Raises:
        CheckpointError: from each method, where the file is truncated or damaged.
    """

    def __init__(self, path: Path, data: mmap.mmap | bytes) -> None:
        self.path, self.at, self._data = path, 0, data

    def damaged(self, what: str) -> CheckpointError:
        """An error that says where the file stopped making sense."""
        return CheckpointError(
            self.path,
            got=f"damaged at byte {self.at:,}: {what}",
            wanted="a whole GGUF file",
            remedy="fetch or write it again",
        )

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self.at + count
        if end > len(self._data):
            raise CheckpointError(
                self.path,
                got=f"truncated: {len(self._data):,} bytes, and its header is longer",
                wanted="a whole GGUF file",
                remedy="fetch or write it again",
            )
        taken, self.at = self._data[self.at : end], end
        return taken

    def possible(self, count: int, least: int) -> int:
        """`count`, if so many things of `least` bytes fit into the rest of the file."""
        if count * least > len(self._data) - self.at:
            raise self.damaged(f"it says that {count:,} more entries follow")
        return count

    def number(self, letter: str) -> Any:
        """The next number, of the kind that `struct` has this letter for."""
        return struct.unpack("<" + letter, self.take(struct.calcsize("<" + letter)))[0]

    def string(self) -> str:
        """The next text."""
        try:
            return self.take(self.number("Q")).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.damaged(f"text that is not UTF-8 ({error.reason})") from None

    def value(self, kind: int, key: str) -> Any:
        """The next value of metadata, of GGUF's type `kind`."""
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array(key)
        if kind not in _SCALARS:
            raise self.damaged(f"{key} of type {kind}")
        found = self.number(_SCALARS[kind])
        return float(str(np.float32(found))) if kind == _FLOAT32 else found

    def _array(self, key: str) -> list[Any]:
        kind, count = self.number("I"), self.number("Q")
        if kind == _STRING:
            return [self.string() for _ in range(self.possible(count, 8))]
        if kind not in _SCALARS:
            raise self.damaged(f"{key} is a list of type {kind}")
        letter = _SCALARS[kind]
        size = struct.calcsize("<" + letter)
        taken = self.take(self.possible(count, size) * size)
        return list(struct.unpack(f"<{count}{letter}", taken))
