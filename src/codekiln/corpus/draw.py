"""Draw a sample of a corpus by language, without reading what is not drawn.

The files of all documents are cut into pieces of about 64 K characters (natural language, which has
no files, by document). Each piece has a key, made from its document's id and its number, and a
group: `english` or `chinese` for natural language, for code the family of the file's language, so
that a repository's files count for their own languages.

`survey` reads the small columns alone and adds up the bytes of each group by key, in bins. From
these follows, for any budget, up to which bin pieces fit: a bar. `drawn` then decodes the documents
that have a piece below its group's bar. Neither holds more than a row group; the sample is the
same for any order of shards and any number of processes.

Bins are 1/256 of an octave wide, so a budget is met to 0.4%, and to a piece. Sizes of files are
their share of the document's characters: the columns know bytes of whole documents only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as arrow

from codekiln.corpus.mixture.mix import id_keys
from codekiln.corpus.store import Split, read_row_group, row_group_count
from codekiln.languages.table import family
from codekiln.log import Progress
from codekiln.processes import run_all
from codekiln.storage import fingerprint

PIECE_CHARACTERS = 65_536
_LINE_CHARACTERS = 4096  # how far a cut may move to reach a line's end
_OCTAVES, _BINS_PER_OCTAVE = 56, 256
BINS = _OCTAVES * _BINS_PER_OCTAVE
ROW_GROUPS_PER_TASK = 16
OTHER = "other"  # code without files, which codekiln itself does not write

_SPAN = "spans.list.element."
_SMALL = ("id", "kind", "split", "bytes", "copies")
_FILES = (_SPAN + "language", _SPAN + "start", _SPAN + "end")

Ints = npt.NDArray[np.int64]
Task = tuple[Path, int, int]  # a shard, the first of its row groups, the one after the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """How much text a corpus has.

    Args:
        tasks: the shards in parts, for whoever reads them next.
        sizes: (split, group) -> int64 [BINS], bytes by key.
        fingerprint: of the documents, their splits and their copies.
    """

    tasks: tuple[Task, ...]
    sizes: Mapping[tuple[str, str], Ints]
    fingerprint: str

    def bytes(self, split: Split) -> dict[str, int]:
        """Bytes of each group's text, copies counted, by name."""
        found = {group: int(sizes.sum()) for (s, group), sizes in self.sizes.items() if s == split}
        return dict(sorted(found.items()))

    def bars(self, split: Split, budgets: Mapping[str, float]) -> dict[str, int]:
        """The number of bins of each group that fit into its budget of bytes.

        A group with any budget gives a piece at least.
        """
        bars = {}
        for group, budget in budgets.items():
            total = np.cumsum(self.sizes[split, group])
            if budget > 0 and total[-1]:
                least = int(np.searchsorted(total, 0, side="right")) + 1
                bars[group] = max(int(np.searchsorted(total, budget, side="right")), least)
        return bars

    def below(self, split: Split, bars: Mapping[str, int]) -> int:
        """Bytes below the bars."""
        return sum(int(self.sizes[split, group][:bar].sum()) for group, bar in bars.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pieces:
    """The pieces of a row group's documents, in order: arrays of one length."""

    row: Ints
    start: Ints  # of the file, in characters; -1: the whole document
    end: Ints
    number: Ints  # of the piece in its file
    count: Ints  # pieces of the file
    group: npt.NDArray[Any]
    size: Ints  # bytes, without copies
    bin: Ints


def survey(paths: Sequence[Path], processes: int) -> Survey:
    """Add up the text of a corpus by split, group and key; reads no text.

    Args:
        paths: the shards of the corpus.
        processes: workers; 0 means one a core.

    Raises:
        SourceError: when a shard is missing, damaged or of another kind.
    """
    tasks = tuple(
        (path, first, min(first + ROW_GROUPS_PER_TASK, groups))
        for path in paths
        for groups in [row_group_count(path)]
        for first in range(0, groups, ROW_GROUPS_PER_TASK)
    )
    sizes: dict[tuple[str, str], Ints] = {}
    digests = []
    total = sum(end - first for _, first, end in tasks)
    with Progress("corpus: how much of what", total=total, unit="row groups") as progress:
        for found, digest, groups in run_all(_survey_part, None, tasks, processes):
            digests.append(digest)
            for key, bytes_ in found.items():
                sizes[key] = sizes[key] + bytes_ if key in sizes else bytes_
            progress.advance(groups)
    return Survey(tasks=tasks, sizes=sizes, fingerprint=fingerprint(sorted(digests)))


def drawn(task: Task, split: Split, bars: Mapping[str, int]) -> Iterator[tuple[str, str, int]]:
    """The pieces of one part of a corpus that lie below the bars: group, text, copies.

    Raises:
        SourceError: when the shard is missing, damaged or of another kind.
    """
    path, first, end = task
    for number in range(first, end):
        rows = read_row_group(path, number, [*_SMALL, *_FILES])
        pieces = _pieces(rows)
        bar = np.array([bars.get(group, 0) for group in pieces.group], np.int64)
        splits = np.array(rows.column("split").to_pylist())
        taken = np.flatnonzero((pieces.bin < bar) & (splits[pieces.row] == split))
        if not len(taken):
            continue
        texts = read_row_group(path, number, ["text"]).column("text")
        copies = rows.column("copies")
        last, text = -1, ""
        for i in taken.tolist():
            if (row := int(pieces.row[i])) != last:
                last, text = row, texts[row].as_py()
            piece = _cut(text, pieces, i)
            if piece:
                yield str(pieces.group[i]), piece, copies[row].as_py()


def _survey_part(_: object, task: Task) -> tuple[dict[tuple[str, str], Ints], str, int]:
    path, first, end = task
    sizes: dict[tuple[str, str], Ints] = {}
    digest = hashlib.blake2b(digest_size=16)
    for number in range(first, end):
        rows = read_row_group(path, number, [*_SMALL, *_FILES])
        digest.update(repr([rows.column(name).to_pylist() for name in _SMALL]).encode())
        pieces = _pieces(rows)
        copies = rows.column("copies").to_numpy()[pieces.row]
        splits = np.array(rows.column("split").to_pylist())[pieces.row]
        for key in sorted(set(zip(splits.tolist(), pieces.group.tolist(), strict=True))):
            mine = (splits == key[0]) & (pieces.group == key[1])
            found = np.bincount(
                pieces.bin[mine], weights=(pieces.size * copies)[mine], minlength=BINS
            )
            sizes[key] = sizes.get(key, 0) + found.astype(np.int64)
    return sizes, f"{path.stat().st_size} {digest.hexdigest()}", end - first


def _pieces(rows: arrow.Table) -> _Pieces:
    """Cut the files of some documents into pieces, by the small columns alone."""
    rows = rows.combine_chunks()
    size = rows.column("bytes").to_numpy()
    kinds = rows.column("kind").to_pylist()
    spans = rows.column("spans").combine_chunks()
    files = np.diff(spans.offsets.to_numpy())
    entries = spans.flatten()
    names = entries.field("language").to_pylist()
    start, end = (entries.field(name).to_numpy() for name in ("start", "end"))
    row = np.repeat(np.arange(len(size)), files)
    groups = [
        kinds[r] if kinds[r] != "code" else family(n) for r, n in zip(row, names, strict=True)
    ]
    characters = np.bincount(row, weights=end - start, minlength=len(size))
    bytes_ = (end - start) / np.maximum(characters[row], 1) * size[row]
    bare = np.flatnonzero(files == 0)
    bare_groups = [kinds[r] if kinds[r] != "code" else OTHER for r in bare]
    row = np.concatenate([row, bare])
    order = np.argsort(row, kind="stable")
    whole = np.full(len(bare), -1)
    start, end = np.concatenate([start, whole])[order], np.concatenate([end, whole])[order]
    bytes_ = np.concatenate([bytes_, size[bare].astype(float)])[order]
    group = np.array([*groups, *bare_groups], dtype=object)[order]
    length = np.where(start < 0, bytes_, end - start)
    count = np.maximum(-(-length // PIECE_CHARACTERS), 1).astype(np.int64)
    file = np.repeat(np.arange(len(row)), count)
    number = np.arange(len(file)) - np.repeat(np.cumsum(count) - count, count)
    row = row[order][file]
    within = np.arange(len(row)) - np.searchsorted(row, row)  # number of the piece in its document
    return _Pieces(
        row=row,
        start=start[file],
        end=end[file],
        number=number,
        count=count[file],
        group=group[file],
        size=np.rint(bytes_ / count).astype(np.int64)[file],
        bin=_bins(id_keys(rows.column("id").to_pylist())[row], within),
    )


def _bins(keys: npt.NDArray[np.uint64], numbers: Ints) -> Ints:
    """The bin of each piece: its place on a logarithmic scale from 2**-56 to 1."""
    x = keys + numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)  # splitmix64
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x ^= x >> np.uint64(31)
    fraction = (x >> np.uint64(12)).astype(np.float64) * 2.0**-52
    mantissa, exponent = np.frexp(np.maximum(fraction, 2.0 ** -(_OCTAVES - 1)))
    octave = exponent.astype(np.int64) + _OCTAVES - 1
    found: Ints = octave * _BINS_PER_OCTAVE + ((mantissa - 0.5) * 2 * _BINS_PER_OCTAVE).astype(int)
    return found


def _cut(text: str, pieces: _Pieces, i: int) -> str:
    """One piece: whole lines, where these are short enough."""
    start, end = int(pieces.start[i]), int(pieces.end[i])
    if start < 0:
        start, end = 0, len(text)
    number, count = int(pieces.number[i]), int(pieces.count[i])

    def place(k: int) -> int:
        near = start + (end - start) * k // count
        if k in (0, count):
            return near
        line = text.find("\n", max(near - 1, start), min(near + _LINE_CHARACTERS, end))
        return line + 1 if line >= 0 else near

    return text[place(number) : place(number + 1)]
