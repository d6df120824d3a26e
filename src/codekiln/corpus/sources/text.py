"""Natural language from files: texts one after the other, in pieces that can be read apart.

    for batch in split_batches(source, location):    # the same pieces on every machine
        for document in read_documents(source, batch, tally):
            ...

What can be read: JSON lines (plain or compressed), Parquet, Stack Exchange dumps, and folders,
archives or single files of .txt, .md and .rst. Memory is that of one record (Parquet: of one row
group's column), whatever the size of the file.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codekiln.corpus.filters import prose
from codekiln.corpus.sources import stackexchange, text_files, text_rows
from codekiln.corpus.sources.compressed import PACKED
from codekiln.corpus.sources.intake import Tally
from codekiln.corpus.sources.text_settings import TextFormat, TextSource
from codekiln.errors import SourceError
from codekiln.storage import fingerprint
from codekiln.types import Document, Kind

BATCH_BYTES = 256 << 20
NO_TEXT = "no text"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecord:
    """One text. `id` follows from the source and the place in it; `date` as it stands there."""

    id: str
    text: str
    kind: Kind
    source: str
    date: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBatch:
    """A piece of a location, to be read on its own.

    Args:
        location: the file or folder.
        format: what it is; never "auto".
        start: where the piece starts, in the format's own unit: bytes of JSON lines, row groups
            of Parquet, files of a folder; 0 for what is read as a whole.
        stop: where it ends.
        name: of the location, in the ids of its records.
        revision: changes when the location's content does, as far as sizes and times tell.
    """

    location: str
    format: TextFormat
    start: int
    stop: int
    name: str
    revision: str

    @property
    def key(self) -> str:
        """What this piece is made from, as a name for its output."""
        return fingerprint([self.name, self.format, self.start, self.stop, self.revision])[:20]


def expand_text(source: TextSource) -> list[str]:
    """The places that a source's location stands for: `~` and globs expanded, sorted.

    Raises:
        SourceError: nothing is there.
    """
    pattern = os.path.expanduser(source.location)  # noqa: PTH111 (Path's raises for "~nobody")
    if os.path.lexists(pattern):
        return [pattern]
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207
    if not found:
        raise SourceError(
            source.location,
            got="matches nothing",
            wanted="a file, folder or archive of texts, or a glob",
            remedy="check the path; relative paths start at the current folder",
        )
    return found


def split_batches(
    source: TextSource, location: str, bytes_per_batch: int = BATCH_BYTES
) -> list[TextBatch]:
    """Cut a location into pieces of about `bytes_per_batch`; what cannot be cut is one piece.

    The pieces follow from the location's content alone. Read one after the other they give what
    one piece over all would.

    Raises:
        SourceError: nothing is there, or it cannot be read.
    """
    path = Path(location)
    form = text_format(path) if source.format == "auto" else source.format
    if form == "jsonl":
        cuts, revision = text_rows.cut_lines(path, bytes_per_batch), text_files.stamp(path)
    elif form == "parquet":
        cuts, revision = text_rows.cut_row_groups(path, bytes_per_batch), text_files.stamp(path)
    elif form == "stackexchange":
        cuts, revision = [(0, 1)], text_files.stamp(posts_of(path))
    else:
        cuts, revision = text_files.cut_files(path, bytes_per_batch)
    return [
        TextBatch(
            location=location,
            format=form,
            start=start,
            stop=stop,
            name=text_files.name_of(path),
            revision=revision,
        )
        for start, stop in cuts
    ]


def text_format(path: Path) -> TextFormat:
    """What a location holds, by its name.

    Raises:
        SourceError: nothing is there, or the name does not tell.
    """
    name = path.name.lower()
    if path.is_dir():
        return "stackexchange" if (path / "Posts.xml").is_file() else "files"
    if not path.is_file():
        raise SourceError(path, got="no such file or folder", wanted="a file or folder of texts")
    bare = name.removesuffix(Path(name).suffix) if name.endswith(PACKED) else name
    if bare.endswith((".jsonl", ".ndjson", ".json")):
        return "jsonl"
    if name.endswith(".parquet"):
        return "parquet"
    if name.endswith(".7z") or bare.endswith("posts.xml"):
        return "stackexchange"
    if bare.endswith(text_files.SUFFIXES) or name.endswith(text_files.ARCHIVES):
        return "files"
    raise SourceError(
        path,
        got="a name that does not tell what it is",
        wanted=".jsonl, .parquet, Posts.xml, .7z, .txt, .md, .rst, an archive or a folder",
        remedy='say format = "jsonl", for example',
    )


def read_text(source: TextSource, batch: TextBatch, tally: Tally) -> Iterator[TextRecord]:
    """The texts of one piece; what is dropped while reading is counted in `tally`.

    Raises:
        SourceError: damaged, hostile, or not of its format.
    """
    for name, text, date in _records(source, batch, tally):
        if not text.strip():
            tally.drop(NO_TEXT, name)
            continue
        size = len(text) if text.isascii() else len(text.encode())
        if size > source.max_record_bytes:
            tally.drop(text_files.TOO_LARGE, name, size)
            continue
        kind = prose.kind_of(text, source.filters) if source.kind == "auto" else source.kind
        tally.kept += 1
        tally.kept_bytes += size
        yield TextRecord(
            id=f"{batch.name}:{name}", text=text, kind=kind, source=batch.name, date=date
        )


def read_documents(source: TextSource, batch: TextBatch, tally: Tally) -> Iterator[Document]:
    """The texts of one piece that pass the rules for natural language, as documents.

    They have no path header and no spans; each ends with a newline.

    Raises:
        SourceError: as `read_text`.
    """
    for record in read_text(source, batch, tally):
        size = len(record.text.encode())
        if why := prose.reason(record.text, record.kind, source.filters):
            tally.kept -= 1
            tally.kept_bytes -= size
            tally.drop(why, record.id, size)
            continue
        text = record.text if record.text.endswith("\n") else record.text + "\n"
        yield Document(id=record.id, text=text, kind=record.kind, source=record.source)


def posts_of(path: Path) -> Path:
    """The file of a Stack Exchange dump that holds the posts."""
    return path / "Posts.xml" if path.is_dir() else path


def _records(source: TextSource, batch: TextBatch, tally: Tally) -> Iterator[tuple[str, str, str]]:
    """(name, text, date) of each record."""
    path = Path(batch.location)
    if batch.format == "jsonl":
        yield from text_rows.read_lines(path, batch.start, batch.stop, source, tally)
    elif batch.format == "parquet":
        yield from text_rows.read_row_groups(path, batch.start, batch.stop, source, tally)
    elif batch.format == "stackexchange":
        choice = stackexchange.Choice(
            min_question_score=source.min_question_score,
            min_answer_score=source.min_answer_score,
            max_answers=source.max_answers,
            answered_only=source.answered_only,
        )
        for thread in stackexchange.read_threads(posts_of(path), choice, tally):
            yield str(thread.number), thread.text, thread.date
    else:
        limit = source.max_record_bytes
        yield from text_files.read_files(path, batch.start, batch.stop, limit, tally)
