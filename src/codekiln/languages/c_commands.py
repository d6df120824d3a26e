"""Where C and C++ files search their headers, by a repository's `compile_commands.json`.

Each entry names a file, the folder that its compiler ran in, and the call with `-I`, `-isystem`,
`-iquote` and `-idirafter`. Such a file is written on somebody's machine and holds absolute paths:
the repository's root there is the folder below which most of the named files are found here.
A header has no entry of its own: it searches where any of the sources does, the folders that most
of them name first.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from codekiln.languages.resolve import PathIndex, join, parent
from codekiln.log import logger

NAME = "compile_commands.json"
_OPTION = re.compile(r"-(iquote|I|isystem|idirafter)")
_ORDER = ("iquote", "I", "isystem", "idirafter")
_WORD = re.compile(r"""(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+""")
_QUOTES = re.compile(r"""\\(.)|["']""")


@dataclass(frozen=True, slots=True, eq=False)
class SearchPath:
    """Folders of the repository in the order of search: for `"x"` after its own, for `<x>`.

    Equal ones are the same object, so that they can be keys.
    """

    quoted: tuple[str, ...] = ()
    angled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    file: str  # absolute; "/" is the repository's root where the folder is relative
    folders: tuple[tuple[str, str], ...]  # option, absolute folder


class CompileCommands:
    """The search paths of a repository's files; empty where no build file tells them."""

    def __init__(self, paths: PathIndex) -> None:
        self._of: dict[str, SearchPath] = {}
        self._known: dict[tuple[tuple[str, ...], tuple[str, ...]], SearchPath] = {}
        for path in sorted(paths.build_files):
            if path.rpartition("/")[2] == NAME:
                self._read(path, paths)
        self._common = _merged(self._of.values())

    def search_path(self, source: str) -> SearchPath:
        """Where the includes of a file are searched."""
        return self._of.get(source, self._common)

    def _read(self, path: str, paths: PathIndex) -> None:
        try:
            entries = list(_entries(json.loads(paths.build_files[path]), parent(path)))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            logger.debug("%s: no search paths read: %r", path, error)
            return
        roots = Counter(root for entry in entries for root in _roots(entry.file, paths))
        if not roots:
            return
        root = min(roots, key=lambda root: (-roots[root], root))
        for entry in entries:
            file = _below(root, entry.file)
            if file is not None and file in paths.files and file not in self._of:
                found = _search_path(root, entry)
                self._of[file] = self._known.setdefault((found.quoted, found.angled), found)


def _entries(listed: list[dict[str, Any]], folder: str) -> Iterator[_Entry]:
    for entry in listed:
        directory = posixpath.join("/" + folder, entry.get("directory", "."))
        words = entry.get("arguments")
        if words is None:
            words = [_QUOTES.sub(r"\1", word) for word in _WORD.findall(entry["command"])]
        found = tuple(
            (option, posixpath.normpath(posixpath.join(directory, name)))
            for option, name in _options(words)
        )
        file = posixpath.normpath(posixpath.join(directory, entry["file"]))
        yield _Entry(file=file, folders=found)


def _options(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each search option with its folder, which may be the next word."""
    open_ = ""
    for word in words:
        match = _OPTION.match(word)
        if open_:
            yield open_, word
            open_ = ""
        elif match and match.end() == len(word):
            open_ = match[1]
        elif match:
            yield match[1], word[match.end() :]


def _roots(file: str, paths: PathIndex) -> Iterator[str]:
    """The folder below which an absolute path ends in one of this repository; "" is "/"."""
    at = file.find("/")
    while at >= 0:
        if file[at + 1 :] in paths.files:
            yield file[:at]
            return
        at = file.find("/", at + 1)


def _below(root: str, path: str) -> str | None:
    if path == root:
        return ""
    return path[len(root) + 1 :] if path.startswith(root + "/") else None


def _search_path(root: str, entry: _Entry) -> SearchPath:
    folders: dict[str, list[str]] = {option: [] for option in _ORDER}
    for option, path in entry.folders:
        folder = _below(root, path)
        if folder is not None:
            folders[option].append(folder)
    angled = [folder for option in _ORDER[1:] for folder in folders[option]]
    quoted = [*folders["iquote"], *angled]
    return SearchPath(tuple(dict.fromkeys(quoted)), tuple(dict.fromkeys(angled)))


def _merged(found: Iterable[SearchPath]) -> SearchPath:
    """All folders, those that most name first."""
    quoted: Counter[str] = Counter()
    angled: Counter[str] = Counter()
    for one in found:
        quoted.update(one.quoted)
        angled.update(one.angled)
    return SearchPath(
        tuple(folder for folder, _ in quoted.most_common()),
        tuple(folder for folder, _ in angled.most_common()),
    )


def candidates(folders: Iterable[str], target: str) -> Iterator[str]:
    """Paths at which `target` may lie, in the order of the folders."""
    for folder in folders:
        yield posixpath.normpath(join(folder, target))
