"""Licence names as people write them, and the SPDX expressions that they stand for.

`GPLv2+`, `GNU Lesser General Public License v3 (LGPLv3)`, `The Apache License, Version 2.0`,
`MIT/X11`, Debian's `Expat` and `GPL-2+`. A GNU licence without a version stands for any version:
`GPL-1.0-or-later`. "BSD" alone names no one licence and becomes LicenseRef-BSD.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

from codekiln.corpus.licences import expression

_WORD = re.compile(r"[a-z0-9+]+")
_FILLER_WORDS = (
    "the a license licence licensed licenses version versions ver under approved osi clauses of "
    "see file terms"
)
_FILLERS = frozenset(_FILLER_WORDS.split())
_GNU = re.compile(
    r"(?:gnu )?(?:(?P<affero>agpl|affero general public)|(?P<lesser>lgpl|lesser general public|"
    r"library or lesser general public|library general public|lesser gpl|lesser)|"
    r"(?P<free>gfdl|fdl|free documentation)|(?P<general>gpl|general public|gnu))"
    r"(?: ?v? ?(?P<major>\d)(?: (?P<minor>\d))?(?: 0)?)?(?P<later>(?: ?\+| or later| or newer"
    r"| or any later| or above| or greater| and later)?)"
)
_OR = re.compile(r"\s*(?:/|\||,?\s+or\s+|;|,)\s*", re.IGNORECASE)
_LATER = re.compile(r"\bor(?= (?:later|newer|any later|above|greater|lesser)\b)", re.IGNORECASE)
_AT_LEAST = re.compile(r">=\s*(\d(?:\.\d)?)")  # R and CPAN: GPL (>= 2)
_EXCEPTION = re.compile(r"\s+with\s+.*$", re.IGNORECASE)


@cache
def _names() -> dict[str, str]:
    found: dict[str, str] = {
        " ".join(words(name)): spdx for name, spdx in expression.table()["names"].items()
    }
    return found


def words(name: str) -> list[str]:
    """The telling words of a licence's name, in lower case."""
    lowered = name.lower().replace("®", "")
    return [word for word in _WORD.findall(lowered) if word not in _FILLERS]


@lru_cache(maxsize=4096)
def spdx(name: str) -> str | None:
    """The SPDX expression that a licence name or a short list of names stands for.

    A list is a choice: "MIT/Apache-2.0", "GPL, LGPL". None where the name says nothing.
    """
    name = _AT_LEAST.sub(r"\1+", " ".join(name.split())).strip(" .,;\"'")
    if not name or len(name) > expression.LONGEST:
        return None
    known = expression.canonical(name)
    if known is not None and known != expression.NOASSERTION:
        return _current(known)
    return _one(name) or _list(name)


def _list(name: str) -> str | None:
    """Names joined by and, or, a slash or commas."""
    hidden = _LATER.sub("\0", name)
    for operator, pattern in (("OR", _OR), ("AND", re.compile(r"\s+(?:and|&)\s+", re.I))):
        parts = [part.replace("\0", "or") for part in pattern.split(hidden) if part.strip()]
        if len(parts) > 1:
            found = [spdx(part) for part in parts]
            if all(found):
                return expression.join([f for f in found if f], operator)
            return None
    return None


def _one(name: str) -> str | None:
    for form in (name, re.sub(r"\(.*?\)", " ", name), _EXCEPTION.sub("", name)):
        said = " ".join(words(form))
        if said in _names():
            return _names()[said]
        gnu = _gnu(said)
        if gnu:
            return gnu
    return None


def _gnu(said: str) -> str | None:
    """GNU licences from their words; brackets that repeat the name are passed over."""
    match = _GNU.match(said)
    if match is None:
        return None
    rest = _GNU.sub("", said[match.end() :])
    later = bool(match["later"]) or "+" in rest or "later" in rest
    if re.search(r"[a-z]{3}", rest.replace("later", "").replace("only", "")):
        return None
    return gnu_id(_family(match), match["major"], match["minor"], later=later)


def _family(match: re.Match[str]) -> str:
    kinds = (("affero", "AGPL"), ("lesser", "LGPL"), ("free", "GFDL"))
    return next((family for group, family in kinds if match[group]), "GPL")


FIRST = {"GPL": "1.0", "LGPL": "2.0", "AGPL": "3.0", "GFDL": "1.1"}


def gnu_id(family: str, major: str | None, minor: str | None, *, later: bool) -> str:
    """The SPDX identifier of a GNU licence; without a version, any version will do."""
    if major is None:
        return f"{family}-{FIRST[family]}-or-later"
    return f"{family}-{major}.{minor or '0'}-" + ("or-later" if later else "only")


def _current(known: str) -> str:
    """Deprecated GNU identifiers (`GPL-2.0`, `GPL-2.0+`) in today's spelling."""
    return re.sub(
        r"\b((?:A|L)?GPL-\d\.\d|GFDL-\d\.\d)(\+?)(?![-\w.])",
        lambda m: m[1] + ("-or-later" if m[2] else "-only"),
        known,
    )
