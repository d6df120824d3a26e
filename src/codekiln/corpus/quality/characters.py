"""What samples and whole files are made of, counted for several files at a time."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from codekiln.corpus.quality.together import Numbers, Shares, Together, largest, share, sums

LONG_LINE = 200  # bytes; a line that long is not meant for readers
ENCODED_RUN = 64  # characters of base64 or hexadecimal in a row that no identifier has

_WHITE, _DIGIT, _BEYOND_ASCII, _CONTROL = 1, 2, 3, 4
_ENCODING = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_FLAT = bytes.maketrans(_ENCODING, b"a" * len(_ENCODING))
_LEAST = b"a" * ENCODED_RUN
_RUN = re.compile(b"a{%d,}" % ENCODED_RUN)


def _classes() -> bytes:
    table = bytearray(256)
    for code in range(256):
        if code in b" \t\n\r":
            table[code] = _WHITE
        elif code in b"0123456789":
            table[code] = _DIGIT
        elif code >= 0x80:
            table[code] = _BEYOND_ASCII
        elif code == 127 or (code < 32 and code not in b"\f\v"):
            table[code] = _CONTROL
    return bytes(table)


_CLASSES = _classes()


class CharacterSignals(NamedTuple):
    """As in `Signals`; each float64 [files]."""

    white: Shares
    digits: Shares
    beyond_ascii: Shares
    control: Shares


def character_signals(texts: Together) -> CharacterSignals:
    """Shares of white space, digits, bytes beyond ASCII, control characters."""
    classes = texts.classes(_CLASSES)
    places = list(zip(texts.starts.tolist(), texts.ends.tolist(), strict=True))
    found = []
    for kind in (_WHITE, _DIGIT, _BEYOND_ASCII, _CONTROL):
        mask = classes == kind
        found.append(share([np.count_nonzero(mask[a:b]) for a, b in places], texts.sizes))
    return CharacterSignals(*found)


class ShapeSignals(NamedTuple):
    """As in `Signals`; each float64 or int64 [files]."""

    lines: Numbers
    mean_line: Shares
    longest_line: Numbers
    long_lines: Shares


def shape_signals(texts: Together) -> ShapeSignals:
    """Lines, their mean length, the longest, the share in long ones.

    Args:
        texts: whole files.
    """
    lines = texts.lines
    lengths = lines.ends - lines.starts
    count = np.diff(lines.bounds)
    long = np.where(lengths > LONG_LINE, lengths, 0)
    return ShapeSignals(
        lines=count,
        mean_line=share(sums(lengths, lines.bounds), count),
        longest_line=largest(lengths, lines.bounds),
        long_lines=share(sums(long, lines.bounds), texts.sizes),
    )


def encoded_shares(texts: Together) -> Shares:
    """Shares in long runs of the characters of base64.

    Args:
        texts: whole files.
    """
    flat = texts.text.translate(_FLAT)
    found = [0] * len(texts.sizes)
    if _LEAST in flat:  # few files go on from here
        for file, (start, end) in enumerate(zip(texts.starts, texts.ends, strict=True)):
            if flat.find(_LEAST, start, end) >= 0:
                found[file] = sum(map(len, _RUN.findall(flat, start, end)))
    return share(found, texts.sizes)
