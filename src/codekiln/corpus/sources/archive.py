"""A repository in an archive: tar (plain, gzip, bzip2, xz, Zstandard), zip, wheel, gem.

It is read without unpacking, and not trusted. Members with paths that lead outside, links and
devices are counted and not read; one that is truncated, or that expands beyond its limits, is
refused as a whole, since nobody knows what else is wrong with it. The single folder which most
archives hold at the top is left out of the paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from codekiln.corpus.sources.archive_tar import npm_name, read_gem, read_tar
from codekiln.corpus.sources.archive_zip import read_zip
from codekiln.corpus.sources.compressed import MAGIC
from codekiln.corpus.sources.intake import Intake
from codekiln.corpus.sources.metadata import UNKNOWN, Metadata
from codekiln.errors import SourceError
from codekiln.storage import fingerprint_file

_SUFFIXES = frozenset(
    {".gz", ".bz2", ".xz", ".zst", ".tar", ".tgz", ".tbz2", ".txz", ".tzst", ".crate", ".gem"}
    | {".zip", ".whl", ".egg", ".jar"}
)


class ArchiveSource:
    """The files of one archive; its kind is told by its first bytes, not by its name.

    Only a gem, which is a tar file that holds another, is told by its name. An npm package has
    the name that its package.json gives, scope and version included: the file's own lacks the
    scope when it comes from the registry.

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
        name = npm_name(path) if self._kind == "gz" and path.suffix == ".tgz" else None
        self.name = name or archive_name(path.name)

    @cached_property
    def revision(self) -> str:
        """Hash of the archive's bytes; read when first asked for."""
        return fingerprint_file(self._path)

    @property
    def metadata(self) -> Metadata:
        """Nothing before the archive has been read: its members tell (see `Reading.metadata`)."""
        return UNKNOWN

    def blobs(self, intake: Intake) -> Iterator[tuple[str, bytes]]:
        """Paths and contents of the files that `intake` admits, the top folder left out.

        Raises:
            SourceError: truncated, damaged, or expanding beyond the limits.
        """
        if self._kind == "zip":
            yield from read_zip(self._path, intake)
        elif self._kind == "gem":
            yield from read_gem(self._path, intake)
        else:
            yield from read_tar(self._path, self._kind, intake)


def _kind(start: bytes, path: Path) -> str:
    """What an archive is by its first bytes: "zip", "gz", "bz2", "xz", "zst", "tar", "gem"."""
    if not start:
        raise SourceError(path, got="an empty file", wanted="a folder, or a tar or zip archive")
    for magic, kind in ((b"PK\x03\x04", "zip"), (b"PK\x05\x06", "zip"), *MAGIC):
        if start.startswith(magic):
            return kind
    if start[257:262] == b"ustar" or path.suffix == ".tar":
        return "gem" if path.suffix == ".gem" else "tar"
    raise SourceError(
        path,
        got="not an archive that can be read",
        wanted="tar (plain, gzip, bzip2, xz or Zstandard), zip, wheel or gem; or a folder",
        remedy="unpack it, and name the folder",
    )


def archive_name(file_name: str) -> str:
    """The repository's name: the file's without the suffixes of archives and Debian's `.orig`."""
    name = file_name
    while (suffix := Path(name).suffix.lower()) in _SUFFIXES:
        name = name[: -len(suffix)]
    return name.removesuffix(".orig") or file_name
