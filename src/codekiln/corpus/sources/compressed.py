"""Compressed streams, expanded while they are read: gzip, bzip2, xz, Zstandard."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import IO, Any, cast

BLOCK = 1 << 18
# What the decompressors raise about damage: gzip, bz2 and pyarrow report it as OSError; a Zstandard
# frame may declare a window that no memory can hold.
DAMAGE = (
    *(zlib.error, lzma.LZMAError, EOFError, OSError, ValueError),
    *(RecursionError, MemoryError),
)

MAGIC = (
    (b"\x1f\x8b", "gz"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
)
_SUFFIXES = {".gz": "gz", ".bz2": "bz2", ".xz": "xz", ".zst": "zst"}
PACKED = tuple(_SUFFIXES)


def decompress(raw: IO[bytes], kind: str) -> IO[bytes]:
    """The expanded bytes of `raw`; `kind` is "gz", "bz2", "xz", "zst", or any other for none."""
    if kind == "gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if kind == "bz2":
        return cast(IO[bytes], bz2.BZ2File(raw))
    if kind == "zst":
        import pyarrow as pa  # here: its import takes longer than reading a small archive

        return cast(IO[bytes], pa.CompressedInputStream(cast(Any, raw), "zstd"))
    return cast(IO[bytes], _Xz(raw)) if kind == "xz" else raw


def open_packed(path: Path) -> IO[bytes]:
    """Open a file for reading, expanded as its name's suffix says while it is read."""
    return open_expanded(path.open("rb"), path.name.lower())


def open_expanded(raw: IO[bytes], name: str) -> IO[bytes]:
    """The expanded bytes of a file that is compressed as its name's suffix says, by lines too."""
    kind = next((kind for end, kind in _SUFFIXES.items() if name.endswith(end)), "")
    stream = decompress(raw, kind)
    return stream if kind in ("", "gz", "bz2") else io.BufferedReader(cast(Any, stream), BLOCK)


class _Xz(io.RawIOBase):
    """An xz stream, expanded; unlike `lzma.open` it bounds the dictionary's memory."""

    _MEMORY = 256 << 20  # xz -9 needs 65 MiB

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._stream = lzma.LZMADecompressor(memlimit=self._MEMORY)

    def readable(self) -> bool:
        """True: it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the start of `buffer`; how many bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; none at the end."""
        while True:
            if self._stream.eof:
                rest = self._next_stream()
                if not rest:
                    return b""
                self._stream = lzma.LZMADecompressor(memlimit=self._MEMORY)
            elif self._stream.needs_input:
                rest = self._raw.read(BLOCK)
                if not rest:
                    raise EOFError("the compressed stream ends early")
            else:
                rest = b""
            if data := self._stream.decompress(rest, size):
                return data

    def _next_stream(self) -> bytes:
        """The start of the stream behind the one that ended; nothing at the end of the file."""
        rest = self._stream.unused_data.lstrip(b"\0")  # streams may be padded, at any length
        while not rest:
            block = self._raw.read(BLOCK)
            if not block:
                return b""
            rest = block.lstrip(b"\0")
        return rest
