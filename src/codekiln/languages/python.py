"""Python: which files of a repository an import statement stands for.

What an edge is (the paper says only that invocation relations are found by "import"):

- `import a.b.c` needs the module `a.b.c`, one edge. Python also runs `a/__init__.py` and
  `a/b/__init__.py`, but an edge to each would tie every module to its package, and the package
  to its modules, in one cycle: they don't count. The same holds for relative imports.
- `from a.b import name` needs the submodule `a/b/name.py` where there is one, and otherwise
  `a/b.py` or `a/b/__init__.py`. `from a.b import *` needs `a.b` alone.
- Where a folder with `__init__` and a module share a name, the folder is meant. A `.py` file
  stands before a Cython source `.pyx` and a stub `.pyi` of its name; for a stub it is the stub.
- Statements count wherever they stand, except in strings and comments, in both branches of an
  `if` or a `try`. A file never needs itself.

Where absolute imports are searched. A root is a folder from which top-level names are imported,
and is never a package itself (a package is a folder with `__init__`):

1. the file's own root: the folder that holds its outermost package in an unbroken chain of
   packages. A folder without `__init__` below a package counts as part of that package; a file
   outside packages has its own folder as root, as a script has.
2. the folders above that one, nearest first, up to the repository's root.
3. elsewhere: folders that the repository's build files declare (see `python_roots`), then folders
   called `src`, `lib` or `python`, and folders that hold a package of that name; but those that
   share most folders with the file stand first. What lies in a test tree or among examples serves
   only files of that tree.

A package that a build file declares to lie in a folder of another name is searched there only.

Where the repository's root is itself a package (an installed package read as a repository), its
name is the one under which most of its modules are imported; without such imports, its root is
searched as if it were none, except for names of the standard library.

The first root with a package or module of that name decides, as on Python's own path; only when
there is none, folders without `__init__` (namespace packages, PEP 420) are searched for it, in
the same order. Names of Python's standard library are looked for in the file's own root only.

Source: DeepSeek-Coder §2.2.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import ClassVar

from codekiln.languages.python_roots import NAMES, declared_roots
from codekiln.languages.python_scan import scan
from codekiln.languages.resolve import ByReference, PathIndex, Reference, join, parent

SUFFIXES = (".py", ".pyx", ".pyi")
STUB_SUFFIXES = (".pyi", ".py", ".pyx")
SHARED_ROOTS = frozenset({"src", "lib", "python"})
PRIVATE_TREES = frozenset({"test", "tests", "testdata", "fixtures", "example", "examples"})
OUTSIDE = ".."  # stands for the folder above the repository's root
_STANDARD_LIBRARY = sys.stdlib_module_names


class PythonResolver(ByReference):
    """Import statements of Python files, and the files that they need.

    Args:
        paths: all paths of the repository; of those that end in none of SUFFIXES, only build
            files matter.
    """

    build_files: ClassVar[frozenset[str]] = NAMES

    def __init__(self, paths: PathIndex) -> None:
        self._files = frozenset(path for path in paths.files if path.endswith(SUFFIXES))
        index = PathIndex(self._files)
        self._folders = index.folders
        self._packages = frozenset(
            parent(path)
            for suffix in SUFFIXES
            for path in index.by_name.get("__init__" + suffix, ())
        )
        declared = declared_roots(paths.build_files)
        self._moved = {
            name: folder for name, folder in declared.packages.items() if folder in self._folders
        }
        self._declared = frozenset(declared.folders) - self._packages
        self._elsewhere = self._index_elsewhere()
        self._name = ""  # of the package that the repository's root is, where it is one
        self._own: dict[str, str] = {}
        self._searched: dict[tuple[str, str], tuple[str | None, tuple[str, ...]]] = {}
        self._found: dict[tuple[str, str, bool], str | None] = {}
        self._placed: dict[tuple[str, bool], str | None] = {}

    def imports(self, text: str) -> list[Reference]:
        """The import statements of one file, in the order of the text."""
        return scan(text)

    def survey(self, references: Iterable[Reference]) -> None:
        """Find the name of the root package: the one whose modules are mostly found here."""
        if "" not in self._packages:
            return
        found: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        for reference in references:
            top, _, rest = reference.target.partition(".")
            if rest and not reference.level:
                seen[top] += 1
                found[top] += self._at(rest.replace(".", "/"), stub=False) is not None
        likely = [top for top in found if 2 * found[top] >= seen[top] and found[top]]
        self._name = min(likely, key=lambda top: (-found[top], top), default="")

    def resolve(self, reference: Reference, source: str) -> list[str]:
        """Paths of the modules that `reference` in the file `source` needs, as defined above."""
        stub = source.endswith(".pyi")
        if reference.level:
            found = self._relative(reference, source, stub)
        else:
            found = self._absolute(reference, self.own_root(parent(source)), stub)
        return [path for path in dict.fromkeys(found) if path is not None and path != source]

    def _absolute(self, reference: Reference, root: str, stub: bool) -> Iterable[str | None]:
        module = reference.target
        path = self._module(module, root, stub)
        if path is not None or not reference.names:
            return self._named(path, reference.names, stub)
        return [self._module(f"{module}.{name}", root, stub) for name in reference.names]

    def _relative(self, reference: Reference, source: str, stub: bool) -> Iterable[str | None]:
        folder = parent(source)
        for _ in range(reference.level - 1):
            if not folder:
                return ()
            folder = parent(folder)
        if reference.target:
            folder = join(folder, reference.target.replace(".", "/"))
            path = self._at(folder, stub)
        else:
            path = self._file(join(folder, "__init__"), stub)
        if path is not None:
            return self._named(path, reference.names, stub)
        return [self._at(join(folder, name), stub) for name in reference.names]

    def _named(self, path: str | None, names: tuple[str, ...], stub: bool) -> Iterable[str | None]:
        """What `from` the module at `path` `import names` needs: submodules before itself."""
        folder, _, file = (path or "").rpartition("/")
        if not names or not file.startswith("__init__."):
            return (path,)
        return [self._at(join(folder, name), stub) or path for name in names]

    def _at(self, place: str, stub: bool) -> str | None:
        """The file of the package or module at `place`, a path without suffix."""
        key = (place, stub)
        if key not in self._placed:
            package = self._file(f"{place}/__init__", stub) if place in self._packages else None
            self._placed[key] = package or self._file(place, stub)
        return self._placed[key]

    def _file(self, stem: str, stub: bool) -> str | None:
        for suffix in STUB_SUFFIXES if stub else SUFFIXES:
            if stem + suffix in self._files:
                return stem + suffix
        return None

    def _module(self, module: str, root: str, stub: bool) -> str | None:
        """The file of an absolute module, for a file whose own root is `root`."""
        key = (module, root, stub)
        if key not in self._found:
            self._found[key] = self._search(module, root, stub)
        return self._found[key]

    def _search(self, module: str, root: str, stub: bool) -> str | None:
        top, _, rest = module.partition(".")
        if top == self._name or top in self._moved:
            folder = self._moved.get(top, "")
            if not rest:
                return self._file(join(folder, "__init__"), stub)
            return self._at(join(folder, rest.replace(".", "/")), stub)
        if (top, root) not in self._searched:
            self._searched[top, root] = self._roots(top, root)
        regular, namespaces = self._searched[top, root]
        place = module.replace(".", "/")
        if regular is not None:
            return self._at(join(regular, place), stub)
        for namespace in namespaces:
            path = self._at(join(namespace, place), stub)
            if path is not None:
                return path
        return None

    def _roots(self, top: str, root: str) -> tuple[str | None, tuple[str, ...]]:
        """The root that decides about a top-level name, and those with a namespace of it."""
        namespaces: list[str] = []
        for place in self._places(top, root):
            if self._at(join(place, top), stub=False) is not None:
                return place, ()
            if join(place, top) in self._folders:
                namespaces.append(place)
        return None, tuple(dict.fromkeys(namespaces))

    def _places(self, top: str, root: str) -> Iterator[str]:
        """Where a top-level name is searched by files whose own root is `root`, in order."""
        if top in _STANDARD_LIBRARY:
            if root != OUTSIDE:
                yield root
            return
        if root != OUTSIDE or not self._name:
            for place in _upward(root):
                if place not in self._packages or root == OUTSIDE:
                    yield place
        for folder in _upward(root):
            yield from self._elsewhere.get((top, folder), ())

    def _index_elsewhere(self) -> dict[tuple[str, str], list[str]]:
        """(top-level name, folder) -> roots below the folder that hold the name, best first.

        A file finds the nearest by going up from its own root; what lies in a private tree is
        listed up to the top of that tree only.
        """
        held = {
            (package.rpartition("/")[2], parent(package))
            for package in self._packages
            if package and parent(package) not in self._packages
        }
        for path in (*self._files, *self._folders):
            holder, _, name = path.rpartition("/")
            shared = holder.rpartition("/")[2] in SHARED_ROOTS or holder in self._declared
            if path and shared and holder not in self._packages:
                held.add((name.partition(".")[0], holder))
        found: dict[tuple[str, str], list[str]] = {}
        for top, place in sorted(held, key=self._preference):
            tree = _private_tree(place)
            for folder in _upward(place):
                found.setdefault((top, folder), []).append(place)
                if folder == tree:
                    break
        return found

    def _preference(self, held: tuple[str, str]) -> tuple[bool, bool, int, str, str]:
        top, place = held
        conventional = place.rpartition("/")[2] in SHARED_ROOTS
        return place not in self._declared, not conventional, place.count("/"), place, top

    def own_root(self, folder: str) -> str:
        """The root from which the files of `folder` are imported themselves."""
        if folder not in self._own:
            self._own[folder] = self._climb(folder)
        return self._own[folder]

    def _climb(self, folder: str) -> str:
        inner = folder
        while inner not in self._packages:
            if not inner:
                return folder  # no package around it: a script's folder
            inner = parent(inner)
        while inner in self._packages:
            if not inner:
                return OUTSIDE
            inner = parent(inner)
        return inner


def _private_tree(place: str) -> str:
    """The outermost test or example tree around a folder; "" if there is none."""
    parts = place.split("/")
    for depth, part in enumerate(parts):
        if part in PRIVATE_TREES:
            return "/".join(parts[: depth + 1])
    return ""


def _upward(folder: str) -> Iterator[str]:
    """A folder and all above it, up to the repository's root."""
    yield folder
    while folder:
        folder = parent(folder)
        yield folder
