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

# what stands behind the word where it could be a reference
_CANDIDATES = {
    "import": re.compile(
        r"\s*+(?:[\"'({*/]|(?<=\s)[\w$]++\s*+(?:,|from\b|[*{/]|[\w$]++\s*+(?:,|from\b|[*{/])))"
    ),
    "export": re.compile(
        r"\s*+(?:(?:(?<=\s)type\s*+)?(?:[*/]|\{[^{}]*+(?:\}\s*+(?:from\b|/)|\{))"
        r"|(?<=\s)[\w$]++\s++from\b)"
    ),
    "require": re.compile(r"\s*+\(\s*+[\"'`/]"),
}
_SPACE = rf"(?:\s++|{BLOCK_COMMENT}|//[^\n]*+\n)*+"
# `import` and `export` end a clause, else each of many would be read to the end of the text
_WORD = r"(?!(?:im|ex)port\b|from\s*+[\"'/])[\w$]++"
_NAME_AS_TEXT = r"(?:\"[^\"\\\n]*+\"|'[^'\\\n]*+')(?=\s++(?:as|from)\b|\s*+[,}])"
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
    r"^[ \t]*///[ \t]*<reference\b[^\n]*?[ \t](path|types)[ \t]*=[ \t]*"
    r"(?:\"([^\"\n]+)\"|'([^'\n]+)')",
    re.MULTILINE,
)
_OPENER = re.compile(r"(?:[{(\[]|=>)(?=\r?\n)")  # ends a line: what is below stands deeper
_INDENTATION = re.compile(r"[ \t]*+")
_SAME_LINE = re.compile(r"\bfunction\b|=>")
_FUNCTION = re.compile(
    r"\bfunction\b|=>|(?<![\w$])(?!(?:if|for|while|switch|catch|with|return|else|do|try)\b)"
    r"(?:[\w$#*]++\s*+)++\([^()]*+\)\s*+(?::[^{]*+)?\{\Z"
)
_WRAPPER = re.compile(r";?[!+~(-]\(*(?:async\s+)?(?:function\b|\()|define\b")
_CLOSES = frozenset(")}]")
_PART_OF_NAME = re.compile(r"[\w$#]|(?<!\.\.)\.")


def scan(text: str, *, typescript: bool) -> list[Reference]:
    """The references of a JavaScript or TypeScript file; those of its first comments first.

    Args:
        text: of the file.
        typescript: whether `import("x")` may stand for a type.
    """
    places = sorted(place for word in _CANDIDATES for place in _candidates(text, word))
    references = _tags(text) if "<reference" in text else []
    if not places:
        return references
    code = CodeReader(text)
    requires: list[tuple[int, int]] = []  # where it stands, and its place in `references`
    for at in places:
        if not code.holds(at):
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


def _candidates(text: str, word: str) -> Iterator[int]:
    """Where a word stands that could begin a reference, judged by what is around it."""
    behind = _CANDIDATES[word].match
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if behind(text, end) and not (at and _PART_OF_NAME.match(text, at - 1)):
            yield at
        at = text.find(word, end)


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
    openers = _OPENER.finditer(text)
    opener = next(openers, None) if calls else None
    blocks: list[tuple[int, bool]] = []  # indentation, and whether what is below is in a function
    line = above = seen = 0
    for at, place in calls:
        line = max(line, text.rfind("\n", seen, at) + 1)
        seen = at
        width = _width(text, line)
        own = text[max(line, at - 300) : at]
        if _SAME_LINE.search(own):
            inside = not _WRAPPER.match(own)
        else:
            while width and opener is not None and opener.start() < line:
                above = max(above, text.rfind("\n", above, opener.start()) + 1)
                _enter(blocks, _width(text, above), text[above : opener.end()][:300])
                opener = next(openers, None)
            while blocks and blocks[-1][0] >= width:
                blocks.pop()
            inside = bool(blocks) and blocks[-1][1]
        if inside:
            yield place


def _width(text: str, line: int) -> int:
    indentation = _INDENTATION.match(text, line)
    return indentation.end() - line if indentation else 0


def _enter(blocks: list[tuple[int, bool]], width: int, line: str) -> None:
    """Take in a line that opens a block."""
    sibling = False
    while blocks and blocks[-1][0] >= width:
        sibling = blocks.pop()[1]
    inside = bool(blocks) and blocks[-1][1]
    if not inside and line[width : width + 1] in _CLOSES:  # `) {` of a header, `} else {`
        inside = sibling or "=>" in line
    elif not inside:
        inside = _FUNCTION.search(line) is not None and not (width == 0 and _WRAPPER.match(line))
    blocks.append((width, inside))
