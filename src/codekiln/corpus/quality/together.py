"""The samples of several files in one text, so that one pass of numpy counts in all of them.

Most files are small: what costs is the call and not the byte. Every sample stands between line
ends of its own, so that no line or word goes from one file into the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LINE_END = 10


class Lines(NamedTuple):
    """The lines of all texts, file after file.

    Args:
        starts: where each starts.
        ends: where its line end is.
        bounds: lines before each file, and in all; int64 [files + 1].
    """

    starts: Numbers
    ends: Numbers
    bounds: Numbers


class Together:
    """Samples of files, one after the other.

    Attributes:
        text: a line end, then each sample and a line end.
        codes: its bytes, uint8.
        starts: where each sample starts, int64 [files].
        ends: where each ends.
    """

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.text = b"\n".join([b"", *parts, b""])
        self.codes = np.frombuffer(self.text, np.uint8)
        self.sizes = np.array([len(part) for part in parts], np.int64)
        self.ends = np.cumsum(self.sizes + 1)
        self.starts = self.ends - self.sizes

    def classes(self, table: bytes) -> npt.NDArray[np.uint8]:
        """What `table` makes of each byte."""
        return np.frombuffer(self.text.translate(table), np.uint8)

    @cached_property
    def lines(self) -> Lines:
        """The last line of a file may lack its line end."""
        line_ends = np.flatnonzero(self.codes == LINE_END)
        starts, ends = line_ends[:-1] + 1, line_ends[1:]
        last = np.searchsorted(ends, self.ends)
        kept = np.ones(len(ends), np.bool_)  # nothing follows a file's own last line end
        kept[last] = starts[last] < self.ends
        starts, ends = starts[kept], ends[kept]
        return Lines(starts, ends, np.append(0, np.searchsorted(ends, self.ends, side="right")))

    def slices(self, starts: Numbers, ends: Numbers) -> list[bytes]:
        """Pieces of the text."""
        text = self.text
        return [text[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)]


def before(mask: Mask, bounds: Numbers) -> Numbers:
    """How often `mask` holds before each bound."""
    found: Numbers = np.searchsorted(np.flatnonzero(mask), bounds)
    return found


def counts(mask: Mask, bounds: Numbers) -> Numbers:
    """How often `mask` holds from each bound to the next.

    Args:
        bounds: from 0 to the number of values, int64 [files + 1].
    """
    return np.diff(before(mask, bounds))


def sums(values: Numbers, bounds: Numbers) -> Numbers:
    """The sum of the values from each bound to the next."""
    return np.diff(np.append(0, np.cumsum(values))[bounds])


def largest(values: Numbers, bounds: Numbers) -> Numbers:
    """The largest value from each bound to the next; 0 where there is none."""
    found = np.zeros(len(bounds) - 1, np.int64)
    filled = bounds[1:] > bounds[:-1]
    if filled.any():  # ranges without a value between them leave no gap
        found[filled] = np.maximum.reduceat(values, bounds[:-1][filled])
    return found


def share(part: npt.ArrayLike, whole: npt.ArrayLike) -> Shares:
    """Part by whole; 0 where there is nothing."""
    parts, wholes = np.asarray(part, np.float64), np.asarray(whole, np.float64)
    found: Shares = np.divide(parts, wholes, out=np.zeros(len(parts)), where=wholes > 0)
    return found
