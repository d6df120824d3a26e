from __future__ import annotations

import pytest

from codekiln.generation.ending import first_line, trim_overlap


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("a = 1\nb = 2\n", "a = 1"), ("a = 1", "a = 1"), ("\nb", ""), ("a\r\nb", "a"), ("", "")],
)
def test_first_line_has_no_line_end(text, wanted):
    assert first_line(text) == wanted


@pytest.mark.parametrize(
    ("text", "suffix", "wanted"),
    [
        # it went on into the line after the hole
        ("x = 1\n    return x\n", "    return x\n", "x = 1\n"),
        ("x = 1\n    return x", "    return x\n\ndef f():\n", "x = 1\n"),
        ("total)\n    return total\n", ")\n    return total\n", "total"),
        # a bracket of its own stays, one too many goes
        ("f(x)", ")\n", "f(x)"),
        ("x)", ")\n", "x"),
        ("f(x))", "))\n", "f(x)"),
        ("a[i]", "]\n", "a[i]"),
        ('a["k"])', "])\n", 'a["k"])'),
        # an accident is no overlap
        ("return to", "total\n", "return to"),
        ("a\n", "\nb\n", "a\n"),
        ("    ", "    x\n", "    "),
        ("x", "", "x"),
        ("", "x", ""),
    ],
)
def test_trim_overlap_cuts_what_the_suffix_says_again(text, suffix, wanted):
    assert trim_overlap(text, suffix) == wanted


def test_half_a_line_of_the_suffix_is_no_overlap():
    assert trim_overlap("x = foo", "foo_bar = 2\n") == "x = foo"
