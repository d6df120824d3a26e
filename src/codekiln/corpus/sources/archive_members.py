"""What all archives share: clean paths, the single top folder, limits of expansion."""

from __future__ import annotations

from pathlib import Path

from codekiln.corpus.sources.intake import (
    DUPLICATE,
    FOREIGN,
    OUTSIDE,
    Intake,
    Limits,
    foreign_folder,
)
from codekiln.errors import SourceError

_HARMLESS = 16 << 20  # bytes: an archive may expand to this by any factor


class Roots:
    """The paths of an archive's files, each once, and whether one top folder holds them all."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self._tops: set[str] = set()

    def add(self, path: str) -> bool:
        """Take note of a path; False if it was there before."""
        if path in self.files:
            return False
        self.files.add(path)
        top, slash, _ = path.partition("/")
        self._tops.add(top if slash else "")
        return True

    def prefix_length(self) -> int:
        """How many characters of every path are the single top folder's."""
        (top,) = self._tops if len(self._tops) == 1 else ("",)
        return len(top) + 1 if top else 0


def clean_path(name: str) -> str | None:
    """A member's path relative to the archive; None if it leads outside or nowhere."""
    parts = name.split("/")
    if name.startswith("/") or ".." in name.replace("\\", "/").split("/"):
        return None
    return "/".join(part for part in parts if part not in ("", ".")) or None


def accept(name: str, path: str | None, size: int, roots: Roots, intake: Intake) -> str | None:
    """The path of a regular member that is to be read; None, counted, for the others.

    Args:
        name: as it stands in the archive, to name a member without a usable path.
        path: of `clean_path`.
    """
    if path is None:
        intake.tally.drop(OUTSIDE, name, size)
    elif not roots.add(path):
        intake.tally.drop(DUPLICATE, path, size)
    elif foreign_folder(path):
        intake.tally.drop(FOREIGN, path, size)
    elif intake.admit(path, size):
        return path
    return None


def check_expansion(path: Path, limits: Limits, packed: int, expanded: int) -> None:
    """Stop an archive that expands too far, by factor or in all; sizes in bytes.

    Raises:
        SourceError: `expanded` is over the limits.
    """
    factor = expanded / max(packed, 1)
    too_dense = expanded > _HARMLESS and factor > limits.max_expansion
    if too_dense or expanded > limits.max_expanded_bytes:
        raise SourceError(
            path,
            got=f"expands {factor:,.0f}-fold, to {expanded:,} bytes or more",
            wanted=f"at most {limits.max_expansion:,.0f}-fold "
            f"and {limits.max_expanded_bytes:,} bytes",
            remedy="unpack it yourself if you trust it, and name the folder",
        )


def check_count(path: Path, limits: Limits, count: int) -> None:
    """Stop an archive with too many members.

    Raises:
        SourceError: `count` is over the limit.
    """
    if count > limits.max_files:
        raise SourceError(
            path,
            got=f"more than {limits.max_files:,} members",
            wanted="an archive of one repository",
        )


def without_files(path: Path) -> SourceError:
    """The error for an archive that holds no files."""
    return SourceError(path, got="an archive without files", wanted="source files")


def broken(path: Path, error: Exception) -> SourceError:
    """The error for an archive that cannot be read to its end."""
    return SourceError(
        path,
        got=f"truncated or damaged ({error or type(error).__name__})",
        wanted="a whole archive",
        remedy="fetch or make it anew",
    )
