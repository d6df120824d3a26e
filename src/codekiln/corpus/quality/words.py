"""What the words of samples look like, counted for several files at a time.

A word of up to 8 bytes is a number of 64 bits: sorting numbers finds the different ones faster
than making an object of each word, and as exactly.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from codekiln.corpus.quality.together import (
    Mask,
    Numbers,
    Shares,
    Together,
    before,
    counts,
    largest,
    share,
    sums,
)

_PACKED = 8  # bytes of the longest word that is a number
_NINE = ord("9")  # no word starts with a lower byte that is not a digit
_UNDERSCORE = ord("_")
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(_PACKED + 1)], np.uint64)
_FULL = _MASKS[1:_PACKED]  # the largest word of 1, 2, ... 7 bytes, as a number
_WIDEST = 1 << 32  # above every length


def _classes() -> bytes:
    word = bytes(code for code in range(256) if code >= 128 or chr(code).isalnum()) + b"_"
    return bytes(code in word for code in range(256))


_CLASSES = _classes()


class WordSignals(NamedTuple):
    """As in `Signals`; each float64 or int64 [files]."""

    words: Numbers
    unique_words: Shares
    word_length: Shares
    median_word: Shares
    one_letter: Shares
    numbers: Shares
    longest_word: Numbers


class _Unique(NamedTuple):
    """Different words; names are those that are no numbers.

    Args:
        words: in each file, int64 [files].
        names: in each file.
        lengths: of the names, those of a file in order, file after file.
    """

    words: Numbers
    names: Numbers
    lengths: Numbers


def word_signals(texts: Together) -> WordSignals:
    """Words, unique words, mean and median length, one-letter words, numbers, the longest."""
    inside = texts.classes(_CLASSES)
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1  # the text starts and ends outside
    starts, ends = edges[::2], edges[1::2]
    lengths, first = ends - starts, texts.codes[starts]
    bounds = np.append(0, np.searchsorted(starts, texts.ends))
    is_name = first > _NINE
    single = is_name & (lengths == 1) & (first != _UNDERSCORE)
    total = np.diff(bounds)
    named = counts(is_name, bounds)
    unique = _unique(texts, starts, ends, bounds)
    return WordSignals(
        words=total,
        unique_words=share(unique.words, total),
        word_length=_means(unique),
        median_word=_medians(unique),
        one_letter=share(counts(single, bounds), named),
        numbers=share(total - named, total),
        longest_word=largest(lengths, bounds),
    )


def _means(unique: _Unique) -> Shares:
    bounds = np.append(0, np.cumsum(unique.names))
    return share(sums(unique.lengths, bounds), unique.names)


def _medians(unique: _Unique) -> Shares:
    found = np.zeros(len(unique.names))
    filled = unique.names > 0
    count = unique.names[filled]
    starts = np.cumsum(count) - count
    low, high = unique.lengths[starts + (count - 1) // 2], unique.lengths[starts + count // 2]
    found[filled] = (low + high) / 2
    return found


def _unique(texts: Together, starts: Numbers, ends: Numbers, bounds: Numbers) -> _Unique:
    lengths = ends - starts
    short = lengths <= _PACKED
    short_bounds = before(short, bounds)
    keys = _keys(texts, starts[short], lengths[short])
    files, words, sizes = _unique_short(keys, short_bounds)
    more_files, more_words, more_sizes = _unique_long(
        texts.slices(starts[~short], ends[~short]), (bounds - short_bounds).tolist()
    )
    in_order = np.sort(np.append(files * _WIDEST + sizes, more_files * _WIDEST + more_sizes))
    names = np.bincount(in_order // _WIDEST, minlength=len(words))
    return _Unique(words + more_words, names, in_order % _WIDEST)


def _keys(texts: Together, starts: Numbers, lengths: Numbers) -> npt.NDArray[np.uint64]:
    """Each word as a number, its first byte the lowest; 0 is in no word, so all are different."""
    anywhere = np.ndarray(len(texts.text), "<u8", buffer=texts.text + bytes(_PACKED), strides=(1,))
    found: npt.NDArray[np.uint64] = anywhere[starts] & _MASKS[lengths]
    return found


def _unique_short(
    keys: npt.NDArray[np.uint64], bounds: Numbers
) -> tuple[Numbers, Numbers, Numbers]:
    """Each different name's file and length; the different words of each file.

    `keys` are put in order.
    """
    places = bounds.tolist()
    for start, end in pairwise(places):
        keys[start:end].sort()
    is_new: Mask = np.ones(len(keys) + 1, np.bool_)
    is_new[1:-1] = keys[1:] != keys[:-1]
    is_new[bounds] = True
    words = counts(is_new[:-1], bounds)
    different = keys[is_new[:-1]]
    is_name = (different & np.uint64(0xFF)) > _NINE
    files = np.repeat(np.arange(len(words)), words)[is_name]
    return files, words, 1 + np.searchsorted(_FULL, different[is_name])


def _unique_long(words: list[bytes], bounds: list[int]) -> tuple[Numbers, Numbers, Numbers]:
    """As `_unique_short`."""
    files: list[int] = []
    sizes: list[int] = []
    different = []
    for file, (start, end) in enumerate(pairwise(bounds)):
        unique = set(words[start:end])
        found = [len(word) for word in unique if word[0] > _NINE]
        files += [file] * len(found)
        sizes += found
        different.append(len(unique))
    return np.array(files, np.int64), np.array(different, np.int64), np.array(sizes, np.int64)
