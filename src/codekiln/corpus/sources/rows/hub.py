"""Data sets of the Hugging Face hub, and local ones in its forms, streamed as rows.

`hf:owner/name`, `hf:owner/name:CONFIG`, `hf:owner/name:CONFIG:SPLIT`, `hf:owner/name::SPLIT`; a
path that begins with `.`, `/` or `~` is a local folder: of Parquet or JSONL files, or what
`save_to_disk` wrote. All splits are read if none is named. Gated data sets need a token, which
the library finds where `hf auth login` left it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from codekiln.corpus.sources.extras import require
from codekiln.corpus.sources.rows.columns import RowColumns
from codekiln.corpus.sources.rows.inputs import RawRows, damaged, raw_rows
from codekiln.errors import SourceError, UserError

PREFIX = "hf:"
_BATCH_ROWS = 1000


class HubInput:
    """The rows of one data set.

    Raises:
        SourceError: malformed; a local folder that does not exist.
        MissingToolError: the library `datasets` is not installed.
    """

    def __init__(self, location: str) -> None:
        self.location = location
        self._library = require("datasets", location)
        name, *rest = location.removeprefix(PREFIX).split(":")
        if not name or len(rest) > 2:
            raise SourceError(location, got="malformed", wanted="hf:NAME[:CONFIG[:SPLIT]]")
        self._name = name
        self._config, self._split = ([part or None for part in rest] + [None, None])[:2]
        self._folder = Path(os.path.expanduser(name)) if name[0] in "./~" else None  # noqa: PTH111
        if self._folder is not None and not self._folder.is_dir():
            raise SourceError(location, got="no such folder", wanted="a folder of data files")

    @cached_property
    def identity(self) -> list[Any]:
        """The data set's commit, or the sizes and times of its local files."""
        if self._folder is not None:
            files = sorted(path for path in self._folder.rglob("*") if path.is_file())
            states = [(path, path.stat()) for path in files]
            return [self.location, *([str(p), s.st_size, s.st_mtime_ns] for p, s in states)]
        hub = require("huggingface_hub", self.location)
        with _Reaching(self.location):
            return [self.location, hub.HfApi().dataset_info(self._name).sha]

    @property
    def expanded_bytes(self) -> int:
        """Of local files, fivefold what they take; 0, unknown, for others."""
        return 5 * sum(facts[1] for facts in self.identity[1:]) if self._folder else 0

    def batches(self, columns: RowColumns, start: int) -> Iterator[RawRows]:
        """The rows from number `start` on, split after split in order of name."""
        with _Reaching(self.location):
            for split in self._splits():
                if (count := _count(split)) is not None and start >= count:
                    start -= count
                    continue
                skipped = 0
                for table in split.with_format("arrow").iter(_BATCH_ROWS):
                    behind = min(max(start - skipped, 0), table.num_rows)
                    skipped += behind
                    if behind < table.num_rows:
                        chosen = columns.among(table.column_names, self.location)
                        yield raw_rows(table.slice(behind), chosen, self.location)
                start -= skipped

    def _splits(self) -> list[Any]:
        if self._folder is not None and any(
            (self._folder / name).is_file() for name in ("state.json", "dataset_dict.json")
        ):
            loaded = self._library.load_from_disk(str(self._folder))
        else:
            loaded = self._library.load_dataset(
                str(self._folder or self._name), name=self._config, streaming=True
            )
        if not isinstance(loaded, dict):
            return [loaded]
        if self._split and self._split not in loaded:
            raise SourceError(
                self.location,
                got=f"no split {self._split!r}",
                wanted="one of " + ", ".join(sorted(loaded)),
            )
        return [loaded[name] for name in sorted(loaded) if self._split in (None, name)]


def _count(split: Any) -> int | None:
    """Rows of a split; None if that is not known before they are read."""
    return len(split) if hasattr(split, "__len__") else None


class _Reaching:
    """Turns what the library raises, of whatever kind, into our errors."""

    def __init__(self, location: str) -> None:
        self._location = location

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None or isinstance(error, UserError) or not isinstance(error, Exception):
            return
        if isinstance(error, ConnectionError) or "Connect" in kind.__name__ or _offline(kind):
            raise SourceError(
                self._location,
                got=f"the hub cannot be reached ({type(error).__name__})",
                wanted="a network, or a local copy",
                remedy="download the data set, and name its folder: hf:./FOLDER",
            ) from error
        if kind.__name__ in ("DatasetNotFoundError", "RepositoryNotFoundError", "GatedRepoError"):
            raise SourceError(
                self._location,
                got="no such data set, or none for this token",
                wanted="owner/name of a data set that you may read",
                remedy="check the name; accept its terms on the hub and run 'hf auth login'",
            ) from error
        raise damaged(self._location, error) from error


def _offline(kind: type[BaseException]) -> bool:
    return any(base.__name__.startswith("Offline") for base in kind.__mro__)
