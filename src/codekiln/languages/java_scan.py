"""Java source: packages, imports, declared types and the names that may stand for types.

A name counts as a type where Java could not mean anything else, or where nothing speaks against
it: it starts with a capital, no dot or bracket makes it a member or a call, and the file declares
no constant, no enum constant and no type parameter of that name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from codekiln.languages.jvm_scan import (
    Declared,
    Import,
    Nesting,
    Unit,
    type_chain,
)
from codekiln.languages.words import (
    LONGEST_HEAD,
    closed,
    constants,
    interned,
    keyword_matches,
    listed,
    parameter_names,
    without_arguments,
    word_table,
)

# comments, text blocks, strings, characters; open ones end with the text or the line
_COVERED = re.compile(
    r"/(?:/[^\n]*+|\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\Z))"
    r'|"(?:""[^"\\]*+(?:(?:\\[\s\S]|"(?!""))[^"\\]*+)*+(?:"""|\Z)'
    r'|[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"?)'
    r"|'(?:[^'\\\n]|\\[^\n]{1,6}?)'"
)
_PACKAGE = re.compile(r"package\s+([\w$.]+)\s*;")
_IMPORT = re.compile(
    r"import\s++(?:static\s++)?([\w$]++(?:\s*+\.\s*+[\w$]++)*+)(\s*+\.\s*+\*)?+\s*+;"
)
_TYPE = re.compile(r"(?:class|interface|enum|record)\s++([\w$]++)\s*+(?=[{<(eip])")
_TYPE_WORDS = ("class", "interface", "enum", "record")
_HEAD_END = re.compile(r"[{;]")
_SUPERS = re.compile(r"\b(?:extends|implements)\b")
_METHOD_PARAMETERS = re.compile(r"<(?<=[\s>]<)[A-Z_$]")
_CASE = re.compile(r"case\s++(?<![\w$]case\s)([\w$.\s,]{0,200}+)(?=[:(-])")
_WORDS = word_table("@(=")


def scan(text: str) -> Unit:
    """What a Java file says."""
    code = _COVERED.sub(" ", text)
    package = _PACKAGE.search(code)
    name = package[1] if package else ""
    declared, hidden, first = _types(code, name)
    found = list(_IMPORT.finditer(code, 0, first))
    for start in _METHOD_PARAMETERS.finditer(code):
        hidden.update(parameter_names(listed(code, start.start())[0]))
    rest = code[: found[0].start()] + code[found[-1].end() :] if found else code
    return Unit(
        language="java",
        packages=(name,),
        imports=tuple(map(_import, found)),
        declared=tuple(declared),
        names=interned(_names(rest, hidden)),
    )


def _import(match: re.Match[str]) -> Import:
    path = "".join(match[1].split())
    return Import(path, "" if match[2] else path[path.rfind(".") + 1 :])


def _types(code: str, package: str) -> tuple[list[Declared], set[str], int]:
    """The declared types; type parameters and enum constants; where the first type starts."""
    declared: list[Declared] = []
    hidden: set[str] = set()
    nesting = Nesting(code)
    first = passed = -1
    for match in keyword_matches(code, _TYPE_WORDS, _TYPE):
        at = match.end()
        if match[0].startswith("record") and code[at] not in "(<":
            continue  # a variable of that name
        if first < 0:
            first = match.start()
        full = nesting.enter(match.start(), match[1])
        if code[at] == "<":
            parameters, at = listed(code, at)
            hidden.update(parameter_names(parameters))
        if match[0].startswith("record"):
            at = closed(code, at)
        end = _HEAD_END.search(code, at, at + LONGEST_HEAD)
        head = code[at : end.start()] if end else ""
        declared.append(Declared(package, full, _supers(head)))
        if match[0].startswith("enum") and end and end.end() > passed:
            found, passed = constants(code, end.end())
            hidden.update(found)
    return declared, hidden, first if first >= 0 else len(code)


def _supers(head: str) -> tuple[str, ...]:
    match = _SUPERS.search(head)
    if match is None:
        return ()
    types = without_arguments(head[match.end() :]).partition(" permits ")[0]
    words = (one.split() for one in _SUPERS.sub(",", types).split(","))
    return tuple(one[-1] for one in words if one)


def _names(code: str, hidden: set[str]) -> Iterator[str]:
    """The names that may stand for types."""
    if "case " in code:
        code = _CASE.sub(_labels, code)
    code = code.replace("(", "( ").replace("new ", "@").replace("instanceof ", "@")
    words = set(code.replace(" = ", "= ").translate(_WORDS).split())
    words = {word for word in words if not word.islower()}
    hidden |= {word[:-1] for word in words if word[-1] == "=" and word[-2:] != "=="}
    for word in words:
        sure = word[0] == "@"
        if sure:
            word = word.lstrip("@")
        elif word[-1] == "(":
            word = word.rpartition(".")[0]  # a method
        elif word[-1] == "=":
            continue
        chain = type_chain(word) or (word.rstrip("(") if sure else "")
        if chain and (sure or chain.partition(".")[0] not in hidden):
            yield chain


def _labels(match: re.Match[str]) -> str:
    """What the labels of a `case` leave: types of patterns, not constants."""
    if match.string[match.end()] == "(":
        return f" @{match[1]}"
    labels = [label.split() for label in match[1].split(",")]
    patterns = [words[-2] for words in labels if len(words) > 1]
    qualifiers = [words[0].rpartition(".")[0] for words in labels if len(words) == 1]
    return " @".join(["", *patterns, *filter(None, qualifiers)]) + " "
