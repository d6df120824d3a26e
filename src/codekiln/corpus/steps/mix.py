"""How often each document is read: duplicates among texts never, the rest as the mixture says.

Decided over the documents of all shards at once, by numbers alone: 30 bytes a document.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codekiln.corpus.mixture.mix import Columns, Mixture, id_keys, mix
from codekiln.corpus.mixture.settings import MixtureSettings
from codekiln.corpus.store import SPLITS, Split, read_facts

Copies = dict[str, npt.NDArray[np.int16]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A composed shard.

    Args:
        name: of its folder.
        documents: the Parquet file.
        text: whether it is natural language, which no repository's split concerns.
        component: what its documents count as; "" means each one's own kind.
        duplicates: numbers of documents that are duplicates.
    """

    name: str
    documents: Path
    text: bool = False
    component: str = ""
    duplicates: tuple[int, ...] = ()


def decide_copies(
    settings: MixtureSettings, shards: Sequence[Shard], moved: Mapping[str, Split]
) -> tuple[Copies, dict[str, Any], dict[str, dict[str, int]]]:
    """Copies of each document by shard, of those shards where some differ from 1; the mixture's
    facts; and by split how many documents and bytes are read, copies included.

    Args:
        moved: repositories that are not in the split they were written with.
    """
    gathered = _Gathered()
    for shard in shards:
        gathered.add(shard, moved, active=settings.active)
    facts: dict[str, Any] = {}
    if settings.active:
        mixture = mix(gathered.columns(), settings)
        gathered.apply(mixture)
        facts = _facts(mixture)
    changed = {name: rows for name, rows in gathered.copies.items() if (rows != 1).any()}
    return changed, facts, gathered.totals()


class _Gathered:
    """Columns of all documents that take part: of the training split, and no duplicates."""

    def __init__(self) -> None:
        self.copies: Copies = {}
        self._parts: list[tuple[str, npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]] = []
        self._splits: list[tuple[str, npt.NDArray[np.bool_], npt.NDArray[np.int64]]] = []
        self._components: dict[str, int] = {}
        self._languages: dict[str, int] = {}

    def add(self, shard: Shard, moved: Mapping[str, Split], *, active: bool) -> None:
        facts = read_facts(shard.documents)
        copies = np.ones(len(facts.ids), np.int16)
        self.copies[shard.name] = copies
        copies[list(shard.duplicates)] = 0
        moved = {} if shard.text else moved
        final = [moved.get(s, split) for s, split in zip(facts.sources, facts.splits, strict=True)]
        train = np.array([split == "train" for split in final], np.bool_)
        self._splits.append((shard.name, train, facts.sizes))
        if not active:
            return
        rows = np.flatnonzero(train & (copies > 0))
        components = [shard.component or kind for kind in facts.kinds]
        languages = [
            language if component == "code" else ""
            for language, component in zip(facts.languages, components, strict=True)
        ]
        columns: dict[str, npt.NDArray[Any]] = {
            "component": _numbers(components, self._components)[rows],
            "language": _numbers(languages, self._languages)[rows],
            "size": facts.sizes[rows],
            "key": id_keys(facts.ids)[rows],
        }
        self._parts.append((shard.name, rows, columns))

    def columns(self) -> Columns:
        def joined(name: str, kind: Any) -> npt.NDArray[Any]:
            return np.concatenate([np.empty(0, kind), *(part[name] for _, _, part in self._parts)])

        return Columns(
            component=joined("component", np.int16),
            language=joined("language", np.int16),
            size=joined("size", np.int64),
            key=joined("key", np.uint64),
            components=list(self._components),
            languages=list(self._languages),
        )

    def totals(self) -> dict[str, dict[str, int]]:
        """By split: documents, bytes."""
        total: dict[str, dict[str, int]] = {s: {"documents": 0, "bytes": 0} for s in SPLITS}
        for name, train, sizes in self._splits:
            for split, rows in (("train", train), ("held_out", ~train)):
                counts = self.copies[name][rows].astype(np.int64)
                total[split]["documents"] += int(counts.sum())
                total[split]["bytes"] += int((counts * sizes[rows]).sum())
        return total

    def apply(self, mixture: Mixture) -> None:
        start = 0
        for name, rows, _ in self._parts:
            self.copies[name][rows] = mixture.copies[start : start + len(rows)]
            start += len(rows)


def _numbers(names: Sequence[str], known: dict[str, int]) -> npt.NDArray[np.int16]:
    """A number for each name, new ones added to `known`; -1 for none."""
    return np.array([known.setdefault(n, len(known)) if n else -1 for n in names], np.int16)


def _facts(mixture: Mixture) -> dict[str, Any]:
    return {
        "components": [asdict(one) for one in mixture.components],
        "caps": [asdict(one) for one in mixture.caps],
        "limited_by": mixture.limited_by,
        "unwanted": mixture.unwanted,
    }
