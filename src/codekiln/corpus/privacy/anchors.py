"""Where in a text something may be: a sieve at memory speed in front of exact patterns.

One pass looks every four bytes in a row (case folded) up in a table of bits. What passes is one
place in some thousands, and patterns run only there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

SIZE = 4
CHUNK = 1 << 16  # bytes sieved at once: the arrays of a step fit the cache
_BITS = 16
_ODD = np.uint32(0x9E3779B1)
_SHIFT = np.uint32(32 - _BITS)
_FOLD = np.uint8(0x20)
_WORD = b"abcdefghijklmnopqrstuvwxyz0123456789_-"
_HEX = b"0123456789abcdef"


def fold(text: bytes) -> bytes:
    """Letters to lower case; other bytes to something that depends on them alone."""
    return bytes(byte | 0x20 for byte in text)


def expand(anchor: str) -> list[bytes]:
    """All that an anchor with `?` and `#` stands for, folded."""
    found = [b""]
    for sign in anchor:
        choices = _WORD if sign == "?" else _HEX if sign == "#" else sign.encode()
        found = [head + bytes([byte]) for head in found for byte in choices]
    return sorted({fold(one) for one in found})


class Sieve:
    """Finds the places of many anchors at once.

    Args:
        anchors: folded, each of SIZE bytes.
    """

    def __init__(self, anchors: Iterable[bytes]) -> None:
        keys = np.frombuffer(b"".join(anchors), dtype="<u4")
        self._table = np.zeros(1 << _BITS, dtype=np.bool_)
        self._table[(keys * _ODD) >> _SHIFT] = True

    def places(self, data: bytes) -> Iterator[int]:
        """Offsets where an anchor may begin; few others are among them."""
        whole = np.frombuffer(data, dtype=np.uint8)
        for start in range(0, len(data) - SIZE + 1, CHUNK):
            folded = whole[start : start + CHUNK + SIZE - 1] | _FOLD
            fours = np.ndarray((len(folded) - SIZE + 1,), "<u4", buffer=folded, strides=(1,))
            hashes = fours * _ODD
            hashes >>= _SHIFT
            for place in np.flatnonzero(np.take(self._table, hashes, mode="clip")).tolist():
                yield start + place


def positions(whole: npt.NDArray[np.uint8], sign: str) -> npt.NDArray[np.int64]:
    """Offsets of one ASCII character that is neither the first nor the last byte."""
    return np.flatnonzero(whole[1:-1] == ord(sign)) + 1
