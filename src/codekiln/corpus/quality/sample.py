"""The part of a file that the dearer signals look at.

A file of up to `WHOLE` bytes is looked at whole, a larger one at its start, its middle and its
end, `PIECE` bytes each, cut back to whole lines where lines are short enough. Most of the bytes
of a corpus lie in files larger than that, and how a file is written changes little within it.
"""

from __future__ import annotations

PIECE = 2730
WHOLE = 3 * PIECE


def sample(data: bytes) -> bytes:
    """About `WHOLE` bytes of `data` at most, the same ones each time."""
    if len(data) <= WHOLE:
        return data
    middle = (len(data) - PIECE) // 2
    parts = (
        _whole_lines(data[:PIECE], first=True),
        _whole_lines(data[middle : middle + PIECE]),
        _whole_lines(data[-PIECE:], last=True),
    )
    return b"\n".join(parts)


def _whole_lines(piece: bytes, *, first: bool = False, last: bool = False) -> bytes:
    """`piece` without the lines that it cuts, unless nothing would be left."""
    start = 0 if first else piece.find(b"\n") + 1
    end = len(piece) if last else piece.rfind(b"\n")
    return piece[start:end] if start < end else piece
