"""The library's pre-tokenizer as the oracle for our own cut."""

import json

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.tokenizer.alphabet import CHARACTER_TO_BYTE
from codekiln.tokenizer.split import DESCRIPTION, is_papers, pieces


@pytest.fixture(scope="module")
def library():
    empty = json.loads(tokenizers.Tokenizer(tokenizers.models.BPE()).to_str())
    text = json.dumps({**empty, "pre_tokenizer": DESCRIPTION})
    return tokenizers.Tokenizer.from_str(text).pre_tokenizer


def theirs(library, text):
    words = [word for word, _ in library.pre_tokenize_str(text)]
    return [bytes(CHARACTER_TO_BYTE[c] for c in word).decode() for word in words]


def ours(library, text):
    """Lines that are not ASCII stay whole here; the library cuts them later."""
    return [w for p in pieces(text) for w in ([p] if p.isascii() else theirs(library, p))]


def test_every_pair_of_ascii_characters(library):
    for a in range(128):
        for b in range(128):
            text = chr(a) + chr(b)
            assert pieces(text) == theirs(library, text), text


def test_triples_of_every_kind_of_character(library):
    kinds = "aZ_.(-$= \t\x0b\x0c\x1c\x1f\x00\x7f\r\n7"
    for text in (a + b + c for a in kinds for b in kinds for c in kinds):
        assert pieces(text) == theirs(library, text), text


@given(
    text=st.text(st.characters(max_codepoint=127)) | st.text(st.sampled_from("ab _.( \t\n=+\x1c"))
)
@settings(max_examples=500, deadline=None)
def test_ascii_texts(library, text):
    assert pieces(text) == theirs(library, text)


@given(text=st.text() | st.text(st.sampled_from("ab _.(\t\n\r=é中ー가\x85\xa0\u2028\u3000²")))
@settings(max_examples=500, deadline=None)
def test_any_text_cut_line_by_line(library, text):
    assert "".join(pieces(text)) == text
    assert ours(library, text) == theirs(library, text)


def test_only_the_papers_pre_tokenizer_is_cut_so():
    assert is_papers(DESCRIPTION)
    steps = DESCRIPTION["pretokenizers"]
    assert is_papers(
        {"type": "Sequence", "pretokenizers": [*steps[:-1], {**steps[-1], "trim_offsets": False}]}
    )
    for other in (
        None,
        steps[-1],
        {"type": "Sequence", "pretokenizers": steps[1:]},
        {"type": "Sequence", "pretokenizers": [*steps[:-1], {**steps[-1], "use_regex": True}]},
        {"type": "Sequence", "pretokenizers": [{**steps[0], "invert": True}, *steps[1:]]},
        {"type": "Sequence"},
    ):
        assert not is_papers(other)
