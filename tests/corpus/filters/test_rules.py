"""The rule filters against plain, slow definitions of the same rules (DeepSeek-Coder §2.1)."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from codekiln.corpus.filters import rules
from codekiln.corpus.filters.html_text import visible_characters, visible_text
from codekiln.corpus.filters.rules import RuleSettings, reason
from codekiln.types import SourceFile

GOOD = "def add(first, second):\n    return first + second\n" * 3


def file(text: str, language: str = "python") -> SourceFile:
    return SourceFile(path="a", text=text, language=language)


# ---- plain definitions ----


def plain_lines(text: str) -> list[str]:
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def plain_reason(text: str, language: str, s: RuleSettings) -> str | None:
    lengths = [len(line) for line in plain_lines(text)]
    if lengths and sum(lengths) / len(lengths) > s.max_average_line:
        return rules.LONG_AVERAGE
    if lengths and max(lengths) > s.max_line:
        return rules.LONG_LINE
    if sum(c.isalpha() for c in text) < s.min_alphabetic_rate * len(text):
        return rules.FEW_LETTERS
    if language != "xslt" and "<?xml version=" in text[: s.xml_head]:
        return rules.XML
    if language == "html":
        seen = len(visible_text(text))
        if not (seen >= s.min_visible and seen >= s.min_visible_rate * len(text)):
            return rules.LITTLE_TEXT
    if language in ("json", "yaml") and not s.min_data <= len(text) <= s.max_data:
        return rules.DATA_SIZE
    return None


# Small thresholds, so that small texts reach every one of them.
SMALL = RuleSettings(
    max_average_line=4, max_line=7, xml_head=20, min_visible=3, min_data=2, max_data=9
)
alphabet = st.sampled_from("ab1 \n\n\r\t<>&;é数𐍈²ªßⅣ\u2028\x85_-")
short_texts = st.text(alphabet, max_size=40) | st.text(max_size=30)
kinds = st.sampled_from(["python", "html", "json", "yaml", "xslt"])


@settings(max_examples=500, deadline=None)
@given(short_texts, kinds)
@example("", "python")
@example("\n", "python")
@example("aaaa\naaaa", "python")
@example("aaaaa", "python")
@example("\n\n\naaaaaaa\n", "python")
@example("\n\n\n\naaaaaaaa\n", "python")
@example("a<?xml version=1\n\n\n\n", "python")
def test_agrees_with_the_plain_definition(text: str, language: str) -> None:
    assert reason(file(text, language), SMALL) == plain_reason(text, language, SMALL)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=30), st.integers(1, 12), st.booleans())
def test_longest_line(lengths: list[int], limit: int, last_ends: bool) -> None:
    text = "\n".join("x" * length for length in lengths) + "\n" * last_ends
    assert rules.has_longer_line(text, limit) == any(length > limit for length in lengths)


@settings(deadline=None)
@given(st.text(max_size=200), st.integers(0, 200))
def test_letters(text: str, wanted: int) -> None:
    count = sum(character.isalpha() for character in text)
    assert rules.count_letters(text) == count
    assert rules.has_letters(text, wanted) == (count >= wanted)


def test_every_code_point_is_judged_as_str_isalpha_does() -> None:
    step = 4096
    for start in range(0, 0x110000, step):
        text = "".join(map(chr, range(start, start + step)))
        assert rules.count_letters(text) == sum(map(str.isalpha, text)), hex(start)


def test_letters_far_from_the_start_count() -> None:
    text = "1" * 60_000 + "a" * 20_000
    assert rules.has_letters(text, 20_000)
    assert not rules.has_letters(text, 20_001)


# ---- the paper's thresholds, at their edges ----


def test_a_good_file_is_kept() -> None:
    assert reason(file(GOOD)) is None


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        (("a" * 100 + "\n") * 5, "python", None),
        (("a" * 100 + "\n") * 4 + "a" * 101 + "\n", "python", rules.LONG_AVERAGE),
        ("a" * 1000 + "\n" * 20, "python", None),
        ("a" * 1001 + "\n" * 20, "python", rules.LONG_LINE),
        ("\n" * 20 + "a" * 1001, "python", rules.LONG_LINE),
        ("a" * 25 + "1" * 75, "python", None),
        ("a" * 24 + "1" * 76, "python", rules.FEW_LETTERS),
        ("数" * 25 + "1" * 75, "python", None),
        ('<?xml version="1.0"?>\n' + GOOD, "python", rules.XML),
        ('<?xml version="1.0"?>\n' + GOOD, "xslt", None),
        ("a" * 86 + "<?xml version=\n" + GOOD, "python", rules.XML),
        ("a" * 87 + "<?xml version=\n" + GOOD, "python", None),
        ("a" * 49, "json", rules.DATA_SIZE),
        ("a" * 50, "json", None),
        (("a" * 49 + "\n") * 100, "json", None),
        (("a" * 49 + "\n") * 100 + "a", "json", rules.DATA_SIZE),
        ("a" * 49, "yaml", rules.DATA_SIZE),
        (("a" * 49 + "\n") * 101, "yaml", rules.DATA_SIZE),
        (("a" * 49 + "\n") * 101, "python", None),
        ("<p>\n" + "a" * 99 + "\n</p>", "html", rules.LITTLE_TEXT),
        ("<p>\n" + "a" * 90 + "\nbbbbbbbbb</p>", "html", None),
        ("a" * 100 + "\n" + '<br class="x">\n' * 27, "html", rules.LITTLE_TEXT),
        ("a" * 100 + "\n" + '<br class="x">\n' * 26, "html", None),
    ],
)
def test_thresholds(text: str, language: str, expected: str | None) -> None:
    assert reason(file(text, language)) == expected
    assert plain_reason(text, language, rules.PAPER) == expected


def test_every_reason_has_a_case_above() -> None:
    cases = test_thresholds.pytestmark[0].args[1]
    assert {case[2] for case in cases} == {None, *rules.REASONS}


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_data"):
        RuleSettings(min_data=10, max_data=5)
    with pytest.raises(ValidationError, match="max_lin"):
        RuleSettings(max_lin=10)  # type: ignore[call-arg]


# ---- visible text, against Python's own HTML parser ----


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)


def parsed_text(markup: str) -> str:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return " ".join("".join(reader.parts).split())


words = st.text(st.sampled_from("ab é\n&"), max_size=12).map(html.escape)
leaves = st.one_of(
    words,
    st.sampled_from(
        ["<br>", "<BR/>", '<img src="a.png">', "<!-- <p>no</p> -->", "&amp;", "&#233;"]
    ),
    words.map(lambda text: f"<script>if (a < b && c) {{ {text} }}</script>"),
    words.map(lambda text: f"<STYLE type='x'>p > a {{ {text} }}</STYLE >"),
)
pages = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4).map("".join)
        | st.tuples(st.sampled_from(["p", "div", "b", "H1"]), inner).map(
            lambda pair: f'<{pair[0]} class="x">{pair[1]}</{pair[0]}>'
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(pages)
def test_visible_text_agrees_with_an_html_parser(page: str) -> None:
    markup = f"<!DOCTYPE html>\n<html><head><title>t</title></head><body>{page}</body></html>"
    assert visible_text(markup) == parsed_text(markup)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("a < b and c > d", "a < b and c > d"),
        ("a<b", "a"),  # an open tag runs to the end
        ("a<!-- open", "a"),
        ("a<script>open <p>b</p>", "a"),
        ("a<script src=x></script>b", "ab"),
        ("<noscript>a</noscript>", "a"),
        ("&nbsp;a&nbsp;&lt;b&gt;", "a <b>"),
        ("<style>x</style\n>y", "y"),
        ("<scripted>a</scripted>", "a"),
    ],
)
def test_visible_text_of_odd_markup(markup: str, text: str) -> None:
    assert visible_text(markup) == text


@pytest.mark.timeout(60)  # quadratic time would take hours
def test_visible_text_takes_linear_time_on_hostile_markup() -> None:
    for unit in ("<", "<a ", "<!--", "<script>", "</script", "<script", "<style><", "&", '<a b="'):
        visible_characters(unit * (1_000_000 // len(unit)))
        visible_characters("<script>" + unit * (1_000_000 // len(unit)))


def test_oracle_is_not_the_code_under_test() -> None:
    assert parsed_text("<p>a</p><script>b</script>") == "a"
    assert re.sub(r"\s", "", parsed_text("<b>x</b> y")) == "xy"
