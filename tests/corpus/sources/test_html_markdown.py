"""HTML of posts to Markdown: nothing that a reader sees is lost, code stays as it is."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.filters.html_text import visible_text
from codekiln.corpus.sources.html_markdown import markdown_of


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("", ""),
        ("<p>One.</p>\n<p>Two.</p>", "One.\n\nTwo."),
        ("<p>a\n  b</p>", "a b"),
        ("<p>a<br>b<br/>c</p>", "a\nb\nc"),
        ("<p>x &lt; y &amp;&amp; z</p>", "x < y && z"),
        ("<p>use <code>a &lt; b</code> here</p>", "use `a < b` here"),
        ("<p><code>a`b</code></p>", "`` a`b ``"),
        ("<pre><code>if a:\n    b  &lt; 1\n</code></pre>", "```\nif a:\n    b  < 1\n```"),
        ("<pre>\n\n  two\n</pre>", "```\n  two\n```"),
        ("<pre>a\n```\nb</pre>", "````\na\n```\nb\n````"),
        ("<h2>Head</h2><p>Body</p>", "## Head\n\nBody"),
        ("<ul><li>a</li><li>b <em>c</em></li></ul><p>d</p>", "- a\n- b c\n\nd"),
        ("<ol><li>a</li><li>b</li></ol>", "1. a\n2. b"),
        ("<ul><li>a<ul><li>b</li></ul></li></ul>", "- a\n   - b"),
        ("<ul><li><p>a</p></li><li><p>b</p></li></ul>", "- a\n- b"),
        ("<blockquote><p>a</p><p>b</p></blockquote><p>c</p>", "> a\n\n> b\n\nc"),
        ('<p><a href="http://x.org">link</a> <img src="i.png" alt="a cat"></p>', "link a cat"),
        ("<p>a</p><hr><p>b</p>", "a\n\n---\n\nb"),
        ("<p>a</p><script>x()</script><style>p{}</style><p>b</p>", "a\n\nb"),
        ("<pre><code>never closed", "```\nnever closed\n```"),
        ("<p>never <code>closed", "never closed"),
        ("</ul></blockquote></code></pre>a", "a"),
        ("<!-- note --><p>a</p>", "a"),
    ],
)
def test_markdown(markup: str, text: str) -> None:
    assert markdown_of(markup) == text


_WORDS = st.text("abc xyz", min_size=1, max_size=12)
_PIECES = st.one_of(
    _WORDS,
    st.builds("<p>{}</p>".format, _WORDS),
    st.builds("<li>{}</li>".format, _WORDS),
    st.builds("<pre><code>{}</code></pre>".format, _WORDS),
    st.builds("<code>{}</code> ".format, _WORDS),
    st.builds("<blockquote>{}</blockquote>".format, _WORDS),
    st.builds("<h1>{}</h1>".format, _WORDS),
    st.sampled_from(["<br> ", "<p>", "</p> ", "<ul>", "</ul> ", "<pre>", "</pre> ", "<b>", "</b>"]),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(_PIECES, max_size=12))
def test_every_visible_word_is_kept_in_order(pieces: list[str]) -> None:
    """Against the filters' reading of visible text, which is made in another way."""
    markup = " ".join(pieces)
    assert re.findall("[a-z]+", markdown_of(markup)) == re.findall("[a-z]+", visible_text(markup))


@settings(max_examples=200, deadline=None)
@given(st.text("<>/&;pre code!-[]\"'= \n", max_size=200))
def test_any_markup_is_read(markup: str) -> None:
    markdown_of(markup)
