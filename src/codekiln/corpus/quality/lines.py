"""What the lines of samples look like, counted for several files at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from codekiln.corpus.quality.together import Mask, Numbers, Shares, Together, before, counts, share

Kinds = npt.NDArray[np.uint8]

SHORT_LINE = 4  # bytes; "}" and "else" repeat in good code too

_BLANK = b" \t\n\r\v\f"
_NUMERALS = b"0123456789abcdefABCDEFxXuUlL"
_PUNCTUATION = b" .,+-{}[]();:\"'\\\t\r\v\f/*&|"
_PRINTING, _TELLING, _OTHER = 1, 2, 4  # not blank; not punctuation; neither that nor a numeral


def _classes() -> bytes:
    table = bytearray(256)
    for code in range(256):
        printing = _PRINTING * (code not in _BLANK)
        telling = _TELLING * (code not in _PUNCTUATION + b"\n")
        other = _OTHER * (code not in _PUNCTUATION + b"\n" + _NUMERALS)
        table[code] = printing | telling | other
    return bytes(table)


_CLASSES = _classes()


class LineSignals(NamedTuple):
    """As in `Signals`; each float64 or int64 [files]."""

    blank_lines: Shares
    number_lines: Shares
    string_lines: Shares
    repeated_lines: Shares
    depth: Numbers


def line_signals(texts: Together) -> LineSignals:
    """Shares of blank lines, number lines, string lines and repeated lines; the depth."""
    classes = texts.classes(_CLASSES)
    starts, ends, bounds = texts.lines
    bodies = _bodies(texts, (classes & _PRINTING).astype(np.bool_))
    filled = bodies < ends
    first = texts.codes[bodies]
    quoted = (first == ord('"')) | (first == ord("'"))
    kinds = np.bitwise_or.reduceat(classes, starts) if len(starts) else classes[:0]
    return LineSignals(
        blank_lines=_left(counts(filled, bounds), np.diff(bounds)),
        number_lines=share(
            counts(_number_lines(texts, bodies, kinds), bounds),
            counts(kinds & _TELLING > 0, bounds),
        ),
        string_lines=share(counts(quoted, bounds), counts(filled, bounds)),
        repeated_lines=_repeated(texts, bodies),
        depth=_depths((bodies - starts)[filled], counts(filled, bounds)),
    )


def _bodies(texts: Together, printing: Mask) -> Numbers:
    """Where what is not indentation starts; a blank line's end."""
    starts, ends, _ = texts.lines
    rises = np.flatnonzero(printing[1:] > printing[:-1]) + 1  # the text starts with a line end
    rises = np.append(rises, len(printing))
    return np.minimum(rises[np.searchsorted(rises, starts)], ends)


def _left(part: Numbers, whole: Numbers) -> Shares:
    """The share that is left beside `part`."""
    return np.where(whole > 0, 1 - share(part, whole), 0.0)


def _number_lines(texts: Together, bodies: Numbers, kinds: Kinds) -> Mask:
    """Which lines hold only numerals and punctuation, a digit before other numerals."""
    found: Mask = kinds & (_TELLING | _OTHER) == _TELLING
    places = np.flatnonzero(found)
    rows = texts.slices(bodies[places], texts.lines.ends[places])
    found[places] = [row.lstrip(_PUNCTUATION)[:1].isdigit() for row in rows]
    return found


def _repeated(texts: Together, bodies: Numbers) -> Shares:
    _, ends, bounds = texts.lines
    long = ends - bodies >= SHORT_LINE
    rows = texts.slices(bodies[long], ends[long])
    count = counts(long, bounds)
    different, start = [], 0
    for number in count.tolist():
        different.append(len(set(rows[start : start + number])))
        start += number
    return _left(np.array(different), count)


def _depths(widths: Numbers, count: Numbers) -> Numbers:
    """Deepest nesting of each file.

    Args:
        widths: bytes of indentation of the lines that are not blank, file after file.
        count: such lines in each file.
    """
    bounds = np.append(0, np.cumsum(count))
    kept = np.ones(len(widths) + 1, np.bool_)  # as deep as the line before: nothing new
    kept[1:-1] = widths[1:] != widths[:-1]
    kept[bounds] = True
    places = before(kept[:-1], bounds).tolist()
    changes = widths[kept[:-1]].tolist()
    return np.array([_depth(changes[a:b]) for a, b in pairwise(places)])


def _depth(widths: Sequence[int]) -> int:
    stack, deepest = [0], 0
    for width in widths:
        while width < stack[-1]:
            stack.pop()
        if width > stack[-1]:
            stack.append(width)
            deepest = max(deepest, len(stack) - 1)
    return deepest
