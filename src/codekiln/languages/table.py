"""The table of languages: which file is in which language, how that language writes comments.

The data stand in `table.toml`: the languages of DeepSeek-Coder's public list (89; the paper speaks
of 87) and a few more. A file is named by its whole name, then by its longest known suffix, then by
its `#!` line; where several languages share a suffix, a pattern over the head of the file decides
(C unless clearly C++).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

LanguageKind = Literal["code", "markup", "data", "prose"]

HEAD_CHARACTERS = 1 << 15  # a licence and a block of #includes are passed within this
_SHEBANG = re.compile(r"#!\s*(?:\S*/)?([\w.+-]+)(?:[ \t]+([^\n]*))?")
_VERSION = re.compile(r"-?\d+(\.\d+)*$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One language.

    Args:
        name: as in DeepSeek-Coder's public list, such as "c-sharp".
        suffixes: with the dot.
        filenames: whole file names; one that ends in ".*" stands for all that start so.
        interpreters: programs of a `#!` line.
        comment: what opens and closes a comment of one line; "" closes at the line's end.
        kind: what the files hold.
    """

    name: str
    suffixes: tuple[str, ...]
    filenames: tuple[str, ...] = ()
    interpreters: tuple[str, ...] = ()
    comment: tuple[str, str]
    kind: LanguageKind = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    names: Mapping[str, Language]
    prefixes: Mapping[str, Language]  # "dockerfile." of "Dockerfile.*"
    suffixes: Mapping[str, Language]
    interpreters: Mapping[str, Language]
    content: Mapping[str, tuple[tuple[re.Pattern[str], Language | None], ...]]


@cache
def languages() -> Mapping[str, Language]:
    """All languages by name."""
    return MappingProxyType(
        {name: _language(name, entry) for name, entry in _table().items() if name != "content"}
    )


def detect(path: str, head: str = "") -> Language | None:
    """The language of a file by its path and the start of its text; None if unknown.

    `head` may be the whole text: no more than HEAD_CHARACTERS of it are looked at.
    """
    index = _index()
    name = path[path.rfind("/") + 1 :]
    found = _by_name(index, name)
    if found is not None:
        return found
    suffix = _known_suffix(index, name)
    if suffix is None:
        return _by_shebang(index, head) if head.startswith("#!") else None
    patterns = index.content.get(suffix)
    if patterns and head:
        head = head[:HEAD_CHARACTERS]
        for pattern, language in patterns:
            if pattern.search(head):
                return language
    return index.suffixes[suffix]


def may_detect(path: str) -> bool:
    """Whether a file could turn out to be of a known language, judged by its path alone.

    True for known names and suffixes, and for names without a suffix, whose `#!` line has to be
    seen. Saves reading images and the like.
    """
    name = path[path.rfind("/") + 1 :]
    if "." not in name[1:]:
        return True
    index = _index()
    return _known_suffix(index, name) is not None or _by_name(index, name) is not None


def path_header(path: str, language: str) -> str:
    """The path of a file as a comment of its language, with a line end: "#pkg/mod.py\\n".

    Training, evaluation and serving all write it here. No blank follows the comment mark: the
    released models were trained on "#path". A language that the table does not know gets "#".
    JSON, which has no comments, gets "//", as its dialects with comments do. A control character
    in the path becomes "?", so that the header stays one line.

    Source: DeepSeek-Coder §2.2 (a comment with the path stands at the start of each file).
    """
    entry = languages().get(language)
    opening, closing = entry.comment if entry else ("#", "")
    return f"{opening}{_CONTROL.sub('?', path)}{closing}\n"


def _by_name(index: _Index, name: str) -> Language | None:
    lower = name.lower()
    found = index.names.get(lower)
    if found is None and "." in lower:
        found = index.prefixes.get(lower[: lower.index(".") + 1])
        if found is not None and _known_suffix(index, name) is not None:
            return None  # "makefile.py" is Python
    return found


def _known_suffix(index: _Index, name: str) -> str | None:
    """The longest known suffix, as the index spells it; case counts where it tells apart."""
    dot = name.find(".", 1)
    while dot >= 0:
        suffix = name[dot:]
        if suffix in index.suffixes:
            return suffix
        suffix = suffix.lower()
        if suffix in index.suffixes:
            return suffix
        dot = name.find(".", dot + 1)
    return None


def _by_shebang(index: _Index, head: str) -> Language | None:
    match = _SHEBANG.match(head[:256])
    if not match:
        return None
    program, arguments = match.groups()
    if program == "env":
        words = [w for w in (arguments or "").split() if not w.startswith("-") and "=" not in w]
        if not words:
            return None
        program = words[0].rsplit("/", 1)[-1]
    program = program.lower()
    return index.interpreters.get(program) or index.interpreters.get(_VERSION.sub("", program))


@cache
def _table() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("table.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _language(name: str, entry: dict[str, Any]) -> Language:
    comment = entry["comment"]
    return Language(
        name=name,
        suffixes=tuple(entry["suffixes"]),
        filenames=tuple(entry.get("filenames", ())),
        interpreters=tuple(entry.get("interpreters", ())),
        comment=(comment, "") if isinstance(comment, str) else (comment[0], comment[1]),
        kind=entry.get("kind", "code"),
    )


@cache
def _index() -> _Index:
    table = languages()
    content: dict[str, list[tuple[re.Pattern[str], Language | None]]] = {}
    for rule in _table()["content"]:
        language = table[rule["language"]] if rule["language"] else None
        pattern = re.compile(rule["pattern"], re.MULTILINE)
        content.setdefault(rule["suffix"], []).append((pattern, language))
    everyone = table.values()
    names = {name.lower(): lang for lang in everyone for name in lang.filenames}
    return _Index(
        names={name: lang for name, lang in names.items() if not name.endswith(".*")},
        prefixes={name[:-1]: lang for name, lang in names.items() if name.endswith(".*")},
        suffixes={suffix: lang for lang in everyone for suffix in lang.suffixes},
        interpreters={word.lower(): lang for lang in everyone for word in lang.interpreters},
        content={suffix: tuple(rules) for suffix, rules in content.items()},
    )
