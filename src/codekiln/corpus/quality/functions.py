"""How many functions a text defines, by regular expression.

Every pattern starts with a literal, so that the search runs at memory speed. C and its relatives
name no keyword: there, what opens a block after a closing parenthesis is a function, less the
lines that open one after `if`, `for` and the like. Bounded repeats keep hostile input linear.
"""

from __future__ import annotations

import re
from functools import cache

_DEF = (rb"def (?<![\w.]def )\w",)
_FUNCTION = (rb"function(?<!\wfunction)\s*+[\w.:$]*+\s*\(",)
_BLOCK = rb"\)[^;{}()=\"\n]{0,80}\n?[ \t]*+\{"
_CONTROL = (
    rb"\n[ \t]*+(?:\} ?)?(?:else )?"
    rb"(?:if|for|while|switch|catch|foreach|synchronized|using|lock|else)\b[^\n]*"
    rb"\)[^;{}()=\"\n]{0,80}\n?[ \t]*+\{"
)
# patterns that count; one that is taken off
_PATTERNS: dict[str, tuple[tuple[bytes, ...], bytes]] = {
    "python ruby scala groovy elixir": (_DEF, b""),
    "kotlin": ((rb"fun (?<!\wfun )",), b""),
    "go swift": ((rb"func (?<!\wfunc )",), b""),
    "rust zig": ((rb"fn (?<!\wfn )\w",), b""),
    "php lua julia": (_FUNCTION, b""),
    "javascript typescript coffeescript": ((_BLOCK, rb"=>\s*\{"), _CONTROL),
    "shell": ((rb"\n[ \t]*+function [\w.-]", rb"\(\)\s*+\{"), b""),
    "perl": ((rb"\nsub \w",), b""),
    "c cpp c-sharp java dart cuda objective-c d": ((_BLOCK,), _CONTROL),
}
_BY_LANGUAGE = {name: each for names, each in _PATTERNS.items() for name in names.split()}


@cache
def _compiled(language: str) -> tuple[tuple[re.Pattern[bytes], ...], re.Pattern[bytes] | None]:
    counted, less = _BY_LANGUAGE.get(language, ((), b""))
    return tuple(map(re.compile, counted)), re.compile(less) if less else None


def count_functions(text: bytes, language: str) -> int:
    """Functions and methods that `text` defines; 0 for a language without a pattern."""
    counted, less = _compiled(language)
    if not counted:
        return 0
    text = b"\n" + text
    found = sum(len(pattern.findall(text)) for pattern in counted)
    return max(0, found - len(less.findall(text))) if less else found
