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
    closing brackets and signs and `text` closes that many more than it opens. So `f(x)` before
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
    """Whether `overlap` is brackets and signs, and no more brackets than `text` has too many."""
    if any(character.isalnum() for character in overlap):
        return False
    closing = [closer for closer in CLOSERS if closer in overlap]
    too_many = {c: text.count(c) - text.count(CLOSERS[c]) for c in closing}
    return bool(closing) and all(overlap.count(c) <= too_many[c] for c in closing)
