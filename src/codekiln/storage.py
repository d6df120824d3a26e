"""Atomic writes, locks, fingerprints, manifests: what makes a killed run resume the same."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codekiln.errors import UserError


def fingerprint(value: object) -> str:
    """SHA-256 (hex) of a value's canonical JSON; equal values give equal fingerprints."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fingerprint_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target` that takes its name once the block ends well.

    The block may create a file or a folder there. After an error nothing is left behind; a
    reader never sees half of it. A folder that stands at `target` is replaced: in one step on
    Linux, by an exchange of names. Where the kernel or the file system cannot do that, the old
    folder is moved aside first, and a kill between the two renames leaves none at `target`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
    piece = temporary / target.name
    try:
        yield piece
        _sync(piece)
        _replace(piece, target, aside=temporary / "replaced")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(path: Path) -> None:
    for piece in [path, *path.rglob("*")] if path.is_dir() else [path]:
        if piece.is_file() or piece.is_dir():
            _sync_one(piece)


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(piece: Path, target: Path, *, aside: Path) -> None:
    taken = target.is_dir() and not target.is_symlink()
    if not (taken and _exchange(piece, target)):
        if taken:
            target.rename(aside)  # a folder cannot be renamed over a full one
        piece.replace(target)
    _sync_one(target.parent)


_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # from linux/fs.h
_NOT_HERE = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM}


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths swap their names in one step; False where that cannot be done."""
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:  # an old C library
        return False
    paths = os.fsencode(one), os.fsencode(other)
    if renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NOT_HERE:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the hold ends with the process, however it ends.

    Raises:
        UserError: when another process holds it, or the file system knows no locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                folder,
                got="another process is working here",
                wanted="one process a folder",
                remedy="wait for it, or write into another folder",
            ) from None
        except OSError as error:
            raise UserError(
                folder,
                got=f"cannot be locked ({error.strerror})",
                wanted="a file system with locks",
                remedy="write into a folder on a local disk",
            ) from error
        yield


def write_text(target: Path, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")


def write_json(target: Path, value: object) -> None:
    """Write `value` as readable JSON, atomically."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: when it is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(path, got="no such file", wanted="a JSON file") from None
    except OSError as error:
        got = f"cannot be read ({error.strerror})"
        raise UserError(path, got=got, wanted="a JSON file") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(
            path, got=f"not JSON ({error})", wanted="a JSON file", remedy="write it anew"
        ) from error


class Manifest:
    """Which pieces of a stage are done, and from what they were made.

    One JSON file: {"fingerprint": of inputs and settings, "entries": {piece: facts}}. A piece
    counts as done only if the manifest's fingerprint is the caller's: changed inputs or
    settings start over, and the old entries are gone from disk at once, so that nobody who goes
    back to the old settings takes new files for old ones. Entries are added after their files
    are in place and discarded before these are replaced: a run killed at any moment redoes at
    most the pieces it had under way.

    Args:
        path: the manifest file; its folder holds the stage's output.
        made_from: fingerprint of the stage's inputs and settings.
    """

    def __init__(self, path: Path, made_from: str) -> None:
        self.path = path
        self.made_from = made_from
        self.entries: dict[str, dict[str, Any]] = {}
        if path.exists():
            stored = read_json(path)
            if stored.get("fingerprint") == made_from:
                self.entries = stored["entries"]
            else:
                self._save()

    def __contains__(self, piece: str) -> bool:
        return piece in self.entries

    def __getitem__(self, piece: str) -> dict[str, Any]:
        return self.entries[piece]

    def add(self, piece: str, **facts: Any) -> None:
        """Record `piece` as done, with facts about it; on disk when this returns."""
        self.entries[piece] = facts
        self._save()

    def discard(self, *pieces: str) -> None:
        """Record that `pieces` are not done, before their files change; unknown ones are fine."""
        known = [piece for piece in pieces if self.entries.pop(piece, None) is not None]
        if known:
            self._save()

    def _save(self) -> None:
        write_json(self.path, {"fingerprint": self.made_from, "entries": self.entries})
