"""What PHP source declares, names and includes, by one regular expression over its tokens.

Strings, comments, heredocs, inline HTML, variables and members (`->a`, `::A`) are passed; all
other names that are left stand for classes, functions or constants. Which of them are classes is
not asked here: a name counts if some file of the repository declares a class of that name, which
a constant hardly ever shares. Keywords are known in lower case only, as nearly all code has them.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from codekiln.languages.resolve import ReferenceKind, parent

_BLOCK = r"/\*(?:[^*]++|\*(?!/))*+(?:\*/|\Z)"
_LINE = r"(?://|#(?!\[))[^\n?]*+(?:\?(?!>)[^\n?]*+)*+"
_TEXT = r"""(?:'(?:[^'\\]++|\\[\s\S])*+(?:'|\Z)|"(?:[^"\\]++|\\[\s\S])*+(?:"|\Z))"""
_WORD = r"[^\W\d]\w*+"
_NAME = r"\\?[^\W\d][\w\\]*+"
_PASSED = (
    r"[\s;,()=\[\].!&|+*%@^~>\x00-\x1f]++",
    r"\$\w*+",
    rf"{_TEXT}|`(?:[^`\\]++|\\[\s\S])*+(?:`|\Z)",
    r"->\s*+\w*+|::\s*+\w*+|\d[\w.]*+",
    rf"{_BLOCK}|{_LINE}",
    r"\?>[^<]*+(?:<(?!\?(?:php\b|=|\s))[^<]*+)*+(?:<\?(?:php|=)?+|\Z)",
    r"[?:/<-]|\\(?!\w)",
    rf"const\s++{_WORD}(?=\s*+=)|case\s++{_WORD}\s*+(?=[;=:](?!:))",
    r"__halt_compiler\b[\s\S]*+",
)
_KEPT = (
    r"namespace\b(?!\s*+\\)\s*+[\w\\]*+\s*+[;{]",
    r"use\s++[\w\\][\w\\\s,]*+(?:;|\{[^{}]*+\}?)",
    rf"(?:class|interface|trait|enum)\s++(?!(?:extends|implements)\b){_WORD}",
    rf"function\s++&?\s*+{_WORD}",
    rf"new\s++{_NAME}|\#\[\s*+{_NAME}",
    rf"(?:require|include)(?:_once)?+\b(?:{_TEXT}|[\w\\]++|[\s().,@]++){{1,40}}+(?![$\[{{>-])",
    rf"{_NAME}(?:\s*+\(|\s*+:(?!:))?+",
    r"[\s\S]",
)
# what is passed and what is kept, in turn; together they match anywhere, so that no text is read
# twice
_TOKEN = re.compile(f"(?:{'|'.join(_PASSED)})*+({'|'.join(_KEPT)})?")
_HEREDOC = re.compile(r"<<<[ \t]*([\"']?)([^\W\d]\w*)\1\r?\n")
_COMMENT = re.compile(rf"{_BLOCK}|(?://|#)[^\n]*+")
_IMPORTED = re.compile(rf"(?:(function|const)\s++)?({_NAME})(?:\s++as\s++({_WORD}))?\s*+(?:,|\Z)")
_PIECE = re.compile(rf"({_TEXT})|([\w\\]+)|([().,])")
_KEYWORDS = frozenset(
    """
abstract and array as bool break callable case catch class clone const continue declare default die
do echo else elseif empty enddeclare endfor endforeach endif endswitch endwhile enum eval exit
extends false final finally float fn for foreach from function global goto if implements include
include_once instanceof insteadof int interface isset iterable list match mixed namespace never new
null object or parent print private protected public readonly require require_once return self
static string switch throw trait true try unset use var void while xor yield TRUE FALSE NULL
__CLASS__ __DIR__ __FILE__ __FUNCTION__ __LINE__ __METHOD__ __NAMESPACE__ __TRAIT__ strict_types
""".split()
)
UNKNOWN = "\0"  # stands for a constant or call in what is included


@dataclass(slots=True, kw_only=True)
class PhpScan:
    """What one file says; names are whole, without a leading backslash, and in lower case.

    Args:
        classes: declared here, as they are spelt.
        functions: declared here whatever happens, so not within an `if`.
        named: classes referred to, and whether by `use` (import) or by name alone (use).
        called: functions that are called or imported: in the own namespace, else the global one.
        included: paths; "/" at the start is the repository's root, UNKNOWN what can't be told.
    """

    classes: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    named: dict[str, ReferenceKind] = field(default_factory=dict)
    called: dict[tuple[str, str], ReferenceKind] = field(default_factory=dict)
    included: list[str] = field(default_factory=list)


def scan(path: str, text: str) -> PhpScan:
    """What a PHP file declares, names and includes; `path` tells what `__DIR__` is."""
    found = PhpScan()
    if "<?" not in text:
        return found
    if "<<<" in text:
        text = _without_heredocs(text)
    tokens = [token for token in _TOKEN.findall("?>" + text) if token]
    spaces = _namespaces(tokens)
    for space in spaces:
        _read(space, path, found)
    return found


def _without_heredocs(text: str) -> str:
    """The text with an empty string for each heredoc; an open one stays as it is."""
    pieces: list[str] = []
    at = 0
    opener = _HEREDOC.search(text)
    while opener:
        closer = re.compile(rf"^[ \t]*{opener[2]}\b", re.MULTILINE).search(text, opener.end())
        if closer is None:
            break
        pieces += (text[at : opener.start()], "''")
        at = closer.end()
        opener = _HEREDOC.search(text, at)
    return "".join((*pieces, text[at:]))


def _namespaces(tokens: list[str]) -> Iterator[list[str]]:
    """The tokens of each namespace, the statement that opens it first."""
    starts = [
        place
        for place, token in enumerate(tokens)
        if token[0] == "n" and token.startswith("namespace") and token[-1] in ";{"
    ]
    for start, end in zip([0, *starts], [*starts, len(tokens)], strict=True):
        if start < end:
            yield tokens[start:end]


class _Names:
    """What names stand for in one namespace."""

    def __init__(self, namespace: str) -> None:
        self.prefix = f"{namespace}\\".lower() if namespace else ""
        self.classes: dict[str, str] = {}
        self.functions: dict[str, str] = {}

    def whole(self, name: str) -> str:
        """The class that a name stands for."""
        name = name.lower()
        if name[0] == "\\":
            return name[1:]
        first, slash, rest = name.partition("\\")
        if slash and first == "namespace":
            return self.prefix + rest
        known = self.classes.get(first)
        return self.prefix + name if known is None else known + slash + rest

    def function(self, name: str) -> tuple[str, str]:
        """The functions that a name stands for: the first that there is."""
        name = name.lower()
        if "\\" in name:
            whole = self.whole(name)
            return whole, whole
        known = self.functions.get(name)
        return (self.prefix + name, name) if known is None else (known, known)


def _read(tokens: list[str], path: str, found: PhpScan) -> None:
    unique = set(tokens)
    ordered = {token for token in unique if token in _BRACES or _is_statement(token)}
    namespace = ""
    depth = 0
    if tokens[0].startswith("namespace") and tokens[0][-1] in ";{":
        namespace = tokens[0][9:-1].strip().strip("\\")
        depth = -1 if tokens[0][-1] == "{" else 0
        depth = 0
    names = _Names(namespace)
    class_depth: list[int] = []
    spelt = f"{namespace}\\" if namespace else ""
    awaiting = False  # a class whose body has not opened yet
    for token in tokens:
        if token not in ordered:
            continue
        if token == "{":
            if awaiting:
                class_depth.append(depth)
                awaiting = False
            depth += 1
        elif token == "}":
            depth -= 1
            if class_depth and depth <= class_depth[-1]:
                class_depth.pop()
        elif token.startswith("use"):
            if class_depth:
                unique.update(_traits(token))
            else:
                _import(token, names, found)
        elif token.startswith("function"):
            if not class_depth and depth <= 0:
                found.functions.append((spelt + token[8:].lstrip().lstrip("& \t\r\n")).lower())
        elif token.startswith(("require", "include")):
            found.included += _included(token, path)
        elif not token.startswith("namespace"):
            found.classes.append(spelt + token.split()[1])
            awaiting = True
    _refer(unique - ordered, names, found)


_BRACES = frozenset("{}")
_STATEMENT = re.compile(
    r"(?:use|class|interface|trait|enum|function)\s|namespace\b(?!\\).*[;{]\Z"
    r"|(?:require|include)(?:_once)?(?![\w\\])(?!\(?\Z)",
    re.DOTALL,
)


def _is_statement(token: str) -> bool:
    return token[0] in _OPENINGS and _STATEMENT.match(token) is not None


_OPENINGS = frozenset("nucitefr")


def _refer(tokens: Iterable[str], names: _Names, found: PhpScan) -> None:
    """Take in the names that are left, each once."""
    for token in tokens:
        name = token
        if token[-1] == ":":
            continue
        if token[-1] == "(":
            name = token[:-1].rstrip()
            if name not in _KEYWORDS and not name.startswith("new"):
                found.called.setdefault(names.function(name), "use")
            if not name[name.rfind("\\") + 1 :][:1].isupper():  # else an attribute, it may be
                continue
        elif token[0] == "#":
            name = token[2:].lstrip()
        if name.startswith("new") and name[3:4].isspace():
            name = name[3:].lstrip()
        if name and name not in _KEYWORDS:
            found.named.setdefault(names.whole(name), "use")


def _traits(token: str) -> Iterator[str]:
    """The names of `use A, B;` within a class."""
    for name in token[3:].partition("{")[0].rstrip(";").split(","):
        if name.strip():
            yield name.strip()


def _import(token: str, names: _Names, found: PhpScan) -> None:
    """Take in a `use` statement: `use A\\B as C, D;`, `use A\\{B, function c};`."""
    head, brace, listed = token[3:].rstrip(";}").partition("{")
    kind, prefix = "", ""
    if brace:
        words = head.split()
        if len(words) == 2 and words[0] in ("function", "const"):
            kind = words[0]
        prefix = words[-1].strip("\\") + "\\" if words else ""
        head = _COMMENT.sub(" ", listed)
    for one in _IMPORTED.finditer(head):
        name = prefix + one[2].strip("\\")
        alias = (one[3] or name[name.rfind("\\") + 1 :]).lower()
        what = one[1] or kind
        if what == "function":
            names.functions[alias] = name.lower()
            found.called[name.lower(), name.lower()] = "import"
        elif not what:
            names.classes[alias] = name.lower()
            found.named[name.lower()] = "import"


def _included(token: str, path: str) -> list[str]:
    """The path that `include` or `require` names, if it can be told."""
    pieces = [piece for piece in _PIECE.findall(token)][1:]
    value, rest = _value(pieces, path)
    return [value] if value and not value.endswith(UNKNOWN) else []


def _value(pieces: list[tuple[str, str, str]], path: str, depth: int = 0) -> tuple[str, int]:
    """What a concatenation says, and how many of the pieces it takes."""
    value, at = "", 0
    while at < len(pieces):
        text, word, mark = pieces[at]
        if mark in (")", ","):
            break
        called = at + 1 < len(pieces) and pieces[at + 1][2] == "("
        at += 1
        if text:
            value += UNKNOWN if "$" in text and text[0] == '"' else text[1:-1]
        elif mark == "(" or (word and called):
            at += called and not mark
            if depth > 20:
                return UNKNOWN, len(pieces)
            inner, taken = _value(pieces[at:], path, depth + 1)
            at += taken
            ups = 1
            while at < len(pieces) and pieces[at][2] != ")":
                ups = int(pieces[at][1]) if pieces[at][1].isdecimal() else ups
                at += 1
            at += 1
            if mark:
                value += inner
            elif word.lower() == "dirname" and 0 < ups < 20:
                value += _upward(inner, ups)
            elif word.lower() == "plugin_dir_path":
                value += _upward(inner, 1) + "/"
            else:
                value += UNKNOWN
        elif word == "__DIR__":
            value += f"/{parent(path)}".rstrip("/")
        elif word == "__FILE__":
            value += f"/{path}"
        elif word:
            value += UNKNOWN
    return value, at


def _upward(value: str, steps: int) -> str:
    if UNKNOWN in value:
        return UNKNOWN
    for _ in range(steps):
        value = posixpath.dirname(value.rstrip("/"))
    return value.rstrip("/")
