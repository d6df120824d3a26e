"""Signals against slow counts, and comments against Python's tokenizer."""

from __future__ import annotations

import io
import random
import re
import statistics
import sysconfig
import tokenize
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.corpus.quality.comments import (
    _BY_LANGUAGE,
    _FAMILIES,
    comment_bytes,
    comment_share,
)
from codekiln.corpus.quality.functions import count_functions
from codekiln.corpus.quality.origin import is_generated, place
from codekiln.corpus.quality.sample import WHOLE, pieces, sample
from codekiln.corpus.quality.signals import BATCH_BYTES, NAMES, batches, measure, measure_files

STDLIB = Path(sysconfig.get_paths()["stdlib"])
PUNCTUATION = " .,+-{}[]();:\"'\\\t\r\v\f/*&|"

PARTS = ["a", "Ab_1", "x", "0x1F", "12", "3,", "=", "(", "{", "}", '"', "'", "#", "é", ";", "_"]
WORDS_OF_8_AND_9 = ["of_eight", "of_eighT", "of__nine_", "12345678", "123456789", "é_eight"]
BLANKS = ["    ", "\t", "  ", "\n", "\n\n", "\r", "\0", "\x7f", "A" * 70]
pieces_of_code = st.sampled_from([*PARTS, *WORDS_OF_8_AND_9, *BLANKS])
texts = st.lists(pieces_of_code, max_size=120).map("".join)


def slow(text: str) -> dict[str, float]:
    """The definitions in the simplest words, for texts that are looked at whole."""
    data = text.encode()
    rows = data.split(b"\n")
    if rows and not rows[-1]:
        rows.pop()
    words = re.findall(rb"[A-Za-z0-9_\x80-\xff]+", data)
    names = sorted({w for w in words if not w[:1].isdigit()})
    named = [w for w in words if not w[:1].isdigit()]
    filled = [row.lstrip() for row in rows if row.strip()]
    bare = [bytes(b for b in row if chr(b) not in PUNCTUATION) for row in rows]
    telling = [row for row in bare if row]
    long = [row for row in filled if len(row) >= 4]
    runs = re.findall(rb"[A-Za-z0-9+/=]{64,}", data)
    size = len(data) or 1
    return {
        "size": len(data),
        "lines": len(rows),
        "mean_line": sum(map(len, rows)) / len(rows) if rows else 0,
        "longest_line": max(map(len, rows), default=0),
        "long_lines": sum(len(row) for row in rows if len(row) > 200) / size,
        "blank_lines": sum(not row.strip() for row in rows) / len(rows) if rows else 0,
        "white": sum(chr(b) in " \t\n\r" for b in data) / size,
        "digits": sum(chr(b) in "0123456789" for b in data) / size,
        "beyond_ascii": sum(b >= 128 for b in data) / size,
        "control": sum((b < 32 and chr(b) not in "\t\n\r\f\v") or b == 127 for b in data) / size,
        "words": len(words),
        "unique_words": len(set(words)) / len(words) if words else 0,
        "word_length": statistics.mean(map(len, names)) if names else 0,
        "median_word": statistics.median(map(len, names)) if names else 0,
        "one_letter": sum(len(w) == 1 and w.isalpha() for w in named) / len(named) if named else 0,
        "numbers": 1 - len(named) / len(words) if words else 0,
        "longest_word": max(map(len, words), default=0),
        "number_lines": sum(
            row[:1].isdigit() and all(chr(b) in "0123456789abcdefABCDEFxXuUlL" for b in row)
            for row in telling
        )
        / (len(telling) or 1)
        * bool(filled),
        "string_lines": sum(row[:1] in (b'"', b"'") for row in filled) / (len(filled) or 1),
        "encoded": sum(map(len, runs)) / size,
        "repeated_lines": 1 - len(set(long)) / len(long) if long else 0,
        "depth": slow_depth(rows),
    }


def slow_depth(rows: list[bytes]) -> int:
    """Longest chain of ever smaller indentations that leads up from a line."""
    widths = [len(row) - len(row.lstrip()) for row in rows if row.strip()]
    deepest = 0
    for place_, width in enumerate(widths):
        chain, least = 0, width
        for before in reversed(widths[:place_]):
            if before < least:
                chain, least = chain + 1, before
        deepest = max(deepest, chain + (least > 0))
    return deepest


@given(texts)
def test_signals_equal_slow_counts(text):
    if len(text.encode()) > WHOLE:
        return
    found = measure(text.encode(), "python")._asdict()
    for name, value in slow(text).items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-7), name


@given(st.lists(texts, max_size=8))
def test_files_measured_together_equal_slow_counts(many):
    many = [text for text in many if len(text.encode()) <= WHOLE]
    for text, found in zip(many, measure_files([(t.encode(), "c", "") for t in many]), strict=True):
        for name, value in slow(text).items():
            assert getattr(found, name) == pytest.approx(value, rel=1e-6, abs=1e-7), name


def test_files_measured_together_are_as_each_on_its_own():
    paths = sorted(STDLIB.glob("*.py"))[:150]
    files = [(path.read_bytes(), "python", f"test/{path.name}") for path in paths]
    files += [
        (b"", "c", ""),
        (b"\n", "c", ""),
        (b"Zm9v" * 400_000, "c", "a.min.js"),
        (b" ", "c", ""),
    ]
    assert measure_files(files) == [measure(*file) for file in files]
    found = list(batches(files))
    assert [file for batch in found for file in batch] == files
    assert all(sum(len(file[0]) for file in batch) <= BATCH_BYTES for batch in found if batch[1:])
    assert list(batches([])) == [] and measure_files([]) == []


@given(st.binary(max_size=4000))
def test_packed_is_what_zlib_makes_of_the_middle(data):
    start = max(0, len(data) - 2048) // 2
    piece = data[start : start + 2048]
    packer = zlib.compressobj(1, zlib.DEFLATED, -11, 4)
    wanted = len(packer.compress(piece) + packer.flush()) / len(piece) if piece else 0
    assert measure(data, "c").packed == np.float32(wanted)


@given(st.binary(max_size=3000), st.sampled_from(["python", "c", "php", "lua", "html", "nothing"]))
def test_any_bytes_give_float32_numbers_in_range(data, language):
    found = measure(data, language)
    assert found == tuple(np.array(found, np.float32).tolist())
    shares = set(NAMES) - {"size", "lines", "mean_line", "longest_line", "words", "word_length"}
    shares -= {"median_word", "longest_word", "packed", "depth", "functions"}
    assert all(0 <= getattr(found, name) <= 1 for name in shares)


def test_comments_are_those_of_pythons_tokenizer():
    paths = sorted(path for path in STDLIB.glob("*.py") if path.stat().st_size < 60_000)
    exact = sampled = 0.0
    chosen = random.Random(5).sample(paths, 40)
    for path in chosen:
        data = path.read_bytes()
        wanted = 0
        for token in tokenize.tokenize(io.BytesIO(data).readline):
            triple = token.type == tokenize.STRING and token.string.endswith(('"""', "'''"))
            if token.type == tokenize.COMMENT or triple:
                wanted += len(token.string.lstrip("rRuUbBfF").encode())
        assert comment_bytes(data, "python") == wanted, path.name
        exact += wanted / len(data)
        sampled += abs(comment_share(data, "python") - wanted / len(data))
    assert sampled / len(chosen) < 0.06 and exact > 1  # a sample is a sample


def c_comments(text: str) -> int:
    """A state machine, character by character."""
    count, at, state = 0, 0, ""
    while at < len(text):
        two = text[at : at + 2]
        if state == "":
            if two in ("//", "/*"):
                state, count, at = two, count + 2, at + 2
                continue
            if text[at] == '"':
                state = '"'
            at += 1
        elif state == '"':
            if text[at] == "\\":
                at += 2
                continue
            state = "" if text[at] in '"\n' else state
            at += 1
        elif state == "//":
            state = "" if text[at] == "\n" else state
            count += text[at] != "\n"
            at += 1
        elif two == "*/":
            state, count, at = "", count + 2, at + 2
        else:
            count, at = count + 1, at + 1
    return count


@given(st.lists(st.sampled_from(["//", "/*", "*/", '"', "a", "\n", " ", "*", "/"]), max_size=40))
def test_c_comments_equal_a_state_machine(parts):
    text = "".join(parts)
    assert comment_bytes(text.encode(), "c") == c_comments(text)


MARKS = [b'"', b"'", b'"' * 3, b"'" * 3, b"`", b"\\", b"/*", b"*/", b"//", b"--", b"--[[", b"]]"]
MARKS += [b"<!--", b"-->", b"{-", b"-}", b"(*", b"*)", b"#", b"\n", b" ", b"a", b"a b"]


@pytest.mark.parametrize("family", [*_FAMILIES])
@given(text=st.lists(st.sampled_from(MARKS), max_size=40).map(b"".join))
def test_comments_equal_those_found_by_trying_at_every_place(family, text):
    """The marks tell comments from strings, whatever stands within them."""
    language = next(name for name, found in _BY_LANGUAGE.items() if found == family)
    comments, others = _FAMILIES[family]
    at = found = 0
    while at < len(text):
        tries = [(re.compile(each, re.DOTALL).match(text, at), True) for each in comments]
        tries += [(re.compile(each, re.DOTALL).match(text, at), False) for each in others]
        match, is_comment = next(((m, c) for m, c in tries if m), (None, False))
        found += len(match[0]) if match and is_comment else 0
        at = match.end() if match else at + 1
    assert comment_bytes(text, language) == found


def test_comments_of_other_languages():
    assert comment_bytes(b"# a\nx = 1 # b\necho ${#c} '# d'\n", "shell") == 6
    assert comment_bytes(b"--[[ a\nb ]] x = 1 -- c\n", "lua") == 11 + 4
    assert comment_bytes(b"<p>a</p><!-- b -->", "html") == 10
    assert comment_bytes(b"; a\nmov b\n", "assembly") == 3
    assert comment_bytes(b"s = 'http://a' // b", "javascript") == 4


def test_a_piece_that_starts_within_a_comment():
    code = b"x = 1\n" * 400
    python = code + b'"""\n' + b"word and word\n" * 400 + b'"""\n' + code
    c = code + b"/*\n" + b"word and word\n" * 400 + b"*/\n" + code
    for data, language in ((python, "python"), (c, "c")):
        assert comment_share(data, language) == pytest.approx(1 / 3, abs=0.02)


def test_the_sample_is_whole_lines_from_three_places():
    data = b"".join(b"line %d\n" % n for n in range(5000))
    found = sample(data)
    assert found.startswith(b"line 0\n") and found.endswith(b"line 4999\n")
    assert set(found.split(b"\n")) <= set(data.split(b"\n")) and b"line 2500" in found
    assert sum(end - start for start, end in pieces(data)) <= WHOLE
    assert len(sample(b"x" * 100_000)) <= WHOLE + 2
    assert sample(data[:WHOLE]) == data[:WHOLE]


@pytest.mark.parametrize(
    ("head", "path"),
    [
        ("// Code generated by protoc-gen-go. DO NOT EDIT.\n", "a.go"),
        (
            "# -*- coding: utf-8 -*-\n# Generated by the protocol buffer compiler.  DO NOT EDIT!\n",
            "a",
        ),
        ("/**\n * @generated SignedSource<<0>>\n */\n", "a.js"),
        ("// <auto-generated>\n//   This code was generated by a tool.\n", "a.cs"),
        ("/* A Bison parser, made by GNU Bison 3.8.2.  */\n", "a.c"),
        ("/* This file is automatically generated */\n", "a.h"),
        ("x", "a/b_pb2.py"),
        ("x", "lib/a.min.js"),
        ("x", "Form1.Designer.cs"),
    ],
)
def test_generated_files_are_seen(head, path):
    assert is_generated(head.encode(), path)


@pytest.mark.parametrize(
    "text",
    [
        'TEMPLATE = """\n    // Code generated by us. DO NOT EDIT.\n"""\n',
        "# Reports which objects are auto-generated if wanted\n",
        " * Warning: do not modify the returned list\n",
        "# The edges are generated by the caller and kept\nx = 1\n",
        "def generated_by(x):\n    return x\n",
    ],
)
def test_talk_of_generating_is_not_generated(text):
    assert not is_generated(text.encode(), "a.py")


def test_places():
    assert place("a/vendor/x.c").vendored and place("node_modules/x.js").vendored
    assert place("web/jquery-3.1.0.min.js").vendored and not place("src/vendors.py").vendored
    assert place("tests/fixtures/x.json") == (False, True, True)
    assert place("src/FooTest.java").test and place("a_test.go").test
    assert place("src/latest.py") == (False, False, False)


@pytest.mark.parametrize(
    ("language", "text", "count"),
    [
        ("python", "def a():\n  pass\nasync def b(x): pass\nundef c\nx = 'def'\n", 2),
        ("c", "int a(int b)\n{\n  if (b) {\n  }\n  for (;;) {}\n}\nstatic void c(void) {\n}\n", 2),
        ("java", "class A {\n  int f() {\n    while (x) {\n    }\n  }\n}\n", 1),
        ("go", "func a() {}\nfunc (r *R) b() {}\n", 2),
        ("rust", "fn a() {}\npub fn b<T>() {}\n", 2),
        ("javascript", "function a() {\n}\nconst b = (x) => {\n};\nif (x) {\n}\n", 2),
        ("shell", "a() {\n}\nfunction b {\n}\n", 2),
        ("html", "<p>", 0),
    ],
)
def test_functions_are_counted(language, text, count):
    assert count_functions(text.encode(), language) == count


STRINGS = [b'"', b"'", b'"""', b"`", b"\\", b"/*", b"--[[", b"<!--", b"{-"]
CODE = [b"function ", b"function(", b"(\n", b") ", b"if (", b"def ", b"=> ", b"() ", b"a\t\n "]
WORDS = [b"# do not edit ", b"this file is ", b"# generated "]


@pytest.mark.parametrize("unit", [*STRINGS, *CODE, *WORDS])
def test_hostile_repeats_end(unit):
    data = unit + b" " * 5000 + unit * 20_000  # what is quadratic would take minutes
    for language in ("c", "javascript", "python", "php", "shell", "lua", "html", "haskell", "ada"):
        assert measure(data, language).size == len(data)
        assert comment_bytes(data, language) <= len(data)
        assert count_functions(data, language) >= 0
