"""Which units are dropped as duplicates, and in favour of which.

Exact copies first; one of each takes part in the search for near-duplicates. Of a group that copy
stays which has the most stars, then the newest, then the first by name. Where the stars or the
date of a repository are not known, it counts as having none, or as the oldest.

Source: DeepSeek-Coder §2.3 (which copy is kept is open in the paper).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as arrow

from codekiln.corpus.duplicates.find import Groups, Numbers, Pairs, Signatures, find_groups
from codekiln.log import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """All units of a corpus, column by column.

    Args:
        names: of the units, each once.
        digests: 16 bytes each; equal ones mean equal texts.
        signed: whether there is a signature in `signatures`.
        stars: of the unit's repository, -1 where unknown.
        updated: seconds since 1970, -inf where unknown.
        signatures: in the same order.
    """

    names: Sequence[str]
    digests: npt.NDArray[np.void]
    signed: npt.NDArray[np.bool_]
    stars: npt.NDArray[np.int64]
    updated: npt.NDArray[np.float64]
    signatures: Signatures


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Dropped units by number, each with the kept one, their similarity, and what was compared.

    Within a group joined by a chain of copies the similarity to the kept one may lie below the
    threshold: it is the estimate for just these two.
    """

    dropped: Numbers
    kept: Numbers
    similarity: npt.NDArray[np.float32]
    exact: npt.NDArray[np.bool_]
    compared: Pairs


def decide(candidates: Candidates, threshold: float) -> Duplicates:
    """Find exact and near-duplicates, and choose what stays.

    Args:
        threshold: smallest estimated Jaccard similarity of near-duplicates.
    """
    count = len(candidates.names)
    rank = _rank(candidates)
    first = _first_copies(candidates.digests, rank)
    alone = np.flatnonzero((first == np.arange(count)) & candidates.signed)
    with Progress("near-duplicates", unit="bands") as shown:
        groups, pairs = find_groups(candidates.signatures, alone, threshold, shown.advance)
    best = _best(groups, first, rank)
    dropped = np.flatnonzero(best != np.arange(count))
    kept = best[dropped]
    exact = candidates.digests[dropped] == candidates.digests[kept]
    near = np.ones(len(dropped), np.float32)
    near[~exact] = candidates.signatures.similarity(dropped[~exact], kept[~exact])
    return Duplicates(dropped=dropped, kept=kept, similarity=near, exact=exact, compared=pairs)


def _rank(candidates: Candidates) -> Numbers:
    """Place of each unit in the order of preference, best first."""
    names = np.argsort(np.argsort(np.array(candidates.names, dtype=object), kind="stable"))
    order = np.lexsort((names, -candidates.updated, -candidates.stars))
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank


def _first_copies(digests: npt.NDArray[np.void], rank: Numbers) -> Numbers:
    """For each unit, the best one of those with its digest."""
    _, group = np.unique(digests, return_inverse=True)
    best = np.full(group.max(initial=-1) + 1, len(rank), np.int64)
    np.minimum.at(best, group, rank)
    by_rank = np.argsort(rank)
    first: Numbers = by_rank[best[group]] if len(rank) else rank
    return first


def _best(groups: Groups, first: Numbers, rank: Numbers) -> Numbers:
    """For each unit, the best of its whole group."""
    if not len(rank):
        return rank
    root = groups.roots(first)
    best = np.full(len(rank), len(rank), np.int64)
    np.minimum.at(best, root, rank)
    found: Numbers = np.argsort(rank)[best[root]]
    return found


def table(
    candidates: Candidates, found: Duplicates, kinds: Sequence[str] | None = None
) -> arrow.Table:
    """The decisions as a table: name, kept, similarity, exact, kind; in order of name.

    Args:
        kinds: what kind of copy each is (see `kin.kinds`); without them the column is empty.
    """
    names = candidates.names
    rows: list[dict[str, Any]] = [
        {
            "name": names[dropped],
            "kept": names[kept],
            "similarity": round(float(similarity), 4),
            "exact": bool(exact),
            "kind": kind,
        }
        for dropped, kept, similarity, exact, kind in zip(
            found.dropped,
            found.kept,
            found.similarity,
            found.exact,
            [""] * len(found.dropped) if kinds is None else kinds,
            strict=True,
        )
    ]
    schema = arrow.schema(
        [
            ("name", arrow.string()),
            ("kept", arrow.string()),
            ("similarity", arrow.float32()),
            ("exact", arrow.bool_()),
            ("kind", arrow.string()),
        ]
    )
    return arrow.Table.from_pylist(sorted(rows, key=lambda row: row["name"]), schema=schema)
