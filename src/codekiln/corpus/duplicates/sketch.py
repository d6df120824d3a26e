"""MinHash signatures by one-permutation hashing: one hash a shingle, one byte a bin.

A sample is seen as the set of its word n-grams (shingles; see `grams`; a shingle never crosses
from file to file, so the order of the files does not matter). The hash's leading bits choose one
of k bins, each bin keeps the smallest of the next 32 bits: one pass at memory speed, whatever k.
The bins of a union are the smaller ones of its parts: files are sketched once, and subgraphs and
repositories from them.

A signature keeps a byte of each bin: 7 bits of its smallest hash (b-bit minwise hashing), and one
that tells that the bin was empty. An empty bin borrows from a full one (optimal densification,
Shrivastava 2017), so that bands of small sets meet as often as those of large ones. Borrowed bins
are left out of the estimate, which is what makes it nearly exact for sets smaller than k.

Open in the paper, decided here: shingles of 5 words; k = 1024, as large as the usual 256 hashes of
32 bits, with half their error (of pairs at Jaccard 0.7: 0.014 instead of 0.029).

Source: DeepSeek-Coder §2.3 (near-deduplication).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from codekiln.corpus.duplicates.grams import Hashes, Words, grams, mix

Bins = npt.NDArray[np.uint32]  # the smallest hash of each bin, while a set is collected
Signature = npt.NDArray[np.uint8]  # what is kept of them
EMPTY = np.uint32(0xFFFFFFFF)
BORROWED = np.uint8(0x80)  # marks a bin that no shingle fell into
VALUES = 0x80  # different hashes of 7 bits: this share of unequal bins agrees by chance
PUSHED = 3  # times k: places that are lent to at once; nearly every bin is among them
_ODD = 0x9E3779B97F4A7C15


class Sketch:
    """Collects the signature of one set, block by block.

    Args:
        bins: length of the signature, a power of two.
        shingle: words in a shingle.
    """

    def __init__(self, bins: int = 1024, shingle: int = 5) -> None:
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

    def signature(self) -> Signature | None:
        """[bins] uint8, or nothing where no shingle was seen."""
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

    def signature(self, names: Iterable[str]) -> Signature | None:
        """[bins] uint8 of the files named, or nothing where none of them has a shingle."""
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


def densify(smallest: Bins) -> Signature | None:
    """A signature from bins, some of them empty; nothing if all of them are."""
    full = np.flatnonzero(smallest != EMPTY)
    if not len(full):
        return None
    # the smallest of many hashes has leading zeros: its bits are mixed before 7 are taken
    spread = smallest.astype(np.uint64) * np.uint64(_ODD)
    values = (spread >> np.uint64(57)).astype(np.uint8)
    if len(full) < len(smallest):
        _lend(values, full)
    return values


def _lend(values: Signature, full: npt.NDArray[np.int64]) -> None:
    """Fill the other bins, each from the first full one in a random order of its own.

    The orders are the same for all signatures: that is what lets the borrowed bins of two sets
    agree as often as their own. Seen from a lender, round t is for the bin `place ^ offset[t]`.
    """
    bins = len(values)
    place, at, offsets = _rounds(bins)
    open_ = np.ones(bins, np.bool_)
    open_[full] = False
    step = PUSHED * bins // len(full) + 1
    lender = np.empty(bins, np.int64)
    for start in range(0, bins - 1, step):
        turns = offsets[start : start + step, None]
        lender.fill(-1)
        targets = at[place[full] ^ turns].ravel()
        # the first lender of each is to stay: the last assignment does, so all are turned round
        lender[targets[::-1]] = np.broadcast_to(full, (len(turns), len(full))).ravel()[::-1]
        filled = np.flatnonzero(open_ & (lender >= 0))
        values[filled] = values[lender[filled]] | BORROWED
        open_[filled] = False
        if not open_.any():
            break


@cache
def _rounds(bins: int) -> tuple[npt.NDArray[np.int64], ...]:
    """A random place for each bin, the bin at each place, and all offsets in a random order."""
    one, other = (
        np.argsort(mix(np.arange(bins, dtype=np.uint64) * np.uint64(_ODD) + np.uint64(seed)))
        for seed in (1, 2)
    )
    return one, np.argsort(one), other[other != 0]


def similarity(left: Signature, right: Signature) -> npt.NDArray[np.float32]:
    """Estimated Jaccard similarity of the sets behind two signatures, or row by row of [n, bins].

    Of the bins that are full in at least one of two sets, the share in which both keep the same
    hash; what agrees by chance is subtracted.
    """
    full = np.count_nonzero((left | right) < BORROWED, axis=-1)  # in both
    none = np.count_nonzero((left & right) >= BORROWED, axis=-1)
    equal = np.count_nonzero((left == right) & (left < BORROWED), axis=-1)
    either = np.maximum(left.shape[-1] - none, 1)
    near = (VALUES * equal - full) / ((VALUES - 1) * either)
    return np.maximum(near, 0).astype(np.float32)
