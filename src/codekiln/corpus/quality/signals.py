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

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from codekiln.corpus.quality.characters import character_signals, encoded_shares, shape_signals
from codekiln.corpus.quality.comments import comment_share
from codekiln.corpus.quality.functions import count_functions
from codekiln.corpus.quality.lines import line_signals
from codekiln.corpus.quality.origin import Place, is_generated, place
from codekiln.corpus.quality.sample import sample
from codekiln.corpus.quality.together import Together
from codekiln.corpus.quality.words import word_signals

PACKED = 2048  # bytes that are compressed
BATCH_FILES = 64
BATCH_BYTES = 1 << 20

File = tuple[bytes, str, str]  # as `measure` takes them


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


def measure(data: bytes, language: str, path: str = "") -> Signals:
    """The signals of one file; many are faster by `measure_files`.

    Args:
        data: the text in UTF-8; any bytes do.
        language: a name of the language table; an unknown one has line comments with "#".
        path: within the repository; empty leaves the signals of the path at 0.
    """
    return _measure([(data, language, path)])[0]


def measure_files(files: Sequence[File]) -> list[Signals]:
    """The signals of many files, the same as of each on its own."""
    return [found for batch in batches(files) for found in _measure(batch)]


def batches(files: Sequence[File]) -> Iterator[Sequence[File]]:
    """Files that are measured in one go: few enough for the processor's cache."""
    start = size = 0
    for at, (data, _, _) in enumerate(files):
        if at > start and (at - start >= BATCH_FILES or size + len(data) > BATCH_BYTES):
            yield files[start:at]
            start, size = at, 0
        size += len(data)
    if files:
        yield files[start:]


def _measure(files: Sequence[File]) -> list[Signals]:
    parts = [sample(data) for data, _, _ in files]
    samples, whole = Together(parts), Together([data for data, _, _ in files])
    columns = {
        "size": whole.sizes,
        **shape_signals(whole)._asdict(),
        **line_signals(samples)._asdict(),
        **character_signals(samples)._asdict(),
        **word_signals(samples)._asdict(),
        "encoded": encoded_shares(whole),
        "packed": [_packed(part) for part in parts],
        "comments": [comment_share(data, language) for data, language, _ in files],
        "functions": [
            100 * count_functions(part, language) / (part.count(b"\n") + 1)
            for part, (_, language, _) in zip(parts, files, strict=True)
        ],
        "generated": [is_generated(data, path) for data, _, path in files],
    }
    places = [place(path) for _, _, path in files]
    columns |= dict(zip(Place._fields, zip(*places, strict=True), strict=True))
    table = np.array([columns[name] for name in NAMES], np.float64)
    return [Signals._make(row) for row in table.T.astype(np.float32).tolist()]


def _packed(part: bytes) -> float:
    """What zlib makes of the middle of the sample, without a header."""
    if not part:
        return 0.0
    start = max(0, len(part) - PACKED) // 2
    piece = part[start : start + PACKED]
    # a window as large as the piece costs a third of zlib's usual one to set up
    compressor = zlib.compressobj(1, zlib.DEFLATED, -11, 4)
    return (len(compressor.compress(piece)) + len(compressor.flush())) / (len(piece) or 1)
