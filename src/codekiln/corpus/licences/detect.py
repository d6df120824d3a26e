"""The licence of a repository and of each of its files.

Who says it, the nearest first:

1. the file itself: an SPDX-License-Identifier line, a licence notice in its first kilobytes, or
   a line such as "@license MIT";
2. licence files (LICENSE, COPYING, UNLICENSE …) in the file's folder or the nearest above it:
   such a file governs its folder and all below. NOTICE files, and those of bundled third-party
   work by name, govern nothing;
3. package metadata in the nearest folder above that has any.

Where one folder has several licence files, names such as LICENSE-MIT beside LICENSE-APACHE mean a
choice (OR); GPL beside LGPL is the one licence LGPL; otherwise all hold (AND). Metadata that name
the same licences more exactly ("or later", OR for AND) or an unfindable text's licence are
believed; metadata that contradict a licence file are not, and halve the confidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from codekiln.corpus.licences import expression, names, texts
from codekiln.corpus.licences.metadata import ORDER, licence_of_metadata, reader

Source = Literal["SPDX header", "header notice", "LICENSE file", "metadata", "none"]
HEAD = 4096  # characters in which a notice must begin
BEFORE = 400  # characters before its first sign that may belong to it
NOTICE = 4096  # characters of a notice that are read
LINES = 4  # lines that speak of a licence which are read one by one
HEADER, METADATA, CONTRADICTED = 0.9, 0.8, 0.5
PROSE = (".md", ".markdown", ".rst", ".txt", ".adoc", ".org", ".html", ".htm", ".tex", ".texi")
REUSE = frozenset({"licenses", "licences"})  # folders of licence texts at the root
MOST_FILES = 10_000  # licence files and metadata looked at in one repository

_LICENCE_NAME = re.compile(
    r"^(?:(?:mit|apache|bsd|gpl|lgpl|agpl|isc|mpl)[-_.]?)?"
    r"(?:licen[sc]e|copying|unlicen[sc]e|copyright|licen[sc]ing)"
    r"(?:[-_.](?!py$|js$|ts$|go$|rs$|rb$|c$|h$|cc$|cpp$|java$|php$|cs$|sh$|html?$|json$|xml$|toml$)"
    r"[\w.+-]*)?$"
)
_FOREIGN_NAME = re.compile(r"third|3rd|vendor|bundle|depend|other|notice|header|template")
_CHOICE_NAME = re.compile(
    r"^(?:licen[sc]e|copying)[-_.](?:mit|apache|bsd|gpl|zlib|isc|unlicense|boost|0bsd|cc0)", re.I
)
_SPDX = re.compile(r"SPDX-License-Identifier:[ \t]*([^\r\n]*)")
_SPDX_REST = re.compile(r"\s*(?:\*/|-->|\*\)|--\}|#\}|\]\]|%>|[\"'`;,].*|\\n.*|\s#.*)\s*$")
_LINE = re.compile(
    r"(?:@licen[sc]e\b|__licen[sc]e__ *=|^[^\w\n]{0,8}licen[sc]e *:)[ \t]*[\"']?([^\n\"'*]{2,80})",
    re.IGNORECASE | re.MULTILINE,
)
_SIGNS = ("licen", "redistribut", "permission", "public domain", "gpl", "blessing")


_VARIANT = re.compile(r"-(?:\d[\w.]*-)?(?:only|or-later|Clause.*)$|-\d-Clause.*$|^LicenseRef-")
_GNU_VERSION = re.compile(r"^((?:A|L)?GPL-\d).*$")
_GNU_MAJOR = re.compile(r"^(?:A|L)?GPL-\d$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Licence:
    """What is known: an SPDX expression or NOASSERTION, who says so, and how sure that is.

    Args:
        confidence: from 0 (nothing known) to 1 (the author's own SPDX identifier).
    """

    expression: str
    source: Source
    confidence: float


UNKNOWN = Licence(expression=expression.NOASSERTION, source="none", confidence=0.0)


def is_licence_file(path: str) -> bool:
    """Whether a file is by name a licence text that governs its folder."""
    folder, _, name = path.rpartition("/")
    lowered = name.lower()
    if "licen" not in lowered and not lowered.startswith(("copying", "copyright")):
        return folder.lower() in REUSE and lowered.endswith(".txt")
    return bool(_LICENCE_NAME.match(lowered)) and not _FOREIGN_NAME.search(lowered)


def is_evidence(path: str) -> bool:
    """Whether a file says something about licences by its name: keep its text for `Licences`."""
    return is_licence_file(path) or reader(path) is not None


def file_licence(text: str) -> str | None:
    """The SPDX expression that a file states about itself in its first kilobytes; None if none."""
    stated = _stated(text)
    return stated.expression if stated else None


def _stated(text: str) -> Licence | None:
    head = text[:HEAD]
    lowered = head.lower()
    places = [place for sign in _SIGNS if (place := lowered.find(sign)) >= 0]
    if not places:
        return None
    if "spdx-license-identifier" in lowered:
        named = [one for said in _SPDX.findall(head) if (one := _identifier(said))]
        if named:
            joined = expression.join(named, "AND")
            return Licence(expression=joined, source="SPDX header", confidence=1.0)
    begin = max(0, min(places) - BEFORE)
    words = texts.normal(text[begin : begin + NOTICE])
    found = texts.phrases(words) or _in_a_line(head, lowered)
    if not found:
        return None
    operator = "OR" if len(found) > 1 and texts.offers_choice(words) else "AND"
    joined = expression.join(found, operator)
    return Licence(expression=joined, source="header notice", confidence=HEADER)


def _in_a_line(head: str, lowered: str) -> list[str]:
    """The licence of the first line such as "@license MIT"."""
    place = lowered.find("licen")
    for _ in range(LINES):
        if place < 0:
            break
        end = head.find("\n", place)
        line = head[head.rfind("\n", 0, place) + 1 : end if end >= 0 else len(head)]
        if (match := _LINE.search(line[:200])) and (said := names.spdx(match[1])):
            return [said]
        place = lowered.find("licen", end) if end >= 0 else -1
    return []


def _identifier(said: str) -> str | None:
    said = _SPDX_REST.sub("", said).strip()
    return names.spdx(said)


class Licences:
    """The licences of one repository.

    Args:
        files: texts of the licence files and the metadata (see `is_evidence`) by path; others
            among them are passed over.
        metadata: what the place that the repository comes from says, as a name or an expression.
    """

    def __init__(self, files: Mapping[str, str], metadata: str | None = None) -> None:
        self._outside = names.spdx(metadata) if metadata else None
        texts_of: dict[str, dict[str, str]] = {}
        stated: dict[str, dict[str, str]] = {}
        for path in sorted(filter(is_evidence, files))[:MOST_FILES]:
            folder, _, name = path.rpartition("/")
            if is_licence_file(path):
                if folder.lower() in REUSE:  # the root's licences
                    folder = ""
                texts_of.setdefault(folder, {})[name] = files[path]
            elif (said := licence_of_metadata(path, files[path])) is not None:
                if name == "copyright":
                    folder = folder.removesuffix("debian").rstrip("/")
                stated.setdefault(folder, {})[name] = said
        self._folders = {
            folder: licence
            for folder in {*texts_of, *stated}
            if (licence := _folder(texts_of.get(folder, {}), stated.get(folder, {})))
        }

    @property
    def repository(self) -> Licence:
        """The licence of the whole."""
        found = self._folders.get("")
        if found is None and self._outside:
            return Licence(expression=self._outside, source="metadata", confidence=METADATA)
        if found is None:
            return UNKNOWN
        if self._outside and found.source == "LICENSE file":
            return _settle((found.expression, found.confidence), self._outside)
        return found

    def governing(self, path: str) -> Licence:
        """The licence that stands over a file, whatever the file itself says."""
        folder = path.rpartition("/")[0]
        while folder:
            if folder in self._folders:
                return self._folders[folder]
            folder = folder.rpartition("/")[0]
        return self.repository

    def of(self, path: str, text: str) -> Licence:
        """The licence of one file.

        A notice in prose ("X stands under the MIT licence") need not be about the file itself:
        of documents, an SPDX line alone counts.
        """
        stated = _stated(text)
        if stated is None or (stated.source != "SPDX header" and path.lower().endswith(PROSE)):
            return self.governing(path)
        return stated


def repository_licence(files: Mapping[str, str], metadata: str | None = None) -> Licence:
    """The licence of a repository from its licence files and package metadata.

    Args:
        files: texts by path.
        metadata: what the place that the repository comes from says.
    """
    return Licences(files, metadata).repository


def _folder(licence_files: Mapping[str, str], stated: Mapping[str, str]) -> Licence | None:
    found = [(n, k) for n, t in licence_files.items() if (k := texts.licence_of_text(t))]
    found = [(n, k) for n, k in found if not n.lower().startswith("copyright")] or found
    said = next((stated[name] for name in ORDER if name in stated), None)
    if said is None and stated:
        said = next(iter(stated.values()))
    if found:
        return _settle(_together(found), said)
    if said:
        return Licence(expression=said, source="metadata", confidence=METADATA)
    return None


def _together(found: Iterable[tuple[str, tuple[str, float]]]) -> tuple[str, float]:
    """One expression for the licence files of one folder."""
    each = list(found)
    expressions = {text for _, (text, _) in each}
    if any(e.startswith("LGPL-") for e in expressions):
        expressions -= {e for e in expressions if e.startswith("GPL-")}
    chosen = sum(bool(_CHOICE_NAME.match(name)) for name, _ in each) > 1
    joined = expression.join(expressions, "OR" if chosen else "AND")
    return joined, min(confidence for _, (_, confidence) in each)


def _settle(text: tuple[str, float], said: str | None) -> Licence:
    """Licence files against metadata."""
    found, confidence = text
    if said is not None and said != found:
        if _same(found, said):
            found = said if _exact(said, found) else found
        else:
            confidence *= CONTRADICTED
    return Licence(expression=found, source="LICENSE file", confidence=confidence)


def _exact(said: str, found: str) -> bool:
    """Whether metadata say more than the text: not an unversioned name, nor another version."""
    versions = [{_GNU_VERSION.sub(r"\1", i) for i in expression.ids(e)} for e in (said, found)]
    gnu = [{v for v in each if _GNU_MAJOR.match(v)} for each in versions]
    return "LicenseRef-" not in said and (not gnu[1] or not gnu[0] or bool(gnu[0] & gnu[1]))


def _same(found: str, said: str) -> bool:
    """Whether metadata speak of the licences of the text, perhaps more or less exactly."""
    mine, theirs = ({_family(i) for i in expression.ids(e)} for e in (found, said))
    return mine <= theirs or theirs <= mine


def _family(licence: str) -> str:
    """GPL-2.0-only and -or-later alike; unversioned names match any of their kind."""
    return _VARIANT.sub("", licence)
