"""What tests of one language after another ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from codekiln.languages.csharp import CSharpResolver
from codekiln.languages.jvm import JvmResolver
from codekiln.languages.resolve import PathIndex


def _asked(resolver_class: type[Any]) -> Callable[..., dict[str, str]]:
    def needs(
        texts: dict[str, str], source: str, builds: dict[str, str] | None = None
    ) -> dict[str, str]:
        """What the file `source` needs, with the kind, which is "use" only if none is firmer."""
        resolver = resolver_class(PathIndex(texts, builds or {}))
        scans = {path: resolver.scan(path, text) for path, text in texts.items()}
        found = {(t, kind) for s, t, kind in resolver.edges(scans) if s == source != t}
        return dict(sorted(found, key=lambda one: (one[0], one[1] != "use")))

    return needs


@pytest.fixture
def needs() -> Callable[..., dict[str, str]]:
    """Asks the resolver of Java, Kotlin and Scala."""
    return _asked(JvmResolver)


@pytest.fixture
def csharp_needs() -> Callable[..., dict[str, str]]:
    """Asks the resolver of C#."""
    return _asked(CSharpResolver)
