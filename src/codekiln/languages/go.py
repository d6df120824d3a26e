"""Go: which files of a repository an import, and a name of the same package, stand for.

Go imports packages, which are folders, and files of one package see each other without a word.
What an edge is, then:

- import: a file needs those files of an imported package that declare a name that it uses, as in
  `pkg.Name`. Without such a name, and for `import _`, it needs the files with an `init` function,
  or else the one that the package is best known by: doc.go, the file of the package's name, or
  the first.
- use: a file needs the files of its own package that declare a name that it uses, unless the file
  declares the name too, at the top or within a function. Methods are no names of a package: a
  call needs no edge to where the method is declared.
- conditional: either of the two, where the file needed is compiled for some platforms, or under
  some tags, of those that the needing file is compiled for. Files that are never compiled
  together (x_linux.go and x_windows.go) don't need each other; a file under `//go:build ignore`
  is a program of its own.

Test files see the test files of their folder, others don't. `import "C"` is no import.

Where import paths lead, the first that holds decides:

1. a folder `vendor` in a folder above the file, nearest first.
2. the module of the longest matching path: go.mod files name modules, and `replace` lines of
   go.mod and go.work name local folders. Of two modules of one path, the nearest to the file.
3. below a folder `src`, as GOPATH has it, nearest first.
4. without go.mod: the repository's own import path is taken to be the one under which most of
   its folders are imported.

Source: DeepSeek-Coder §2.2.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

from codekiln.languages.go_build import relation
from codekiln.languages.go_scan import GoFile, scan
from codekiln.languages.resolve import Need, PathIndex, ReferenceKind, join, parent, shared_depth

_MODULE = re.compile(r"^[ \t]*module[ \t]+(?:\"([^\"\n]+)\"|([^\s\"/]\S*))", re.MULTILINE)
_REPLACE = re.compile(
    r"^[ \t]*(?:replace[ \t]+)?\"?([^\s\"()]+)\"?(?:[ \t]+v\S+)?"
    r"[ \t]*=>[ \t]*\"?(\.{1,2}(?:/[^\s\"]*)?)",
    re.MULTILINE,
)
_MOST_DECLARING = 64  # files of a package; a name declared in more says nothing about any
Package = tuple[str, str]  # folder, and name in the package clause


class GoResolver:
    """Imports of Go files, names of their packages, and the files that they need.

    Args:
        paths: all paths of the repository, and the texts of its go.mod and go.work files.
    """

    build_files: ClassVar[frozenset[str]] = frozenset({"go.mod", "go.work"})

    def __init__(self, paths: PathIndex) -> None:
        self._modules = _modules(paths.build_files)
        self._names: dict[str, str] = {}
        self._files: dict[str, GoFile] = {}
        self._packages: dict[Package, list[str]] = {}
        self._folders: dict[str, str] = {}
        self._declared: dict[tuple[Package, bool], dict[str, list[str]]] = {}
        self._above: dict[str, str] = {}
        self._found: dict[tuple[str, str], str | None] = {}

    def scan(self, path: str, text: str) -> GoFile | None:
        """Package, imports and names of one file; None if it has no package clause."""
        return scan(path, text, self._names)

    def edges(self, scans: Mapping[str, GoFile | None]) -> Iterator[Need]:
        """All needs of all files, as defined above."""
        self._files = {path: file for path, file in sorted(scans.items()) if file is not None}
        self._index()
        self._infer_root()
        for path, file in self._files.items():
            yield from self._own(path, file)
            yield from self._imported(path, file)

    def _index(self) -> None:
        """Which files a package has, and which of them declare a name."""
        for path, file in self._files.items():
            if _is_program(file):
                continue
            package = (parent(path), file.package)
            self._packages.setdefault(package, []).append(path)
            declared = self._declared.setdefault((package, _is_test(path)), {})
            for name in file.declares:
                declared.setdefault(name, []).append(path)
        sizes: dict[str, tuple[int, str]] = {}
        for (folder, name), found in self._packages.items():
            size = sum(not _is_test(path) for path in found)
            if size > sizes.get(folder, (0, ""))[0]:
                sizes[folder] = (size, name)
        self._folders = {folder: name for folder, (_, name) in sizes.items()}

    def _own(self, path: str, file: GoFile) -> Iterator[Need]:
        """Needs within the package of a file."""
        if _is_program(file):
            return
        package = (parent(path), file.package)
        dotted = [
            (folder, self._folders[folder])
            for name, target in file.imports
            if name == "." and (folder := self._folder(target, path))
        ]
        for place in (package, *dotted):
            known = self._visible(place, path)
            kind: ReferenceKind = "use" if place == package else "import"
            for target in _declaring(known, file.uses):
                yield from self._need(path, target, kind)

    def _visible(self, package: Package, path: str) -> list[dict[str, list[str]]]:
        """What a file can see of the names that a package declares."""
        kinds = (False, True) if _is_test(path) and package[0] == parent(path) else (False,)
        return [
            self._declared[package, kind] for kind in kinds if (package, kind) in self._declared
        ]

    def _imported(self, path: str, file: GoFile) -> Iterator[Need]:
        """Needs in the packages that a file imports."""
        selected: dict[str, list[str]] = {}
        for pair in file.selects:
            first, _, name = pair.partition(".")
            selected.setdefault(first, []).append(name)
        for given, target in file.imports:
            folder = self._folder(target, path)
            if folder is None or given == ".":
                continue
            package = (folder, self._folders[folder])
            known = self._visible(package, path)
            names = () if given == "_" else selected.get(given or package[1], ())
            needs = [
                need for one in _declaring(known, names) for need in self._need(path, one, "import")
            ]
            yield from needs or (
                need for one in self._represent(package) for need in self._need(path, one, "import")
            )

    def _need(self, source: str, target: str, kind: ReferenceKind) -> Iterator[Need]:
        if source != target:
            related = relation(self._files[source].constraint, self._files[target].constraint)
            if related != "excluded":
                yield source, target, kind if related == "firm" else "conditional"

    def _represent(self, package: Package) -> list[str]:
        """The files of a package that an import without a name needs."""
        files = [path for path in self._packages[package] if not _is_test(path)]
        starting = [path for path in files if self._files[path].starts]
        known = (join(package[0], name) for name in ("doc.go", f"{package[1]}.go"))
        return starting or [path for path in known if path in files][:1] or files[:1]

    def _folder(self, target: str, path: str) -> str | None:
        """The folder of the package that the import `target` of the file `path` stands for."""
        key = (parent(path), target)
        if key not in self._found:
            self._found[key] = next(
                (place for place in self._places(*key) if place in self._folders), None
            )
        return self._found[key]

    def _places(self, folder: str, target: str) -> Iterator[str]:
        if target.startswith(("./", "../")):
            yield posixpath.normpath(join(folder, target))
            return
        for above in _upward(folder):
            yield join(join(above, "vendor"), target)
        yield from self._in_modules(folder, target)
        for above in _upward(folder):
            yield (
                above + "/" + target
                if above == "src" or above.endswith("/src")
                else join(join(above, "src"), target)
            )

    def _in_modules(self, folder: str, target: str) -> Iterator[str]:
        prefix, rest = target, ""
        while prefix:
            if prefix in self._modules:
                roots = self._modules[prefix]
                nearest = max(roots, key=lambda root: shared_depth(root, folder))
                yield join(nearest, rest) if rest else nearest
                return
            prefix, _, last = prefix.rpartition("/")
            rest = f"{last}/{rest}" if rest else last
        if "" in self._modules:  # the standard library as a repository
            yield join(self._modules[""][0], target)

    def _infer_root(self) -> None:
        """Find the import path of a repository without go.mod."""
        if self._modules:
            return
        found: Counter[str] = Counter()
        seen: Counter[str] = Counter()
        for file in self._files.values():
            for _, target in file.imports:
                host, _, rest = target.partition("/")
                if "." in host:
                    for prefix, folder in _splits(host, rest):
                        seen[prefix] += 1
                        found[prefix] += folder in self._folders
        likely = [prefix for prefix in found if found[prefix] and 2 * found[prefix] >= seen[prefix]]
        if likely:
            best = min(likely, key=lambda prefix: (-found[prefix], len(prefix), prefix))
            self._modules[best] = [""]


def _splits(host: str, rest: str) -> Iterator[tuple[str, str]]:
    """Import paths that a repository may have, and the folder that is left, for one import."""
    parts = rest.split("/")
    for depth in range(min(len(parts), 4)):
        yield "/".join((host, *parts[:depth])), "/".join(parts[depth:])


def _modules(build_files: Mapping[str, str]) -> dict[str, list[str]]:
    """Module path -> folders, by go.mod and local replacements; "" is the standard library."""
    found: dict[str, list[str]] = {}
    replaced: dict[str, list[str]] = {}
    for path, text in sorted(build_files.items()):
        name = path[path.rfind("/") + 1 :]
        folder = parent(path)
        module = _MODULE.search(text) if name == "go.mod" else None
        if module:
            found.setdefault((module[1] or module[2]).strip("/"), []).append(folder)
        if name in ("go.mod", "go.work"):
            for target, place in _REPLACE.findall(text):
                local = posixpath.normpath(join(folder, place))
                if not local.startswith(".."):
                    replaced.setdefault(target, []).append("" if local == "." else local)
    for target, folders in replaced.items():
        found.setdefault(target, folders)
    if "std" in found:
        found[""] = found.pop("std")
    return found


def _declaring(known: list[dict[str, list[str]]], names: Iterable[str]) -> set[str]:
    """The files that declare any of the names."""
    return {
        path
        for declared in known
        for name in declared.keys() & names
        if len(declared[name]) <= _MOST_DECLARING
        for path in declared[name]
    }


def _is_test(path: str) -> bool:
    return path.endswith("_test.go")


def _is_program(file: GoFile) -> bool:
    """Whether a file is kept out of its package, to be run alone."""
    return "ignore" in file.constraint and relation(file.constraint, "!ignore") == "excluded"


def _upward(folder: str) -> Iterable[str]:
    """A folder and all above it, up to the repository's root."""
    yield folder
    while folder:
        folder = parent(folder)
        yield folder
