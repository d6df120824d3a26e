"""MinHash signatures by one-permutation hashing: one hash a shingle, whatever the length.

A sample is seen as the set of its word n-grams (shingles; see `grams`; a shingle never crosses
from file to file, so the order of the files does not matter). The hash's leading bits choose one
of k bins, each bin keeps the smallest of the next 32 bits, an empty bin borrows from a full one by
optimal densification (Shrivastava 2017). One pass at memory speed; a bin of two signatures agrees
with a probability equal to the Jaccard similarity of the sets.

Before densification, the bins of a union are the smaller ones of its parts: files are sketched
once, and subgraphs and repositories from them.

Open in the paper, decided here: k = 256, shingles of 5 words.

Source: DeepSeek-Coder §2.3 (near-deduplication).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from codekiln.corpus.duplicates.grams import Hashes, Words, grams, mix

Bins = npt.NDArray[np.uint32]
EMPTY = np.uint32(0xFFFFFFFF)
_ODD = 0x9E3779B97F4A7C15


class Sketch:
    """Collects the signature of one set, block by block.

    Args:
        bins: length of the signature, a power of two.
        shingle: words in a shingle.
    """

    def __init__(self, bins: int = 256, shingle: int = 5) -> None:
        self.bins, self.shingle = bins, shingle
        self._smallest = np.full(bins, EMPTY)

    def add(self, found: Words, drop: Iterable[int] = ()) -> None:
        """Take in a block's shingles, but for those of the texts numbered in `drop`."""
        values, _ = _shingles(found, self.shingle, drop)
        self.add_hashes(values)

    def add_hashes(self, values: Hashes) -> None:
        """Take in 64-bit hashes, evenly spread; a repeated one changes nothing."""
        bins, rest = _place(values, self.bins)
        smaller = np.flatnonzero(rest < self._smallest[bins])  # few, once the bins have filled
        np.minimum.at(self._smallest, bins[smaller], rest[smaller])

    def signature(self) -> Bins | None:
        """[bins] uint32, or nothing where no shingle was seen."""
        return densify(self._smallest)


class Sketches:
    """Sketches of the files of a repository, to be joined to signatures of any of them.

    Args:
        bins, shingle: as of `Sketch`.
        each: whether single files will be asked for, or only all of them together.
    """

    def __init__(self, bins: int, shingle: int, *, each: bool) -> None:
        self.bins, self.shingle = bins, shingle
        self._whole = Sketch(bins, shingle)
        self._of: dict[str, Bins] | None = {} if each else None

    def add(self, names: Sequence[str], found: Words, drop: Iterable[int] = ()) -> None:
        """Take in a block of files, but for those numbered in `drop`."""
        if self._of is None:
            self._whole.add(found, drop)
            return
        values, text = _shingles(found, self.shingle, drop)
        bins, rest = _place(values, self.bins)
        table = np.full(len(names) * self.bins, EMPTY)
        np.minimum.at(table, text * self.bins + bins, rest)
        for name, row in zip(names, table.reshape(len(names), self.bins), strict=True):
            self._of[name] = row.copy()

    def signature(self, names: Iterable[str]) -> Bins | None:
        """[bins] uint32 of the files named, or nothing where none of them has a shingle."""
        if self._of is None:
            return self._whole.signature()
        parts = [self._of[name] for name in names if name in self._of]
        return densify(np.minimum.reduce(parts)) if parts else None


def _shingles(found: Words, n: int, drop: Iterable[int]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """Hashes of the shingles, and the number of the text of each."""
    values, first = grams(found, n)
    text = found.text[first]
    dropped = list(drop)
    if not dropped:
        return values, text
    stay = ~np.isin(text, dropped)
    return values[stay], text[stay]


def _place(values: Hashes, bins: int) -> tuple[npt.NDArray[np.int64], Bins]:
    """The bin of each hash, and the 32 bits that are compared within it."""
    width = bins.bit_length() - 1
    chosen = (values >> np.uint64(64 - width)).view(np.int64)
    rest = ((values >> np.uint64(32 - width)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return chosen, rest


def densify(smallest: Bins) -> Bins | None:
    """A signature from bins, some of them empty; nothing if all of them are."""
    empty = smallest == EMPTY
    if empty.all():
        return None
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


def similarity(left: Bins, right: Bins) -> float:
    """Estimated Jaccard similarity of the sets behind two signatures."""
    return float(np.mean(left == right))
