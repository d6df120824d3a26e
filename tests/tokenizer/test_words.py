"""The oracle is the library's pre-tokenizer over the whole text."""

import inspect
import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from codekiln.tokenizer import words
from codekiln.tokenizer.alphabet import CHARACTER_TO_BYTE
from codekiln.tokenizer.words import WordCounter, papers_pre_tokenizer


def librarys(*texts):
    found = Counter()
    for text in texts:
        for word, _ in papers_pre_tokenizer().pre_tokenize_str(text):
            found[bytes(CHARACTER_TO_BYTE[c] for c in word)] += 1
    return found


mixed = st.text(st.sampled_from("ab1 2\n\r\t.,_$é中\u3000ก\U0001f600"), max_size=60)


@given(texts=st.lists(mixed, max_size=6))
def test_words_are_those_of_the_library(texts):
    counter = WordCounter()
    for text in texts:
        counter.add(text)
    assert counter.words() == librarys(*texts)


def test_lines_with_other_characters_are_counted_in_bounded_batches(monkeypatch):
    text = "".join(f"x = 'größe {i % 7}' # 中\n" for i in range(60)) + inspect.getsource(json)
    monkeypatch.setattr(words, "_HELD_LINES", 3)
    counter = WordCounter()
    counter.add(text)
    assert counter.words() == librarys(text)


def test_counters_merge_and_texts_count_several_times():
    first, second = WordCounter(), WordCounter()
    first.add("def f(x): ñ\n", times=3)
    second.add("def g(x)\n")
    first.merge(second.words())
    assert first.words() == librarys(*["def f(x): ñ\n"] * 3, "def g(x)\n")
    assert first.words() == {}


def test_a_lone_surrogate_counts_as_a_question_mark():
    counter = WordCounter()
    counter.add("x\ud800y")
    assert counter.words() == librarys("x?y")
