"""Real projects for the oracles: Debian packages that hold source code, kept between runs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


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
