"""Texts that are files of their own: a single one, a folder of them, or an archive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from codekiln.corpus.sources.archive import ArchiveSource
from codekiln.corpus.sources.decode import decode
from codekiln.corpus.sources.folder import FolderSource
from codekiln.corpus.sources.intake import UNUSABLE_NAME, Intake, Limits, Tally, usable_name
from codekiln.errors import SourceError
from codekiln.storage import fingerprint

SUFFIXES = (".txt", ".text", ".md", ".markdown", ".mdown", ".mkd", ".rst")
ARCHIVES = (".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip")
TOO_LARGE = "too large"
EMPTY = "empty"


class TextIntake(Intake):
    """Admits the text files of one piece, counted in path order; others are passed over."""

    def __init__(self, start: int, stop: int, limit: int, tally: Tally) -> None:
        super().__init__(limits=Limits(max_file_bytes=limit), tally=tally)
        self._start, self._stop = start, stop
        self.sizes: list[int] = []  # of all text files seen

    def admit(self, path: str, size: int) -> bool:
        """Whether this is a file of the piece."""
        if not path.lower().endswith(SUFFIXES):
            return False
        number = len(self.sizes)
        self.sizes.append(size)
        if not self._start <= number < self._stop:
            return False
        if not usable_name(path):
            self.tally.drop(UNUSABLE_NAME, path, size)
            return False
        if size > self.limits.max_file_bytes:
            self.tally.drop(TOO_LARGE, path, size)
            return False
        return True


def stamp(path: Path) -> str:
    """Fingerprint of a file's size and time: reading all of a dump to hash it would take hours."""
    try:
        facts = path.stat()
    except OSError as error:
        raise SourceError(path, got=f"cannot be read ({error.strerror})") from error
    return fingerprint([facts.st_size, facts.st_mtime_ns])


def name_of(path: Path) -> str:
    """The name of a location: the file's or folder's, without what says how it is packed.

    A dump's file is called Posts.xml on every site: there the folder has the name.
    """
    path = path.resolve()
    if path.name.lower().startswith("posts.xml"):
        path = path.parent
    name = path.name
    for suffix in (".gz", ".bz2", ".xz", ".zst", ".7z", ".tgz", ".tbz2", ".txz", ".zip"):
        name = name.removesuffix(suffix)
    for suffix in (".tar", ".jsonl", ".ndjson", ".json", ".parquet"):
        name = name.removesuffix(suffix)
    return name or path.name


def cut_files(path: Path, bytes_per_batch: int) -> tuple[list[tuple[int, int]], str]:
    """(numbers of the first file of each piece and the one behind its last, revision).

    An archive is one piece: its members can only be read in turn.

    Raises:
        SourceError: nothing there, or no text file.
    """
    if path.is_file() and path.name.lower().endswith(SUFFIXES):
        return [(0, 1)], stamp(path)
    if path.is_file():
        return [(0, 1 << 62)], stamp(path)
    source = FolderSource(path)
    listing = TextIntake(0, 0, 0, Tally())
    for _ in source.blobs(listing):
        pass
    if not listing.sizes:
        raise SourceError(path, got="no text files", wanted="files such as .txt, .md or .rst")
    cuts, start, size = [], 0, 0
    for number, one in enumerate(listing.sizes):
        if size + one > bytes_per_batch and number > start:
            cuts.append((start, number))
            start, size = number, 0
        size += one
    return [*cuts, (start, len(listing.sizes))], source.revision


def read_files(
    path: Path, start: int, stop: int, limit: int, tally: Tally
) -> Iterator[tuple[str, str, str]]:
    """(path, text, "") of the files number `start` up to `stop`.

    Raises:
        SourceError: cannot be read; an archive that is damaged or hostile.
    """
    if path.is_file() and path.name.lower().endswith(SUFFIXES):
        try:
            data = path.read_bytes() if path.stat().st_size <= limit else None
        except OSError as error:
            raise SourceError(path, got=f"cannot be read ({error.strerror})") from error
        if data is None:
            tally.drop(TOO_LARGE, path.name, path.stat().st_size)
            return
        blobs: Iterator[tuple[str, bytes]] = iter([(path.name, data)])
    else:
        intake = TextIntake(start, stop, limit, tally)
        source = FolderSource(path) if path.is_dir() else ArchiveSource(path)
        blobs = source.blobs(intake)
    for name, data in blobs:
        if not data:
            tally.drop(EMPTY, name)
            continue
        text, problem = decode(data)
        if text is None:
            tally.drop(problem, name, len(data))
        else:
            yield name, text, ""
