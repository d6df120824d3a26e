"""The second step: which units of all batches are duplicates; the only one that sees them all.

    duplicates.parquet    name, kept, similarity, exact, kind: every dropped unit
    compared.parquet      left, right, similarity: every pair that was compared

Both are for people to ask ("codekiln corpus why"); a build makes them anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

from codekiln.corpus.duplicates.decide import Candidates, Duplicates, decide, table
from codekiln.corpus.duplicates.find import Signatures
from codekiln.corpus.duplicates.kin import Holdings, Kin, Kind, kinds, relations
from codekiln.corpus.duplicates.units import read_signatures, read_units
from codekiln.corpus.settings import CorpusSettings
from codekiln.corpus.steps.context import Facts
from codekiln.corpus.steps.files import FILES, columns_of
from codekiln.storage import atomic_path

DUPLICATES = "duplicates.parquet"
COMPARED = "compared.parquet"
EXAMPLES = 1000  # named in the report


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Units that a batch loses: their names, and their numbers in the order they were written."""

    names: frozenset[str] = frozenset()
    rows: tuple[int, ...] = ()


def decide_duplicates(
    settings: CorpusSettings, stages: Path, facts: Mapping[str, list[Facts]], out: Path
) -> tuple[dict[str, Dropped], list[dict[str, Any]]]:
    """Find the duplicates of a whole corpus.

    Args:
        facts: of the repositories of each batch, by its key, in order.
        out: the folder for the two tables.

    Returns:
        what each batch loses, and rows (name, kept, similarity, exact, kind) for the report.
    """
    if settings.dedup == "none" or not facts:
        return {key: Dropped() for key in facts}, []
    candidates, ends = _candidates(settings, stages, facts)
    found = decide(candidates, settings.dedup_threshold)
    decided = table(candidates, found, _kinds(stages, facts, candidates, found))
    _save(decided, out / DUPLICATES)
    names = np.array(candidates.names, dtype=object)
    pairs = found.compared
    compared = {
        "left": arrow.array(names[pairs.left], arrow.string()),
        "right": arrow.array(names[pairs.right], arrow.string()),
        "similarity": arrow.array(pairs.similarity),
    }
    _save(arrow.table(compared), out / COMPARED)
    dropped = {}
    start = 0
    for key, end in ends.items():
        inside = found.dropped[(found.dropped >= start) & (found.dropped < end)]
        rows = tuple((inside - start).tolist())
        dropped[key] = Dropped(names=frozenset(names[inside]), rows=rows)
        start = end
    return dropped, decided.slice(0, EXAMPLES).to_pylist()


def _kinds(
    stages: Path,
    facts: Mapping[str, list[Facts]],
    candidates: Candidates,
    found: Duplicates,
) -> list[Kind] | None:
    """What kind of copy each dropped unit is; nothing is asked for natural language."""
    known, names, firsts = _kin(stages, facts)
    if known is None:
        return None
    owners = [
        read_units(stages / key).column("repository").to_numpy() + first
        for key, first in firsts.items()
    ]
    return kinds(found, candidates, np.concatenate(owners), names, known)


def related(stages: Path, facts: Mapping[str, list[Facts]]) -> list[dict[str, Any]]:
    """Repositories that share most of their files with others, whatever became of them."""
    known, names, _ = _kin(stages, facts)
    return [asdict(row) for row in relations(known, names)] if known is not None else []


def _kin(
    stages: Path, facts: Mapping[str, list[Facts]]
) -> tuple[Kin | None, list[str], dict[str, int]]:
    """Who shares files with whom, the repositories' names, and each batch's first number."""
    if not all((stages / key / FILES).exists() for key in facts):
        return None, [], {}
    holdings = Holdings()
    names: list[str] = []
    firsts: dict[str, int] = {}
    for key, repositories in facts.items():
        firsts[key] = len(names)
        columns = ["repository", "digest", "bytes", "reason"]
        holdings.add(len(names), columns_of(stages / key, columns))
        names += [each["name"] for each in repositories]
    return holdings.kin(len(names)), names, firsts


def _candidates(
    settings: CorpusSettings, stages: Path, facts: Mapping[str, list[Facts]]
) -> tuple[Candidates, dict[str, int]]:
    """All units, and behind which of them each batch ends."""
    tables, signatures, stars, updated = [], [], [], []
    ends: dict[str, int] = {}
    total = 0
    for key, repositories in facts.items():
        units = read_units(stages / key)
        tables.append(units)
        signatures.append(read_signatures(stages / key, settings.dedup_permutations))
        owner = units.column("repository").to_numpy()
        stars.append(_of_repositories(repositories, "stars", -1.0)[owner])
        updated.append(_of_repositories(repositories, "updated", -np.inf)[owner])
        total += len(units)
        ends[key] = total
    units = arrow.concat_tables(tables)
    digests = units.column("digest").combine_chunks()
    raw = np.frombuffer(digests.buffers()[1], dtype="V16") if total else np.empty(0, "V16")
    return Candidates(
        names=units.column("name").to_pylist(),
        digests=raw[digests.offset : digests.offset + total],
        signed=units.column("signed").to_numpy(),
        stars=np.concatenate(stars).astype(np.int64),
        updated=np.concatenate(updated),
        signatures=Signatures(signatures),
    ), ends


def _of_repositories(repositories: list[Facts], name: str, missing: float) -> Any:
    values = [facts.get(name) for facts in repositories]
    return np.array([missing if value is None else value for value in values], np.float64)


def _save(rows: arrow.Table, path: Path) -> None:
    with atomic_path(path) as temporary:
        parquet.write_table(rows, temporary, compression="zstd")
