"""The numbers: pass@k, exact match, edit similarity, and how sure they are."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence

LEVEL = 0.95  # of every interval
BOOTSTRAP_ROUNDS = 1000


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """The unbiased estimate of the chance that one of k samples passes: 1 - C(n-c, k) / C(n, k).

    In whole numbers, so that it is right to the last digit. (The product of floats of the
    official script gives 0.49999999999999994 where this gives 0.5.)

    Source: Chen et al. 2021, Evaluating Large Language Models Trained on Code, equation 1.

    Raises:
        ValueError: k is above the number of samples, or more passed than were made.
    """
    if not 1 <= k <= samples or not 0 <= passed <= samples:
        raise ValueError(f"no pass@{k} of {passed} passed among {samples}")
    choices = math.comb(samples, k)
    return (choices - math.comb(samples - passed, k)) / choices


def exact_match(written: str, truth: str) -> bool:
    """Whether two lines are equal; blanks at their ends don't count, indentation does."""
    return written.rstrip() == truth.rstrip()


def edit_similarity(written: str, truth: str) -> float:
    """How alike two texts are, 0 to 1: twice the longest common subsequence over both lengths.

    This is 1 - (insertions + deletions) / (both lengths), the `fuzz.ratio` that CrossCodeEval
    reports, before its rounding to whole percents. Two empty texts are alike.

    Source: DeepSeek-Coder §4.3 (CrossCodeEval's metric). Open there: which edit distance.
    """
    both = len(written) + len(truth)
    return 2 * longest_common_subsequence(written, truth) / both if both else 1.0


def longest_common_subsequence(first: str, second: str) -> int:
    """Its length in characters, by one long addition for each character of `second`.

    Row by row of the usual table, a row held as the bits of one integer (Hyyrö 2004).
    """
    places: dict[str, int] = {}
    for at, character in enumerate(first):
        places[character] = places.get(character, 0) | 1 << at
    full = (1 << len(first)) - 1
    row = full
    for character in second:
        matched = row & places.get(character, 0)
        row = ((row + matched) | (row - matched)) & full
    return len(first) - row.bit_count()


def interval(values: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """The 95% interval of the mean of `values`, by bootstrap: seeded, so that it reproduces.

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("no values")
    draw = random.Random(seed)
    count = len(values)
    means = sorted(statistics.fmean(draw.choices(values, k=count)) for _ in range(BOOTSTRAP_ROUNDS))
    tail = round((1 - LEVEL) / 2 * BOOTSTRAP_ROUNDS)
    return means[tail], means[-1 - tail]
