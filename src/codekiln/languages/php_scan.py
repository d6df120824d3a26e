"""What PHP source declares, names and includes, by one regular expression over its tokens.

Strings, comments, heredocs, inline HTML, variables and members (`->a`, `::A`) are passed; all
other names that are left stand for classes, functions or constants. Which of them are classes is
not asked here: a name counts if some file of the repository declares a class of that name, which
a constant hardly ever shares. Keywords are known in lower case only, as nearly all code has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from codekiln.languages.php_include import included
from codekiln.languages.resolve import ReferenceKind

_BLOCK = r"/\*(?:[^*]++|\*(?!/))*+(?:\*/|\Z)"
_LINE = r"(?://|#(?!\[))[^\n?]*+(?:\?(?!>)[^\n?]*+)*+"
_TEXT = r"""(?:'(?:[^'\\]++|\\[\s\S])*+(?:'|\Z)|"(?:[^"\\]++|\\[\s\S])*+(?:"|\Z))"""
_WORD = r"[^\W\d]\w*+"
_NAME = r"\\?[^\W\d][\w\\]*+"
_ITEM = rf"(?:(?:function|const)\s++)?+{_NAME}\s*+(?:as\s++{_WORD}\s*+)?+"
_PASSED = (
    r"[\s;,()=\[\].!&|+*%@^~>\x00-\x1f]++",
    r"\$\w*+",
    rf"{_TEXT}|`(?:[^`\\]++|\\[\s\S])*+(?:`|\Z)",
    r"->\s*+\w*+|::\s*+\w*+|\d[\w.]*+",
    rf"{_BLOCK}|{_LINE}",
    r"\?>[^<]*+(?:<(?!\?(?:php\b|=|\s))[^<]*+)*+(?:<\?(?:php|=)?+|\Z)",
    r"[?:/<-]|\\(?!\w)",
    rf"const\s++{_WORD}(?=\s*+=)|case\s++{_WORD}\s*+(?=[;=:](?!:))|goto\s++\w++",
    r"__halt_compiler\b[\s\S]*+",
)
_KEPT = (
    r"namespace\b(?!\s*+\\)\s*+[\w\\]*+\s*+[;{]",
    rf"use\s++{_ITEM}(?:,\s*+{_ITEM})*+(?:;|\{{[^{{}}]*+\}}?)",
    rf"(?:class|interface|trait|enum)\s++(?!(?:extends|implements)\b){_WORD}",
    rf"function\s++&?\s*+{_WORD}",
    rf"(?:new|instanceof)\s++{_NAME}|\#\[\s*+{_NAME}",
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
_RESERVED = """
abstract and array as bool break callable case catch class clone const continue declare default die
do echo else elseif empty enddeclare endfor endforeach endif endswitch endwhile enum eval exit
extends false final finally float fn for foreach from function global goto if implements include
include_once instanceof insteadof int interface isset iterable list match mixed namespace never new
null object or parent print private protected public readonly require require_once return self
static string switch throw trait true try unset use var void while xor yield TRUE FALSE NULL
__CLASS__ __DIR__ __FILE__ __FUNCTION__ __LINE__ __METHOD__ __NAMESPACE__ __TRAIT__ strict_types
"""
_KEYWORDS = frozenset(_RESERVED.split())


@dataclass(slots=True, kw_only=True)
class PhpScan:
    """What one file says; names are whole, without a leading backslash, and in lower case.

    Args:
        classes: declared here, as they are spelt.
        functions: declared here whatever happens, so not within an `if`.
        named: classes referred to, and whether by `use` (import) or by name alone (use).
        called: functions that are called or imported: in the own namespace, else the global one.
        included: paths as `php_include.included` gives them.
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
    for space in _namespaces(tokens):
        _Namespace(space, path, found).read()
    return found


def _without_heredocs(text: str) -> str:
    """The text with an empty string for each heredoc; an open one stays as it is."""
    pieces: list[str] = []
    at = 0
    opener = _HEREDOC.search(text)
    while opener:
        end = _heredoc_end(text, opener[2], opener.end())
        if end < 0:
            break
        pieces += (text[at : opener.start()], "''")
        at = end
        opener = _HEREDOC.search(text, at)
    return "".join((*pieces, text[at:]))


def _heredoc_end(text: str, label: str, start: int) -> int:
    """Behind the label that stands first on its line, but for blanks; -1 if there is none."""
    place = text.find(label, start)
    while place >= 0:
        before = place - 1
        while text[before] in " \t":
            before -= 1
        end = place + len(label)
        if text[before] == "\n" and not (
            text[end : end + 1].isalnum() or text[end : end + 1] == "_"
        ):
            return end
        place = text.find(label, end)
    return -1


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


class _Namespace:
    """One namespace of a file, while it is read.

    Args:
        tokens: the `namespace` statement first, if there is one.
        path: of the file.
        found: what is added to.
    """

    def __init__(self, tokens: list[str], path: str, found: PhpScan) -> None:
        self._tokens = tokens
        self._path = path
        self._found = found
        opening = tokens[0] if _is_statement(tokens[0]) and tokens[0][0] == "n" else "namespace;"
        name = opening[9:-1].strip().strip("\\") if opening.startswith("namespace") else ""
        self._prefix = f"{name}\\" if name else ""
        self._classes: dict[str, str] = {}  # alias -> what it stands for, in lower case
        self._functions: dict[str, str] = {}

    def read(self) -> None:
        """Add what the namespace declares, names and includes."""
        unique = set(self._tokens)
        statements = {token for token in unique if token in _BRACES or _is_statement(token)}
        unique -= statements
        depth = 0
        bodies: list[int] = []  # how deep the open bodies of classes stand
        awaited = False  # a class whose body has not opened yet
        for token in self._tokens:
            if token not in statements:
                continue
            if token == "{":
                if awaited:
                    bodies.append(depth)
                    awaited = False
                depth += 1
            elif token == "}":
                depth -= 1
                if bodies and depth <= bodies[-1]:
                    bodies.pop()
            elif token[0] == "u":
                if bodies:
                    unique.update(_traits(token))
                else:
                    self._import(token)
            elif token[0] == "f":
                if not bodies and depth <= 0:
                    self._found.functions.append((self._prefix + _last_word(token)).lower())
            elif token.startswith(("require", "include")):
                self._found.included += included(token, self._path)
                unique.update(name for name in _NAMES.findall(token) if name)
            elif not token.startswith("namespace"):
                awaited = True
                if not token.startswith("new"):
                    self._found.classes.append(self._prefix + _last_word(token))
        self._refer(unique)

    def _refer(self, tokens: Iterable[str]) -> None:
        """Take in the names that are left, each once."""
        for token in tokens:
            if token[-1] == "(":
                name = token[:-1].rstrip()
                if name not in _KEYWORDS:
                    self._found.called.setdefault(self._function(name), "use")
                if not name[name.rfind("\\") + 1 :][:1].isupper():  # else maybe an attribute
                    continue
            elif token[-1] == ":":  # the name of an argument, or a label
                continue
            else:
                name = _BEFORE_CLASS.sub("", token)
            if name not in _KEYWORDS:
                self._found.named.setdefault(self._class(name), "use")

    def _class(self, name: str) -> str:
        name = name.lower()
        if name[0] == "\\":
            return name[1:]
        first, slash, rest = name.partition("\\")
        if slash and first == "namespace":
            return self._prefix.lower() + rest
        known = self._classes.get(first)
        return self._prefix.lower() + name if known is None else known + slash + rest

    def _function(self, name: str) -> tuple[str, str]:
        if "\\" in name:
            whole = self._class(name)
            return whole, whole
        name = name.lower()
        known = self._functions.get(name)
        return (self._prefix.lower() + name, name) if known is None else (known, known)

    def _import(self, statement: str) -> None:
        """Take in `use A\\B as C, D;` or `use A\\{B, function c};`."""
        listed, brace, grouped = statement[3:].rstrip(";}").partition("{")
        what, prefix = "", ""
        if brace:
            words = listed.split()
            what = words[0] if words[0] in ("function", "const") else ""
            prefix = words[-1].strip("\\") + "\\"
            listed = _COMMENT.sub(" ", grouped)
        for one in _IMPORTED.finditer(listed):
            name = (prefix + one[2].strip("\\")).lower()
            alias = (one[3] or name[name.rfind("\\") + 1 :]).lower()
            if (one[1] or what) == "function":
                self._functions[alias] = name
                self._found.called[name, name] = "import"
            elif not (one[1] or what):
                self._classes[alias] = name
                self._found.named[name] = "import"


_BRACES = frozenset("{}")
_OPENINGS = frozenset("nucitefr")
_STATEMENT = re.compile(
    r"(?:use|class|interface|trait|enum|function)\s|new\s++class\Z|namespace\b(?!\\)[^(]*[;{]\Z"
    r"|(?:require|include)(?:_once)?(?![\w\\:])(?!\s*\(?\Z)"
)
_BEFORE_CLASS = re.compile(r"(?:(?:new|instanceof)\s|#\[)\s*")
_NAMES = re.compile(rf"{_TEXT}|({_NAME}(?:\s*+\()?+)")


def _is_statement(token: str) -> bool:
    return token[0] in _OPENINGS and _STATEMENT.match(token) is not None


def _last_word(token: str) -> str:
    return token.rsplit(maxsplit=1)[-1].lstrip("&")


def _traits(statement: str) -> Iterator[str]:
    """The names of `use A, B;` within a class."""
    for name in statement[3:].partition("{")[0].rstrip(";").split(","):
        if name.strip():
            yield name.strip()
