"""Readable signs of how a file is made, as numbers.

What the paper means by "poor readability and low modularity" is open; these are the measures
that published filters and common sense agree on. All of them are stored with a corpus, so that
thresholds can change without reading the files again: values are rounded to float32 here, and a
decision made from the stored ones is the decision made on the spot.

Shares are of bytes unless they say otherwise. Signals marked (sample) are taken from at most
6 KiB of the file (`sample.py`); the others from all of it.

Source: DeepSeek-Coder §2.4 (quality screening by heuristic rules; the rules are open).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from codekiln.corpus.quality.comments import comment_share
from codekiln.corpus.quality.functions import count_functions
from codekiln.corpus.quality.origin import is_generated, place
from codekiln.corpus.quality.sample import sample

LONG_LINE = 200  # bytes; a line that long is not meant for readers
ENCODED_RUN = 64  # characters of base64 or hexadecimal in a row that no identifier has
PACKED = 2048  # bytes that are compressed
SHORT_LINE = 4  # bytes; "}" and "else" repeat in good code too


class Signals(NamedTuple):
    """The signals of one file; each a float32 number.

    Args:
        size: bytes.
        lines: lines; the last one may lack its line end.
        mean_line: bytes of a line, without its end.
        longest_line: bytes.
        long_lines: share of the bytes in lines of over 200 bytes.
        blank_lines: share of the lines (sample).
        white: share of blanks, tabs and line ends (sample).
        digits: share of the digits 0 to 9 (sample).
        beyond_ascii: share of bytes from 0x80 on (sample).
        control: share of control characters other than white space (sample).
        comments: share in comments; see `comments.py` (sample).
        words: words in the sample: runs of letters, digits, "_" and bytes beyond ASCII.
        unique_words: different words by words (sample).
        word_length: mean length of the different words that are no numbers (sample).
        median_word: their median length (sample).
        one_letter: share of the words, numbers left out, that are one letter (sample).
        numbers: share of the words that start with a digit (sample).
        longest_word: bytes (sample).
        packed: bytes after zlib (level 1) by bytes before, of 2 KiB in the middle of the sample.
        number_lines: share of the lines with more than punctuation that hold only numbers and
            punctuation (sample).
        string_lines: share of the lines that are not blank that start with a quote (sample).
        encoded: share in runs of 64 or more base64 or hexadecimal characters.
        repeated_lines: share of the lines of 4 or more bytes, indentation apart, that stood
            before (sample).
        depth: deepest nesting by indentation: how many lines, each less indented than the
            next, lead to a line (sample).
        functions: functions by 100 lines; see `functions.py` (sample).
        generated: 1 if a program wrote it; see `origin.py`.
        vendored: 1 if its path is for other people's code.
        fixture: 1 if its path is for the data of tests.
        test: 1 if its path looks like that of a test.
    """

    size: float
    lines: float
    mean_line: float
    longest_line: float
    long_lines: float
    blank_lines: float
    white: float
    digits: float
    beyond_ascii: float
    control: float
    comments: float
    words: float
    unique_words: float
    word_length: float
    median_word: float
    one_letter: float
    numbers: float
    longest_word: float
    packed: float
    number_lines: float
    string_lines: float
    encoded: float
    repeated_lines: float
    depth: float
    functions: float
    generated: float
    vendored: float
    fixture: float
    test: float


NAMES = Signals._fields
_FLOATS = struct.Struct(f"{len(NAMES)}f")


def _table(kept: str, ranges: Iterable[range] = (), other: bytes = b" ") -> bytes:
    """For `bytes.translate`: characters kept as they are, all others become `other`."""
    table = bytearray(other * 256)
    for code in [*kept.encode(), *(code for each in ranges for code in each)]:
        table[code] = code
    return bytes(table)


_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_WORDS = _table(_LETTERS + _DIGITS + "_", [range(0x80, 0x100)])
_ENCODING = bytes.maketrans((_LETTERS + _DIGITS + "+/=").encode(), b"a" * 65)
_NINE = ord("9")
_WHITE = b" \t\n\r"
_CONTROL = bytes(code for code in (*range(32), 127) if code not in b"\t\n\r\f\v")
_PRINTED = bytes(code for code in range(33, 127) if not 48 <= code <= 57) + b"\f\v"
_NUMERALS = b"0123456789abcdefABCDEFxXuUlL"
_PUNCTUATION = b" .,+-{}[]();:\"'\\\t\r\v\f/*&|"
_RUN = re.compile(b"a{%d,}" % ENCODED_RUN)


def measure(data: bytes, language: str, path: str = "") -> Signals:
    """The signals of one file.

    Args:
        data: the text in UTF-8; any bytes do.
        language: a name of the language table; an unknown one has line comments with "#".
        path: within the repository; empty leaves the signals of the path at 0.
    """
    part = sample(data)
    blank, numbers, quoted, repeated, depth = _lines_of(part)
    values = (
        float(len(data)),
        *_shape(data),
        blank,
        *_characters(part),
        comment_share(data, language),
        *_words_of(part),
        _packed(part),
        numbers,
        quoted,
        _encoded(data) / (len(data) or 1),
        repeated,
        depth,
        100 * count_functions(part, language) / (part.count(b"\n") + 1),
        is_generated(data, path),
        *place(path),
    )
    return Signals._make(_FLOATS.unpack(_FLOATS.pack(*values)))


def _characters(part: bytes) -> tuple[float, float, float, float]:
    """Shares of white space, digits, bytes beyond ASCII, control characters."""
    size = len(part) or 1
    rest = part.translate(None, _PRINTED)  # little is left: the others are cheap to count
    digits = len(rest) - len(rest := rest.translate(None, _DIGITS.encode()))
    white = len(rest) - len(rest := rest.translate(None, _WHITE))
    control = len(rest) - len(rest := rest.translate(None, _CONTROL)) if rest else 0
    return white / size, digits / size, len(rest) / size, control / size


def _packed(part: bytes) -> float:
    """What zlib makes of the middle of the sample, without a header."""
    if not part:
        return 0.0
    start = max(0, len(part) - PACKED) // 2
    piece = part[start : start + PACKED]
    # a window as large as the piece costs a third of zlib's usual one to set up
    compressor = zlib.compressobj(1, zlib.DEFLATED, -11, 4)
    return (len(compressor.compress(piece)) + len(compressor.flush())) / (len(piece) or 1)


def _shape(data: bytes) -> tuple[float, float, float, float]:
    """Lines, their mean length, the longest, the share in long ones."""
    if not data:
        return 0.0, 0.0, 0.0, 0.0
    rows = data.split(b"\n")
    if not rows[-1]:
        rows.pop()
    lengths = list(map(len, rows))
    longest = max(lengths)
    long = sum(n for n in lengths if n > LONG_LINE) if longest > LONG_LINE else 0
    return len(rows), sum(lengths) / len(rows), longest, long / len(data)


def _lines_of(part: bytes) -> tuple[float, float, float, float, float]:
    """Shares of blank lines, number lines, string lines and repeated lines; the depth."""
    rows = part.split(b"\n")
    if not rows[-1]:
        rows.pop()
    left = [row.lstrip() for row in rows]
    filled = [row for row in left if row]
    if not filled:
        return float(bool(rows)), 0.0, 0.0, 0.0, 0.0
    bare = part.translate(None, _PUNCTUATION).split(b"\n")
    telling = len(bare) - bare.count(b"")
    numbers = sum(row[:1].isdigit() and not row.translate(None, _NUMERALS) for row in bare)
    long = [row for row in filled if len(row) >= SHORT_LINE]
    first = bytes([row[0] for row in filled])
    quoted = first.count(b'"') + first.count(b"'")
    return (
        1 - len(filled) / len(rows),
        numbers / telling if telling else 0.0,
        quoted / len(filled),
        1 - len(set(long)) / len(long) if long else 0.0,
        _depth([len(a) - len(b) for a, b in zip(rows, left, strict=True) if b]),
    )


def _depth(widths: Sequence[int]) -> int:
    stack, deepest = [0], 0
    last = 0
    for width in widths:
        if width == last:
            continue
        last = width
        while width < stack[-1]:
            stack.pop()
        if width > stack[-1]:
            stack.append(width)
            deepest = max(deepest, len(stack) - 1)
    return deepest


def _words_of(part: bytes) -> tuple[float, float, float, float, float, float, float]:
    """Words, unique words, mean and median length, one-letter words, numbers, the longest."""
    counts = Counter(part.translate(_WORDS).split())
    total = counts.total()
    if not total:
        return 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    names = [word for word in counts if word[0] > _NINE]  # a word starts with no lower byte
    lengths = sorted(map(len, names))
    named = sum(map(counts.__getitem__, names))
    digits = total - named
    single = 0
    if lengths[:1] == [1]:
        single = sum(counts[word] for word in names if len(word) == 1 and word != b"_")
    middle = len(lengths) // 2
    return (
        total,
        len(counts) / total,
        sum(lengths) / len(lengths) if lengths else 0.0,
        (lengths[middle] + lengths[~middle]) / 2 if lengths else 0.0,
        single / named if named else 0.0,
        digits / total,
        max(map(len, counts)),
    )


def _encoded(data: bytes) -> int:
    """Bytes in long runs of the characters of base64."""
    flat = data.translate(_ENCODING)
    if b"a" * ENCODED_RUN not in flat:
        return 0
    return sum(map(len, _RUN.findall(flat)))
