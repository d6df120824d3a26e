from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.tokens.best_fit import best_fit


def literal(sizes, capacity):
    """Best-fit decreasing as a textbook has it: the contents of each bin."""
    bins = []
    for size in sorted(sizes, reverse=True):
        fitting = [b for b in bins if capacity - sum(b) >= size]
        if fitting:
            min(fitting, key=lambda b: capacity - sum(b)).append(size)
        else:
            bins.append([size])
    return bins


def fills(sizes, found):
    """How many bins are full to which point: bins of equal room are alike, contents may differ."""
    bins = {}
    for size, number in zip(sizes, found.tolist(), strict=True):
        bins.setdefault(number, []).append(size)
    assert sorted(bins) == list(range(len(bins)))  # without gaps
    return Counter(map(sum, bins.values()))


@st.composite
def cases(draw):
    capacity = draw(st.integers(1, 80))
    some = st.integers(1, capacity)
    if draw(st.booleans()):  # many of few sizes: what is moved together
        some = st.sampled_from(draw(st.lists(some, min_size=1, max_size=4)))
    return draw(st.lists(some, max_size=120)), capacity


@given(case=cases())
@settings(max_examples=400, deadline=None)
def test_bins_are_filled_as_the_literal_algorithm_fills_them(case):
    sizes, capacity = case
    found = best_fit(np.array(sizes, dtype=np.int64), capacity)
    assert len(found) == len(sizes) and found.dtype == np.int32
    wanted = Counter(map(sum, literal(sizes, capacity)))
    assert fills(sizes, found) == wanted


def test_a_larger_case_of_long_tailed_sizes():
    random = np.random.default_rng(0)
    sizes = np.minimum(random.lognormal(4, 1.2, 3000).astype(np.int64) + 1, 1025)
    wanted = Counter(map(sum, literal(sizes.tolist(), 1025)))
    assert fills(sizes.tolist(), best_fit(sizes, 1025)) == wanted


def test_items_of_one_size_go_in_as_they_come():
    assert best_fit(np.array([3, 3, 3, 3, 3]), 7).tolist() == [0, 0, 1, 1, 2]
    assert best_fit(np.array([1, 4, 3]), 4).tolist() == [1, 0, 1]
