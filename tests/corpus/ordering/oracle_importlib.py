"""An oracle for Python's import graph that knows nothing of ours: importlib's own finders.

`ast` gives the statements, and `PathFinder` says which file each module would be loaded from, with
one folder as the whole of `sys.path`; nothing is executed. It holds for the files of packages
below that folder, not for scripts and tests with paths of their own.
"""

from __future__ import annotations

import ast
import warnings
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path


@cache
def spec_of(root: str, module: str) -> ModuleSpec | None:
    """The spec of a dotted name; None if there is none below the root."""
    holder, _, name = module.rpartition(".")
    if not holder:
        return PathFinder.find_spec(module, [root])
    above = spec_of(root, holder)
    if above is None or above.submodule_search_locations is None:
        return None
    places = above.submodule_search_locations
    places = getattr(places, "_path", places)  # a namespace's own list asks for loaded parents,
    return PathFinder.find_spec(name, list(places))  # and so it does if the name is dotted


def file_of(root: Path, module: str) -> str | None:
    """Path, below the root, of what a module is loaded from; None for a namespace."""
    spec = spec_of(str(root), module)
    if spec is None or spec.origin is None or not spec.has_location:
        return None
    path = Path(spec.origin)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else None


def edges(root: Path, package: str) -> set[tuple[str, str]]:
    """(source, target) of all imports of the files of one package folder, paths below `root`."""
    found: set[tuple[str, str]] = set()
    for path in sorted((root / package).rglob("*.py")):
        source = path.relative_to(root).as_posix()
        for name in modules(root, path):
            target = file_of(root, name)
            if target and target != source:
                found.add((source, target))
    return found


def modules(root: Path, path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, submodules before their packages."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError:
            return set()
    around = path.relative_to(root).parent.parts
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = around[: len(around) - node.level + 1] if node.level else ()
            holder = ".".join([*base, *((node.module,) if node.module else ())])
            for alias in node.names:
                inner = f"{holder}.{alias.name}"
                spec = spec_of(str(root), inner) if holder else None
                found.add(inner if spec and spec.has_location else holder)
    return found - {""}
