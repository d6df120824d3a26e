"""A place in a file on disk, and the repository files around it, for the prompt builder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from codekiln.corpus.sources.decode import decode
from codekiln.corpus.sources.read import open_repository
from codekiln.errors import PromptError, SourceError
from codekiln.languages.table import detect
from codekiln.log import Progress
from codekiln.types import SourceFile

# what marks the root of a repository or project
ROOT_MARKS = (".git", ".hg", ".svn", "pyproject.toml", "setup.py", "package.json", "go.mod")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file cut in two at a cursor; `path` is relative to the repository's root."""

    path: str
    language: str
    prefix: str
    suffix: str


def read_place(file: Path, line: int, column: int, root: Path) -> Place:
    """Cut a file at a place.

    Args:
        file: the file, inside `root`.
        line: from 1; the line after a final newline counts.
        column: from 1, in characters; 1 is before the first character of the line, and one more
            than its length is its end.
        root: of the repository.

    Raises:
        SourceError: the file cannot be read, or is not text.
        PromptError: there is no such place in it.
    """
    text = _read_text(file)
    at = offset(text, line, column, file)
    path = relative_path(file, root)
    language = detect(path, text)
    return Place(
        path=path,
        language=language.name if language else "",
        prefix=text[:at],
        suffix=text[at:],
    )


def offset(text: str, line: int, column: int, where: object = "text") -> int:
    """Characters before a place (line and column from 1).

    Raises:
        PromptError: there is no such line or column.
    """
    lines = text.split("\n")
    if not 1 <= line <= len(lines):
        raise PromptError(
            f"{where} --at {line}:{column}",
            got=f"line {line}",
            wanted=f"a line from 1 to {len(lines)}",
        )
    length = len(lines[line - 1].removesuffix("\r"))
    if not 1 <= column <= length + 1:
        raise PromptError(
            f"{where} --at {line}:{column}",
            got=f"column {column}",
            wanted=f"a column from 1 to {length + 1}: line {line} has {length} characters",
        )
    return sum(len(before) + 1 for before in lines[: line - 1]) + column - 1


def find_root(file: Path, context: Sequence[Path] = ()) -> Path:
    """The root that paths are relative to, as in training.

    The nearest folder above the file that version control or a build file marks; else the first
    context folder that holds the file; else the file's own folder.
    """
    file = file.resolve()
    for folder in file.parents:
        if any((folder / mark).exists() for mark in ROOT_MARKS):
            return folder
    for folder in map(Path.resolve, context):
        if folder.is_dir() and file.is_relative_to(folder):
            return folder
    return file.parent


def relative_path(file: Path, root: Path) -> str:
    """The file's path below the root, with forward slashes; its name if it is elsewhere."""
    file, root = file.resolve(), root.resolve()
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name


def read_context(places: Sequence[Path], root: Path, *, leave_out: str = "") -> list[SourceFile]:
    """Files for a prompt's context, each once: files as named, folders and archives as corpora are.

    Args:
        places: files, folders, archives.
        root: paths of files below it are relative to it.
        leave_out: path of the file that is being filled in.

    Raises:
        SourceError: a place that does not exist or cannot be read.
    """
    found: dict[str, SourceFile] = {}
    with Progress("reading context", unit="files") as progress:
        for place in places:
            for file in _files(place, root):
                progress.advance()
                if file.path != leave_out:
                    found.setdefault(file.path, file)
    return list(found.values())


def _files(place: Path, root: Path) -> Iterator[SourceFile]:
    if place.is_file() and (language := detect(place.name)):
        yield SourceFile(
            path=relative_path(place, root), text=_read_text(place), language=language.name
        )
        return
    below = ""
    if place.is_dir() and place.resolve() != root.resolve():
        below = f"{relative_path(place, root)}/"
    for file in open_repository(place):
        yield SourceFile(path=below + file.path, text=file.text, language=file.language)


def _read_text(file: Path) -> str:
    try:
        text, problem = decode(file.read_bytes())
    except OSError as error:
        raise SourceError(
            file, got=f"cannot be read ({error.strerror})", wanted="a text file"
        ) from None
    if text is None:
        raise SourceError(
            file, got=problem, wanted="a text file in UTF-8, or one that declares its encoding"
        )
    return text
