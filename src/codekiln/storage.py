"""Atomic writes, fingerprints, manifests: what makes a killed run resume to the same result."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
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
    reader never sees half of it. A folder that stands at `target` is replaced.
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
    for file in [path] if path.is_file() else sorted(path.rglob("*")):
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())


def _replace(piece: Path, target: Path, *, aside: Path) -> None:
    if target.is_dir() and not target.is_symlink():
        target.rename(aside)  # a folder cannot be renamed over a full one
    piece.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
        UserError: when it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(path, got="no such file", wanted="a JSON file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(
            path, got=f"not JSON ({error})", wanted="a JSON file", remedy="write it anew"
        ) from error


class Manifest:
    """Which pieces of a stage are done, and from what they were made.

    One JSON file: {"fingerprint": of inputs and settings, "entries": {piece: facts}}. A piece
    counts as done only if the manifest's fingerprint is the caller's: changed inputs or
    settings start over. Entries are added after their files are in place, so that a run killed
    at any moment redoes at most the pieces it had under way.

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

    def __contains__(self, piece: str) -> bool:
        return piece in self.entries

    def __getitem__(self, piece: str) -> dict[str, Any]:
        return self.entries[piece]

    def add(self, piece: str, **facts: Any) -> None:
        """Record `piece` as done, with facts about it; on disk when this returns."""
        self.entries[piece] = facts
        write_json(self.path, {"fingerprint": self.made_from, "entries": self.entries})
