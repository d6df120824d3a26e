"""What every kind of source does with a file: admit it, decode it, name its language, count it.

A file is judged by its path and size before a byte of it is read, so that a huge or unknown
file costs nothing. Whatever is not kept is counted under a named reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from codekiln.corpus.licences.detect import is_evidence
from codekiln.corpus.privacy.optout import REASON as OPTED_OUT
from codekiln.corpus.sources.declared import declared_licence
from codekiln.corpus.sources.decode import decode
from codekiln.corpus.sources.metadata import Metadata, archive_date
from codekiln.languages.resolve import is_build_file
from codekiln.languages.table import detect, may_detect
from codekiln.types import SourceFile

LINK = "link"
NOT_REGULAR = "not a regular file"
UNREADABLE = "unreadable"
UNUSABLE_NAME = "unusable name"
OUTSIDE = "path outside the repository"
SUBMODULE = "submodule"
MISSING = "missing object"
DUPLICATE = "path given twice"
ENCRYPTED = "encrypted"
DAMAGED = "damaged"
FOREIGN = "dependency or tool folder"
UNKNOWN = "unknown language"
TOO_LARGE = "too large"
EMPTY = "empty"
FULL = "repository over its limit"
LFS_POINTER = "LFS pointer"

# Folders which hold what others wrote or what tools made. `vendor` is not among them: some
# projects keep their own code under that name, and near-deduplication finds the copies.
_NAMES = (
    ".git .hg .svn .bzr CVS _darcs .jj node_modules bower_components jspm_packages .venv venv "
    ".virtualenv site-packages dist-packages __pycache__ .tox .nox .eggs .mypy_cache "
    ".pytest_cache .ruff_cache .hypothesis .ipynb_checkpoints .gradle .terraform"
)
FOREIGN_FOLDERS = frozenset(_NAMES.split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a source is read.

    Args:
        max_file_bytes: a larger file is dropped unread.
        max_repository_bytes: source read of one repository; the rest is dropped. This bounds the
            memory that a repository can take.
        max_expanded_bytes: an archive that expands beyond this is refused.
        max_expansion: an archive that expands by more than this factor is refused (from 16 MiB
            expanded on: below that it can do no harm).
        max_files: an archive with more members is refused.
        refuse: content, by its bytes, whose author wants it left out.
    """

    max_file_bytes: int = 1 << 20
    max_repository_bytes: int = 2 << 30
    max_expanded_bytes: int = 16 << 30
    max_expansion: float = 200.0
    max_files: int = 2_000_000
    refuse: Callable[[bytes], bool] | None = None


_LFS_START = b"version https://git-lfs.github.com/spec/"
_LFS_BYTES = 1024  # a pointer is smaller, as its specification says

EXAMPLES = 3  # paths named for each reason


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one reading saw, kept and dropped; grows while its files are read.

    `dropped`, `dropped_bytes` and `examples` (the first paths) are by reason. A folder that is
    not entered counts as one file of no bytes. `empty_paths` are those of the empty files: no
    text to learn from, but an empty `__init__.py` makes a package. `build_files` are the texts
    of files such as go.mod by path, whether they are kept or not; `evidence` those of files
    that tell the licence. `newest` is the latest date of a member (an archive's), in seconds since
    1970; `licences` are those which descriptions
    such as package.json name, by path.
    """

    kept: int = 0
    kept_bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    dropped_bytes: Counter[str] = field(default_factory=Counter)
    empty_paths: list[str] = field(default_factory=list)
    build_files: dict[str, str] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    newest: float | None = None
    licences: dict[str, str] = field(default_factory=dict)

    def drop(self, reason: str, path: str, size: int = 0) -> None:
        """Count one file of `size` bytes as dropped."""
        self.dropped[reason] += 1
        self.dropped_bytes[reason] += size
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES:
            shown.append(path if usable_name(path) else ascii(path)[1:-1])

    def note_date(self, seconds: float) -> None:
        """Take note of a member's date."""
        date = archive_date(seconds)
        if date is not None and (self.newest is None or date > self.newest):
            self.newest = date

    def note_package(self, path: str, data: bytes) -> None:
        """Take note of a package's description."""
        if licence := declared_licence(path, data):
            self.licences[path] = licence

    @property
    def metadata(self) -> Metadata:
        """What the files told of the repository; of several descriptions the topmost counts."""
        top = min(self.licences, key=lambda path: (path.count("/"), path), default="")
        return Metadata(updated=self.newest, licence=self.licences.get(top))

    @property
    def seen(self) -> int:
        """Files seen so far."""
        return self.kept + self.dropped.total()


@dataclass(slots=True, kw_only=True)
class Intake:
    """Judges the files of one reading, and counts them."""

    limits: Limits
    tally: Tally = field(default_factory=Tally)
    admitted_bytes: int = 0

    def admit(self, path: str, size: int) -> bool:
        """Whether a file is worth reading, by path and size (bytes); counts it if not."""
        if not (may_detect(path) or is_build_file(path) or is_evidence(path)):
            self.tally.drop(UNKNOWN, path, size)
        elif not usable_name(path):
            self.tally.drop(UNUSABLE_NAME, path, size)
        elif size > self.limits.max_file_bytes:
            self.tally.drop(TOO_LARGE, path, size)
        elif self.admitted_bytes + size > self.limits.max_repository_bytes:
            self.tally.drop(FULL, path, size)
        else:
            self.admitted_bytes += size
            return True
        return False

    def take(self, path: str, data: bytes) -> SourceFile | None:
        """Decode a file and name its language; None, counted, if that fails."""
        size = len(data)
        if not size:
            self.tally.drop(EMPTY, path)
            self.tally.empty_paths.append(path)
            return None
        if size < _LFS_BYTES and data.startswith(_LFS_START):
            self.tally.drop(LFS_POINTER, path, size)
            return None
        if self.limits.refuse is not None and self.limits.refuse(data):
            self.tally.drop(OPTED_OUT, path, size)
            return None
        text, problem = decode(data)
        if text is None:
            self.tally.drop(problem, path, size)
            return None
        if is_build_file(path):
            self.tally.build_files[path] = text
        if is_evidence(path):
            self.tally.evidence[path] = text
        language = detect(path, text)
        if language is None:
            self.tally.drop(UNKNOWN, path, size)
            return None
        self.tally.kept += 1
        self.tally.kept_bytes += size
        return SourceFile(path=path, text=text, language=language.name)


def usable_name(path: str) -> bool:
    """Whether a path can stand in a document: UTF-8, no control characters."""
    if path.isascii():
        return path.isprintable()
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return min(path) >= " "


def foreign_folder(path: str) -> bool:
    """Whether a path leads through a folder that is not the repository's own work."""
    return not FOREIGN_FOLDERS.isdisjoint(path.split("/")[:-1])
