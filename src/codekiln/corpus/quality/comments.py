"""Where comments are, by regular expression: one pass, strings passed over.

Rough where a language has more than one kind of quote or of comment: a wrong guess ends with
the line, or with the block comment. Python's triple-quoted strings count as comments, since
nearly all of them are docstrings. A language without an entry has comments of whole lines that
open as the language table says.
"""

from __future__ import annotations

import re
from functools import cache

from codekiln.corpus.quality.sample import pieces
from codekiln.languages import table

_DOUBLE = rb'"(?:[^"\\\n]|\\.)*+"?'
_SINGLE = rb"'(?:[^'\\\n]|\\.)*+'?"
_CHARACTER = rb"'(?:\\[^\n][^'\n]{0,9}|[^'\\\n])'"
_BACKTICK = rb"`(?:[^`\\]|\\.)*+`?"
_RAW = rb"`[^`]*+`?"
_LINE = rb"//[^\n]*"
_BLOCK = rb"/\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/)?"
_HASH = rb"#(?<!\S#)[^\n]*"
_TRIPLE_DOUBLE = rb'"""[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*+(?:""")?'
_TRIPLE_SINGLE = rb"'''[^'\\]*+(?:(?:\\.|'(?!''))[^'\\]*+)*+(?:''')?"
_DASH = rb"--[^\n]*"
_LONG_DASH = rb"--\[\[[^\]]*+(?:\](?!\])[^\]]*+)*+(?:\]\])?"
_CURLY = rb"\{-[^-]*+(?:-(?!\})[^-]*+)*+(?:-\})?"
_ROUND = rb"\(\*[^*]*+(?:\*(?!\))[^*]*+)*+(?:\*\))?"
_MARKUP = rb"<!--[^-]*+(?:-(?!->)[^-]*+)*+(?:-->)?"

# How comments start, and nothing that is passed over: `""` ends before a third quote.
_MARKS = (b"#", b"/", b"--", b"{-", b"(*", b"<!--", b'"""', b"'''")

# Comments, then what is passed over. Each starts with a literal: the search for the first of them
# takes a third of the time of trying each one everywhere.
_FAMILIES: dict[str, tuple[tuple[bytes, ...], tuple[bytes, ...]]] = {
    "c": ((_LINE, _BLOCK), (_DOUBLE, _CHARACTER)),
    "go": ((_LINE, _BLOCK), (_DOUBLE, _CHARACTER, _RAW)),
    "javascript": ((_LINE, _BLOCK), (_DOUBLE, _SINGLE, _BACKTICK)),
    "php": ((_LINE, _BLOCK, _HASH), (_DOUBLE, _SINGLE)),
    "python": ((_TRIPLE_DOUBLE, _TRIPLE_SINGLE, rb"#[^\n]*"), (_DOUBLE, _SINGLE)),
    "hash": ((_HASH,), (_DOUBLE, _SINGLE)),
    "sql": ((_DASH, _BLOCK), (_DOUBLE, _SINGLE)),
    "lua": ((_LONG_DASH, _DASH), (_DOUBLE, _SINGLE)),
    "haskell": ((_CURLY, _DASH), (_DOUBLE,)),
    "ml": ((_ROUND,), (_DOUBLE,)),
    "f-sharp": ((_ROUND, _LINE), (_DOUBLE,)),
    "css": ((_BLOCK,), (_DOUBLE, _SINGLE)),
    "markup": ((_MARKUP,), ()),
}
_FAMILY = {
    "c": "c cpp c-sharp java kotlin scala rust swift cuda glsl objective-c d dart solidity"
    " protocol-buffer groovy verilog systemverilog stan thrift antlr zig",
    "go": "go",
    "javascript": "javascript typescript coffeescript",
    "php": "php",
    "python": "python",
    "hash": "shell ruby perl r yaml makefile dockerfile cmake tcl julia elixir awk tcsh powershell",
    "sql": "sql ada vhdl",
    "lua": "lua",
    "haskell": "haskell elm agda idris",
    "ml": "ocaml standard-ml pascal mathematica",
    "f-sharp": "f-sharp",
    "css": "css",
    "markup": "html markdown xslt",
}
# what opens and closes a comment of many lines, for pieces that start within one
_BLOCKS = {
    **dict.fromkeys(("c", "go", "javascript", "php", "css", "sql"), (b"/*", b"*/")),
    "python": (b'"""', b'"""'),
    "markup": (b"<!--", b"-->"),
}
_BY_LANGUAGE = {name: family for family, names in _FAMILY.items() for name in names.split()}


def comment_share(data: bytes, language: str) -> float:
    """Share of the sample of `data` that lies in comments."""
    size = found = 0
    for start, end in pieces(data):
        size += end - start
        body = _body(data, start, end, language) if start else 0
        found += body - start if body else 0
        found += comment_bytes(data[max(start, body) : end], language)
    return found / size if size else 0.0


def _body(data: bytes, start: int, end: int, language: str) -> int:
    """Where the comment ends that is open at `start`; 0 if there is none."""
    opens, closes = _BLOCKS.get(_BY_LANGUAGE.get(language, ""), (b"", b""))
    if not opens:
        return 0
    if opens == closes:
        inside = data.count(opens, 0, start) % 2 == 1
    else:
        opened = data.rfind(opens, 0, start)
        inside = opened >= 0 and data.find(closes, opened + 2, start) < 0
    if not inside:
        return 0
    closed = data.find(closes, start, end)
    return end if closed < 0 else closed + len(closes)


def comment_bytes(text: bytes, language: str) -> int:
    """Bytes of `text` that lie in comments, their marks included."""
    found = pattern(language).findall(text)
    if language in _BY_LANGUAGE:
        found = [each for each in found if each.startswith(_MARKS)]
    return sum(map(len, found))


def is_comment(found: bytes, language: str) -> bool:
    """Whether a match of `pattern` is a comment, not a string."""
    return found.startswith(_MARKS) or language not in _BY_LANGUAGE


@cache
def pattern(language: str) -> re.Pattern[bytes]:
    """Finds comments and strings; of a language without strings only comments, in a group."""
    family = _BY_LANGUAGE.get(language)
    if family is not None:
        comments, others = _FAMILIES[family]
        return re.compile(b"|".join((*comments, *others)), re.DOTALL)
    entry = table.languages().get(language)
    opening = entry.comment[0] if entry else "#"
    return re.compile(rb"^[ \t]*(" + re.escape(opening.encode()) + rb"[^\n]*)", re.MULTILINE)
