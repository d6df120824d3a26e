"""A repository in an archive: tar (plain, gzip, bzip2, xz), zip, wheel; read without unpacking.

An archive is not trusted. Members with paths that lead outside, links and devices are counted and
not read; one that is truncated, or that expands beyond its limits, is refused as a whole, since
nobody knows what else is wrong with it. The single folder which most archives hold at the top is
left out of the paths.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

from codekiln.corpus.intake import (
    DAMAGED,
    DUPLICATE,
    ENCRYPTED,
    FOREIGN,
    LINK,
    NOT_REGULAR,
    OUTSIDE,
    Intake,
    Limits,
    foreign_folder,
)
from codekiln.errors import SourceError
from codekiln.storage import fingerprint_file

_HARMLESS = 16 << 20  # bytes: an archive may expand to this by any factor
_MAX_HEADER = 1 << 20  # bytes of one extended tar header, which tarfile reads as a whole
_BLOCK = 1 << 18
_SUFFIXES = (".gz", ".bz2", ".xz", ".tar", ".tgz", ".tbz2", ".txz", ".zip", ".whl", ".egg", ".jar")


class ArchiveSource:
    """The files of one archive; its kind is told by its first bytes, not by its name.

    Raises:
        SourceError: empty, unreadable, or not an archive of a known kind.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        try:
            with path.open("rb") as file:
                start = file.read(512)
            self._size = path.stat().st_size
            self.revision = fingerprint_file(path)
        except OSError as error:
            raise SourceError(path, got=f"cannot be read ({error.strerror})") from error
        self._kind = _kind(start, path)
        self.name = _name(path)

    def blobs(self, intake: Intake) -> Iterator[tuple[str, bytes]]:
        """Paths and contents of the files that `intake` admits, the top folder left out.

        Raises:
            SourceError: truncated, damaged, or expanding beyond the limits.
        """
        members = self._zip(intake) if self._kind == "zip" else self._tar(intake)
        yield from members

    # ---- tar ----

    def _tar(self, intake: Intake) -> Iterator[tuple[str, bytes]]:
        """All members that are kept: held until the end shows whether there is a top folder."""
        roots = _Roots()
        kept: list[tuple[str, bytes]] = []
        try:
            with self._path.open("rb") as raw:
                expanded = _Meter(_decompress(raw, self._kind), raw, self._limits, self._path)
                with tarfile.open(
                    fileobj=cast(IO[bytes], expanded),
                    mode="r|",
                    bufsize=_BLOCK,
                    tarinfo=_StrictTarInfo,
                ) as archive:
                    for number, member in enumerate(archive):
                        self._check_count(number + 1)
                        item = _tar_member(archive, member, roots, intake)
                        if item is not None:
                            kept.append(item)
                        archive.members = []  # type: ignore[attr-defined]
        except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
            raise self._broken(error) from error
        except OSError as error:  # gzip and bz2 report bad data so
            raise self._broken(error) from error
        if not roots.files:
            raise SourceError(self._path, got="an archive without files", wanted="source files")
        cut = roots.prefix_length()
        kept.reverse()
        while kept:  # let go of each as it leaves
            path, data = kept.pop()
            yield path[cut:], data

    def _broken(self, error: Exception) -> SourceError:
        return SourceError(
            self._path,
            got=f"truncated or damaged ({error or type(error).__name__})",
            wanted="a whole archive",
            remedy="fetch or make it anew",
        )

    def _check_count(self, count: int) -> None:
        if count > self._limits.max_files:
            raise SourceError(
                self._path,
                got=f"more than {self._limits.max_files:,} members",
                wanted="an archive of one repository",
            )

    # ---- zip ----

    def _zip(self, intake: Intake) -> Iterator[tuple[str, bytes]]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                members = archive.infolist()
                self._check_count(len(members))
                _check_expansion(
                    self._path, self._limits, self._size, sum(m.file_size for m in members)
                )
                yield from _zip_members(archive, members, intake, self._path)
        except (zipfile.BadZipFile, EOFError, ValueError, OSError, OverflowError) as error:
            raise self._broken(error) from error


class _Roots:
    """The paths of an archive's files, each once, and whether one top folder holds them all."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self._tops: set[str] = set()

    def add(self, path: str) -> bool:
        """Take note of a path; False if it was there before."""
        if path in self.files:
            return False
        self.files.add(path)
        top, slash, _ = path.partition("/")
        self._tops.add(top if slash else "")
        return True

    def prefix_length(self) -> int:
        """How many characters of every path are the single top folder's."""
        (top,) = self._tops if len(self._tops) == 1 else ("",)
        return len(top) + 1 if top else 0


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
        _check_expansion(self._path, self._limits, self._raw.tell(), self._total)
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
                rest = self._stream.unused_data or self._raw.read(_BLOCK)
                if not rest.strip(b"\0"):  # streams may be padded
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


def _kind(start: bytes, path: Path) -> str:
    """What an archive is by its first bytes: "zip", "gz", "bz2", "xz" or "tar"."""
    if not start:
        raise SourceError(path, got="an empty file", wanted="a folder, or a tar or zip archive")
    for magic, kind in (
        (b"PK\x03\x04", "zip"),
        (b"PK\x05\x06", "zip"),
        (b"\x1f\x8b", "gz"),
        (b"BZh", "bz2"),
        (b"\xfd7zXZ\0", "xz"),
    ):
        if start.startswith(magic):
            return kind
    if start[257:262] == b"ustar" or path.suffix == ".tar":
        return "tar"
    raise SourceError(
        path,
        got="not an archive that can be read",
        wanted="tar (plain, gzip, bzip2 or xz), zip or wheel; or a folder",
        remedy="unpack it, and name the folder",
    )


def _decompress(raw: IO[bytes], kind: str) -> IO[bytes]:
    if kind == "gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=raw))
    if kind == "bz2":
        return cast(IO[bytes], bz2.BZ2File(raw))
    return cast(IO[bytes], _Xz(raw)) if kind == "xz" else raw


def _name(path: Path) -> str:
    name = path.name
    while (suffix := Path(name).suffix.lower()) in _SUFFIXES:
        name = name[: -len(suffix)]
    return name or path.name


def _check_expansion(path: Path, limits: Limits, packed: int, expanded: int) -> None:
    factor = expanded / max(packed, 1)
    too_dense = expanded > _HARMLESS and factor > limits.max_expansion
    if too_dense or expanded > limits.max_expanded_bytes:
        raise SourceError(
            path,
            got=f"expands {factor:,.0f}-fold, to {expanded:,} bytes or more",
            wanted=f"at most {limits.max_expansion:,.0f}-fold "
            f"and {limits.max_expanded_bytes:,} bytes",
            remedy="unpack it yourself if you trust it, and name the folder",
        )


def _clean(name: str) -> str | None:
    """A member's path relative to the archive; None if it leads outside or nowhere."""
    parts = name.split("/")
    if name.startswith("/") or ".." in name.replace("\\", "/").split("/"):
        return None
    return "/".join(part for part in parts if part not in ("", ".")) or None


def _accept(path: str | None, size: int, roots: _Roots, intake: Intake) -> str | None:
    """The path of a regular member that is to be read; None, counted, for the others."""
    if path is None:
        intake.tally.drop(OUTSIDE, size)
    elif not roots.add(path):
        intake.tally.drop(DUPLICATE, size)
    elif foreign_folder(path):
        intake.tally.drop(FOREIGN, size)
    elif intake.admit(path, size):
        return path
    return None


def _tar_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, roots: _Roots, intake: Intake
) -> tuple[str, bytes] | None:
    if member.isdir():
        return None
    if member.issym() or member.islnk():
        intake.tally.drop(LINK)
        return None
    if not member.isreg() or member.issparse():
        intake.tally.drop(NOT_REGULAR)
        return None
    if member.size < 0:
        raise tarfile.ReadError("absurd size in a header")
    path = _accept(_clean(member.name), member.size, roots, intake)
    if path is None:
        return None
    content: Any = archive.extractfile(member)
    return path, content.read()


def _zip_members(
    archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], intake: Intake, where: Path
) -> Iterator[tuple[str, bytes]]:
    roots = _Roots()
    wanted: list[tuple[str, zipfile.ZipInfo]] = []
    for member in members:
        if member.is_dir():
            continue
        if stat.S_ISLNK(member.external_attr >> 16):
            intake.tally.drop(LINK)
            continue
        path = _accept(_zip_path(member.filename), member.file_size, roots, intake)
        if path is None:
            continue
        if member.flag_bits & 1:
            intake.tally.drop(ENCRYPTED, member.file_size)
        else:
            wanted.append((path, member))
    if not members:
        raise SourceError(where, got="an archive without files", wanted="source files")
    cut = roots.prefix_length()
    for path, member in wanted:
        data = _zip_content(archive, member)
        if data is None:
            intake.tally.drop(DAMAGED, member.file_size)
        else:
            yield path[cut:], data


def _zip_path(name: str) -> str | None:
    """As `_clean`; archives made on Windows may hold backslashes and drive letters."""
    name = name.replace("\\", "/")
    return None if name[1:3] == ":/" else _clean(name)


def _zip_content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | None:
    """The content, never more than the member declares; None if it is damaged or unknown."""
    try:
        with archive.open(member) as content:
            data = content.read(member.file_size + 1)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError, ValueError):
        return None
    except (zlib.error, lzma.LZMAError):
        return None
    return data if len(data) == member.file_size else None
