"""An oracle for Python's import graph: `ast` for the statements, a path finder for the modules.

It follows the definition in the docstring of `codekiln.languages.python`, but shares no code with
it: statements come from the syntax tree, and modules are found by walking a tree of folders one
name at a time, as importlib's finders do.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

TREES_OF_THEIR_OWN = ("test", "tests", "testdata", "fixtures", "example", "examples")


@dataclass
class Folder:
    """A folder: modules by name (the suffixes there are), and folders by name."""

    place: PurePosixPath
    above: Folder | None = None
    modules: dict[str, set[str]] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=dict)

    @property
    def is_package(self) -> bool:
        return "__init__" in self.modules

    def all(self) -> Iterator[Folder]:
        yield self
        for folder in self.folders.values():
            yield from folder.all()

    def lineage(self) -> list[Folder]:
        """This folder and those above it, nearest first."""
        return [self, *(self.above.lineage() if self.above else [])]


def tree_of(paths: list[str]) -> Folder:
    root = Folder(PurePosixPath())
    for path in map(PurePosixPath, paths):
        if path.suffix not in (".py", ".pyx", ".pyi"):
            continue
        folder = root
        for part in path.parts[:-1]:
            if part not in folder.folders:
                folder.folders[part] = Folder(folder.place / part, above=folder)
            folder = folder.folders[part]
        folder.modules.setdefault(path.stem, set()).add(path.suffix)
    return root


def statements(text: str) -> list[tuple[str, str, tuple[str, ...], int]] | None:
    """(kind, module, names, level) of every import statement; None if Python cannot parse it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return None
    found: list[tuple[int, int, tuple[str, str, tuple[str, ...], int]]] = []
    pending: list[tuple[ast.AST, str]] = [(tree, "import")]
    while pending:
        node, kind = pending.pop()
        place = (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
        if isinstance(node, ast.Import):
            found += [(*place, (kind, alias.name, (), 0)) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            found.append((*place, (kind, node.module or "", names, node.level)))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending += [(child, "local") for child in node.body]
        elif isinstance(node, ast.If) and checks_types(node.test):
            pending += [(child, "type-only") for child in node.body]
            pending += [(child, kind) for child in node.orelse]
        else:
            pending += [(child, kind) for child in ast.iter_child_nodes(node)]
    return [entry for *_, entry in sorted(found, key=lambda item: item[:2])]


def checks_types(test: ast.expr) -> bool:
    while isinstance(test, ast.BoolOp):
        test = test.values[0]
    name = getattr(test, "id", getattr(test, "attr", ""))
    return name == "TYPE_CHECKING"


class Finder:
    """Finds modules for one repository."""

    def __init__(self, paths: list[str]) -> None:
        self.root = tree_of(paths)
        self.everywhere = list(self.root.all())
        self.searched: dict[tuple[PurePosixPath, str], list[Folder]] = {}

    def folder(self, place: PurePosixPath) -> Folder:
        folder = self.root
        for part in place.parts:
            folder = folder.folders[part]
        return folder

    def file(self, folder: Folder, name: str, stub: bool) -> str | None:
        """The file of `name` in `folder`: a package's `__init__`, or a module."""
        inner = folder.folders.get(name)
        if inner is not None and inner.is_package:
            return self.pick(inner, "__init__", stub)
        return self.pick(folder, name, stub)

    def pick(self, folder: Folder, name: str, stub: bool) -> str | None:
        order = [".pyi", ".py", ".pyx"] if stub else [".py", ".pyx", ".pyi"]
        there = folder.modules.get(name, set())
        return next((f"{folder.place / name}{s}" for s in order if s in there), None)

    def descend(self, folder: Folder | None, parts: list[str], stub: bool) -> str | None:
        """The file of a dotted name below `folder`."""
        for part in parts[:-1]:
            folder = folder.folders.get(part) if folder else None
        return self.file(folder, parts[-1], stub) if folder and parts else None

    def home(self, folder: Folder) -> Folder:
        """The folder from which files in `folder` are imported."""
        around = [one for one in folder.lineage() if one.is_package]
        if not around:
            return folder
        return next(one for one in around[0].lineage() if not one.is_package)

    def path_for(self, folder: Folder, top: str) -> list[Folder]:
        """Where a top-level name is searched: what sys.path would hold for this file."""
        home = self.home(folder)
        if top in sys.stdlib_module_names:
            return [home]
        near = [home, *(one for one in home.lineage()[1:] if not one.is_package)]
        far = [one for one in self.everywhere if one not in near and self.offers(one, top)]
        far = [one for one in far if self.visible(one, home)]
        return near + sorted(far, key=lambda one: self.distance(one, home))

    def offers(self, folder: Folder, top: str) -> bool:
        if folder.is_package:
            return False
        inner = folder.folders.get(top)
        holds = inner is not None and inner.is_package
        return holds or folder.place.name in ("src", "lib", "python")

    def visible(self, folder: Folder, home: Folder) -> bool:
        for index, part in enumerate(folder.place.parts):
            if part in TREES_OF_THEIR_OWN:
                return home.place.parts[: index + 1] == folder.place.parts[: index + 1]
        return True

    def distance(self, folder: Folder, home: Folder) -> tuple[int, bool, int, str]:
        shared = 0
        while folder.place.parts[:shared] == home.place.parts[:shared] and shared <= len(
            home.place.parts
        ):
            shared += 1
        conventional = folder.place.name in ("src", "lib", "python")
        return -shared, not conventional, len(folder.place.parts), str(folder.place)

    def module(self, folder: Folder, name: str, stub: bool) -> str | None:
        """The file of an absolute module name, for a file in `folder`."""
        parts = name.split(".")
        key = (self.home(folder).place, parts[0])
        if key not in self.searched:
            self.searched[key] = self.path_for(folder, parts[0])
        searched = self.searched[key]
        for place in searched:
            if self.file(place, parts[0], False):
                return self.descend(place, parts, stub)
        hits = (self.descend(place, parts, stub) for place in searched)
        return next((hit for hit in hits if hit), None)


def edges(texts: Mapping[str, str]) -> tuple[set[tuple[str, str]], list[str]]:
    """(source, target) of every edge among `texts`, and the files that Python cannot parse."""
    finder = Finder(list(texts))
    found: set[tuple[str, str]] = set()
    unparsed: list[str] = []
    cache: dict[tuple[PurePosixPath, str, bool], str | None] = {}

    def module(folder: Folder, name: str, stub: bool) -> str | None:
        key = (folder.place, name, stub)
        if key not in cache:
            cache[key] = finder.module(folder, name, stub)
        return cache[key]

    for path, text in texts.items():
        read = statements(text) if path.endswith((".py", ".pyi")) else None
        if read is None:
            unparsed.append(path)
            continue
        here = finder.folder(PurePosixPath(path).parent)
        stub = path.endswith(".pyi")
        for _, name, names, level in read:
            if level > len(here.lineage()):
                continue  # beyond the repository
            if level:
                base = here.lineage()[level - 1]
                parts = name.split(".") if name else []
                itself = package_file(finder, base, parts, stub)
                inner = [finder.descend(base, [*parts, one], stub) for one in names]
            else:
                itself = module(here, name, stub)
                inner = [module(here, f"{name}.{one}", stub) for one in names]
            if not names or (itself and not PurePosixPath(itself).match("__init__.*")):
                inner = [None]  # a plain module has no submodules
            found |= {(path, one or itself) for one in inner if one or itself}
    return {(source, target) for source, target in found if source != target}, unparsed


def package_file(finder: Finder, base: Folder, parts: list[str], stub: bool) -> str | None:
    if parts:
        return finder.descend(base, parts, stub)
    return finder.pick(base, "__init__", stub)
