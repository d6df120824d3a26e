"""debian/copyright: which licence Debian's packagers found for which files (DEP 5).

Machine-readable files alone are read: stanzas of `Files:` globs, where the last that fits a path
counts, and `License:` short names joined by and, or and commas. `.reuse/dep5` has the same form.

Source: the machine-readable debian/copyright file, version 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from codekiln.corpus.licences import names

FORMAT = "packaging-manuals/copyright-format/1"
_FIELD = re.compile(r"^(Files|License): *(.*(?:\n[ \t].*)*)", re.MULTILINE)
_BLANK = re.compile(r"\n[ \t]*\n")


def stanzas(text: str) -> Iterator[tuple[tuple[re.Pattern[str], ...], str]]:
    """(patterns of the paths, licence's short name) of each stanza of files, in order."""
    if FORMAT not in text[:2000]:
        return
    for stanza in _BLANK.split(text.replace("\r", "")):
        fields = {match[1]: match[2] for match in _FIELD.finditer(stanza)}
        if "Files" in fields and "License" in fields:
            globs = tuple(re.compile(_pattern(glob)) for glob in fields["Files"].split())
            yield globs, fields["License"].split("\n")[0].strip()


def _pattern(glob: str) -> str:
    """A DEP-5 glob: `*` and `?` also match a slash; a backslash keeps its sign literal."""
    glob = glob.removeprefix("./")
    out, at = [], 0
    while at < len(glob):
        sign = glob[at]
        if sign == "\\" and at + 1 < len(glob):
            at += 1
            out.append(re.escape(glob[at]))
        elif sign == "*":
            if not out or out[-1] != ".*":
                out.append(".*")
        else:
            out.append("." if sign == "?" else re.escape(sign))
        at += 1
    return "".join(out) + r"\Z"


def main_licence(text: str) -> str | None:
    """The licence of `Files: *`, as an SPDX expression."""
    said = [name for globs, name in stanzas(text) if any(g.pattern == ".*\\Z" for g in globs)]
    return names.spdx(said[-1]) if said else None


def licence_of(text: str, path: str) -> str | None:
    """Debian's short name for the licence of one file; None where no stanza fits."""
    said = [name for globs, name in stanzas(text) if any(g.match(path) for g in globs)]
    return said[-1] if said else None
