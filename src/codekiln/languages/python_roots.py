"""Where a Python project keeps its packages, by its build files.

Read are pyproject.toml (setuptools, Poetry, Hatch, PDM, uv, maturin, scikit-build, and pytest's
`pythonpath`), setup.cfg (setuptools) and, by regular expression, setup.py. Each speaks of folders
below its own. What is not there, or not of the wished-for form, tells nothing.
"""

from __future__ import annotations

import configparser
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from codekiln.languages.resolve import join, parent
from codekiln.log import logger

Place = tuple[str, str]  # a top-level package, or "" for any; the folder of it, or for them

_PACKAGE_DIR = re.compile(r"\bpackage_dir\s*=\s*\{([^{}]*)\}")
_PAIR = re.compile(r"""["']([\w.]*)["']\s*:\s*["']([^"']*)["']""")
_FIND = re.compile(r"""\bfind_(?:namespace_)?packages\(\s*(?:where\s*=\s*)?["']([^"']+)["']""")
_SETUP_CFG = re.compile(r"^\s*([\w.]*)\s*=\s*(\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Roots:
    """What the build files of a repository declare.

    Args:
        folders: from which top-level names are imported.
        packages: top-level package -> its folder, where that has another name.
    """

    folders: tuple[str, ...]
    packages: Mapping[str, str]


def declared_roots(build_files: Mapping[str, str]) -> Roots:
    """The roots of all build files; of one top-level package, the shallowest file's word counts."""
    folders: dict[str, None] = {}
    packages: dict[str, str] = {}
    for path in sorted(build_files, key=lambda path: (path.count("/"), path)):
        read = _READERS.get(path.rpartition("/")[2])
        if read is None:
            continue
        try:
            places = list(read(build_files[path]))
        except (ValueError, TypeError, AttributeError, RecursionError, configparser.Error) as error:
            logger.debug("%s: no source roots read: %r", path, error)
            continue
        for package, named in places:
            folder = _below(parent(path), named) if isinstance(named, str) else None
            if folder is None:
                continue
            if not package:  # a root of any
                folders[folder] = None
            elif "." not in package and folder.rpartition("/")[2] == package:
                folders[parent(folder)] = None
            elif "." not in package:
                packages.setdefault(package, folder)
    return Roots(tuple(folders), packages)


def _below(folder: str, named: str) -> str | None:
    path = posixpath.normpath(join(folder, named))
    if path.startswith(("..", "/")):
        return None
    return "" if path == "." else path


def _pyproject(text: str) -> Iterator[Place]:
    tool = tomllib.loads(text).get("tool", {})
    yield from _at(tool, "setuptools.package-dir").items()
    yield from _any(_at(tool, "setuptools.packages.find").get("where", ()))
    yield from _any(one.get("from", "") for one in tool.get("poetry", {}).get("packages", ()))
    hatch = _at(tool, "hatch.build")
    wheel = _at(hatch, "targets.wheel")
    for table in (hatch, wheel):
        yield from _sources(table.get("sources", ()))
        yield from _any(map(parent, table.get("packages", ())))
    yield from _any(map(parent, _listed(_at(tool, "scikit-build.wheel").get("packages", ()))))
    yield from _any(_listed(_at(tool, "pytest.ini_options").get("pythonpath", ())))
    for place, key in (
        ("pdm.build", "package-dir"),
        ("uv.build-backend", "module-root"),
        ("maturin", "python-source"),
    ):
        if key in _at(tool, place):
            yield "", _at(tool, place)[key]


def _at(table: dict[str, Any], place: str) -> dict[str, Any]:
    """A table within a table, empty where there is none."""
    for name in place.split("."):
        table = table.get(name, {})
        if not isinstance(table, dict):
            return {}
    return table


def _listed(value: object) -> list[str]:
    return value.split() if isinstance(value, str) else list(value)  # type: ignore[call-overload]


def _any(folders: Iterable[str]) -> Iterator[Place]:
    return (("", folder) for folder in folders)


def _sources(value: object) -> Iterator[Place]:
    """Hatch: folders whose names are left out of the package's, or folder -> its other name."""
    if isinstance(value, dict):
        return ((name, folder) for folder, name in value.items() if "/" not in name)
    return _any(_listed(value))


def _setup_cfg(text: str) -> Iterator[Place]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.read_string(text)
    declared = parser.get("options", "package_dir", fallback="")
    yield from _SETUP_CFG.findall(declared)
    yield from _any(parser.get("options.packages.find", "where", fallback="").split())


def _setup_py(text: str) -> Iterator[Place]:
    for braces in _PACKAGE_DIR.findall(text):
        yield from _PAIR.findall(braces)
    yield from _any(_FIND.findall(text))


_READERS: dict[str, Callable[[str], Iterator[Place]]] = {
    "pyproject.toml": _pyproject,
    "setup.cfg": _setup_cfg,
    "setup.py": _setup_py,
}
NAMES = frozenset(_READERS)
