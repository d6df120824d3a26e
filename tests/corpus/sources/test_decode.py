"""Bytes to text: what is decoded, and what is refused by name."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.sources.decode import BINARY, NOT_UTF8, decode

TEXT = "naïve = '数据'\r\n\u2028 line\n"
any_text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\ufeff"))


@settings(deadline=None)
@given(any_text)
def test_utf8_comes_back_exactly(text: str) -> None:
    assert decode(text.encode()) == (text, "")


@settings(deadline=None)
@given(any_text, st.sampled_from(["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]))
def test_marked_wide_encodings_come_back_without_the_mark(text: str, encoding: str) -> None:
    if text:  # the mark of an empty UTF-16 file followed by nothing is tested below
        assert decode(f"\ufeff{text}".encode(encoding)) == (text, "")


def test_byte_order_mark_of_utf8_is_removed() -> None:
    assert decode(codecs.BOM_UTF8 + TEXT.encode()) == (TEXT, "")


def test_line_ends_stay() -> None:
    assert decode(b"a\r\nb\rc\n")[0] == "a\r\nb\rc\n"


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF\x02\x01\x01\0\0",
        b"text with a\0null",
        b"MZ\x90\0",
        "a = 1\n".encode("utf-16-le"),  # not marked: nothing is guessed
        codecs.BOM_UTF16_LE + b"\x00\xd8a\0",  # half of a surrogate pair
        codecs.BOM_UTF16_LE + b"abc",  # an odd byte
        codecs.BOM_UTF8 + b"a\0b",
    ],
)
def test_binary(data: bytes) -> None:
    assert decode(data) == (None, BINARY)


@pytest.mark.parametrize(
    "data",
    [
        b"caf\xe9 = 1\n",
        b"\xff\xfe"[:1] + b"a",
        b"# coding: utf-8\ncaf\xe9\n",  # declared, but wrong
        b"# coding: no-such-thing\ncaf\xe9\n",
        b"# coding: rot13\ncaf\xe9\n",
        b"# coding: unicode_escape\ncaf\xe9\n",
        b"1\n2\n# coding: latin-1\ncaf\xe9\n",  # on the third line it says nothing
        b"\xed\xa0\x80",  # a surrogate
        b"\xc0\xaf",  # longer than need be
        codecs.BOM_UTF8 + b"\xff",
    ],
)
def test_not_utf8(data: bytes) -> None:
    assert decode(data) == (None, NOT_UTF8)


@pytest.mark.parametrize(
    ("encoding", "cookie"),
    [
        ("latin-1", "# -*- coding: latin-1 -*-"),
        ("iso-8859-15", "#!/usr/bin/python\n# -*- coding: iso-8859-15 -*-"),
        ("cp1252", "# vim: set fileencoding=cp1252 :"),
        ("euc_jp", "; -*- coding: euc_jp; -*-"),
        ("koi8-r", "# coding=KOI8-R"),
        ("gb18030", "# coding: gb18030"),
        ("shift_jis", "// coding: shift_jis"),
    ],
)
def test_declared_encodings(encoding: str, cookie: str) -> None:
    word = {"koi8-r": "слово", "euc_jp": "日本", "shift_jis": "日本", "gb18030": "中文"}
    text = f"{cookie}\nx = '{word.get(encoding, 'é')}'\n"
    assert decode(text.encode(encoding)) == (text, "")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_text_or_a_reason(data: bytes) -> None:
    text, problem = decode(data)
    assert (text is None) == bool(problem)
    if text is not None:
        text.encode("utf-8")  # whatever comes out can be written
        assert "\0" not in text
