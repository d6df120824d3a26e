"""The table of languages: which file is in which language, how that language writes comments.

The data stand in `table.toml` (the languages of DeepSeek-Coder's public list: 89; the paper speaks
of 87), `table_v2.toml` (what DeepSeek-Coder-V2's list of 338 adds) and `content.toml`. A file is
named by its whole name, then by its longest known suffix, then by its `#!` line; where several
languages share a suffix, patterns over the head of the file decide (C unless clearly C++).

Some languages of V2's list are dialects of one of the first list: JSX was JavaScript there. Each
file is named by the finer one, whose `family` is the coarser; `select` and `registry` see to it
that what is asked for or known of the family holds for its dialects.

Sources: DeepSeek-Coder §2.1 and its public list; DeepSeek-Coder-V2's supported_langs.txt.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

from codekiln.types import Span

LanguageKind = Literal["code", "markup", "data", "prose"]
LISTS = ("v1", "v2")

HEAD_CHARACTERS = 1 << 15  # a licence and a block of #includes are passed within this
_SHEBANG = re.compile(r"#!\s*(?:\S*/)?([\w.+-]+)(?:[ \t]+([^\n]*))?")
_VERSION = re.compile(r"-?\d+(\.\d+)*$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """One language.

    Args:
        name: as in DeepSeek-Coder's public list, such as "c-sharp"; one of V2's list alone is
            spelt in the same way ("F*" is "f-star").
        family: the language of the first list that this one is a dialect of; else its own name.
        lists: which public lists name it: "v1" (89 languages), "v2" (338).
        suffixes: with the dot; none where it has a file only by name or content.
        filenames: whole file names; one that ends in ".*" stands for all that start so, one with
            a folder before it is meant in that folder.
        interpreters: programs of a `#!` line.
        comment: what opens and closes a comment of one line; "" closes at the line's end.
        kind: what the files hold.
    """

    name: str
    family: str
    lists: frozenset[str]
    suffixes: tuple[str, ...] = ()
    filenames: tuple[str, ...] = ()
    interpreters: tuple[str, ...] = ()
    comment: tuple[str, str]
    kind: LanguageKind = "code"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    names: Mapping[str, Language]
    placed: Mapping[str, tuple[str, Language]]  # "control": "/debian/control" and its language
    prefixes: Mapping[str, Language]  # "dockerfile." of "Dockerfile.*"
    suffixes: Mapping[str, Language | None]  # None: content alone decides
    interpreters: Mapping[str, Language]
    content: Mapping[str, tuple[tuple[re.Pattern[str], Language | None], ...]]


@cache
def languages() -> Mapping[str, Language]:
    """All languages by name."""
    first, second = _data("table.toml"), _data("table_v2.toml")
    return MappingProxyType(
        {name: _language(name, entry) for name, entry in [*first.items(), *second.items()]}
    )


def v1_languages() -> frozenset[str]:
    """Names of DeepSeek-Coder's public list (89)."""
    return frozenset(name for name, entry in languages().items() if "v1" in entry.lists)


def v2_languages() -> frozenset[str]:
    """Names of DeepSeek-Coder-V2's public list (338)."""
    return frozenset(name for name, entry in languages().items() if "v2" in entry.lists)


def select(names: Iterable[str]) -> frozenset[str]:
    """The languages that names of languages, families and lists ("v1", "v2") stand for.

    A family stands for its dialects too: "javascript" chooses "jsx", and "v1" chooses what the
    first list has under a coarser name.

    Raises:
        KeyError: for a name that is none of these.
    """
    wanted: set[str] = set()
    for name in names:
        if name in LISTS:
            wanted |= v1_languages() if name == "v1" else v2_languages()
        else:
            wanted.add(languages()[name].name)
    return frozenset(n for n, entry in languages().items() if n in wanted or entry.family in wanted)


def family(language: str) -> str:
    """The language whose dialect this is: "javascript" for "jsx"; itself for most."""
    entry = languages().get(language)
    return entry.family if entry else language


def main_language(spans: Iterable[Span]) -> str:
    """The language with the most text among a document's files; "" without files."""
    sizes: Counter[str] = Counter()
    for span in spans:
        sizes[span.language] += span.end - span.body
    return min(sizes, key=lambda name: (-sizes[name], name), default="")


def detect(path: str, head: str = "") -> Language | None:
    """The language of a file by its path and the start of its text; None if unknown.

    `head` may be the whole text: no more than HEAD_CHARACTERS of it are looked at.
    """
    index = _index()
    name = path[path.rfind("/") + 1 :]
    found = _by_name(index, name, path)
    if found is not None:
        return found
    suffix = _known_suffix(index, name)
    if suffix is not None:
        patterns = index.content.get(suffix)
        if patterns and head:
            head = head[:HEAD_CHARACTERS]
            for pattern, language in patterns:
                if pattern.search(head):
                    return language
        found = index.suffixes[suffix]
    return _by_shebang(index, head) if found is None and head.startswith("#!") else found


def may_detect(path: str) -> bool:
    """Whether a file could turn out to be of a known language, judged by its path alone.

    True for known names and suffixes, and for names without a suffix, whose `#!` line has to be
    seen. Saves reading images and the like.
    """
    name = path[path.rfind("/") + 1 :]
    if "." not in name[1:]:
        return True
    index = _index()
    return _known_suffix(index, name) is not None or _by_name(index, name, path) is not None


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


def _by_name(index: _Index, name: str, path: str) -> Language | None:
    lower = name.lower()
    found = index.names.get(lower)
    if found is None and "." in lower:
        found = index.prefixes.get(lower[: lower.index(".") + 1])
        if found is not None and index.suffixes.get(_known_suffix(index, name) or ""):
            return None  # "makefile.py" is Python
    if found is None and lower in index.placed:
        ending, language = index.placed[lower]
        found = language if f"/{path}".lower().endswith(ending) else None
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


def _data(name: str) -> dict[str, Any]:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return tomllib.loads(text)


def _language(name: str, entry: dict[str, Any]) -> Language:
    comment = entry["comment"]
    return Language(
        name=name,
        family=entry.get("family", name),
        lists=frozenset(entry.get("lists", ["v2"])),
        suffixes=tuple(entry["suffixes"]),
        filenames=tuple(entry.get("filenames", ())),
        interpreters=tuple(entry.get("interpreters", ())),
        comment=(comment, "") if isinstance(comment, str) else (comment[0], comment[1]),
        kind=entry.get("kind", "code"),
    )


@cache
def _index() -> _Index:
    everyone = languages().values()
    content = _content()
    suffixes: dict[str, Language | None] = dict.fromkeys(content)
    suffixes |= {suffix: lang for lang in everyone for suffix in lang.suffixes}
    names = {name.lower(): lang for lang in everyone for name in lang.filenames}
    return _Index(
        names={n: lang for n, lang in names.items() if not n.endswith(".*") and "/" not in n},
        placed={n.rpartition("/")[2]: (f"/{n}", names[n]) for n in names if "/" in n},
        prefixes={name[:-1]: lang for name, lang in names.items() if name.endswith(".*")},
        suffixes=suffixes,
        interpreters={word.lower(): lang for lang in everyone for word in lang.interpreters},
        content=content,
    )


def _content() -> dict[str, tuple[tuple[re.Pattern[str], Language | None], ...]]:
    """The patterns of `content.toml`, by suffix."""
    table = languages()
    found = {}
    for suffixes, rules in _data("content.toml").items():
        compiled = tuple(
            (re.compile(pattern, re.MULTILINE), table[name] if name else None)
            for name, pattern in rules
        )
        found.update(dict.fromkeys(suffixes.split(), compiled))
    return found
