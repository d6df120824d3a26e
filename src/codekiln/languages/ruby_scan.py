"""What a Ruby file says: what it requires, which constants it defines and which it uses.

Here-documents, `=begin` blocks and what stands behind `__END__` are cut out first; calls of
`require` and its like are found in the rest, and constants in what is left without strings and
comments. Patterns (`/'/`) and `%w[]` are not told from code: a quote in one hides at most a line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass

from codekiln.languages.resolve import Reference, ReferenceKind

_END = re.compile(r"^__END__\s*$", re.MULTILINE)
_BLOCK = re.compile(r"^=begin\b[\s\S]*?(?:^=end\b[^\n]*|\Z)", re.MULTILINE)
_HEREDOC = re.compile(r"<<[~-]?([\"'`]?)([A-Za-z_]\w*)\1")
_PLAIN_HEREDOC = re.compile(r"<<[A-Z]")
_SHORT = r'"(?:[^"\\\n#]++|\\.|#(?!\{))*+"' + r"|'(?:[^'\\\n]++|\\.)*+'"
_COMMENT = r"#(?!\{)[^\n]*+"
_WORDS = r"%[wWiI](?:\[[^\]]*+\]?|\([^)]*+\)?|\{[^}]*+\}?|<[^>]*+>?|\|[^|]*+\|?|![^!]*+!?)"
_BLANK = re.compile(f"{_COMMENT}|{_SHORT}|{_WORDS}")
_LOADED = (
    r"(?!\w)[ \t]*\(?[ \t]*(?::\w+[ \t]*,[ \t]*|[\"']\w+[\"'][ \t]*,[ \t]*)?"
    r"(?:File\.expand_path[ \t(]+[\"'](?P<up>[^\"'#\n]+)[\"'][ \t]*,[ \t]*"
    r"(?P<base>__FILE__|__dir__|File\.dirname\(__FILE__\))"
    r"|(?:File\.join[ \t(]+(?:__dir__|File\.dirname\(__FILE__\))[ \t]*,[ \t]*[\"']"
    r"|File\.dirname\(__FILE__\)[ \t]*\+[ \t]*[\"']/?|\"#\{__dir__\}/)(?P<near>[^\"'#\n]+)[\"']"
    r"|[\"'](?P<plain>[^\"'#\n]+)[\"'])"
)
# two searches, as one that begins with a choice would be several times slower
_REQUIRE = re.compile(rf"require(?P<how>_relative|_dependency)?{_LOADED}")
_LOAD = re.compile(rf"load(?P<how>){_LOADED}")
_METHOD = re.compile(r"^([ \t]*)(?:(def)|end)\b", re.MULTILINE)
_DEFINED = re.compile(
    r"^([ \t]*)(?:(module|class)[ \t]+((?:::)?[A-Z]\w*(?:::[A-Z]\w*)*+)"
    r"|([A-Z]\w*)[ \t]*=(?![=~>]))",
    re.MULTILINE,
)
_CONSTANT = re.compile(r"(?<!:)(?:::)?[A-Z]\w*(?:::[A-Z]\w*)*+")
_SPACES = bytes(
    code if code >= 128 or chr(code).isalnum() or chr(code) in "_:" else 32 for code in range(256)
)
_DEEPEST = 32  # modules within each other


@dataclass(frozen=True, slots=True)
class RubyFile:
    """What one Ruby file says.

    Args:
        requires: what is loaded; of level 1 where the path starts at the file's folder.
        opens: full names of the modules and classes that it opens.
        sets: full names of the other constants that it defines.
        uses: constants used, as written.
    """

    requires: tuple[Reference, ...]
    opens: tuple[str, ...]
    sets: tuple[str, ...]
    uses: tuple[str, ...]


def scan(text: str, known: dict[str, str]) -> RubyFile:
    """Read a Ruby file.

    Args:
        text: of the file.
        known: name -> the one object that stands for it in all files; grows.
    """
    text = text.removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if "__END__" in text:
        end = _END.search(text)
        text = text[: end.start()] if end else text
    if "=begin" in text:
        text = _BLOCK.sub("", text)
    if "<<" in text:
        text = _without_heredocs(text)
    requires = _requires(text) if "require" in text or "load" in text else []
    bare = _BLANK.sub(" ", text)
    opens, sets = _defines(bare)
    bare = _DEFINED.sub(" ", bare)
    spaced = bare.encode("utf-8", "surrogatepass").translate(_SPACES)
    uses = {
        constant
        for token in set(spaced.decode("utf-8", "surrogatepass").split())
        if token[0].isupper() or token[0] == ":"
        for constant in _CONSTANT.findall(token)
    }
    return RubyFile(tuple(requires), _same(opens, known), _same(sets, known), _same(uses, known))


def _same(names: Collection[str], known: dict[str, str]) -> tuple[str, ...]:
    return tuple(map(known.setdefault, names, names))


def _without_heredocs(text: str) -> str:
    """The text without the bodies of its here-documents."""
    kept: list[str] = []
    at = 0
    ends: dict[str, list[int]] | None = None
    for opening in _HEREDOC.finditer(text):
        if opening.start() < at or not (
            opening[0][2] in "~-\"'`" or _PLAIN_HEREDOC.match(opening[0])
        ):
            continue
        body = text.find("\n", opening.end())
        if body < 0:
            break
        if ends is None:
            ends = _lone_words(text)
        found = ends.get(opening[2], [])
        place = bisect_right(found, body)
        if place < len(found):  # else it is a shift, or open: the rest may be code
            kept.append(text[at : body + 1])
            at = found[place]
    kept.append(text[at:])
    return "".join(kept)


def _lone_words(text: str) -> dict[str, list[int]]:
    """Word -> where each line starts that holds nothing else."""
    found: dict[str, list[int]] = {}
    for match in re.finditer(r"^[ \t]*([A-Za-z_]\w*)[ \t]*$", text, re.MULTILINE):
        found.setdefault(match[1], []).append(match.start())
    return found


def _requires(text: str) -> list[Reference]:
    """Calls of `require` and its like with a literal path."""
    found: list[Reference] = []
    methods: tuple[list[int], list[int]] | None = None
    for call in (*_REQUIRE.finditer(text), *_LOAD.finditer(text)):
        at = call.start()
        start = max(at - _LONGEST_BEFORE, 0)
        line = text[max(text.rfind("\n", start, at) + 1, start) : at]
        kind: ReferenceKind = "import"
        if line.endswith("auto") and call[0].startswith("load"):
            kind, line = "declare", line[:-4]
        if line and not line.isspace() and not _is_code(line):
            continue
        if line[:1] in (" ", "\t"):
            methods = methods or _methods(text)
            place = bisect_right(methods[0], at) - 1
            if place >= 0 and at < methods[1][place]:
                kind = "local"
        found.append(_reference(call, kind))
    return found


_LONGEST_BEFORE = 400  # characters of a line before a call that are looked at


def _is_code(line: str) -> bool:
    """Whether a call may start behind `line`: not in a comment or string, nor within a name."""
    if line[-1].isalnum() or line[-1] in "_.:@$\"'`/-":
        return False
    bare = _BLANK.sub(lambda found: "#" if found[0][0] == "#" else "", line)
    return not ("#" in bare or '"' in bare or "'" in bare)


def _reference(call: re.Match[str], kind: ReferenceKind) -> Reference:
    if call["up"]:
        target = call["up"]
        if call["base"] == "__FILE__":  # the path starts at the file, as if it were a folder
            target = target.removeprefix("../") if target.startswith("../") else f"./{target}"
        return Reference(target=target, kind=kind, level=1)
    if call["near"]:
        return Reference(target=call["near"], kind=kind, level=1)
    return Reference(target=call["plain"], kind=kind, level=int(call["how"] == "_relative"))


def _methods(text: str) -> tuple[list[int], list[int]]:
    """Where methods start and end, by the indentation of `def` and `end`."""
    starts: list[int] = []
    ends: list[int] = []
    width = -1
    for match in _METHOD.finditer(text):
        here = len(match[1].expandtabs(8))
        if width >= 0 and here <= width:
            ends[-1] = match.start()
            width = -1
        if match[2] and width < 0:
            starts.append(match.start())
            ends.append(len(text))
            width = here
    return starts, ends


def _defines(text: str) -> tuple[set[str], set[str]]:
    """Full names of a file's modules and classes, nested by indentation; those of its constants."""
    opens: set[str] = set()
    sets: set[str] = set()
    around: list[tuple[int, str]] = []
    for indent, keyword, name, constant in _DEFINED.findall(text):
        width = len(indent.expandtabs(8))
        while around and around[-1][0] >= width:
            around.pop()
        full = (name or constant).removeprefix("::")
        if around and not name.startswith("::") and len(around) < _DEEPEST:
            full = f"{around[-1][1]}::{full}"
        if keyword:
            around.append((width, full))
            opens.add(full)
        else:
            sets.add(full)
    return opens, sets
