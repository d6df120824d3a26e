"""Import statements of Python source by search, without parsing.

Every import statement holds the word `import`; `str.find` leaps from one to the next. Each is
judged by what stands before it on its logical line, so the cost follows the number of imports and
of triple-quoted strings, not the length of the text. What is not Python (a template, a file of
Python 2) does no harm: no statement is recognised, or the right one is.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from codekiln.languages.resolve import Reference, ReferenceKind

_FROM = r"[ \t\f]*(?:from(?!\w)[ \t]*((?:\.[ \t]*)*)([\w.]*)[ \t]*)?\Z"
_STATEMENT = re.compile(_FROM)
# a whole statement on lines of its own, without comment or backslash within: nearly all are so
_PLAIN = re.compile(
    r"[ \t\f]*(?:from[ \t]+(\.*)([\w.]*)[ \t]+)?(import)[ \t]+"
    r"(?:\(([\w\s,]*)\)|([\w., \t*]+))(?=[\n#;]|\Z)"
)
_INLINE = re.compile(rf"([;:]){_FROM}")
# a comment, or a string that ends on its line (or goes on by a backslash)
_SHORT = re.compile(r'#[^\n]*|"(?:[^"\\\n]|\\[\s\S])*+"|' + r"'(?:[^'\\\n]|\\[\s\S])*+'")
_NAMES = re.compile(r"(?:[ \t\f]|\\\n)*\(((?:[^()#]++|#[^\n]*+)*+)\)")
_COMMENT = re.compile(r"#[^\n]*")
_LISTED = re.compile(r"([\w.]+|\*)(?:\s+as\s+\w+)?")
_HEADER = re.compile(
    r"[ \t\f]*(?:if|elif|else|try|except|finally|for|while|with|async|def|class|match|case)\b"
)
_FUNCTION = re.compile(r"[ \t\f]*(?:async[ \t]+)?def\b")
_TYPE_CHECKING = re.compile(r"[ \t\f]*(?:el)?if[ \t(]+(?:[\w.]+\.)?TYPE_CHECKING\b")


def scan(text: str) -> list[Reference]:
    """The import statements of a Python file, in the order of the text.

    Statements in strings and comments do not count; those within functions are "local", those
    under `if TYPE_CHECKING:` are "type-only" (not its `else`), all others "import".
    """
    at = text.find("import")
    if at < 0:
        return []
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        at = text.find("import")
    text = text.removeprefix("\ufeff")
    return _references(text, text.find("import"))


def _references(text: str, at: int) -> list[Reference]:
    found: list[Reference] = []
    strings: list[tuple[int, int]] = []
    long_strings = _long_strings(text)
    blocks = _Blocks(text, strings)
    start = end = floor = 0
    nowhere = len(text) + 1
    while at >= 0:
        while end <= at:
            if end:
                strings.append((start, end))
                floor = end
            start, end = next(long_strings, (nowhere, nowhere))
        if start < at:
            at = text.find("import", end)
            continue
        if text[at + 6 : at + 7] in _AFTER and not (at and text[at - 1] in _WORD):
            _statement(text, at, floor, blocks, found)
        at = text.find("import", at + 6)
    return found


_AFTER = frozenset(" \t\\(*")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")


def _statement(text: str, at: int, floor: int, blocks: _Blocks, found: list[Reference]) -> None:
    """Add what the statement with the word `import` at `at` imports, if it is one."""
    line = _line_start(text, floor, at)
    kind: ReferenceKind | None = None
    plain = _PLAIN.match(text, line)
    if plain and plain.start(3) == at:
        dots, module, names = plain[1], plain[2], plain[4] or plain[5] or ""
    else:
        opening = _opening(text[line:at].replace("\\\n", " "))
        if opening is None:
            return
        dots, module, kind = opening
        names = _rest_of_line(text, at + 6) if dots is None else _imported(text, at + 6)
    if kind is None:
        kind = blocks.kind(line) if text[line] in _BLANK else "import"
    listed = _LISTED.findall(names)
    if dots is None:
        found += [Reference(target=name, kind=kind) for name in listed]
    elif listed and (module or dots):
        level = dots.count(".")
        found.append(Reference(target=module, kind=kind, names=tuple(listed), level=level))


_BLANK = frozenset(" \t\f")


def _opening(before: str) -> tuple[str | None, str, ReferenceKind | None] | None:
    """Dots, module and kind of what stands before `import`; None if it opens no statement.

    Dots are None without `from`; the kind is None where the lines above decide. A statement may
    stand behind others on its line: `if x: import y`.
    """
    match = _STATEMENT.match(before)
    if match:
        return match[1], match[2], None
    if ";" not in before and ":" not in before:
        return None
    bare = _SHORT.sub(lambda found: "#" if found[0][0] == "#" else "0", before)
    if "#" in bare or '"' in bare or "'" in bare:
        return None  # it stands in a comment or in a string
    match = _INLINE.search(bare)
    if match is None or (match[1] == ":" and not _HEADER.match(bare)):
        return None
    kind: ReferenceKind | None = None
    if _FUNCTION.match(bare):
        kind = "local"
    elif _TYPE_CHECKING.match(bare):
        kind = "type-only"
    return match[2], match[3], kind


def _imported(text: str, at: int) -> str:
    """The list of names behind the `import` of a `from` statement, without brackets."""
    match = _NAMES.match(text, at)
    if match is None:
        return _rest_of_line(text, at)
    names = match[1].replace("\\\n", " ")
    return _COMMENT.sub("", names) if "#" in names else names


def _rest_of_line(text: str, at: int) -> str:
    end = text.find("\n", at)
    while end > 0 and text[end - 1] == "\\":
        end = text.find("\n", end + 1)
    rest = text[at:] if end < 0 else text[at:end]
    if "\\" in rest:
        rest = rest.replace("\\\n", " ")
    return rest.partition("#")[0].partition(";")[0]


def _line_start(text: str, floor: int, at: int) -> int:
    """Where the logical line of `at` starts, not before `floor`; backslashes join lines."""
    line = max(text.rfind("\n", floor, at) + 1, floor)
    while line - 2 >= floor and text[line - 2] == "\\":
        line = max(text.rfind("\n", floor, line - 1) + 1, floor)
    return line


def _long_strings(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each triple-quoted string; an open one ends with the text."""
    position = 0
    double, single = text.find('"""'), text.find("'''")
    while True:
        if 0 <= double < position:
            double = text.find('"""', position)
        if 0 <= single < position:
            single = text.find("'''", position)
        if double < 0 and single < 0:
            return
        opener = double if single < 0 or 0 <= double < single else single
        covered = _covered_to(text, _line_start(text, position, opener), opener)
        if covered:
            position = covered
            continue
        end = _close(text, opener)
        yield opener, end
        position = end


def _covered_to(text: str, line: int, opener: int) -> int:
    """End of the comment or short string that holds the quotes at `opener`; 0 if none does."""
    before = text[line:opener]
    if '"' in before or "'" in before or "#" in before:
        for short in _SHORT.finditer(text, line):
            if short.start() >= opener:
                return 0
            if short.end() > opener:
                return short.end()
    return 0


def _close(text: str, opener: int) -> int:
    quotes = text[opener : opener + 3]
    end = text.find(quotes, opener + 3)
    while end > 0 and text[end - 1] == "\\":
        slashes = end - len(text[opener + 3 : end].rstrip("\\")) - opener - 3
        if slashes % 2 == 0:
            break
        end = text.find(quotes, end + 1)
    return len(text) if end < 0 else end + 3


class _Blocks:
    """Which kind of block a line stands in, by the indentation of the lines above it.

    Args:
        text: of the file.
        strings: start and end of the triple-quoted strings so far; grows with the scan.
    """

    def __init__(self, text: str, strings: list[tuple[int, int]]) -> None:
        self._text = text
        self._strings = strings
        self._known: tuple[int, int, ReferenceKind] = (-1, 0, "import")

    def kind(self, line: int) -> ReferenceKind:
        """The kind of an import statement whose line starts at `line`."""
        width = self._width(line)
        kind = self._enclosing(line, width)
        self._known = (line, width, kind)
        return kind

    def _enclosing(self, line: int, width: int) -> ReferenceKind:
        while width and line > 0:
            line = self._line_above(line)
            known, known_width, kind = self._known
            if line == known and width == known_width:
                return kind  # same indentation, nothing less between: the same block
            header = _HEADER.match(self._text, line)
            if header is None or self._width(line) >= width:
                continue
            width = self._width(line)
            if _FUNCTION.match(self._text, line):
                return "local"
            if _TYPE_CHECKING.match(self._text, line):
                return "type-only"
        return "import"

    def _line_above(self, line: int) -> int:
        above = self._text.rfind("\n", 0, line - 1) + 1
        place = bisect_right(self._strings, (above,)) - 1
        if place >= 0 and above < self._strings[place][1]:  # within a string: up to its start
            above = self._text.rfind("\n", 0, self._strings[place][0]) + 1
        return above

    def _width(self, line: int) -> int:
        text = self._text
        end = line
        while text[end : end + 1] in _INDENT:
            end += 1
        return len(text[line:end].expandtabs(8))


_INDENT = frozenset(" \t")
