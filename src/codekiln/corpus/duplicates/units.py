"""What may be dropped as a duplicate: whole repositories, connected subgraphs, or single files.

units.parquet     one row a unit: its repository (number in the batch), name, digest, files,
                  bytes, and whether it has a signature
signatures.bin    uint8 [units, bins], one after the other
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

from codekiln.corpus.duplicates.sketch import Signature
from codekiln.corpus.ordering.graph import Graph
from codekiln.corpus.ordering.order import sequences

Level = Literal["repository", "subgraph", "file"]
UNITS = "units.parquet"
SIGNATURES = "signatures.bin"
SCHEMA = arrow.schema(
    [
        ("repository", arrow.int32()),
        ("name", arrow.string()),
        ("digest", arrow.binary(16)),
        ("files", arrow.int32()),
        ("bytes", arrow.int64()),
        ("signed", arrow.bool_()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One candidate: equal digests mean equal texts of its files, whatever their paths."""

    name: str
    paths: tuple[str, ...]
    digest: bytes
    bytes: int


def units_of(
    level: Level,
    repository: str,
    digests: Mapping[str, bytes],
    sizes: Mapping[str, int],
    graph: Graph,
) -> Iterator[Unit]:
    """The units of one repository: all its files, each component of the graph, or each file.

    A unit is named by its repository, and by its first path below that.
    """
    for name, paths in components(level, repository, graph):
        yield Unit(
            name=name,
            paths=tuple(paths),
            digest=_digest([digests[path] for path in paths]),
            bytes=sum(sizes[path] for path in paths),
        )


def components(level: Level, repository: str, graph: Graph) -> Iterator[tuple[str, list[str]]]:
    """(name, paths) of each unit of one repository."""
    if level == "repository":
        if graph.files:
            yield repository, list(graph.files)
        return
    groups = [[path] for path in graph.files] if level == "file" else sequences(graph, "path")
    for paths in groups:
        yield f"{repository}/{paths[0]}", paths


def _digest(parts: list[bytes]) -> bytes:
    return hashlib.blake2b(b"".join(sorted(parts)), digest_size=16).digest()


class UnitWriter:
    """Writes the units of a batch into its folder."""

    def __init__(self, folder: Path, bins: int) -> None:
        self._path, self._bins = folder / UNITS, bins
        self._rows: list[dict[str, Any]] = []
        self._file = (folder / SIGNATURES).open("wb")

    def add(self, repository: int, unit: Unit, signature: Signature | None) -> None:
        """Append one unit of the repository with this number."""
        self._rows.append(
            {
                "repository": repository,
                "name": unit.name,
                "digest": unit.digest,
                "files": len(unit.paths),
                "bytes": unit.bytes,
                "signed": signature is not None,
            }
        )
        row = np.zeros(self._bins, np.uint8) if signature is None else signature
        self._file.write(row.tobytes())

    def close(self) -> None:
        """Write what is left."""
        self._file.close()
        table = arrow.Table.from_pylist(self._rows, schema=SCHEMA)
        parquet.write_table(table, self._path, compression="zstd")


def read_units(folder: Path) -> arrow.Table:
    """The units of a batch."""
    return parquet.read_table(folder / UNITS, use_threads=False)


def read_signatures(folder: Path, bins: int) -> Signature:
    """[units, bins] uint8 of a batch, mapped into memory: read when looked at."""
    path = folder / SIGNATURES
    if not path.stat().st_size:
        return np.empty((0, bins), np.uint8)
    return np.memmap(path, np.uint8, mode="r").reshape(-1, bins)
