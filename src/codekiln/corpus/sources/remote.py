"""Files in object stores and behind URLs, through fsspec: s3://, gs://, https://, memory:// …

An archive is copied to a temporary file while it is read and removed afterwards: one at a time in
each process, so the disk holds no more than that. How to reach a store (keys, endpoints) is
fsspec's business: its configuration files and the stores' environment variables.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

from codekiln.corpus.sources.archive import ArchiveSource, archive_name
from codekiln.corpus.sources.extras import require
from codekiln.corpus.sources.intake import Intake
from codekiln.corpus.sources.locations import URL
from codekiln.corpus.sources.metadata import UNKNOWN, Metadata
from codekiln.errors import MissingToolError, SourceError
from codekiln.storage import fingerprint, fingerprint_file

# What stores say about a file's state, under whatever name.
_STATE = (
    "ETag", "etag", "md5Hash", "md5", "sha256", "checksum", "crc32c", "generation",
    "mtime", "LastModified", "Last-Modified", "last_modified", "created", "updated",
)  # fmt: skip
_BLOCK = 4 << 20


def is_remote(location: str) -> bool:
    """Whether a location is a URL."""
    return URL.match(location) is not None


@contextmanager
def _reach(location: str) -> Iterator[tuple[Any, str]]:
    """The file system of a URL and the path there; its errors become ours.

    Raises:
        SourceError: the store refuses or cannot be reached.
        MissingToolError: fsspec, or the library for this kind of store, is not installed.
    """
    fsspec = require("fsspec", location)
    try:
        system, path = fsspec.core.url_to_fs(location)
        yield system, path
    except ImportError as error:
        raise MissingToolError(
            location,
            got=f"a library for this kind of store is missing ({error})",
            wanted="what fsspec needs for it: s3fs, gcsfs, aiohttp …",
            remedy="install that library",
        ) from error
    except FileNotFoundError as error:
        raise SourceError(location, got="no such file", wanted="a file in the store") from error
    except SourceError:
        raise
    except Exception as error:  # every store has errors of its own
        raise SourceError(
            location,
            got=f"cannot be reached ({type(error).__name__}: {error})",
            wanted="a URL that fsspec can open",
            remedy="check the address, the network and the store's credentials",
        ) from error


def expand_remote(pattern: str) -> list[str]:
    """The URLs that a URL with wildcards stands for, sorted; without wildcards, itself.

    Raises:
        SourceError: the store cannot be reached, or nothing matches.
    """
    wild = r"\*" if pattern.lower().startswith("http") else r"[*?\[]"  # "?" begins a URL's query
    if not re.search(wild, pattern):
        return [pattern]
    with _reach(pattern) as (system, path):
        found = sorted(str(system.unstrip_protocol(name)) for name in system.glob(path))
    if not found:
        raise SourceError(pattern, got="matches nothing", wanted="files in the store")
    return found


def identity(location: str) -> list[Any]:
    """Size and state (time, entity tag …) of a file, here or remote: equal while it is the same.

    Raises:
        SourceError: there is no such file, or it cannot be asked about.
    """
    if is_remote(location):
        facts = _facts(location)
        return [facts.get("size"), _state(facts)]
    try:
        stat = os.stat(location)  # noqa: PTH116
    except OSError as error:
        raise SourceError(location, got=f"cannot be read ({error.strerror})") from error
    return [stat.st_size, stat.st_mtime_ns]


def _facts(location: str) -> dict[str, Any]:
    with _reach(location) as (system, path):
        return dict(system.info(path))


def _state(facts: dict[str, Any]) -> dict[str, str]:
    return {key: str(facts[key]) for key in _STATE if facts.get(key) is not None}


def open_binary(location: str) -> IO[bytes]:
    """A file for reading, here or remote; seekable where the store allows it.

    Raises:
        SourceError: there is no such file, or the store cannot be reached.
    """
    if is_remote(location):
        with _reach(location) as (system, path):
            return cast(IO[bytes], system.open(path, "rb", block_size=_BLOCK))
    try:
        return Path(location).open("rb")
    except OSError as error:
        raise SourceError(location, got=f"cannot be read ({error.strerror})") from error


class RemoteArchive:
    """An archive in an object store or behind a URL.

    Raises:
        SourceError: no such file, or the store cannot be reached.
        MissingToolError: fsspec, or what it needs for this store, is not installed.
    """

    def __init__(self, location: str) -> None:
        self._location = location
        self._info = _facts(location)
        self.name = archive_name(re.split(r"[?#]", location.rstrip("/"))[0].rpartition("/")[2])

    @cached_property
    def revision(self) -> str:
        """Hash of what the store says (size, time, entity tag); else of the archive's bytes."""
        if state := _state(self._info):
            return fingerprint([self._location, self._info.get("size"), state])
        with self._copy() as path:
            return fingerprint_file(path)

    @property
    def metadata(self) -> Metadata:
        """Nothing before the archive has been read: its members tell."""
        return UNKNOWN

    def blobs(self, intake: Intake) -> Iterator[tuple[str, bytes]]:
        """As of the archive itself."""
        with self._copy() as path:
            yield from ArchiveSource(path).blobs(intake)

    @contextmanager
    def _copy(self) -> Iterator[Path]:
        """The archive in a temporary folder, under its own name."""
        with tempfile.TemporaryDirectory(prefix="codekiln-") as folder:
            path = Path(folder) / (Path(re.split(r"[?#]", self._location)[0]).name or "archive")
            with (
                _reach(self._location) as (system, place),
                system.open(place, "rb") as remote,
                path.open("wb") as file,
            ):
                shutil.copyfileobj(remote, file, _BLOCK)
            yield path
