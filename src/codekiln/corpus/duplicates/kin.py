"""Which repositories are kin, by the files that they share byte for byte: forks and the like.

Near-duplicates are found by Jaccard similarity, which sees whole units of about the same size.
Digests tell what kind of copy a unit is, and what Jaccard cannot see: a small repository that
stands inside a large one. A file that more than COMMON repositories hold (a licence, a file of
test data) tells nothing about kinship, and is left out on both sides.

One pass over (digest, repository) pairs in order of digest: 80 bytes a file while it runs, and 24
bytes for each two repositories that share a file.

Open in the paper, decided here: forks share half of their bytes, vendored is what has 80% of its
bytes in another repository. Nothing is dropped for being kin.

Source: DeepSeek-Coder §2.3 (near-deduplication, for the report).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as arrow
import pyarrow.compute as compute

from codekiln.corpus.duplicates.decide import Candidates, Duplicates
from codekiln.corpus.duplicates.find import Numbers
from codekiln.corpus.duplicates.grams import Hashes

COMMON = 64  # repositories that hold a file, up to which it tells of kinship
FORK = 0.5  # of the bytes of both, at least
VENDORED = 0.8  # of the bytes of the one that stands in the other
MERGE = 4_000_000  # pairs held before those of the same two are added up

Kind = Literal[
    "exact copy", "version", "fork", "vendored", "repeated", "near-duplicate", "widespread"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kin:
    """Bytes that repositories share, file by file, each digest once a repository.

    Args:
        left, right: pairs of repositories that share a file, left < right, in order.
        shared: bytes of the files that both hold.
        own: for each repository, the bytes of its files that are not common.
        common: and of those that are.
    """

    left: Numbers
    right: Numbers
    shared: Numbers
    own: Numbers
    common: Numbers

    def between(self, one: int, other: int) -> tuple[float, float]:
        """The share of the first that stands in the second, and the other way round."""
        low, high = sorted((one, other))
        begin, end = np.searchsorted(self.left, [low, low + 1])
        at = begin + np.searchsorted(self.right[begin:end], high)
        both = int(self.shared[at]) if at < end and self.right[at] == high else 0
        return both / max(int(self.own[one]), 1), both / max(int(self.own[other]), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """What a repository is to another one: "fork", "version" or "vendored" of it.

    `share` is that of its bytes which stands in the other; `others` tells how many more it is kin
    to. "widespread" names no other: most of it stands in more than COMMON repositories.
    """

    name: str
    other: str
    kind: Kind
    share: float
    others: int


class Holdings:
    """Who holds which file, collected batch by batch."""

    def __init__(self) -> None:
        self._digests: list[Hashes] = []
        self._repositories: list[npt.NDArray[np.int32]] = []
        self._sizes: list[Numbers] = []

    def add(self, first: int, files: arrow.Table) -> None:
        """Take in the files of a batch that are kept.

        Args:
            first: number of the batch's first repository among all.
            files: columns repository (within the batch), digest, bytes, reason.
        """
        kept = files.filter(compute.is_null(files.column("reason")))
        digests = kept.column("digest").combine_chunks()
        raw = np.frombuffer(digests.buffers()[1] or b"", dtype="<u8").reshape(-1, 2)
        self._digests.append(raw[digests.offset : digests.offset + len(kept), 0].copy())
        numbers = kept.column("repository").to_numpy()
        self._repositories.append((numbers + first).astype(np.int32))
        self._sizes.append(kept.column("bytes").to_numpy())

    def kin(self, count: int) -> Kin:
        """Who is kin to whom.

        Args:
            count: of all repositories.
        """
        return kin(
            np.concatenate([np.empty(0, np.uint64), *self._digests]),
            np.concatenate([np.empty(0, np.int32), *self._repositories]),
            np.concatenate([np.empty(0, np.int64), *self._sizes]),
            count,
        )


def kin(digests: Hashes, repositories: npt.NDArray[np.int32], sizes: Numbers, count: int) -> Kin:
    """Who is kin to whom, from one row a file: digest, number of its repository, bytes.

    Args:
        count: of repositories.
    """
    order = np.lexsort((repositories, digests))
    digests, repositories, sizes = digests[order], repositories[order], sizes[order]
    again = (digests[1:] == digests[:-1]) & (repositories[1:] == repositories[:-1])
    once = np.append(True, ~again)[: len(digests)]
    digests, repositories, sizes = digests[once], repositories[once], sizes[once]
    starts = np.flatnonzero(np.append(True, digests[1:] != digests[:-1])[: len(digests)])
    lengths = np.diff(np.append(starts, len(digests)))
    holders = np.repeat(lengths, lengths)
    rare, many = holders <= COMMON, (holders > 1) & (holders <= COMMON)
    pairs = _pairs(digests[many], repositories[many].astype(np.int64), sizes[many], count)
    keys, shared = _added_up(pairs)
    return Kin(
        left=keys // max(count, 1),
        right=keys % max(count, 1),
        shared=shared,
        own=_totals(repositories[rare], sizes[rare], count),
        common=_totals(repositories[~rare], sizes[~rare], count),
    )


def _totals(repositories: npt.NDArray[np.int32], sizes: Numbers, count: int) -> Numbers:
    return np.bincount(repositories, weights=sizes, minlength=count).astype(np.int64)


def _pairs(
    digests: Hashes, repositories: Numbers, sizes: Numbers, count: int
) -> Iterator[tuple[Numbers, Numbers]]:
    """(left * count + right, bytes) of each two that hold the same file."""
    for distance in range(1, COMMON):
        same = np.flatnonzero(digests[:-distance] == digests[distance:])
        if not len(same):
            return
        for start in range(0, len(same), MERGE):
            left = same[start : start + MERGE]
            yield repositories[left] * count + repositories[left + distance], sizes[left]


def _added_up(pairs: Iterator[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    """Each key once, in order, with the sum of its bytes."""
    keys, sums = np.empty(0, np.int64), np.empty(0, np.int64)
    waiting: list[tuple[Numbers, Numbers]] = []
    for pair in pairs:
        waiting.append(pair)
        if sum(len(key) for key, _ in waiting) >= max(MERGE, len(keys)):
            keys, sums = _merged([(keys, sums), *waiting])
            waiting = []
    return _merged([(keys, sums), *waiting])


def _merged(parts: Sequence[tuple[Numbers, Numbers]]) -> tuple[Numbers, Numbers]:
    keys, places = np.unique(np.concatenate([key for key, _ in parts]), return_inverse=True)
    weights = np.concatenate([size for _, size in parts])
    return keys, np.bincount(places, weights=weights, minlength=len(keys)).astype(np.int64)


_VERSION = re.compile(
    r"[-_.~+#]*(?<![a-z])v?\d+(?:[-_.~+]*(?:\d+|rc|alpha|beta|dev|post|pre|a|b|orig|dfsg|ds)\d*)*"
    r"|[-_.~+#]*\d+(?:\.\d+)*"
)


def project(name: str) -> str:
    """A repository's name without version numbers: what its other versions are called as well."""
    return _VERSION.sub("", name.lower()) or name.lower()


def _kind(names: Sequence[str], one: int, other: int, shares: tuple[float, float]) -> Kind | None:
    """What the one is to the other, by names and by what stands in both."""
    near = min(shares) >= FORK
    if (near or shares[0] >= VENDORED) and project(names[one]) == project(names[other]):
        return "version"
    return "fork" if near else "vendored" if shares[0] >= VENDORED else None


def relations(found: Kin, names: Sequence[str]) -> list[Relation]:
    """All kin: of each repository the one that most of it stands in, in order of names.

    Of forks and versions the later by number is named, as kin of the earlier.

    Args:
        names: of the repositories, by number.
    """
    best: dict[int, tuple[float, int, Kind]] = {}
    count: dict[int, int] = {}
    for one, other, share, kind in _related(found, names):
        count[one] = count.get(one, 0) + 1
        if one not in best or (-share, other) < (-best[one][0], best[one][1]):
            best[one] = share, other, kind
    rows = [
        Relation(name=names[one], other=names[other], kind=kind, share=share, others=count[one] - 1)
        for one, (share, other, kind) in best.items()
    ]
    whole = found.own + found.common
    share_common = found.common / np.maximum(whole, 1)
    for one in np.flatnonzero(share_common >= VENDORED).tolist():
        share = float(share_common[one])
        rows.append(Relation(name=names[one], other="", kind="widespread", share=share, others=0))
    return sorted(rows, key=lambda row: (row.name, row.kind))


def _related(found: Kin, names: Sequence[str]) -> Iterator[tuple[int, int, float, Kind]]:
    """(one, other, share of the one in the other, kind)."""
    of_left = found.shared / np.maximum(found.own[found.left], 1)
    of_right = found.shared / np.maximum(found.own[found.right], 1)
    fork = np.minimum(of_left, of_right) >= FORK
    inside = np.maximum(of_left, of_right) >= VENDORED
    for at in np.flatnonzero(fork | inside).tolist():
        one, other = int(found.right[at]), int(found.left[at])
        shares = float(of_right[at]), float(of_left[at])
        if not fork[at] and shares[1] > shares[0]:
            one, other, shares = other, one, (shares[1], shares[0])
        kind = _kind(names, one, other, shares)
        if kind is not None:
            yield one, other, shares[0], kind


def kinds(
    found: Duplicates, candidates: Candidates, owners: Numbers, names: Sequence[str], known: Kin
) -> list[Kind]:
    """What kind of copy each dropped unit is, in the order of `found`.

    "exact copy": a repository whose files are all those of the kept one; "version", "fork": of the
    kept unit's repository; "vendored": a part of a repository that stands verbatim in an otherwise
    different one, or a repository that does; "repeated": it stands twice in its own repository;
    "near-duplicate": alike in its words, but not in whole files (reformatted, or changed all over).

    Args:
        owners: the number of the repository of each candidate.
        names: of the repositories.
    """
    rows = zip(found.dropped.tolist(), found.kept.tolist(), found.exact.tolist(), strict=True)
    return [
        _of_unit(candidates.names[unit], int(owners[unit]), int(owners[kept]), exact, names, known)
        for unit, kept, exact in rows
    ]


def _of_unit(
    unit: str, owner: int, kept: int, exact: bool, names: Sequence[str], known: Kin
) -> Kind:
    if owner == kept:
        return "repeated"
    whole = unit == names[owner]
    if whole and exact:
        return "exact copy"
    if whole and project(names[owner]) == project(names[kept]):
        return "version"
    found = _kind(names, owner, kept, known.between(owner, kept))
    return found or ("vendored" if exact else "near-duplicate")
