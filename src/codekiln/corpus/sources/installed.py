"""Real code that every machine has: the Python standard library and the packages beside it."""

from __future__ import annotations

import sysconfig
from pathlib import Path


def installed_repositories() -> list[str]:
    """Folders of the running Python's standard library and of each installed package.

    Each is a repository of real code. Packages that consist of a single file are left out, and
    so are folders without any Python file at their top.
    """
    found = [Path(sysconfig.get_path("stdlib"))]
    for folder in sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}):
        entries = (entry for entry in sorted(Path(folder).iterdir()) if entry.is_dir())
        found.extend(entry for entry in entries if next(entry.glob("*.py"), None))
    return [str(path) for path in found]
