"""Hashes of words and of word n-grams, at memory speed, for dedup and decontamination.

What a gram is, is open in the paper; here it is n **words** in a row. A word is a longest run
of ASCII letters, digits, underscores and bytes from 0x80 on (so any letter outside ASCII
belongs to a word); ASCII letters are folded to lower case. Everything else, such as white
space, brackets and operators, only separates words: neither layout nor quoting nor punctuation
hides a copy. A gram never reaches over the end of a file.

A word of up to 64 bytes is hashed from its 8-byte pieces, a longer one by BLAKE2b; both end in
a mixer, because a sum of unmixed words would let words that differ in their last letters
cancel out. A gram is a polynomial of its words' hashes, and needs no mixing again: a sum of
evenly spread numbers, each times an odd one, is evenly spread. Hashes are 64 bits wide: among
10^9 different grams one in 37 runs sees a collision.

Source: DeepSeek-Coder §2.3, §2.4 (n-grams; gram and normalisation open, decided here).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

BLOCK_BYTES = 1 << 18  # files are hashed together up to this size: fits the cache, hides overhead
LONG_WORD_BYTES = 64

_ODD = 0x9E3779B97F4A7C15
_BASE = 0xD6E8FEB86659FD93
_FINAL = 0xC4CEB9FE1A85EC53
_WRAP = (1 << 64) - 1


def _word_table() -> bytes:
    table = bytearray(256)
    for byte in range(256):
        if byte >= 0x80 or chr(byte).isalnum() or byte == ord("_"):
            table[byte] = ord(chr(byte).lower()) if byte < 0x80 else byte
    return bytes(table)


_TABLE = _word_table()  # word bytes to themselves, lower-cased; all others to 0
_PIECE_MASK = np.array([(1 << (8 * k)) - 1 for k in range(9)], dtype=np.uint64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of several texts, in order.

    `hashes[i]` is the word's hash, `text[i]` the number of the text that it stands in, and
    `starts[i]`, `ends[i]` its place in bytes in the block, where text k begins at `offsets[k]`.
    """

    hashes: Hashes
    text: Indices
    starts: Indices
    ends: Indices
    offsets: Indices


def words(texts: Iterable[bytes]) -> Words:
    """Hash every word of `texts` (UTF-8)."""
    parts = list(texts)
    # one zero between texts and before the first, eight behind the last: pieces may be read over
    folded = b"\0".join((b"", *parts, b"\0" * 7)).translate(_TABLE)
    is_word = np.frombuffer(folded, dtype=np.uint8) != 0
    flips = np.flatnonzero(is_word[1:] != is_word[:-1]) + 1
    starts, ends = flips[0::2], flips[1::2]
    offsets = np.cumsum([1, *(len(part) + 1 for part in parts)])
    counts = np.diff(np.searchsorted(starts, offsets))
    return Words(
        hashes=_hash_words(folded, starts, ends),
        text=np.repeat(np.arange(len(parts)), counts),
        starts=starts,
        ends=ends,
        offsets=offsets,
    )


def _hash_words(folded: bytes, starts: Indices, ends: Indices) -> Hashes:
    pieces = np.ndarray((len(folded) - 7,), np.dtype("<u8"), buffer=folded, strides=(1,))
    lengths = ends - starts
    hashes = pieces[starts] & _PIECE_MASK[np.minimum(lengths, 8)]
    hashes *= np.uint64(_ODD)
    rest = np.flatnonzero(lengths > 8)
    for done in range(8, LONG_WORD_BYTES, 8):
        if not len(rest):
            break
        left = lengths[rest] - done
        before = hashes[rest]
        before ^= before >> np.uint64(29)
        before += pieces[starts[rest] + done] & _PIECE_MASK[np.minimum(left, 8)]
        before *= np.uint64(_ODD)
        hashes[rest] = before
        rest = rest[left > 8]
    for index in rest:  # longer than LONG_WORD_BYTES: rare, such as data in base64
        word = folded[starts[index] : ends[index]]
        hashes[index] = int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little")
    return mix(hashes)


def mix(values: Hashes) -> Hashes:
    """Spread every bit of products over all 64, in place: shift, multiply, shift."""
    values ^= values >> np.uint64(32)
    values *= np.uint64(_FINAL)
    values ^= values >> np.uint64(29)
    return values


def grams(found: Words, n: int) -> tuple[Hashes, Indices]:
    """Hashes of all n-grams, and for each the index of its first word.

    A gram's hash depends on its words alone, so equal grams of different texts have equal ones.
    """
    if len(found.hashes) < n:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    values = _join(found.hashes, n)
    first = np.flatnonzero(found.text[: len(values)] == found.text[n - 1 :])
    return values[first], first


def grams_at(found: Words, first: Indices, n: int) -> tuple[Hashes, Indices]:
    """As `grams`, of those n-grams alone that begin at the words `first`."""
    first = first[first + n <= len(found.hashes)]
    first = first[found.text[first] == found.text[first + n - 1]]
    values = found.hashes[first]
    for word in range(1, n):
        values = values * np.uint64(_BASE) + found.hashes[first + word]
    return values, first


def _join(hashes: Hashes, n: int) -> Hashes:
    """Polynomials of n hashes in a row, by doubling: n = 10 takes 4 passes instead of 9."""
    power, length = hashes, 1
    joined: Hashes | None = None
    have = 0
    while True:
        if n & length:
            joined = power.copy() if joined is None else _append(joined, have, power, length)
            have += length
        if have == n:
            assert joined is not None
            return joined
        power = _append(power, length, power, length)
        length *= 2


def _append(left: Hashes, left_words: int, right: Hashes, right_words: int) -> Hashes:
    size = min(len(left), len(right) - left_words)
    shift = np.uint64(pow(_BASE, right_words, 1 << 64))
    return left[:size] * shift + right[left_words : left_words + size]


def blocks(texts: Iterable[bytes]) -> Iterator[tuple[list[int], Words]]:
    """Words of many texts (UTF-8), hashed together block by block, with the texts' numbers."""
    numbers: list[int] = []
    parts: list[bytes] = []
    size = 0
    for number, part in enumerate(texts):
        if parts and size + len(part) > BLOCK_BYTES:
            yield numbers, words(parts)
            numbers, parts, size = [], [], 0
        numbers.append(number)
        parts.append(part)
        size += len(part)
    if parts:
        yield numbers, words(parts)


def plain_words(text: bytes) -> list[bytes]:
    """The words of one text, folded: the definition in three lines, for short texts."""
    return text.translate(_TABLE).replace(b"\0", b" ").split()


def plain_gram(parts: list[bytes]) -> int:
    """The hash of one gram, word by word: what `grams` must equal."""
    value = 0
    for part in parts:
        value = (value * _BASE + _plain_word(part)) & _WRAP
    return value


def _plain_word(word: bytes) -> int:
    if len(word) > LONG_WORD_BYTES:
        return _plain_mix(int.from_bytes(hashlib.blake2b(word, digest_size=8).digest(), "little"))
    value = int.from_bytes(word[:8], "little") * _ODD & _WRAP
    for start in range(8, len(word), 8):
        value ^= value >> 29
        value = (value + int.from_bytes(word[start : start + 8], "little")) * _ODD & _WRAP
    return _plain_mix(value)


def _plain_mix(value: int) -> int:
    value ^= value >> 32
    value = value * _FINAL & _WRAP
    return value ^ (value >> 29)
