"""Token shards in Megatron's indexed format: `<prefix>.bin` and `<prefix>.idx`.

The data file holds the ids of all sequences, one after the other, in one integer type. The index:

    9 bytes   "MMIDIDX" and two zeros
    uint64    version, 1
    uint8     type of the ids: 1 uint8, 2 int8, 3 int16, 4 int32, 5 int64, 8 uint16
    uint64    n, sequences
    uint64    m, document boundaries
    int32[n]  ids in each sequence
    int64[n]  where each sequence starts in the data file, in bytes
    int64[m]  the sequences at which documents start, and n at the end

All little-endian. Here a document is one sequence, so m = n + 1. Six files of ours stand beside:

    <prefix>.bytes.npy    int64 [n], UTF-8 bytes of each document's text, so that bits per byte is
                          exact over any run of documents
    <prefix>.sources.npy  uint16 [n], the number of each document's source
    <prefix>.stages.npy   uint8 [n], the stage of training that reads it
    <prefix>.fim.npy      int64 [layouts, 3], of each FIM layout where in the data it starts, where
                          its middle starts, and where it ends, in ids
    <prefix>.files.npy    int64 [files, 4], of each file of the documents where in the data it ends,
                          bytes of its path header, bytes of its text, the number of its language;
                          of held-out documents alone
    <prefix>.json         what the shard was made from, sources, languages; written last
"""

from __future__ import annotations

import contextlib
import json
import struct
from array import array
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from codekiln.errors import ShardError
from codekiln.storage import atomic_path
from codekiln.tokens.sequence import FilePlace
from codekiln.tokens.sources import CODE, Source

MAGIC = b"MMIDIDX\x00\x00"
VERSION = 1
_HEAD = struct.Struct("<9sQBQQ")
_TYPES: dict[int, Any] = {
    1: np.uint8,
    2: np.int8,
    3: np.int16,
    4: np.int32,
    5: np.int64,
    8: np.uint16,
}
_CODES = {np.dtype(kind): code for code, kind in _TYPES.items()}
_NUMBERS = ("bytes", "sources", "stages", "fim", "files")  # the .npy files
ANY = -1
_LONGEST = 2**31 - 1
_MOST_SOURCES = 2**16
_REMEDY = "pack the tokens again"


def dtype_for(vocab_size: int) -> np.dtype[Any]:
    """The integer type for ids below `vocab_size`: two bytes where they suffice."""
    return np.dtype(np.uint16 if vocab_size < 65536 else np.int32)


def files_of(prefix: Path) -> list[Path]:
    """All files of the shard `prefix`, in the order in which they are put in place."""
    suffixes = (".bin", ".idx", *(f".{name}.npy" for name in _NUMBERS), ".json")
    return [Path(f"{prefix}{suffix}") for suffix in suffixes]


class ShardWriter:
    """Writes one shard; nothing is there under its name before all of it is.

    Args:
        prefix: path without suffix.
        vocab_size: ids must lie below it.
        facts: what the shard was made from, for the sidecar.

    Raises:
        ShardError: from `add`, when an id is out of range.
    """

    def __init__(self, prefix: Path, *, vocab_size: int, facts: dict[str, Any]) -> None:
        self.prefix, self.vocab_size, self.facts = prefix, vocab_size, facts
        self.dtype = dtype_for(vocab_size)
        self.tokens = 0
        self._sizes, self._bytes = array("i"), array("q")
        self._sources: dict[Source, int] = {}
        self._source_codes, self._stages, self._layouts = array("H"), array("B"), array("q")
        self._files, self._languages = array("q"), dict[str, int]()
        self._stack = contextlib.ExitStack()
        self._paths: list[Path] = []
        self._data: IO[bytes]

    def __enter__(self) -> Self:
        # left in reverse: the data first, the sidecar last
        for path in reversed(files_of(self.prefix)):
            self._paths.insert(0, self._stack.enter_context(atomic_path(path)))
        self._data = self._stack.enter_context(self._paths[0].open("wb"))
        return self

    def add(
        self,
        ids: NDArray[Any] | Sequence[int],
        *,
        text_bytes: int,
        source: Source = CODE,
        stage: int = 0,
        layouts: NDArray[np.int64] | None = None,
        files: Sequence[FilePlace] = (),
    ) -> None:
        """Append one document.

        Args:
            layouts: its FIM layouts, in places of `ids`: int64 [layouts, 3].
            files: those that evaluation is to tell apart.
        """
        values = np.asarray(ids)
        if not 0 < len(values) <= _LONGEST:
            raise ShardError(self.prefix, got=f"a document of {len(values)} tokens")
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= self.vocab_size:
            raise ShardError(
                self.prefix,
                got=f"token id {low if low < 0 else high}",
                wanted=f"ids from 0 to {self.vocab_size - 1}",
                remedy="pack with the tokenizer that made the ids",
            )
        code = self._source_code(source)
        self._data.write(values.astype(self.dtype.newbyteorder("<"), copy=False).tobytes())
        self._sizes.append(len(values))
        self._bytes.append(text_bytes)
        self._source_codes.append(code)
        self._stages.append(stage)
        if layouts is not None:
            self._layouts.extend((layouts + self.tokens).ravel().tolist())
        for file in files:
            language = self._languages.setdefault(file.language, len(self._languages))
            place = self.tokens + file.end
            self._files.extend((place, file.header_bytes, file.bytes, language))
        self.tokens += len(values)

    def _source_code(self, source: Source) -> int:
        if source not in self._sources and len(self._sources) == _MOST_SOURCES:
            raise ShardError(
                self.prefix,
                got=f"more than {_MOST_SOURCES:,} sources in one shard",
                wanted="fewer",
                remedy="give the texts as fewer locations (corpus.text)",
            )
        return self._sources.setdefault(source, len(self._sources))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._data.flush()
            self._write_index()
        self._stack.__exit__(kind, error, trace)

    def _write_index(self) -> None:
        sizes = np.frombuffer(self._sizes, dtype=np.int32)
        ends = np.cumsum(sizes, dtype=np.int64) * self.dtype.itemsize
        pointers = np.concatenate([[0], ends])[: len(sizes)]
        head = _HEAD.pack(MAGIC, VERSION, _CODES[self.dtype], len(sizes), len(sizes) + 1)
        _, index, *numbers, sidecar = self._paths
        with index.open("wb") as file:
            file.write(head + sizes.astype("<i4").tobytes() + pointers.astype("<i8").tobytes())
            file.write(np.arange(len(sizes) + 1, dtype="<i8").tobytes())
        for path, values in zip(numbers, self._numbers(), strict=True):
            with path.open("wb") as file:
                np.save(file, values)
        facts = {
            **self.facts,
            "vocab_size": self.vocab_size,
            "documents": len(sizes),
            "tokens": self.tokens,
            "bytes": sum(self._bytes),
            "sources": [source.to_json() for source in self._sources],
            "languages": list(self._languages),
        }
        sidecar.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")

    def _numbers(self) -> list[NDArray[Any]]:
        """What the .npy files hold, in their order."""
        return [
            np.frombuffer(self._bytes, dtype=np.int64),
            np.frombuffer(self._source_codes, dtype=np.uint16),
            np.frombuffer(self._stages, dtype=np.uint8),
            np.frombuffer(self._layouts, dtype=np.int64).reshape(-1, 3),
            np.frombuffer(self._files, dtype=np.int64).reshape(-1, 4),
        ]


class Shard:
    """A shard, memory-mapped: `shard[i]` is the ids of document i.

    Attributes:
        tokens: all ids, one document behind the other.
        starts: int64 [documents + 1], where each document starts in `tokens`.
        text_bytes: int64 [documents], UTF-8 bytes of each document's text.
        source_codes: uint16 [documents], each document's place in `sources`.
        stages: uint8 [documents], the stage of training that reads each document.
        layouts: int64 [layouts, 3], places in `tokens` where each FIM layout starts, where its
            middle does, and where it ends; in order.
        files: int64 [files, 4], see above; none but of held-out documents.
        languages: that `files` has numbers of.
        facts: the sidecar.

    Raises:
        ShardError: when a file is missing, truncated or does not fit the others.
    """

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix
        data, index, text_bytes, source_codes, stages, layouts, files, sidecar = files_of(prefix)
        self.facts = _read_sidecar(sidecar)
        self.vocab_size = int(self.facts["vocab_size"])
        self.tokenizer_sha256 = str(self.facts["tokenizer_sha256"])
        dtype, sizes = _read_index(index)
        self.starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        _expect_size(data, int(self.starts[-1]) * dtype.itemsize)
        empty = self.starts[-1] == 0  # an empty file cannot be mapped
        self.tokens: NDArray[Any] = (
            np.empty(0, dtype) if empty else np.memmap(data, dtype=dtype, mode="r")
        )
        self.text_bytes = _read_numbers(text_bytes, np.int64, len(sizes))
        self.sources = tuple(Source.from_json(value) for value in self.facts["sources"])
        self.source_codes = _read_numbers(source_codes, np.uint16, len(sizes))
        self.stages = _read_numbers(stages, np.uint8, len(sizes))
        self.layouts = _read_layouts(layouts, int(self.starts[-1]))
        self.languages = tuple(map(str, self.facts["languages"]))
        self.files = _read_files(files, int(self.starts[-1]), len(self.languages))
        if len(sizes) and self.source_codes.max() >= len(self.sources):
            raise ShardError(
                source_codes,
                got=f"source {self.source_codes.max()}",
                wanted=f"one of the {len(self.sources)} of {sidecar.name}",
                remedy=_REMEDY,
            )

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, document: int) -> NDArray[Any]:
        if not 0 <= document < len(self):
            raise IndexError(document)
        return self.tokens[self.starts[document] : self.starts[document + 1]]

    def files_in(self, document: int) -> list[FilePlace]:
        """The files of a held-out document, in order; none of another's."""
        start, end = self.starts[document : document + 2].tolist()
        first, last = np.searchsorted(self.files[:, 0], (start, end), side="right")
        return [
            FilePlace(
                end=place - start,
                header_bytes=header,
                bytes=size,
                language=self.languages[language],
            )
            for place, header, size, language in self.files[first:last].tolist()
        ]

    def check_tokenizer(self, sha256: str) -> None:
        """Make sure that the shard was packed with this tokenizer.

        Raises:
            ShardError: when it was another.
        """
        if self.tokenizer_sha256 != sha256:
            raise ShardError(
                self.prefix,
                got=f"tokens of another tokenizer ({self.tokenizer_sha256[:12]}…)",
                wanted=f"tokens of this one ({sha256[:12]}…)",
                remedy=_REMEDY,
            )


def _read_sidecar(path: Path) -> dict[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        int(facts["vocab_size"]), str(facts["tokenizer_sha256"]), list(facts["sources"])
        list(facts["languages"])
    except FileNotFoundError:
        raise ShardError(path, got="no such file", wanted="a shard", remedy=_REMEDY) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShardError(path, got=f"damaged ({error!r})", remedy=_REMEDY) from error
    return dict(facts)


def _read_index(path: Path) -> tuple[np.dtype[Any], NDArray[np.int32]]:
    """The type of the ids and the size of each sequence."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ShardError(path, got=f"unreadable ({error})", remedy=_REMEDY) from error
    if len(content) < _HEAD.size:
        raise ShardError(path, got=f"only {len(content)} bytes", remedy=_REMEDY)
    magic, version, code, sequences, boundaries = _HEAD.unpack_from(content)
    if magic != MAGIC or version != VERSION or code not in _TYPES:
        raise ShardError(
            path, got="another kind of file", wanted="a Megatron index, version 1", remedy=_REMEDY
        )
    dtype: np.dtype[Any] = np.dtype(_TYPES[code])
    _expect_size(path, _HEAD.size + 12 * sequences + 8 * boundaries)
    sizes = np.frombuffer(content, "<i4", sequences, _HEAD.size)
    pointers = np.frombuffer(content, "<i8", sequences, _HEAD.size + 4 * sequences)
    documents = np.frombuffer(content, "<i8", boundaries, _HEAD.size + 12 * sequences)
    ends = np.cumsum(sizes, dtype=np.int64) * dtype.itemsize
    fits = (sizes > 0).all() and np.array_equal(pointers, ends - sizes * dtype.itemsize)
    if not fits or not np.array_equal(documents, np.arange(sequences + 1)):
        raise ShardError(
            path, got="an index that contradicts itself", wanted="one sequence a document, in order"
        )
    return dtype, sizes


def _read_layouts(path: Path, tokens: int) -> NDArray[np.int64]:
    layouts = _read_numbers(path, np.int64, ANY, 3)
    places = np.concatenate([[0], layouts.ravel(), [tokens]])
    if (np.diff(places) < 0).any():
        raise ShardError(
            path,
            got="layouts out of order or beyond the tokens",
            wanted=f"places from 0 to {tokens:,} that rise",
            remedy=_REMEDY,
        )
    return layouts


def _read_files(path: Path, tokens: int, languages: int) -> NDArray[np.int64]:
    files = _read_numbers(path, np.int64, ANY, 4)
    places = np.concatenate([[0], files[:, 0], [tokens]])
    if (np.diff(places) < 0).any() or ((files[:, 3] < 0) | (files[:, 3] >= languages)).any():
        raise ShardError(
            path,
            got="files out of order, beyond the tokens, or of an unknown language",
            wanted=f"places from 0 to {tokens:,} that rise, and {languages} languages",
            remedy=_REMEDY,
        )
    return files


def _read_numbers(path: Path, kind: type[Any], *shape: int) -> NDArray[Any]:
    """Numbers of a kind and shape, in which ANY is any size."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ShardError(path, got=f"unreadable ({error})", remedy=_REMEDY) from error
    fits = values.ndim == len(shape) and all(
        size in (found, ANY) for size, found in zip(shape, values.shape, strict=True)
    )
    if not fits or values.dtype != kind:
        raise ShardError(
            path,
            got=f"{values.dtype} {values.shape}",
            wanted=f"{np.dtype(kind)} {shape}".replace(str(ANY), "any"),
            remedy=_REMEDY,
        )
    return np.asarray(values)


def _expect_size(path: Path, wanted: int) -> None:
    try:
        got = path.stat().st_size
    except OSError as error:
        raise ShardError(path, got=f"unreadable ({error})", remedy=_REMEDY) from error
    if got != wanted:
        what = "truncated" if got < wanted else "too long"
        raise ShardError(
            path, got=f"{what}: {got:,} bytes", wanted=f"{wanted:,} bytes", remedy=_REMEDY
        )
