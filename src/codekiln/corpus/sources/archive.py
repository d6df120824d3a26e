"""A repository in an archive: tar (plain, gzip, bzip2, xz), zip, wheel; read without unpacking.

An archive is not trusted. Members with paths that lead outside, links and devices are counted and
not read; one that is truncated, or that expands beyond its limits, is refused as a whole, since
nobody knows what else is wrong with it. The single folder which most archives hold at the top is
left out of the paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from codekiln.corpus.sources.archive_tar import read_tar
from codekiln.corpus.sources.archive_zip import read_zip
from codekiln.corpus.sources.intake import Intake
from codekiln.errors import SourceError
from codekiln.storage import fingerprint_file

_SUFFIXES = frozenset(
    {".gz", ".bz2", ".xz", ".tar", ".tgz", ".tbz2", ".txz", ".crate"}
    | {".zip", ".whl", ".egg", ".jar"}
)


class ArchiveSource:
    """The files of one archive; its kind is told by its first bytes, not by its name.

    Raises:
        SourceError: empty, unreadable, or not an archive of a known kind.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with path.open("rb") as file:
                start = file.read(512)
        except OSError as error:
            raise SourceError(path, got=f"cannot be read ({error.strerror})") from error
        self._kind = _kind(start, path)
        self.name = _name(path)

    @cached_property
    def revision(self) -> str:
        """Hash of the archive's bytes; read when first asked for."""
        return fingerprint_file(self._path)

    def blobs(self, intake: Intake) -> Iterator[tuple[str, bytes]]:
        """Paths and contents of the files that `intake` admits, the top folder left out.

        Raises:
            SourceError: truncated, damaged, or expanding beyond the limits.
        """
        if self._kind == "zip":
            yield from read_zip(self._path, intake)
        else:
            yield from read_tar(self._path, self._kind, intake)


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


def _name(path: Path) -> str:
    name = path.name
    while (suffix := Path(name).suffix.lower()) in _SUFFIXES:
        name = name[: -len(suffix)]
    return name or path.name
