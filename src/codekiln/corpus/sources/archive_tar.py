"""Tar archives, plain or compressed: one pass, forward only."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from codekiln.corpus.sources.archive_members import (
    Roots,
    accept,
    broken,
    check_count,
    check_expansion,
    clean_path,
    without_files,
)
from codekiln.corpus.sources.intake import LINK, NOT_REGULAR, Intake, Limits

_MAX_HEADER = 1 << 20  # bytes of one extended header, which tarfile reads as a whole
_BLOCK = 1 << 18
# gzip and bz2 report bad data as OSError, tarfile bad numbers as ValueError.
_ERRORS = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)


def read_tar(path: Path, compression: str, intake: Intake) -> Iterator[tuple[str, bytes]]:
    """Paths and contents of the members that `intake` admits, the top folder left out.

    They are held until the end of the archive shows whether there is a single top folder.

    Args:
        path: the archive.
        compression: "gz", "bz2", "xz" or "tar" for none.
        intake: judges and counts.

    Raises:
        SourceError: truncated, damaged, without files, or expanding beyond the limits.
    """
    roots = Roots()
    kept: list[tuple[str, bytes]] = []
    try:
        with path.open("rb") as raw:
            expanded = _Meter(_decompress(raw, compression), raw, intake.limits, path)
            with tarfile.open(
                fileobj=cast(IO[bytes], expanded),
                mode="r|",
                bufsize=_BLOCK,
                tarinfo=_StrictTarInfo,
            ) as archive:
                for number, member in enumerate(archive):
                    check_count(path, intake.limits, number + 1)
                    item = _content(archive, member, roots, intake)
                    if item is not None:
                        kept.append(item)
                    archive.members = []  # type: ignore[attr-defined]
    except _ERRORS as error:
        raise broken(path, error) from error
    if not roots.files:
        raise without_files(path)
    cut = roots.prefix_length()
    kept.reverse()
    while kept:  # let go of each as it leaves
        name, data = kept.pop()
        yield name[cut:], data


def _content(
    archive: tarfile.TarFile, member: tarfile.TarInfo, roots: Roots, intake: Intake
) -> tuple[str, bytes] | None:
    if member.isdir():
        return None
    if member.issym() or member.islnk():
        intake.tally.drop(LINK, member.name)
        return None
    if not member.isreg() or member.issparse():
        intake.tally.drop(NOT_REGULAR, member.name)
        return None
    if member.size < 0:
        raise tarfile.ReadError("absurd size in a header")
    path = accept(member.name, clean_path(member.name), member.size, roots, intake)
    if path is None:
        return None
    content: Any = archive.extractfile(member)
    return path, content.read()


class _StrictTarInfo(tarfile.TarInfo):
    """Makes an error of what `tarfile` takes for the end of the archive or reads unbounded."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> _StrictTarInfo:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise  # the proper end
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        extended = self.type in (b"x", b"g", b"X", b"L", b"K")
        if self.size < 0 or (extended and self.size > _MAX_HEADER):
            raise tarfile.ReadError("absurd size in a header")
        return super()._proc_member(tarfile_)  # type: ignore[misc]


class _Meter:
    """Reads expanded bytes, and stops an archive that expands beyond its limits."""

    def __init__(self, expanded: IO[bytes], raw: IO[bytes], limits: Limits, path: Path) -> None:
        self._expanded = expanded
        self._raw = raw
        self._limits = limits
        self._path = path
        self._total = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        data = self._expanded.read(size)
        self._total += len(data)
        check_expansion(self._path, self._limits, self._raw.tell(), self._total)
        return data


class _Xz(io.RawIOBase):
    """An xz stream, expanded; unlike `lzma.open` it bounds the dictionary's memory."""

    _MEMORY = 256 << 20  # xz -9 needs 65 MiB

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._stream = lzma.LZMADecompressor(memlimit=self._MEMORY)

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; none at the end."""
        while True:
            if self._stream.eof:
                rest = self._next_stream()
                if not rest:
                    return b""
                self._stream = lzma.LZMADecompressor(memlimit=self._MEMORY)
            elif self._stream.needs_input:
                rest = self._raw.read(_BLOCK)
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
            block = self._raw.read(_BLOCK)
            if not block:
                return b""
            rest = block.lstrip(b"\0")
        return rest


def _decompress(raw: IO[bytes], kind: str) -> IO[bytes]:
    if kind == "gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if kind == "bz2":
        return cast(IO[bytes], bz2.BZ2File(raw))
    return cast(IO[bytes], _Xz(raw)) if kind == "xz" else raw
