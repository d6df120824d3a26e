"""The part of a file that the dearer signals look at.

A file of up to `WHOLE` bytes is looked at whole, a larger one at its start, its middle and its
end, `PIECE` bytes each, cut back to whole lines where lines are short enough. Most of the bytes
of a corpus lie in files larger than that, and how a file is written changes little within it.
"""

from __future__ import annotations

PIECE = 2048
WHOLE = 3 * PIECE


def pieces(data: bytes) -> list[tuple[int, int]]:
    """Start and end of each piece of the sample."""
    if len(data) <= WHOLE:
        return [(0, len(data))]
    middle = (len(data) - PIECE) // 2
    return [
        _whole_lines(data, 0, PIECE),
        _whole_lines(data, middle, middle + PIECE),
        _whole_lines(data, len(data) - PIECE, len(data)),
    ]


def sample(data: bytes) -> bytes:
    """About `WHOLE` bytes of `data` at most, the same ones each time."""
    if len(data) <= WHOLE:
        return data
    return b"\n".join([data[start:end] for start, end in pieces(data)])


def _whole_lines(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The piece without the lines that it cuts, unless nothing would be left."""
    first = data.find(b"\n", start, end) + 1 if start else 0
    last = data.rfind(b"\n", start, end) if end < len(data) else end
    return (max(first, start), last) if max(first, start) < last else (start, end)
