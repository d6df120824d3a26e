"""Tar archives, plain or compressed: one pass, forward only."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
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
from codekiln.corpus.sources.compressed import BLOCK, DAMAGE, decompress
from codekiln.corpus.sources.declared import LONGEST, declares
from codekiln.corpus.sources.intake import LINK, NOT_REGULAR, Intake, Limits

_MAX_HEADER = 1 << 20  # bytes of one extended header, which tarfile reads as a whole
_ERRORS = (tarfile.TarError, *DAMAGE)  # tarfile reports bad numbers as ValueError
_NPM_SEARCH = 1 << 20  # bytes of a package in which its package.json is looked for


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
    try:
        with path.open("rb") as raw:
            roots, kept = _members(decompress(raw, compression), raw, path, intake)
    except _ERRORS as error:
        raise broken(path, error) from error
    yield from _let_go(roots, kept, path)


def read_gem(path: Path, intake: Intake) -> Iterator[tuple[str, bytes]]:
    """As `read_tar`, of the data.tar.gz in a Ruby gem.

    Raises:
        SourceError: as of `read_tar`, or there is no data.tar.gz.
    """
    try:
        with path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|") as gem:
            inner = next((m for m in gem if m.name == "data.tar.gz" and m.isreg()), None)
            data: Any = gem.extractfile(inner) if inner else None
            if data is None:
                raise tarfile.ReadError("a gem without data.tar.gz")
            roots, kept = _members(decompress(data, "gz"), raw, path, intake)
    except _ERRORS as error:
        raise broken(path, error) from error
    yield from _let_go(roots, kept, path)


Kept = list[tuple[str, bytes]]


def _members(stream: IO[bytes], raw: IO[bytes], path: Path, intake: Intake) -> tuple[Roots, Kept]:
    """Where the files lie, and the admitted ones' paths and contents.

    Args:
        stream: the tar file's bytes.
        raw: the file at `path`, which they come from: its position tells how far they expand.
    """
    roots = Roots()
    kept: Kept = []
    with _open(_Meter(stream, raw, intake.limits, path)) as archive:
        for number, member in enumerate(archive):
            check_count(path, intake.limits, number + 1)
            item = _content(archive, member, roots, intake)
            if item is not None:
                kept.append(item)
            archive.members = []  # type: ignore[attr-defined]
    return roots, kept


@contextmanager
def _open(stream: Any) -> Iterator[tarfile.TarFile]:
    file = cast(IO[bytes], stream)
    with tarfile.open(fileobj=file, mode="r|", bufsize=BLOCK, tarinfo=_StrictTarInfo) as archive:
        yield archive


def _let_go(roots: Roots, kept: Kept, path: Path) -> Iterator[tuple[str, bytes]]:
    if not roots.files:
        raise without_files(path)
    cut = roots.prefix_length()
    kept.reverse()
    while kept:  # let go of each as it leaves
        name, data = kept.pop()
        yield name[cut:], data


def npm_name(path: Path) -> str | None:
    """An npm package's "@scope/name-1.2.3", which its package.json says; None if there is none."""
    try:
        with (
            path.open("rb") as raw,
            closing(decompress(raw, "gz")) as stream,
            _open(stream) as archive,
        ):
            for member in archive:
                if member.offset_data + member.size > _NPM_SEARCH:
                    return None
                if member.name.count("/") == 1 and member.name.endswith("/package.json"):
                    return _npm_name(cast(Any, archive.extractfile(member)).read())
    except (*_ERRORS, AttributeError):
        pass  # reading it will say what is wrong
    return None


def _npm_name(data: bytes) -> str | None:
    package = json.loads(data)
    name, version = package.get("name"), package.get("version")
    if not (isinstance(name, str) and isinstance(version, str) and name.isprintable() and name):
        return None
    return f"{name}-{version}"[:200]


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
    intake.tally.note_date(member.mtime)
    declared = member.size <= LONGEST and declares(member.name)
    path = accept(member.name, clean_path(member.name), member.size, roots, intake)
    if path is None and not declared:
        return None
    content: Any = archive.extractfile(member)
    data = content.read()
    if declared:
        intake.tally.note_package(member.name, data)
    return None if path is None else (path, data)


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
        try:
            data = self._expanded.read(size)
        except MemoryError:  # a Zstandard frame may declare a window of gigabytes
            raise ValueError("it asks for more memory than there is") from None
        self._total += len(data)
        check_expansion(self._path, self._limits, self._raw.tell(), self._total)
        return data
