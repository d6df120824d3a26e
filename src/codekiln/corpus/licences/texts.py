"""Which licences a text is or names, by distinctive phrases; what these miss, askalono may know.

Texts are compared as words: case, punctuation, line ends and comment marks do not matter. The
phrases of the table settle the licences that nearly all code stands under in microseconds;
askalono (the extra "licences") compares with every licence text of the SPDX list and takes a
fifth of a second, so that it is asked only about whole licence files that the phrases leave open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from codekiln.corpus.duplicates.grams import plain_words
from codekiln.corpus.licences import expression
from codekiln.corpus.licences.names import gnu_id

LONGEST = 400_000  # characters; licence files end long before
LIKENESS = 0.85  # askalono's score from which on it is believed
FEWEST_WORDS = 60  # below, a text that the phrases do not know is no licence text
PHRASES = 0.95
CHOICE_WITHIN = 3000  # characters: a choice is offered before the licences' own texts

_FAMILY = r"(?P<family>lesser |library or lesser |library |affero )?general public licen[sc]e"
_TITLE = re.compile(
    r"gnu " + _FAMILY + r" version (?P<major>\d)(?: (?P<minor>\d))? "
    r"(?:\d+ )?(?:february|june|november)"
)
_FREE_DOC_TITLE = re.compile(
    r"gnu free documentation license version 1 (?P<minor>\d) (?:\d+ )?(?:march|november)"
)
_NAMED = re.compile(
    _FAMILY + r"|\b(?P<short>l|a)?gpl(?: ?v? ?(?P<major>[123])(?: (?P<minor>\d))?)?\b"
)
_VERSION = re.compile(
    r"(?:version|gplv?|gpl v|licen[sc]e v|licenses [al]?gpl) ?(?P<major>[123])"
    r"(?: (?P<minor>[01]))?\b(?! (?:clause|or \d))"
)
_LATER = re.compile(
    r"(?:or|and) (?:at your option )?(?:any )?(?:later|newer)|later version|or higher"
)
_GNU_SIGNS = ("general public licen", "gpl")
_COMMONS = re.compile(
    r"attribution(?P<kind>(?: non ?commercial| no ?deriv\w*| share ?alike)*) "
    r"(?P<version>[1234] \d)\b"
    r"|creativecommons org licenses (?P<codes>by(?: n[cd]| sa)*) (?P<number>[1234] \d)"
    r"|\bcc by(?P<short>(?: n[cd]| sa)*) (?P<digits>[1234] \d)\b"
)
_FAMILIES = {"lesser": "LGPL", "library": "LGPL", "affero": "AGPL", "l": "LGPL", "a": "AGPL"}
_CHOICE = re.compile(
    r"dual(?:ly)? licen[sc]ed|either of|at your choice|either licen[sc]e|select at your option"
    r"|alternatively (?:this|the|you)|choose (?:one|either)|or the (?:mit|apache|bsd) licen[sc]e"
)
_KINDS = (("NC", "nc|noncommercial"), ("ND", "nd|noderiv"), ("SA", "sa|sharealike"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    expression: str
    all: tuple[str, ...]
    none: tuple[str, ...]
    needs: frozenset[str]  # the words of `all`: a set tells most rules apart sooner than a search

    def holds(self, words: str, each: set[str]) -> bool:
        return (
            self.needs <= each
            and all(part in words for part in self.all)
            and not any(part in words for part in self.none)
        )


@cache
def _rules() -> tuple[_Rule, ...]:
    return tuple(
        _Rule(
            expression=row["id"],
            all=tuple(row["all"]),
            none=tuple(row.get("none", ())),
            needs=frozenset(" ".join(row["all"]).split()),
        )
        for row in expression.table()["text"]
    )


def normal(text: str) -> str:
    """The words of a text, in lower case, one blank between two."""
    return b" ".join(plain_words(text.encode("utf-8", "surrogatepass"))).decode("utf-8", "replace")


def identify(text: str) -> list[str]:
    """SPDX expressions of the licences that a text holds or names by phrases, sorted."""
    return phrases(normal(text[:LONGEST]))


def phrases(words: str) -> list[str]:
    """As `identify`, of a text that `normal` has made."""
    each = set(words.split())
    found = {rule.expression for rule in _rules() if rule.holds(words, each)}
    found.update(_gnu(words))
    found.update(_commons(words))
    return sorted(_without_vaguer(found))


def _without_vaguer(found: set[str]) -> set[str]:
    """Without "BSD" beside a certain BSD licence, and GNU "any version" beside a version."""
    if any(name.startswith("BSD-") for name in found):
        found.discard("LicenseRef-BSD")
    for vague in ("GPL-1.0-or-later", "LGPL-2.0-or-later", "AGPL-3.0-or-later"):
        family = vague.split("-")[0] + "-"
        if sum(name.startswith(family) for name in found) > 1:
            found.discard(vague)
    for later in [name for name in found if name.endswith("-or-later")]:
        found.discard(later.replace("-or-later", "-only"))
    return found


def _gnu(words: str) -> Iterator[str]:
    """GNU licences: by the titles of whole texts, and else by the words that name them."""
    if " gpl" not in words and "general public" not in words and "gnu " not in words:
        return
    if match := _FREE_DOC_TITLE.search(words):
        yield gnu_id("GFDL", "1", match["minor"], later=False)
        return
    titles = list(_TITLE.finditer(words))
    if not titles and "secondary license" in words:
        return  # the Mozilla and Eclipse licences name the GNU ones that may stand beside them
    if not titles:
        yield from _gnu_notice(words)
        return
    before = words[: titles[0].start()]
    named = {_family(m) + "-" + m["major"]: m for m in titles}
    if "LGPL-3" in named:
        named.pop("GPL-3", None)  # which it is an addition to
    notice = set(_gnu_notice(before)) if "general public" in before else set()
    for match in named.values():
        family = _family(match)
        stated = gnu_id(family, match["major"], match["minor"], later=True)
        later = stated in notice
        yield stated if later else gnu_id(family, match["major"], match["minor"], later=False)


def _family(match: re.Match[str]) -> str:
    said = (match["family"] or "").split(" ")[0]
    return _FAMILIES.get(said, "GPL")


def _gnu_notice(words: str) -> Iterator[str]:
    """From a notice: the family that it names first, the version nearest to that name."""
    named: dict[str, re.Match[str]] = {}
    places = [at for sign in _GNU_SIGNS if (at := words.find(sign)) >= 0]
    if not places:
        return
    words = words[max(0, min(places) - 200) : min(places) + 1200]
    for match in _NAMED.finditer(words):
        family = _FAMILIES.get((match["family"] or match["short"] or "").split(" ")[0], "GPL")
        named.setdefault(family, match)
    if len(named) > 1 and "LGPL" in named and not _CHOICE.search(words):
        # an LGPL notice goes on to speak of "the GNU General Public License"
        named = {family: match for family, match in named.items() if family != "GPL"}
    for family, match in named.items():
        yield _versioned(family, match, words)


def _versioned(family: str, match: re.Match[str], words: str) -> str:
    around = words[max(0, match.start() - 60) : match.end() + 220]
    at = match.start() - max(0, match.start() - 60)
    major, minor, place = match["major"], match["minor"], at
    if major is None:
        versions = list(_VERSION.finditer(around))
        behind = [v for v in versions if v.start() >= at]
        best = behind[0] if behind else (versions[-1] if versions else None)
        if best is not None:
            major, minor, place = best["major"], best["minor"], best.end()
    if major is None:
        return gnu_id(family, None, None, later=True)
    later = bool(_LATER.search(around[place : place + 110]))
    return gnu_id(family, major, minor, later=later)


def _commons(words: str) -> Iterator[str]:
    """Creative Commons licences: kind and version from the title or the address."""
    if "attribution" not in words and "creativecommons" not in words and "cc by" not in words:
        return
    match = _COMMONS.search(words)
    if "gnu free documentation license" in words:  # which speaks of moving to one of these
        return
    if match is None or not ("creative commons" in words or match["codes"] or match["short"]):
        return
    said = (match["kind"] or match["codes"] or match["short"] or "").replace(" ", "")
    parts = [code for code, sign in _KINDS if re.search(sign, said)]
    version = (match["version"] or match["number"] or match["digits"]).replace(" ", ".")
    yield "-".join(["CC-BY", *parts, version])


def offers_choice(words: str) -> bool:
    """Whether a text (as `normal` makes it) lets its reader choose among licences."""
    return bool(_CHOICE.search(words[:CHOICE_WITHIN]))


def licence_of_text(text: str) -> tuple[str, float] | None:
    """(expression, confidence) of a whole licence file; None if nobody knows it.

    Several licences in one file are joined by OR where the text speaks of a choice, else by AND.
    """
    words = normal(text[:LONGEST])
    found = phrases(words)
    if found:
        operator = "OR" if len(found) > 1 and offers_choice(words) else "AND"
        return expression.join(found, operator), PHRASES
    if words.count(" ") >= FEWEST_WORDS:
        return compare(_without_holders(text[:LONGEST]))
    return None


def _without_holders(text: str) -> str:
    """Without the lines that differ from project to project, so that one answer serves many."""
    lines = text.splitlines()
    return "\n".join(line for line in lines if not re.match(r"\W*copyright\b", line, re.I))


@lru_cache(maxsize=512)
def compare(text: str) -> tuple[str, float] | None:
    """askalono's answer on a licence text; None if it is unsure or not installed."""
    askalono = _askalono()
    if askalono is None:
        return None
    answer = askalono.identify(text)
    name = expression.canonical(answer.name)
    if answer.score < LIKENESS or name is None:
        return None
    return name, float(answer.score)


@cache
def _askalono() -> Any:
    try:
        import askalono  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return None
    return askalono
