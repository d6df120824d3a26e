"""Of several files that a name could mean, the one nearest to the file that says it."""

from __future__ import annotations

from collections.abc import Iterable

from codekiln.languages.resolve import parent


class Nearest:
    """Several paths, each known to all folders around it, so that asking takes no search.

    Args:
        paths: of files, each once.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._below: dict[str, str | None] = {}  # folder -> the only path below it; None of several
        for path in paths:
            folder = path
            while folder:
                folder = parent(folder)
                self._below[folder] = None if folder in self._below else path

    def to(self, folder: str) -> str | None:
        """The path that shares most folders with `folder`; None if two share as many."""
        while folder and folder not in self._below:
            folder = parent(folder)
        return self._below.get(folder)
