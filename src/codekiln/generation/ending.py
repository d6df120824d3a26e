"""How an infilling ends well: models write on past the hole; these cut what is beyond it.

Nothing here runs by itself: the engine and the HTTP interface give what the model wrote.
`codekiln complete` and the single-line benchmark ask for it.
"""

from __future__ import annotations

CLOSERS = {")": "(", "]": "[", "}": "{"}


def first_line(text: str) -> str:
    """The first line, without its line end: what single-line infilling is measured on."""
    return text.replace("\r", "\n").split("\n", 1)[0]


def trim_overlap(text: str, suffix: str) -> str:
    """Cut the end of `text` where it says again what stands after the hole.

    The longest end of `text` that the suffix starts with is cut if it is no accident: if it
    holds a whole line of code of the suffix (one with a letter or digit), or if it is only
    closing brackets and signs and `text` closes more brackets than it opens. So `f(x)` before
    `)` keeps its bracket, and `x)` loses it. White space alone is never cut.
    """
    for length in range(min(len(text), len(suffix)), 0, -1):
        overlap = suffix[:length]
        if not text.endswith(overlap):
            continue
        if _whole_line(overlap, suffix) or _closes_too_much(text, overlap):
            return text[: len(text) - length]
    return text


def _whole_line(overlap: str, suffix: str) -> bool:
    complete = len(overlap) == len(suffix) or suffix[len(overlap)] in "\r\n" or overlap[-1] == "\n"
    lines = overlap.splitlines() if complete else overlap.splitlines()[:-1]
    return any(character.isalnum() for line in lines for character in line)


def _closes_too_much(text: str, overlap: str) -> bool:
    if any(c.isalnum() for c in overlap):
        return False
    for closer, opener in CLOSERS.items():
        if closer in overlap and text.count(closer) > text.count(opener):
            return True
    return False
