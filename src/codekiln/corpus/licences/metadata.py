"""What package metadata say about a licence: the file that a registry would read.

Read are pyproject.toml, setup.cfg, setup.py, PKG-INFO and METADATA (Python), package.json (npm),
Cargo.toml, pom.xml (Maven; several licences there are a choice), composer.json (PHP), *.gemspec
(Ruby), *.cabal (Haskell), META.json (Perl), DESCRIPTION (R) and debian/copyright.
Damaged metadata say nothing; they are never an error.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterable
from typing import Any

from codekiln.corpus.licences import debian, expression, names, texts

_CLASSIFIER = re.compile(r"License :: ([^\n\"'\],]+)")
_FIELD = re.compile(r"^License: *([^\n]+)", re.MULTILINE)
_EXPRESSION = re.compile(r"^License-Expression: *([^\n]+)", re.MULTILINE)
_CABAL = re.compile(r"^licen[sc]e *: *([^\n]+)", re.MULTILINE | re.IGNORECASE)
_SETUP_CFG = re.compile(r"^licen[sc]e *= *([^\n]+)", re.MULTILINE)
_SETUP_PY = re.compile(r"\blicen[sc]e *= *(?P<quote>['\"])(?P<name>[^'\"\n]{1,100})(?P=quote)")
_POM = re.compile(r"<licenses>(.*?)</licenses>", re.DOTALL)
_POM_NAME = re.compile(r"<name>([^<]+)</name>")
_GEMSPEC = re.compile(r"\.licen[sc]es? *= *(\[[^\]]*\]|['\"][^'\"]+['\"])")
_QUOTED = re.compile(r"['\"]([^'\"]+)['\"]")


def reader(path: str) -> Callable[[str], str | None] | None:
    """What reads the licence out of the file at `path`; None if it is no metadata."""
    folder, _, name = path.rpartition("/")
    if name == "copyright" and folder.rpartition("/")[2] == "debian":
        return debian.main_licence
    if name.endswith(".gemspec"):
        return _gemspec
    if name.endswith(".cabal"):
        return lambda text: _first(_CABAL, text)
    return _READERS.get(name)


def licence_of_metadata(path: str, text: str) -> str | None:
    """The SPDX expression that a metadata file states; None if it states none."""
    read = reader(path)
    if read is None:
        return None
    try:
        return read(text)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return names.spdx(match[1]) if match else None


def _all(said: Iterable[Any], operator: str = "OR") -> str | None:
    found = [names.spdx(name) if isinstance(name, str) else None for name in said]
    return expression.join([f for f in found if f], operator) if found and all(found) else None


def _classifiers(text: str) -> str | None:
    """Python's classifiers: several of them are a choice; the bare "OSI Approved" says nothing."""
    said = [name.strip().rpartition(" :: ")[2] for name in _CLASSIFIER.findall(text)]
    known = [found for name in said if name != "OSI Approved" and (found := names.spdx(name))]
    return expression.join(known, "OR") if known else None


def _closer(stated: str | None, classified: str | None) -> str | None:
    """Of a free-form field and classifiers, the one that says more."""
    if stated is None or (classified is not None and _vague(stated) and not _vague(classified)):
        return classified
    return stated


def _vague(licence: str) -> bool:
    return licence.startswith("LicenseRef-") or licence.endswith("-1.0-or-later")


def _pkg_info(text: str) -> str | None:
    head = text.split("\n\n", 1)[0]
    match = _EXPRESSION.search(head)
    if match:
        return names.spdx(match[1])
    return _closer(_first(_FIELD, head), _classifiers(head))


def _pyproject(text: str) -> str | None:
    data = tomllib.loads(text)
    project = data.get("project", {})
    licence = project.get("license") or data.get("tool", {}).get("poetry", {}).get("license")
    if isinstance(licence, dict):
        licence = licence.get("text", "")
    stated = names.spdx(licence) if licence else None
    if stated is None and licence:
        found = texts.identify(licence)
        stated = expression.join(found, "AND") if found else None
    return _closer(stated, _classifiers("\n".join(map(str, project.get("classifiers", [])))))


def _setup(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    stated = names.spdx(match.groupdict().get("name") or match[1]) if match else None
    return _closer(stated, _classifiers(text))


def _package_json(text: str) -> str | None:
    data = json.loads(text)
    licence = data.get("license", data.get("licenses"))
    each = licence if isinstance(licence, list) else [licence]
    return _all(part.get("type") if isinstance(part, dict) else part for part in each)


def _cargo(text: str) -> str | None:
    data = tomllib.loads(text)
    for package in (data.get("package", {}), data.get("workspace", {}).get("package", {})):
        if isinstance(licence := package.get("license"), str):
            return names.spdx(licence)
    return None


def _composer(text: str) -> str | None:
    licence = json.loads(text).get("license")
    return _all(licence if isinstance(licence, list) else [licence])


def _pom(text: str) -> str | None:
    match = _POM.search(text)
    return _all(_POM_NAME.findall(match[1])) if match else None


def _gemspec(text: str) -> str | None:
    match = _GEMSPEC.search(text)
    return _all(_QUOTED.findall(match[1])) if match else None


def _meta_json(text: str) -> str | None:
    said = json.loads(text).get("license")
    each = said if isinstance(said, list) else [said]
    return _all(part.replace("_", " ") if isinstance(part, str) else part for part in each)


_READERS: dict[str, Callable[[str], str | None]] = {
    "pyproject.toml": _pyproject,
    "PKG-INFO": _pkg_info,
    "METADATA": _pkg_info,
    "setup.cfg": lambda text: _setup(_SETUP_CFG, text),
    "setup.py": lambda text: _setup(_SETUP_PY, text),
    "package.json": _package_json,
    "Cargo.toml": _cargo,
    "pom.xml": _pom,
    "composer.json": _composer,
    "META.json": _meta_json,
    "DESCRIPTION": lambda text: _first(_FIELD, text),
}
# asked in this order where a folder has several: the statement nearest to the publisher first
ORDER = (
    "pyproject.toml", "PKG-INFO", "METADATA", "setup.cfg", "setup.py", "package.json", "Cargo.toml",
    "pom.xml", "composer.json", "META.json", "DESCRIPTION", "copyright",
)  # fmt: skip
