"""What a Go file says: its package, its imports, the names that it declares and uses.

The imports are read token by token, as they stand before everything else. The rest is searched:
strings and comments are blanked, declarations found by the shape that gofmt gives them, and every
name that is left counts as used, once, unless the file declares it for itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from codekiln.languages.go_build import constraint

_GAP = r"(?:[\s;]|//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+(?:\*/)?)*+"
_PACKAGE = re.compile(rf"{_GAP}package[ \t]+(\w+)")
_IMPORT = re.compile(rf"{_GAP}import(?!\w)[ \t]*(\()?")
_SPEC = re.compile(rf'{_GAP}(?:(\w+|\.)[ \t]+)?(?:"([^"\n]+)"|`([^`\n]+)`)')
_CLOSE = re.compile(rf"{_GAP}\)")
_BLANK = re.compile(
    r"//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+(?:\*/)?"
    r'|"(?:[^"\\\n]++|\\.)*+"?|`[^`]*+`?' + r"|'(?:[^'\\\n]++|\\.)*+'?"
)
_METHOD = re.compile(r"^(func[ \t]*\([^()\n]*\)[ \t]*)\w+", re.MULTILINE)
_FUNCTION = re.compile(r"func(?<!\wfunc)[ \t]+(\w+)")
_SINGLE = re.compile(r"^(?:type|var|const)[ \t]+(\w+(?:[ \t]*,[ \t]*\w+)*+)", re.MULTILINE)
_GROUP = re.compile(r"^(?:type|var|const)[ \t]*\(([\s\S]*?)(?:^\)|\Z)", re.MULTILINE)
_IN_GROUP = re.compile(r"^([ \t]*)([^\W\d]\w*(?:[ \t]*,[ \t]*\w+)*+)", re.MULTILINE)
# a parameter: names and their type
_SIGNATURE = re.compile(r"func(?<!\wfunc)(?!\w)[^{\n(]{0,200}+(\([^{\n]*)")
_PARAMETER = re.compile(r"[(,][ \t]*((?:\w+, ){0,30}+\w+)[ \t]+(?=[\w*\[(<.])")
_BOUND_BACKWARD = re.compile(
    r"=: ?(\w++(?: ,\w++)*+)"
)  # a search for `:=` is fast from its end only
_JOINED = re.compile(r"\.\s+|\.\.\.")
_KEYWORD_NAMES = """
break case chan const continue default defer else fallthrough for func go goto if import interface
map package range return select struct switch type var
"""
_KEYWORDS = frozenset(_KEYWORD_NAMES.split())
# bytes that stand in no name are spaces
_SPACES = bytes(
    code if code >= 128 or chr(code).isalnum() or chr(code) in "_." else 32 for code in range(256)
)


@dataclass(frozen=True, slots=True)
class GoFile:
    """What one Go file says.

    Args:
        package: the name in its package clause.
        constraint: what must hold for it to be compiled (see `go_build`); "" if nothing.
        imports: name given ("" if none), and path, of each import.
        declares: names declared at the top.
        uses: names used that stand alone, and are not declared within functions.
        selects: "x.Name" as used, where `x` may be an imported package.
        starts: has an `init` function.
    """

    package: str
    constraint: str
    imports: tuple[tuple[str, str], ...]
    declares: tuple[str, ...]
    uses: tuple[str, ...]
    selects: tuple[str, ...]
    starts: bool


def scan(path: str, text: str, known: dict[str, str]) -> GoFile | None:
    """Read a Go file; None without a package clause.

    Args:
        path: of the file, whose name may hold a constraint.
        text: of the file.
        known: name -> the one object that stands for it in all files; grows.
    """
    text = text.removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    clause = _PACKAGE.match(text)
    if clause is None:
        return None
    imports, at = _imports(text, clause.end())
    body = _METHOD.sub(r"\1", _BLANK.sub(" ", text[at:]))
    declared = _declared(body)
    uses, selects = _used(body)
    starts = "init" in declared
    uses -= declared
    declared -= {"_", "init"}

    def same(names: Collection[str]) -> tuple[str, ...]:
        return tuple(map(known.setdefault, names, names))

    return GoFile(
        package=known.setdefault(clause[1], clause[1]),
        constraint=constraint(path, text[: clause.start(1)]),
        imports=tuple(
            zip(same([i[0] for i in imports]), same([i[1] for i in imports]), strict=True)
        ),
        declares=same(declared),
        uses=same(uses),
        selects=same(selects),
        starts=starts,
    )


def _imports(text: str, at: int) -> tuple[list[tuple[str, str]], int]:
    """Name and path of each import behind the package clause, and where they end."""
    found: list[tuple[str, str]] = []
    opening = _IMPORT.match(text, at)
    while opening:
        at = opening.end()
        spec = _SPEC.match(text, at)
        while spec:
            found.append((spec[1] or "", spec[2] or spec[3]))
            at = spec.end()
            spec = _SPEC.match(text, at) if opening[1] else None
        close = _CLOSE.match(text, at) if opening[1] else None
        at = close.end() if close else at
        opening = _IMPORT.match(text, at)
    return found, at


def _declared(body: str) -> set[str]:
    """Names declared at the top of a file without strings and comments."""
    found = set(_FUNCTION.findall(body))
    for names in _SINGLE.findall(body):
        found.update(_listed(names))
    for group in _GROUP.findall(body):
        margin: str | None = None
        for indent, names in _IN_GROUP.findall(group):
            margin = indent if margin is None else margin
            if indent == margin:
                found.update(_listed(names))
    return found


def _used(body: str) -> tuple[set[str], list[str]]:
    """Names that stand alone, and "x.Name", in a file without strings and comments."""
    if "." in body:
        body = _JOINED.sub(_joined, body)
    spaced = body.encode("utf-8", "surrogatepass").translate(_SPACES)
    tokens = set(spaced.decode("utf-8", "surrogatepass").split())
    dotted = [token for token in tokens if "." in token]
    tokens.difference_update(dotted)
    selects: list[str] = []
    for token in dotted:
        first, _, rest = token.partition(".")
        if first:
            tokens.add(first)
            if rest[:1].isupper():
                selects.append(token if "." not in rest else f"{first}.{rest.partition('.')[0]}")
    return tokens - _KEYWORDS - _local(body), selects


def _joined(match: re.Match[str]) -> str:
    return " " if match[0] == "..." else "."


def _local(body: str) -> set[str]:
    """Names declared within functions, by `:=` or as parameters."""
    found = {names[::-1] for names in set(_BOUND_BACKWARD.findall(body[::-1]))}
    for signature in set(_SIGNATURE.findall(body)):
        found.update(_PARAMETER.findall(signature))
    for names in [names for names in found if "," in names]:
        found.update(_listed(names))
    return found


def _listed(names: str) -> list[str]:
    return [name.strip() for name in names.split(",")] if "," in names else [names]
