"""A repository in a folder: every file below it, none outside.

Links are never followed, so that no loop and no way out exist; folders of dependencies and of
version control are not entered. A git working tree is read as it stands, uncommitted and ignored
files included: name a revision ("PATH@HEAD") to read what is committed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from codekiln.corpus.sources.git import GitSource
from codekiln.corpus.sources.intake import (
    FOREIGN,
    FOREIGN_FOLDERS,
    LINK,
    NOT_REGULAR,
    UNREADABLE,
    Intake,
)
from codekiln.corpus.sources.metadata import UNKNOWN, Metadata
from codekiln.errors import SourceError, UserError


class FolderSource:
    """The files of one folder, listed when made and read when asked for.

    Args:
        root: the folder; may itself be a link.

    Raises:
        SourceError: the folder cannot be read, or holds nothing.
    """

    def __init__(self, root: Path) -> None:
        try:
            self._root = root.resolve(strict=True)
            os.scandir(self._root).close()
        except (OSError, RuntimeError) as error:
            raise SourceError(
                root, got=f"cannot be read ({error})", wanted="a folder of source files"
            ) from error
        self.name = self._root.name or "root"
        self._entries: list[tuple[str, int, int]] = []  # path, bytes, time in nanoseconds
        self._refused: list[tuple[str, str]] = []  # reason, path
        self._list()
        if not self._entries:
            raise SourceError(root, got=self._emptiness(), wanted="a folder of source files")
        self.revision = self._revision()

    def _emptiness(self) -> str:
        reasons = Counter(reason for reason, _ in self._refused)
        listed = ", ".join(f"{reason}: {count}" for reason, count in sorted(reasons.items()))
        return f"no files to read ({listed})" if listed else "an empty folder"

    def _list(self) -> None:
        pending = [""]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(self._root / folder) as listing:
                    children = sorted(listing, key=lambda entry: entry.name)
            except OSError:
                self._refused.append((UNREADABLE, folder))
                continue
            prefix = f"{folder}/" if folder else ""
            folders = [child.name for child in children if self._add(child, prefix)]
            pending.extend(prefix + name for name in reversed(folders))
        self._entries.sort()

    def _add(self, entry: os.DirEntry[str], prefix: str) -> bool:
        """Take note of one entry; True if it is a folder to enter."""
        if entry.is_symlink():
            self._refused.append((LINK, prefix + entry.name))
        elif entry.is_dir(follow_symlinks=False):
            if entry.name not in FOREIGN_FOLDERS:
                return True
            self._refused.append((FOREIGN, prefix + entry.name))
        elif entry.is_file(follow_symlinks=False):
            try:
                facts = entry.stat(follow_symlinks=False)
            except OSError:
                self._refused.append((UNREADABLE, prefix + entry.name))
            else:
                self._entries.append((prefix + entry.name, facts.st_size, facts.st_mtime_ns))
        elif entry.name != ".git":
            self._refused.append((NOT_REGULAR, prefix + entry.name))
        return False

    def _revision(self) -> str:
        """Changes whenever a file is added, removed, or written to (by size and time)."""
        listing = "\0".join(f"{path}\0{size}\0{time}" for path, size, time in self._entries)
        return hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def metadata(self) -> Metadata:
        """The last commit's date if git keeps the folder; files' times tell when they came here."""
        if (self._root / ".git").exists():
            with suppress(UserError):  # no git here, or no commit yet
                return GitSource(self._root, "HEAD").metadata
        return UNKNOWN

    def blobs(self, intake: Intake) -> Iterator[tuple[str, bytes]]:
        """Paths and contents, in path order, of the files that `intake` admits."""
        for reason, path in self._refused:
            intake.tally.drop(reason, path)
        prefix = f"{self._root}/"
        for path, size, _ in self._entries:
            if intake.admit(path, size):
                data = _read(prefix + path, intake.limits.max_file_bytes)
                if data is None:
                    intake.tally.drop(UNREADABLE, path, size)
                else:
                    yield path, data


def _read(path: str, limit: int) -> bytes | None:
    """The content of a regular file, at most `limit` bytes; None if that cannot be had.

    Opened so that a pipe or a link put there since the listing neither blocks nor leads away.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > limit:
            return None
        data = os.read(handle, limit + 1)
        while 0 < len(data) < facts.st_size and (more := os.read(handle, limit)):
            data += more
        return data if len(data) <= limit else None
    except OSError:
        return None
    finally:
        os.close(handle)
