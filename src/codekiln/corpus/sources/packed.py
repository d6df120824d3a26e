"""Single files that may be compressed, told by the last suffix, read as they come."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import IO, Any

PACKED = (".gz", ".bz2", ".xz", ".zst")
# what reading a truncated or damaged one raises
DAMAGE = (EOFError, OSError, lzma.LZMAError, zlib.error)


def open_packed(path: Path) -> IO[bytes]:
    """Open a file for reading, decompressed as it is read."""
    suffix = path.suffix.lower()
    if suffix not in PACKED:
        return path.open("rb")
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    if suffix == ".zst":
        import pyarrow

        # pyarrow is here anyway; Python has its own only from 3.14 on
        stream: Any = pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd")
        return io.BufferedReader(stream)
    result: IO[bytes] = openers[suffix](path)
    return result
