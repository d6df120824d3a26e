"""The licence which a package's own description names: PKG-INFO, package.json and the like."""

from __future__ import annotations

import email.parser
import json
import tomllib
from typing import Any

from codekiln.corpus.sources.metadata import licence_of, name_of

LONGEST = 1 << 20  # bytes of a description that is read
_DESCRIPTIONS = frozenset({"PKG-INFO", "METADATA", "package.json", "Cargo.toml", "composer.json"})
_CLASSIFIER = "License :: OSI Approved :: "


def declares(path: str) -> bool:
    """Whether a file describes the package that holds it: by name, and near the top."""
    folder, _, name = path.rpartition("/")
    return name in _DESCRIPTIONS and folder.count("/") < 1


def declared_licence(path: str, data: bytes) -> str | None:
    """The licence that a package's description names; None if it names none or is malformed."""
    text = data.decode("utf-8", "replace")
    try:
        if path.endswith(".json"):
            content = json.loads(text)
            return licence_of(content.get("license") or content.get("licenses"))
        if path.endswith(".toml"):
            package: Any = tomllib.loads(text).get("package")
            return licence_of(package.get("license"))
    except (ValueError, RecursionError, AttributeError):
        return None
    return _python_licence(text)


def _python_licence(text: str) -> str | None:
    """Of a Python package: the SPDX expression, a short word, or the classifiers."""
    facts = email.parser.HeaderParser().parsestr(text)
    if expression := name_of(facts.get("License-Expression")):
        return expression
    word = name_of(facts.get("License"))
    if word and word != "UNKNOWN" and len(word) <= 60 and "\n" not in word:
        return word
    classifiers = facts.get_all("Classifier") or []
    named = [c.removeprefix(_CLASSIFIER) for c in classifiers if c.startswith(_CLASSIFIER)]
    return licence_of(named)
