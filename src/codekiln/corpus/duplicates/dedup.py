"""Near-duplicate repositories: MinHash signatures, banding, connected components.

One repository's files are one sample, seen as the set of its word 5-grams (shingles; see
`grams`; a shingle never crosses from file to file, so the order of the files does not matter).
A signature is made by one-permutation hashing: the hash's leading bits choose one of k bins,
each bin keeps its smallest hash, an empty bin borrows from a full one by optimal densification
(Shrivastava 2017). One pass at memory speed, whatever k is; a bin of two signatures agrees with
a probability equal to the Jaccard similarity of the sets.

Only (band, id) pairs ever meet across repositories. Pairs that share a band are verified by the
whole signatures' estimate; what is connected by verified pairs is one group, of which one copy
stays.

Open in the paper, decided here: k = 256, shingles of 5 words, Jaccard 0.7 (The Stack's), and
that the first copy by name is kept.

Source: DeepSeek-Coder §2.3 (near-deduplication at repository level).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from codekiln.corpus.duplicates.grams import Hashes, Words, grams, mix

RECALL = 0.99  # of pairs at the threshold, this share meets in at least one band
_ODD = 0x9E3779B97F4A7C15
_EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)


class Sketch:
    """Collects the signature of one repository, block by block.

    Args:
        bins: length of the signature, a power of two.
        shingle: words in a shingle.
    """

    def __init__(self, bins: int = 256, shingle: int = 5) -> None:
        self.bins, self.shingle = bins, shingle
        self._smallest = np.full(bins, _EMPTY)
        self._shift = np.uint64(64 - (bins.bit_length() - 1))

    def add(self, found: Words, drop: Iterable[int] = ()) -> None:
        """Take in a block's shingles, but for those of the texts numbered in `drop`."""
        values, first = grams(found, self.shingle)
        dropped = list(drop)
        if dropped:
            values = values[~np.isin(found.text[first], dropped)]
        self.add_hashes(values)

    def add_hashes(self, values: Hashes) -> None:
        """Take in 64-bit hashes, evenly spread; a repeated one changes nothing."""
        bins = (values >> self._shift).view(np.int64)
        smaller = np.flatnonzero(values < self._smallest[bins])  # few, once the bins have filled
        np.minimum.at(self._smallest, bins[smaller], values[smaller])

    def signature(self) -> Hashes | None:
        """[bins] uint64, or nothing where no shingle was seen."""
        empty = self._smallest == _EMPTY
        if empty.all():
            return None
        return _densify(self._smallest, empty)


def _densify(smallest: Hashes, empty: npt.NDArray[np.bool_]) -> Hashes:
    dense = smallest.copy()
    missing = np.flatnonzero(empty)
    attempt = 0
    while len(missing):
        attempt += 1
        # the same probes in every signature: that is what keeps the estimate unbiased
        seeds = missing.astype(np.uint64) + np.uint64((attempt << 32) + 1)
        lenders = (mix(seeds * np.uint64(_ODD)) % np.uint64(len(smallest))).astype(np.intp)
        found = ~empty[lenders]
        dense[missing[found]] = smallest[lenders[found]]
        missing = missing[~found]
    return dense


def similarity(left: Hashes, right: Hashes) -> float:
    """Estimated Jaccard similarity of the sets behind two signatures."""
    return float(np.mean(left == right))


@cache
def band_rows(bins: int, threshold: float) -> int:
    """Most rows a band for which pairs at `threshold` still meet with probability `RECALL`."""
    rows = 1
    while (rows < bins) and _meet(threshold, rows + 1, bins // (rows + 1)) >= RECALL:
        rows += 1
    return rows


def _meet(jaccard: float, rows: int, bands: int) -> float:
    return float(1 - (1 - jaccard**rows) ** bands)


def bands(signature: Hashes, threshold: float) -> Iterator[tuple[int, bytes]]:
    """The (band, id) pairs under which near-duplicates meet."""
    rows = band_rows(len(signature), threshold)
    for band in range(len(signature) // rows):
        part = signature[band * rows : (band + 1) * rows].tobytes()
        yield band, hashlib.blake2b(part, digest_size=8).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """`name` is dropped in favour of `kept`; `similarity` is 1.0 for exact copies.

    Within a group joined by a chain of copies the similarity to the kept one may lie below the
    threshold: it is the estimate for just these two.
    """

    name: str
    kept: str
    similarity: float
    exact: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What dedup knows of a repository: a digest of its content, and its signature."""

    digest: str
    signature: Hashes | None


def find_duplicates(repositories: Mapping[str, Candidate], threshold: float) -> list[Duplicate]:
    """Which repositories to drop, by name, and in favour of which.

    Args:
        repositories: by name; their order does not matter.
        threshold: smallest estimated Jaccard similarity of near-duplicates.
    """
    names = sorted(repositories)
    by_digest: dict[str, str] = {}
    dropped = []
    for name in names:
        first = by_digest.setdefault(repositories[name].digest, name)
        if first != name:
            dropped.append(Duplicate(name=name, kept=first, similarity=1.0, exact=True))
    signatures = {
        name: signature
        for name in by_digest.values()
        if (signature := repositories[name].signature) is not None
    }
    kept_instead = _group(signatures, threshold)
    near = [
        Duplicate(
            name=name,
            kept=kept,
            similarity=round(similarity(signatures[name], signatures[kept]), 4),
            exact=False,
        )
        for name, kept in kept_instead.items()
    ]
    exact = [
        Duplicate(name=d.name, kept=kept_instead.get(d.kept, d.kept), similarity=1.0, exact=True)
        for d in dropped
    ]
    return sorted(near + exact, key=lambda d: d.name)


def _group(signatures: Mapping[str, Hashes], threshold: float) -> dict[str, str]:
    """Dropped name -> kept name, over the connected components of verified pairs."""
    buckets: dict[tuple[int, bytes], list[str]] = defaultdict(list)
    for name, signature in signatures.items():
        for band in bands(signature, threshold):
            buckets[band].append(name)
    parent = {name: name for name in signatures}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    seen: set[tuple[str, str]] = set()
    for members in buckets.values():
        for index, right in enumerate(members):
            for left in members[:index]:
                if (left, right) in seen or root(left) == root(right):
                    continue
                seen.add((left, right))
                if similarity(signatures[left], signatures[right]) >= threshold:
                    low, high = sorted((root(left), root(right)))
                    parent[high] = low  # the root is the first name: the copy that stays
    return {name: kept for name in signatures if (kept := root(name)) != name}
