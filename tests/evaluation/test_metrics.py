"""Numbers against brute force."""

from __future__ import annotations

import itertools
import random
import statistics
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.evaluation.metrics import (
    edit_similarity,
    exact_match,
    interval,
    longest_common_subsequence,
    pass_at_k,
)


@pytest.mark.parametrize("samples", range(1, 8))
def test_pass_at_k_is_the_share_of_drawings_with_a_pass(samples):
    for passed, k in itertools.product(range(samples + 1), range(1, samples + 1)):
        verdicts = [True] * passed + [False] * (samples - passed)
        drawings = [any(d) for d in itertools.combinations(verdicts, k)]
        assert pass_at_k(samples, passed, k) == float(Fraction(sum(drawings), len(drawings)))


def test_pass_at_k_agrees_with_the_official_product_of_floats():
    for samples, passed, k in ((6, 3, 1), (100, 7, 10), (200, 31, 100), (100, 100, 100)):
        product = 1.0
        for n in range(samples - passed + 1, samples + 1):
            product *= 1.0 - k / n
        official = 1.0 if samples - passed < k else 1.0 - product
        assert pass_at_k(samples, passed, k) == pytest.approx(official, abs=1e-12)
    assert pass_at_k(6, 3, 1) == 0.5


@pytest.mark.parametrize(("samples", "passed", "k"), [(5, 2, 6), (5, 6, 1), (5, -1, 1), (5, 1, 0)])
def test_pass_at_k_refuses_what_has_no_meaning(samples, passed, k):
    with pytest.raises(ValueError, match="no pass@"):
        pass_at_k(samples, passed, k)


def table_lcs(first: str, second: str) -> int:
    """The textbook's table."""
    rows = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, j in itertools.product(range(len(first)), range(len(second))):
        rows[i + 1][j + 1] = (
            rows[i][j] + 1 if first[i] == second[j] else max(rows[i][j + 1], rows[i + 1][j])
        )
    return rows[-1][-1]


@settings(max_examples=300, deadline=None)
@given(st.text("abc é😀", max_size=90), st.text("abc é😀", max_size=90))
def test_longest_common_subsequence_against_the_table(first, second):
    expected = table_lcs(first, second)
    assert longest_common_subsequence(first, second) == expected
    both = len(first) + len(second)
    assert edit_similarity(first, second) == (2 * expected / both if both else 1.0)


def test_edit_similarity_by_hand():
    assert edit_similarity("return x", "return x") == 1.0
    assert edit_similarity("", "") == 1.0
    assert edit_similarity("abc", "") == 0.0
    assert edit_similarity("abc", "xyz") == 0.0
    # "kitten"/"sitting": common subsequence "ittn", so 8/13, which fuzz.ratio rounds to 62
    assert edit_similarity("kitten", "sitting") == 8 / 13


def test_exact_match_minds_indentation_but_not_trailing_blanks():
    assert exact_match("    x = 1  \r", "    x = 1")
    assert not exact_match("  x = 1", "    x = 1")
    assert not exact_match("", "x")


def test_interval_covers_the_mean_about_as_often_as_it_says():
    draw = random.Random(1)
    hits = 0
    for trial in range(100):
        values = [float(draw.random() < 0.3) for _ in range(100)]
        low, high = interval(values, seed=trial)
        assert low <= statistics.fmean(values) <= high
        hits += low <= 0.3 <= high
    assert 85 <= hits <= 100


def test_interval_reproduces_and_refuses_nothing():
    assert interval([0.0, 1.0, 1.0]) == interval([0.0, 1.0, 1.0])
    assert interval([1.0] * 5) == (1.0, 1.0)
    with pytest.raises(ValueError, match="no values"):
        interval([])
