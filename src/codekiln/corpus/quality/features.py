"""What the quality model sees of a file: signals, and hashed n-grams of its text and its shape.

- Signals of the content, those of its length and path left out: size says nothing of quality, and
  rules look at the path. Counts go in as logarithms, all of them as distances from what is usual
  in the language (`model.py`).
- 4-grams of the text, letters folded to lower case, digits to "0".
- 6-grams of the shape: every lower-case letter "a", capital "A", digit "0"; what is left is how
  names are built, spaced and indented.

n-grams are hashed to `BUCKETS` each and counted over the sample of the file; the square root of
their shares makes two vectors of length 1, for short files as for long ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codekiln.corpus.quality.signals import NAMES, Signals

Vector = npt.NDArray[np.float32]

BUCKETS = 2048
_BITS = 11
_TEXT, _SHAPE = 4, 6
_ODD = np.uint64(0x9E3779B97F4A7C15)
_WORD = 8

_LEFT_OUT = frozenset(
    {"size", "lines", "words", "packed", "generated", "vendored", "fixture", "test"}
)
_LOGARITHMS = frozenset(
    {"mean_line", "longest_line", "word_length", "median_word", "longest_word", "depth"}
    | {"functions"}
)
USED = tuple(name for name in NAMES if name not in _LEFT_OUT)
_PLACES = [NAMES.index(name) for name in USED]
_IS_LOGARITHM = np.array([name in _LOGARITHMS for name in USED])


def _folded() -> bytes:
    table = bytearray(range(128)) + bytearray(b"\x80" * 128)
    for code in range(128):
        letter = chr(code)
        table[code] = ord("0") if letter.isdigit() else ord(letter.lower())
    return bytes(table)


def _shaped() -> bytes:
    table = bytearray(range(128)) + bytearray(b"a" * 128)
    for code in range(128):
        letter = chr(code)
        if letter.isalnum():
            table[code] = ord("0" if letter.isdigit() else "a" if letter.islower() else "A")
    return bytes(table)


_FOLDED, _SHAPED = _folded(), _shaped()


def signal_features(signals: Signals) -> Vector:
    """The signals that the model uses, float32 [len(USED)]."""
    values = np.array(signals, dtype=np.float32)[_PLACES]
    return np.where(_IS_LOGARITHM, np.log1p(values), values).astype(np.float32)


def gram_features(part: bytes) -> Vector:
    """Square roots of the shares of the n-grams of a sample, float32 [2 * BUCKETS]."""
    sizes = [max(0, len(part) - width + 1) for width in (_TEXT, _SHAPE)]
    keys = np.empty(sum(sizes), np.uint64)
    text, shape = keys[: sizes[0]], keys[sizes[0] :]
    np.bitwise_and(_words(part.translate(_FOLDED), len(text)), _kept(_TEXT), out=text)
    np.bitwise_and(_words(part.translate(_SHAPED), len(shape)), _kept(_SHAPE), out=shape)
    keys *= _ODD
    keys >>= np.uint64(64 - _BITS)
    shape += np.uint64(BUCKETS)
    counts = np.bincount(keys.view(np.int64), minlength=2 * BUCKETS).reshape(2, BUCKETS)
    shares = counts / np.maximum(sizes, 1)[:, None]
    return np.sqrt(shares, dtype=np.float32).ravel()


def _words(text: bytes, count: int) -> npt.NDArray[np.uint64]:
    """The 8 bytes from each of the first places on, as numbers, the first byte the lowest."""
    return np.ndarray(count, "<u8", buffer=text + bytes(_WORD), strides=(1,))


def _kept(width: int) -> np.uint64:
    """Keeps the first bytes of such a number."""
    return np.uint64((1 << 8 * width) - 1)
