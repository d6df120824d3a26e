"""What tests of one language after another ask, and real projects for their oracles."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
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


@pytest.fixture
def debian_package(tmp_path: Path) -> Callable[[str], Path]:
    """Unpacks a Debian package and gives the folder; skips where it cannot be had."""

    def unpacked(name: str) -> Path:
        default = Path.home() / ".cache" / "codekiln" / "tests"
        cache = Path(os.environ.get("CODEKILN_TEST_DATA", default))
        cache.mkdir(parents=True, exist_ok=True)
        if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
            pytest.skip("needs apt-get and dpkg-deb")
        if not sorted(cache.glob(f"{name}_*.deb")):
            command = ["apt-get", "download", "-q", name]
            try:
                subprocess.run(command, cwd=cache, capture_output=True, check=True, timeout=120)
            except (OSError, subprocess.SubprocessError):
                pytest.skip(f"needs the Debian package {name} in CODEKILN_TEST_DATA")
        folder = tmp_path / name
        archive = sorted(cache.glob(f"{name}_*.deb"))[-1]
        subprocess.run(["dpkg-deb", "-x", str(archive), str(folder)], check=True)
        return folder

    return unpacked
