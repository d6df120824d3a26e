from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.generation.stop import TextAssembler

ALPHABET = "abé日😀\n"


def in_pieces(data: bytes, cuts: list[int], stop: tuple[str, ...]) -> tuple[list[str], bool]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    assembler = TextAssembler(stop)
    texts = [assembler.add(data[a:b]) for a, b in itertools.pairwise(edges)]
    return [*texts, assembler.finish()], assembler.stopped


def by_definition(text: str, stop: tuple[str, ...]) -> str:
    """Read character by character; the first moment at which the text ends in a stop string."""
    for end in range(1, len(text) + 1):
        ending = [word for word in stop if text[:end].endswith(word)]
        if ending:
            return text[: end - max(map(len, ending))]
    return text


@given(
    text=st.text(ALPHABET, max_size=30),
    stop=st.lists(st.text(ALPHABET, min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(0, 200), max_size=20),
)
def test_any_cutting_into_tokens_gives_the_text_of_the_definition(text, stop, cuts):
    pieces, stopped = in_pieces(text.encode(), cuts, tuple(stop))
    wanted = by_definition(text, tuple(stop))
    assert "".join(pieces) == wanted
    assert stopped == any(word in text for word in stop)


@given(text=st.text(ALPHABET, max_size=30), cuts=st.lists(st.integers(0, 200), max_size=20))
def test_no_piece_holds_half_a_character(text, cuts):
    pieces, _ = in_pieces(text.encode(), cuts, ())
    assert "\ufffd" not in "".join(pieces)


def test_text_is_held_back_only_while_a_stop_string_could_complete():
    assembler = TextAssembler(("\n\nEND",))
    assert assembler.add(b"a\n") == "a"
    assert assembler.add(b"\nE") == ""
    assert assembler.add(b"xit\n") == "\n\nExit"  # it was not one after all
    assert assembler.finish() == "\n"


def test_a_stop_string_across_tokens_ends_the_text_before_it():
    assembler = TextAssembler(("</code>",))
    assert assembler.add(b"x = 1<") == "x = 1"
    assert assembler.add(b"/co") == ""
    assert assembler.add(b"de> and more") == ""
    assert assembler.stopped
    assert assembler.add(b"later") == ""
    assert assembler.finish() == ""


@pytest.mark.parametrize("chunk", [1, 3])
def test_the_stop_string_that_is_complete_first_wins(chunk):
    data = b"abcd"
    assembler = TextAssembler(("abcd", "bc"))
    out = "".join(assembler.add(data[i : i + chunk]) for i in range(0, 4, chunk))
    assert (out, assembler.stopped) == ("a", True)


def test_bytes_that_are_no_utf8_become_replacement_characters():
    assembler = TextAssembler()
    assert (
        assembler.add(b"a\xff") + assembler.add(b"b\xe2") + assembler.add(b"c") == "a\ufffdb\ufffdc"
    )


def test_an_unfinished_character_at_the_end_is_left_out():
    assembler = TextAssembler()
    assert assembler.add("né".encode()[:-1]) == "n"
    assert assembler.finish() == ""
