"""The oracle is the tokenizers library, trained on the text that the counts stand for."""

import json
from collections import Counter

import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, trainers

from codekiln.tokenizer import merges
from codekiln.tokenizer.alphabet import BYTE_TO_CHARACTER
from codekiln.tokenizer.merges import ALPHABET, learn_merges


def librarys(words, size, min_frequency):
    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(" ")
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        initial_alphabet=list(BYTE_TO_CHARACTER),
        show_progress=False,
    )
    text = [" ".join([word.decode()] * count) for word, count in words.items()]
    library.train_from_iterator(text, trainer)
    model = json.loads(library.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def ours(words, size, min_frequency):
    vocabulary, pairs = learn_merges(words, size=size, min_frequency=min_frequency)
    return (
        {entry: token for token, entry in enumerate(vocabulary)},
        [(vocabulary[a], vocabulary[b]) for a, b in pairs],
    )


words_of_few_letters = st.lists(
    st.tuples(st.text("abc", min_size=1, max_size=14), st.integers(1, 40)), max_size=40
)


@given(words=words_of_few_letters, size=st.integers(256, 400), min_frequency=st.integers(1, 4))
@example(words=[("aaaaaaa", 3), ("aaab", 2), ("baaaab", 5)], size=300, min_frequency=1)
@example(words=[("abab", 3), ("babab", 2)], size=300, min_frequency=1)
def test_merges_are_those_of_the_library(words, size, min_frequency):
    counts = Counter()
    for word, count in words:
        counts[word.encode()] += count
    assert ours(counts, size, min_frequency) == librarys(counts, size, min_frequency)


@given(words=words_of_few_letters)
def test_the_floor_changes_nothing(words):
    """Every pair counted from the start, or pairs above a floor that is lowered step by step."""
    counts = Counter({word.encode(): count**4 for word, count in words})
    found = ours(counts, 330, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merges, "_LOWER_BY", 10**9)
        assert ours(counts, 330, 1) == found
        patch.setattr(merges, "_LOWER_BY", 2)
        assert ours(counts, 330, 1) == found


@given(words=words_of_few_letters)
def test_a_token_is_spelt_by_one_merge(words):
    vocabulary, pairs = learn_merges(
        {word.encode(): count for word, count in words}, size=500, min_frequency=1
    )
    assert len(vocabulary) == len(set(vocabulary)) == 256 + len(set(pairs)) == 256 + len(pairs)


def test_counts_beyond_32_bits_keep_their_order():
    """The library holds a pair's count in 32 bits; a sample of 10 GB can have more."""
    words = {b"ab": 2**33, b"cd": 2**33 + 1, b"ef": 2**31 - 1}
    vocabulary, _ = learn_merges(words, size=259, min_frequency=2)
    assert vocabulary[256:] == ["cd", "ab", "ef"]


def test_nothing_to_merge():
    for words in ({}, {b"a": 5, b"b": 3}):
        assert learn_merges(words, size=300, min_frequency=1) == (ALPHABET, [])


def test_progress_is_told_once_for_each_new_id():
    told = []
    vocabulary, _ = learn_merges(
        {b"abcd": 3}, size=300, min_frequency=1, advance=lambda: told.append(1)
    )
    assert len(told) == len(vocabulary) - 256 == 3
