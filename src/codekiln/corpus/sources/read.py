"""Repositories from folders, git repositories and archives, read one after the other.

    reading = open_repository("~/src/project@v1.2")
    for file in reading:              # decoded, language named, dropped files counted
        ...
    reading.tally.dropped             # {"binary": 3, "too large": 1, ...}

A location is a folder, `PATH@REVISION` of a git repository (or a bare repository, or its `.git`
folder: read without a checkout), an archive (tar, zip, sdist, wheel, npm package, gem) here or at a
URL that fsspec can open, or `rows:FILE#NAME`, one repository of a collection that was grouped
(`codekiln.corpus.sources.collection`).
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from codekiln.corpus.sources.archive import ArchiveSource
from codekiln.corpus.sources.folder import FolderSource
from codekiln.corpus.sources.git import GitSource, is_git_folder
from codekiln.corpus.sources.intake import Intake, Limits, Tally
from codekiln.corpus.sources.locations import ROWS, URL
from codekiln.corpus.sources.metadata import Metadata
from codekiln.errors import SourceError
from codekiln.types import Repository, SourceFile


class Source(Protocol):
    """One place that files come from."""

    name: str

    @property
    def revision(self) -> str:
        """What tells one state of the source from another."""
        ...

    @property
    def metadata(self) -> Metadata:
        """What the source knows of the repository without reading its files."""
        ...

    def blobs(self, intake: Intake) -> Iterator[tuple[str, bytes]]:
        """Paths and contents of the files that `intake` admits; the others are counted there."""
        ...


class Reading:
    """One repository being read: iterate over its files, then look at `tally`.

    Each iteration reads the source again and starts a new tally. Nothing is kept: memory is that
    of one file (for a tar archive: of the archive's kept text).

    Attributes:
        location: as given.
        name: of the repository: the folder's or archive's name.
        tally: what was seen, kept and dropped by the last iteration.
    """

    def __init__(self, location: str, source: Source, limits: Limits) -> None:
        self.location = location
        self.name = source.name
        self.tally = Tally()
        self._source = source
        self._limits = limits

    @property
    def revision(self) -> str:
        """Commit id, or hash of an archive's bytes, or of a folder's paths, sizes and times.

        Equal revisions mean equal files.
        """
        return self._source.revision

    @property
    def metadata(self) -> Metadata:
        """What is known of the repository; an archive's is known once its files have been read.

        git tells the commit's date, a folder its newest file's, an archive its newest member's and
        the licence its package description names, a collection what its columns hold.
        """
        return self._source.metadata.or_else(self.tally.metadata)

    def __iter__(self) -> Iterator[SourceFile]:
        """The files, decoded.

        Raises:
            SourceError: the source turns out to be truncated, damaged or hostile.
        """
        intake = Intake(limits=self._limits)
        self.tally = intake.tally
        for path, data in self._source.blobs(intake):
            file = intake.take(path, data)
            if file is not None:
                yield file

    def repository(self) -> Repository:
        """The whole repository, files in path order.

        Raises:
            SourceError: as iterating does.
        """
        files = tuple(sorted(self, key=lambda file: file.path))
        return Repository(name=self.name, revision=self.revision, files=files)


def open_repository(
    location: str | os.PathLike[str], *, max_file_bytes: int = 1 << 20, limits: Limits | None = None
) -> Reading:
    """Open a repository wherever it lies; its files are read when iterated over.

    Args:
        location: a folder, `PATH@REVISION`, a bare git repository or an archive; `~` is expanded.
        max_file_bytes: larger files are dropped unread, counted as "too large".
        limits: all limits; stands in for `max_file_bytes` when given.

    Raises:
        SourceError: no such place, not a repository, empty, unreadable.
    """
    text = os.fspath(location)
    limits = limits or Limits(max_file_bytes=max_file_bytes)
    return Reading(text, _source(text), limits)


def _source(location: str) -> Source:
    if location.startswith(ROWS):
        from codekiln.corpus.sources.rows.source import RowSource  # here: imports pyarrow

        return RowSource(location)
    if URL.match(location):
        from codekiln.corpus.sources.remote import RemoteArchive

        return RemoteArchive(location)
    path = Path(os.path.expanduser(location))  # noqa: PTH111 (Path.expanduser raises for "~nobody")
    if location.strip() and os.path.lexists(path):
        if path.is_dir():
            return GitSource(path, "HEAD") if is_git_folder(path) else FolderSource(path)
        if path.is_file():
            return ArchiveSource(path)
        raise SourceError(
            location,
            got="neither a folder nor a file (a broken link, perhaps)",
            wanted="a folder, PATH@REVISION of a git repository, or an archive",
        )
    split = _split_revision(location)
    if split is None:
        raise SourceError(
            location or "(empty)",
            got="no such file or folder",
            wanted="a folder, PATH@REVISION of a git repository, or an archive",
            remedy="check the path; relative paths start at the current folder",
        )
    return GitSource(Path(os.path.expanduser(split[0])), split[1])  # noqa: PTH111


def _split_revision(location: str) -> tuple[str, str] | None:
    """Path and revision of "PATH@REVISION", for the longest PATH that exists."""
    at = location.rfind("@")
    while at > 0:
        if os.path.isdir(os.path.expanduser(location[:at])):  # noqa: PTH111, PTH112
            return location[:at], location[at + 1 :]
        at = location.rfind("@", 0, at)
    return None


def expand_locations(patterns: Iterable[str]) -> list[str]:
    """Locations that the patterns stand for: `~` and globs expanded, sorted, each once.

    `PATTERN@REVISION` stands for every git repository that PATTERN matches. `**` reaches any
    depth. What a pattern with wildcards matches, but is neither a folder nor an archive by its
    name, is passed over, as are hidden names.

    Raises:
        SourceError: a pattern matches nothing.
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        matches = _matches(pattern)
        if not matches:
            raise SourceError(
                pattern or "(empty)",
                got="matches nothing",
                wanted="a folder, PATH@REVISION of a git repository, an archive, or a glob",
                remedy="check the path; relative paths start at the current folder",
            )
        for match in matches:
            found.setdefault(_identity(match), match)
    return sorted(found.values())


def _matches(pattern: str) -> list[str]:
    if not pattern.strip():
        return []
    if pattern.startswith(ROWS):
        return [pattern]
    if URL.match(pattern):
        from codekiln.corpus.sources.remote import expand_remote

        return expand_remote(pattern)
    expanded = os.path.expanduser(pattern)  # noqa: PTH111
    if os.path.lexists(expanded) or _split_revision(expanded):
        return [expanded]
    found = [match for match in glob.glob(expanded, recursive=True) if _is_place(match)]  # noqa: PTH207
    path, at, revision = expanded.rpartition("@")
    if not found and at and revision:
        places = [m for m in glob.glob(path, recursive=True) if _is_repository(m)]  # noqa: PTH207
        found = [f"{place}@{revision}" for place in places]
    return found


def _is_place(path: str) -> bool:
    return os.path.isdir(path) or path.lower().endswith(ARCHIVE_SUFFIXES)  # noqa: PTH112


def _is_repository(path: str) -> bool:
    return is_git_folder(Path(path)) or os.path.lexists(f"{path}/.git")


def _identity(location: str) -> str:
    """What makes two locations one: the real path, and the revision."""
    if os.path.lexists(location):
        return os.path.realpath(location)
    split = _split_revision(location)
    return f"{os.path.realpath(split[0])}@{split[1]}" if split else location


ARCHIVE_SUFFIXES = (
    ".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".tzst", ".tar.zst",
    ".crate", ".gem", ".zip", ".whl", ".egg", ".jar",
)  # fmt: skip
