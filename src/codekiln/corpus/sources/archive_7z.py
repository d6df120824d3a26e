"""One member of a 7z archive, piece by piece; py7zr does the work and is asked for only here."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codekiln.errors import MissingToolError, SourceError


def pour_member(path: Path, member: str, feed: Callable[[bytes], None]) -> None:
    """Hand the bytes of the member called `member` to `feed`; nothing is written to disk.

    Whatever `feed` raises ends the reading and comes out of here.

    Raises:
        SourceError: no such member, encrypted, truncated or damaged.
        MissingToolError: py7zr is not installed.
    """
    py7zr = _library(path)
    try:
        with py7zr.SevenZipFile(path) as archive:
            names = [name for name in archive.getnames() if name.rpartition("/")[2] == member]
            if len(names) != 1:
                raise SourceError(
                    path,
                    got=f"{len(names)} members called {member}",
                    wanted=f"an archive with one {member}",
                )
            archive.extract(targets=names, factory=_factory(feed))
    except (py7zr.exceptions.ArchiveError, OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise SourceError(path, got=f"cannot be read: {error}", wanted="a 7z archive") from error


def _library(path: Path) -> Any:
    try:
        import py7zr
    except ImportError:
        raise MissingToolError(
            path,
            got="a 7z archive, and py7zr is not installed",
            wanted="py7zr",
            remedy="pip install 'codekiln[stackexchange]', or unpack it and name what was in it",
        ) from None
    return py7zr


def _factory(feed: Callable[[bytes], None]) -> Any:
    """What py7zr asks for a file to write to: one that passes all bytes on."""
    from py7zr.io import Py7zIO, WriterFactory

    class Feeding(Py7zIO):
        def __init__(self) -> None:
            self._size = 0

        def write(self, s: bytes | bytearray) -> int:
            feed(bytes(s))
            self._size += len(s)
            return len(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            pass

        def size(self) -> int:
            return self._size

    class Factory(WriterFactory):
        def create(self, filename: str) -> Py7zIO:
            return Feeding()

    return Factory()
