"""Import statements of JavaScript and TypeScript source by search, without parsing.

Every reference holds the word `import`, `export` or `require`; a search leaps to those that could
be one, judged by what stands right behind. Whether they stand in a string, a comment, a template
or a regular expression is seen by `CodeReader`, which reads only as far as the last of them: a
file whose imports stand at its top costs next to nothing, however long it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from codekiln.languages.javascript_code import BLOCK_COMMENT, CodeReader
from codekiln.languages.resolve import Reference, ReferenceKind

_CANDIDATES = (
    re.compile(
        r"import\s*+(?:[\"'({*/]|(?<=\s)(?=([\w$]++))\1\s*+"
        r"(?:,|from\b|[*{/]|[\w$]++\s*+(?:,|from\b|[*{/])))"
    ),
    re.compile(
        r"export\s*+(?:(?:(?<=\s)type\s*+)?(?:[*/]|\{[^{}]*+(?:\}\s*+(?:from\b|/)|\{))"
        r"|(?<=\s)[\w$]++\s++from\b)"
    ),
    re.compile(r"require\s*+\(\s*+[\"'`/]"),
)
_SPACE = rf"(?:\s++|{BLOCK_COMMENT}|//[^\n]*+\n)*+"
# `import` ends a clause, else each of many would be read to the end of the text
_WORD = r"(?!import\b|from\s*+[\"'/])[\w$]++"
_NAME_AS_TEXT = r"(?:\"[^\"\\\n]*+\"|'[^'\\\n]*+')(?=\s++as\b|\s*+[,}])"
_CLAUSE = rf"(?:[\s{{}},*]++|{_WORD}|{_NAME_AS_TEXT}|{BLOCK_COMMENT}|//[^\n]*+\n)*+"
_STATEMENT = re.compile(
    rf"(?:import|export)(?:({_CLAUSE})from)?{_SPACE}(?:\"([^\"\\\n]++)\"|'([^'\\\n]++)')"
)
_CALL = re.compile(
    rf"(?:import|require){_SPACE}\({_SPACE}"
    rf"(?:\"([^\"\\\n]++)\"|'([^'\\\n]++)'|`([^`\\$\n]++)`){_SPACE}([,)])"
)
_COMMENT = re.compile(rf"{BLOCK_COMMENT}|//[^\n]*+\n")
_TYPE = re.compile(r"\s*(?:type|typeof)\b(?!\s*(?:,|\Z))")
_NAMED = re.compile(r"\s*\{([^{}]*)\}\s*\Z")
_TYPE_NAME = re.compile(r"\s*(?:type|typeof)\s+(?!as\s|\Z)")
_TYPE_EQUALS = re.compile(r"import\s+type\s+[\w$]+\s*=\s*\Z")
_EQUALS = re.compile(r"import\s+[\w$]+\s*=\s*\Z")
_TYPE_BEFORE = re.compile(
    r"(?:(?<![\w$.])(?:typeof|keyof|extends|implements|as|satisfies)|<|(?<!\|)\||(?<!&)&)\s*\Z"
)
_TYPE_AFTER = re.compile(r"\s*(?:\.(?!\s*(?:then|catch|finally)\b)|\[)")
_PROLOGUE = re.compile(rf"(?:\s++|//[^\n]*+|{BLOCK_COMMENT}|\"use strict\";?|'use strict';?)*+")
_TAG = re.compile(
    r"^[ \t]*///[ \t]*<reference\b[^\n]*?[ \t](path|types)[ \t]*=[ \t]*(?:\"([^\"\n]+)\"|'([^'\n]+)')",
    re.MULTILINE,
)
_LINE = re.compile(r"^([ \t]*+)([^\s][^\n]*+)", re.MULTILINE)
_FUNCTION = re.compile(
    r"\bfunction\b|=>|(?!(?:if|for|while|switch|catch|with|return|else|do|try)\b)"
    r"(?:[\w$#*]++\s*+)++\([^()]*+\)\s*+(?::[^{]*+)?\{\s*+\Z"
)
_WRAPPER = re.compile(r"[;!+~-]?\(*(?:async\s+)?(?:function\b|\(\)|define\b)")
_CLOSES = frozenset(")}]")
_PART_OF_NAME = re.compile(r"[\w$#]|(?<!\.\.)\.")


def scan(text: str, *, typescript: bool) -> list[Reference]:
    """The references of a JavaScript or TypeScript file; those of its first comments first.

    Args:
        text: of the file.
        typescript: whether `import("x")` may stand for a type.
    """
    places = sorted(found.start() for one in _CANDIDATES for found in one.finditer(text))
    references = _tags(text) if "<reference" in text else []
    if not places:
        return references
    code = CodeReader(text)
    requires: list[tuple[int, int]] = []  # where it stands, and its place in `references`
    for at in places:
        if (at and _PART_OF_NAME.match(text, at - 1)) or not code.holds(at):
            continue
        reference = _statement(text, at) or _call(text, at, typescript)
        if reference is None:
            continue
        if reference.kind == "import" and text[at] == "r" and not _EQUALS.search(_before(text, at)):
            requires.append((at, len(references)))
        references.append(reference)
    for place in _within_functions(text, requires):
        references[place] = Reference(target=references[place].target, kind="local")
    return references


def _statement(text: str, at: int) -> Reference | None:
    if text[at] == "r":
        return None
    found = _STATEMENT.match(text, at)
    if found is None or (found[1] is None and text[at] == "e"):
        return None
    kind: ReferenceKind = "type-only" if found[1] and _of_types(found[1]) else "import"
    return Reference(target=found[2] or found[3], kind=kind)


def _of_types(clause: str) -> bool:
    """Whether what stands between `import` and `from` names types only, and says so."""
    if "typ" not in clause:
        return False
    if "/" in clause:
        clause = _COMMENT.sub(" ", clause)
    if _TYPE.match(clause):
        return True
    named = _NAMED.match(clause)
    if named is None:
        return False
    names = [name for name in named[1].split(",") if not name.isspace() and name]
    return bool(names) and all(_TYPE_NAME.match(name) for name in names)


def _call(text: str, at: int, typescript: bool) -> Reference | None:
    found = _CALL.match(text, at)
    if found is None:
        return None
    kind: ReferenceKind = "import" if text[at] == "r" else "local"
    before = _before(text, at)
    if text[at] == "r":
        if "import" in before and _TYPE_EQUALS.search(before):
            kind = "type-only"
    elif typescript and (
        (found[4] == ")" and _TYPE_AFTER.match(text, found.end())) or _TYPE_BEFORE.search(before)
    ):
        kind = "type-only"
    return Reference(target=found[1] or found[2] or found[3], kind=kind)


def _before(text: str, at: int) -> str:
    return text[max(at - 120, 0) : at]


def _tags(text: str) -> list[Reference]:
    """What the comments before the first statement name: `/// <reference path="x" />`."""
    prologue = _PROLOGUE.match(text)
    references: list[Reference] = []
    for tag in _TAG.finditer(text, 0, prologue.end() if prologue else 0):
        target = tag[2] or tag[3]
        if tag[1] == "types":
            references.append(Reference(target=target, kind="type-only"))
        else:
            target = target if target.startswith((".", "/")) else f"./{target}"
            references.append(Reference(target=target, kind="import"))
    return references


def _within_functions(text: str, calls: Sequence[tuple[int, int]]) -> Iterator[int]:
    """Of calls by position, the second numbers of those in a function, judged by indentation.

    A function that wraps the whole file, as in `(function () {`, does not count.
    """
    if not calls:
        return
    lines = _LINE.finditer(text, 0, calls[-1][0] + 1)
    start, inside = 0, False
    blocks: list[tuple[int, bool]] = []  # indentation, and whether what is below is in a function
    upcoming = next(lines, None)
    for at, place in calls:
        while upcoming is not None and upcoming.start() <= at:
            start = upcoming.start()
            inside = _enter(blocks, upcoming)
            upcoming = next(lines, None)
        own = text[max(start, at - 300) : at]
        if inside or (_SAME_LINE.search(own) and not _WRAPPER.match(own)):
            yield place


_SAME_LINE = re.compile(r"\bfunction\b|=>")


def _enter(blocks: list[tuple[int, bool]], line: re.Match[str]) -> bool:
    """Take in one more line; whether it stands in a function itself."""
    width, words = len(line[1]), line[2]
    sibling = False
    while blocks and blocks[-1][0] >= width:
        sibling = blocks.pop()[1]
    inside = blocks[-1][1] if blocks else False
    if words[0] in _CLOSES:  # the end of a header, or of a block: `) {`, `} else {`
        below = sibling or inside or "=>" in words
    else:
        wrapper = not width and _WRAPPER.match(words)
        below = inside or (not wrapper and _FUNCTION.search(words, 0, 300) is not None)
    blocks.append((width, below))
    return inside
