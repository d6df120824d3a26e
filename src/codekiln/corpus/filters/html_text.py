"""How much of an HTML file a reader would see.

Open in the paper (DeepSeek-Coder §2.1 says only "visible text"). Here: everything outside of
tags, comments, declarations, `<script>` and `<style>`; character references count as the
character they stand for; runs of white space count as one character, none at either end.
The page title counts. One pass of a regular expression in which nothing needs to be closed (what
is open at the end runs to the end), so that hostile input takes linear time. A tag ends at its
first ">", also within a quoted attribute: template code stays simple to reason about, and the
measure moves by a few characters.
"""

from __future__ import annotations

import html
import re

_HIDDEN = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(script|style)\b[^>]*(?:>|\Z)[^<]*(?:<(?!/\1\b)[^<]*)*+(?:</\1\b[^>]*(?:>|\Z)|\Z)"
    r"|<[a-zA-Z/!?][^>]*(?:>|\Z)",
    re.DOTALL | re.IGNORECASE,
)


def visible_text(markup: str) -> str:
    """The text of an HTML page that a reader would see, white space collapsed.

    Source: DeepSeek-Coder §2.1.
    """
    # A tag parts words no more than the reader sees: "<b>a</b>b" is one word.
    return " ".join(html.unescape(_HIDDEN.sub("", markup)).split())


def visible_characters(markup: str) -> int:
    """Length of the visible text, in characters."""
    return len(visible_text(markup))
