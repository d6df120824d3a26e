from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.errors import TokenizerError
from codekiln.tokenizer.special import SpecialTokens
from codekiln.tokens.fim import Draw, layout_parts, prompt

SPECIAL = SpecialTokens(bos=100, eos=101, pad=102, fim_begin=103, fim_hole=104, fim_end=105)
PART = st.lists(st.integers(0, 99), max_size=8)


def layout(prefix, suffix, middle, special, order):
    asked, answer = layout_parts([prefix, suffix], [middle], special, order)
    return list(chain.from_iterable([*asked, *answer]))


def test_psm_is_the_papers_order():
    assert layout([1, 2], [3], [4, 5], SPECIAL, "psm") == [103, 1, 2, 104, 3, 105, 4, 5, 101]


def test_spm_puts_the_suffix_first_and_prefix_beside_middle():
    assert layout([1, 2], [3], [4, 5], SPECIAL, "spm") == [103, 104, 3, 105, 1, 2, 4, 5, 101]


@given(prefix=PART, suffix=PART, middle=PART, order=st.sampled_from(["psm", "spm"]))
def test_the_prompt_is_a_strict_prefix_of_the_layout(prefix, suffix, middle, order):
    asked, trained = (
        prompt(prefix, suffix, SPECIAL, order),
        layout(prefix, suffix, middle, SPECIAL, order),
    )
    assert trained == [*asked, *middle, SPECIAL.eos]


@given(prefix=PART, suffix=PART, middle=PART, order=st.sampled_from(["psm", "spm"]))
def test_the_file_can_be_read_back_from_either_order(prefix, suffix, middle, order):
    """A reader that knows only the control tokens, not the order, restores the file."""
    begin, *rest, eos = layout(prefix, suffix, middle, SPECIAL, order)
    hole, end = rest.index(104), rest.index(105)
    before, after, tail = rest[:hole], rest[hole + 1 : end], rest[end + 1 :]
    assert (begin, eos) == (103, 101)
    assert before + tail + after == prefix + middle + suffix


def test_no_fim_tokens_is_a_clear_error():
    with pytest.raises(TokenizerError, match="no fill-in-the-middle tokens"):
        prompt([1], [2], SpecialTokens(bos=0, eos=1, pad=1))


def test_draws_depend_on_seed_document_and_file_alone():
    assert Draw.of(1, "a", 2) == Draw.of(1, "a", 2)
    others = [Draw.of(2, "a", 2), Draw.of(1, "b", 2), Draw.of(1, "a", 3), Draw.of(12, "a", 0)]
    assert len({Draw.of(1, "a", 2), *others}) == 5
    assert Draw.of(0, "x\ud800", 0)  # any name will do


@given(seed=st.integers(0, 2**32), name=st.text(), length=st.integers(0, 10**9))
def test_cuts_are_sorted_and_inside(seed, name, length):
    first, second = Draw.of(seed, name, 0).cuts(length)
    assert 0 <= first <= second <= length


def test_cuts_are_uniform_over_all_places_between_characters():
    """Both cuts of a file of 3 characters fall on each of the 16 pairs of places alike."""
    seen = np.zeros((4, 4))
    for i in range(20_000):
        first, second = Draw.of(0, f"d{i}", 0).cuts(3)
        seen[first, second] += 1
    wanted = np.triu(np.full((4, 4), 2.0))
    np.fill_diagonal(wanted, 1.0)
    wanted *= 20_000 / 16
    cells = wanted > 0
    chi_square = ((seen - wanted)[cells] ** 2 / wanted[cells]).sum()
    assert seen[~cells].sum() == 0
    assert chi_square < 27.9  # 9 degrees of freedom, one in a thousand


def test_chances_of_one_file_are_independent():
    draws = [Draw.of(3, "d", i) for i in range(5000)]
    values = np.array([[d.chosen, d.first, d.second, d.order] for d in draws])
    assert values.min() >= 0 and values.max() < 1
    off_diagonal = np.corrcoef(values.T)[~np.eye(4, dtype=bool)]
    assert np.abs(off_diagonal).max() < 0.06  # four standard deviations
    assert np.abs(values.mean(axis=0) - 0.5).max() < 0.02


def test_mixed_order_follows_its_rate():
    orders = [Draw.of(0, "d", i).layout_order("mixed", 0.25) for i in range(4000)]
    assert 0.22 < orders.count("spm") / 4000 < 0.28
    assert Draw.of(0, "d", 0).layout_order("psm", 1.0) == "psm"
    assert Draw.of(0, "d", 0).layout_order("spm", 0.0) == "spm"
