"""Rust: which files of a repository modules, imports and paths stand for.

What an edge is:

- declare: a file that says `mod x;` needs the file of x. Nothing of x is used by it: in a cycle,
  this need is the first to be set aside, so that a module that uses its parent's items comes
  behind the parent.
- import: `use a::b::C` needs the file in which C is declared. Re-exports are followed, by name
  and by `*`, within the repository: `pub use` in a lib.rs would else tie every file to it. Where
  C is not found, say because a macro makes it, it is the file of the module a::b. `use a::*`
  needs the file of a. Imports within functions are local.
- use: a path in code, such as `crate::a::f()` or `Imported::new()`; a name that came by a glob
  import; a macro that a file of the crate declares by `macro_rules!`. Methods and fields need
  nothing: their types decide, not their paths.
- include: `include!`, `include_str!` and `include_bytes!` with a literal path.
- conditional: what is declared or imported under `#[cfg]`, and all that stands in such a module;
  tests are.

A file is in the module tree of a crate that Cargo builds (see `rust_crates`), or of one whose
root is called lib.rs or main.rs; any other file that no file declares is the root of a crate of
its own. A path is looked up as the compiler does: in the module, through its imports, among its
crate's modules, and among the crates of the repository by their names. A file that is in more
than eight crates is looked at in eight. A parent's own items are as visible as any: privacy is
not checked.

Source: DeepSeek-Coder §2.2.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from codekiln.languages.resolve import Need, PathIndex, ReferenceKind, join, parent
from codekiln.languages.rust_crates import Package, packages
from codekiln.languages.rust_scan import RustBlock, RustFile, Use, scan

_MOST_CRATES = 8  # in which one file is looked at
_DEEPEST = 48  # imports of imports
_STEPS_PER_FILE = 2_000  # look-ups through glob imports, on average; beyond, they lead nowhere
_MOST_KNOWN = 1_000_000  # look-ups that are remembered at a time
_MOST_DECLARING = 64  # files with a macro of one name; more say nothing about any
_OWNERS = frozenset({"mod.rs", "lib.rs", "main.rs"})  # their submodules lie beside them


@dataclass(eq=False, slots=True)
class _Module:
    """A module in the tree of one crate."""

    path: str
    block: RustBlock
    parent: _Module | None
    crate: _Crate
    children: dict[str, list[_Module]] = field(default_factory=dict)
    imports: dict[str, list[Use]] = field(default_factory=dict)
    globs: list[Use] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class _Crate:
    package: Package | None
    root: _Module | None = None
    modules: list[_Module] = field(default_factory=list)
    macros: dict[str, list[str]] = field(default_factory=dict)
    test_macros: dict[str, list[str]] = field(default_factory=dict)  # under `#[cfg]`

    @property
    def is_old(self) -> bool:
        """Of edition 2015, in which imports start at the crate's root."""
        return self.package is not None and self.package.edition in ("", "2015")


_Item = tuple[str, _Module | None]  # the file of an item, and the module if it is one
_OUTSIDE: _Item = ("", None)  # imported from outside the repository


class RustResolver:
    """Modules of Rust files, what they import and use, and the files that they need.

    Args:
        paths: all paths of the repository, and the texts of its Cargo.toml files.
    """

    build_files: ClassVar[frozenset[str]] = frozenset({"Cargo.toml"})

    def __init__(self, paths: PathIndex) -> None:
        self._paths = paths
        self._packages = packages(paths)
        self._by_folder = {package.folder: package for package in self._packages}
        self._names: dict[str, str] = {}
        self._files: Mapping[str, RustFile] = {}
        self._times: dict[str, int] = {}
        self._crates: list[_Crate] = []
        self._libraries: dict[str, _Crate] = {}
        self._known: dict[tuple[_Module, str, bool], list[_Item]] = {}
        self._busy: set[tuple[_Module, str, bool]] = set()
        self._declares: set[str] = set()
        self._steps = 0

    def scan(self, path: str, text: str) -> RustFile:
        """Modules, imports and paths of one file."""
        return scan(text, self._names)

    def edges(self, scans: Mapping[str, RustFile]) -> Iterator[Need]:
        """All needs of all files, as defined above."""
        self._files = scans
        self._steps = _STEPS_PER_FILE * (len(scans) + 100)
        for source, target, conditional in self._declared():
            yield source, target, "conditional" if conditional else "declare"
        self._plant()
        for file in scans.values():
            for block in file.blocks:
                self._declares.update(block.declares, (use.name for use in block.uses))
                self._declares.update(name for name, _ in block.mods)
        for crate in self._crates:
            for module in crate.modules:
                yield from self._needs(module)
        yield from self._included()

    def _declared(self) -> Iterator[tuple[str, str, bool]]:
        """Each file, the files of the modules that it declares, and whether under `#[cfg]`."""
        roots = {root for package in self._packages for root in package.roots}
        for path, file in self._files.items():
            owns = path in roots or path.rpartition("/")[2] in _OWNERS
            for block in file.blocks:
                for name, conditional in block.mods:
                    for target in self._located(path, block.place, name, owns):
                        yield path, target, conditional

    def _located(self, path: str, place: tuple[str, ...], name: str, owns: bool) -> list[str]:
        """The files that `mod name;` may stand for; several under `#[cfg]`."""
        folder = parent(path)
        own = folder if owns else path.removesuffix(".rs")
        within = "/".join((own, *place)) if own else "/".join(place)
        given = self._files[path].located.get(name, ())
        base = within if place else folder
        found = [posixpath.normpath(join(base, one)) for one in given]
        stem = join(within, name)
        found += [f"{stem}.rs", f"{stem}/mod.rs"]
        if not owns:  # a root under another name, of a crate or by `#[path]`
            beside = join("/".join((folder, *place)).strip("/"), name)
            found += [f"{beside}.rs", f"{beside}/mod.rs"]
        present = [one for one in dict.fromkeys(found) if one in self._files and one != path]
        return present[: max(len(given), 1)]

    def _plant(self) -> None:
        """Build the module tree of every crate."""
        for package in self._packages:
            for root in package.roots:
                crate = self._grow(root, package)
                if crate is not None and root == package.library:
                    self._libraries.setdefault(package.name, crate)
        declared: set[str] = set()
        for _, target, _ in self._declared():
            declared.add(target)
        left = [path for path in sorted(self._files) if path not in self._times]
        left.sort(key=lambda path: (path.rpartition("/")[2] not in _OWNERS, path in declared))
        for path in left:
            if path not in self._times:
                crate = self._grow(path, self._package_of(path))
                folder = parent(path).removesuffix("/src")
                if crate is not None and path.endswith("lib.rs"):
                    name = folder.rpartition("/")[2].replace("-", "_")
                    self._libraries.setdefault(name, crate)

    def _package_of(self, path: str) -> Package | None:
        folder = parent(path)
        while folder and folder not in self._by_folder:
            folder = parent(folder)
        return self._by_folder.get(folder)

    def _grow(self, root: str, package: Package | None) -> _Crate | None:
        if root not in self._files:
            return None
        crate = _Crate(package)
        seen: dict[str, _Module] = {}
        todo: list[tuple[str, _Module | None, str, bool]] = [(root, None, "", True)]
        while todo:
            path, above, name, owns = todo.pop()
            if path in seen:
                continue  # a module twice in one crate: the first counts
            if above is not None and self._times.get(path, 0) >= _MOST_CRATES:
                continue
            self._times[path] = self._times.get(path, 0) + 1
            todo += self._add(crate, path, above, name, owns, seen)
        self._crates.append(crate)
        return crate

    def _add(
        self,
        crate: _Crate,
        path: str,
        above: _Module | None,
        name: str,
        owns: bool,
        seen: dict[str, _Module],
    ) -> list[tuple[str, _Module | None, str, bool]]:
        """Add the modules of a file to a crate; returns the files that it declares."""
        file = self._files[path]
        inner: dict[tuple[str, ...], _Module] = {}
        todo: list[tuple[str, _Module | None, str, bool]] = []
        for block in file.blocks:
            outer = inner.get(block.place[:-1]) if block.place else above
            module = _Module(path, block, outer, crate)
            inner[block.place] = module
            crate.modules.append(module)
            for use in block.uses:
                if use.path[-1] == "*":
                    module.globs.append(use)
                else:
                    module.imports.setdefault(use.name, []).append(use)
            if not block.place:
                seen[path] = module
                crate.root = crate.root or module
            if outer is not None:
                outer.children.setdefault(block.place[-1] if block.place else name, []).append(
                    module
                )
            for declared, _ in block.mods:
                for target in self._located(path, block.place, declared, owns):
                    by_path = bool(file.located.get(declared))
                    owner = by_path or target.rpartition("/")[2] in _OWNERS
                    todo.append((target, module, declared, owner))
            macros = crate.test_macros if block.conditional else crate.macros
            for macro in block.macros:
                macros.setdefault(macro, []).append(path)
        return todo

    def _needs(self, module: _Module) -> Iterator[Need]:
        conditional = module.block.conditional
        for use in module.block.uses:
            for path, _ in self._used(module, use):
                yield module.path, path, use.kind
        kind: ReferenceKind = "conditional" if conditional else "use"
        for text in module.block.paths:
            for path, _ in self._resolve(module, tuple(text.split("::")), imported=False):
                yield module.path, path, kind
        if module.globs:
            for name in self._declares.intersection(module.block.names):
                for path, _ in self._lookup(module, name):
                    yield module.path, path, kind
        crate = module.crate
        for name in module.block.calls:
            declaring = crate.macros.get(name, ())
            if conditional and not declaring:
                declaring = crate.test_macros.get(name, ())
            if module.path not in declaring and len(declaring) <= _MOST_DECLARING:
                for path in declaring:
                    yield module.path, path, kind

    def _used(self, module: _Module, use: Use, depth: int = 0) -> list[_Item]:
        """What a `use` stands for; of a glob, the module."""
        if use.external:
            crate = self._extern(module.crate, use.path[0])
            return [(crate.root.path, crate.root)] if crate and crate.root else []
        path = use.path[:-1] if use.path[-1] == "*" else use.path
        return self._resolve(module, path, imported=True, depth=depth) if path else []

    def _resolve(
        self, module: _Module, path: tuple[str, ...], *, imported: bool, depth: int = 0
    ) -> list[_Item]:
        """The items that a path stands for, in a module; none if outside the repository.

        Where the last segments lead nowhere, it is the file of the last module found.
        """
        items, rest = self._start(module, path, imported, depth)
        for segment in rest:
            modules = [inner for _, inner in items if inner is not None]
            if not modules:
                return items  # of a type: its own items are where it is, or not far
            found = [item for inner in modules for item in self._lookup(inner, segment, depth + 1)]
            if not found:
                return [item for item in items if item[1] is None] or [
                    (inner.path, None) for inner in modules
                ]
            items = found
        return items

    def _start(
        self, module: _Module, path: tuple[str, ...], imported: bool, depth: int
    ) -> tuple[list[_Item], tuple[str, ...]]:
        """What the first segments of a path stand for, and the segments that are left."""
        first, rest = path[0], path[1:]
        root = module.crate.root
        if first == "crate":
            return ([(root.path, root)] if root else []), rest
        if first in ("self", "super"):
            here: _Module | None = module.parent if first == "super" else module
            while rest[:1] == ("super",) and here is not None:
                here, rest = here.parent, rest[1:]
            return ([(here.path, here)] if here else []), rest
        places = [module]
        if module.crate.is_old and root is not None:
            places = [root, module] if imported else [module, root]
        for place in places:
            items = self._lookup(place, first, depth + 1)
            if items:
                return items, rest
        crate = self._extern(module.crate, first)
        return ([(crate.root.path, crate.root)] if crate and crate.root else []), rest

    def _extern(self, crate: _Crate, name: str) -> _Crate | None:
        """A library of the repository, by the name that a crate knows it under."""
        renamed = crate.package.renamed.get(name, name) if crate.package else name
        found = self._libraries.get(renamed)
        return None if found is crate else found

    def _lookup(
        self, module: _Module, name: str, depth: int = 0, *, private: bool = True
    ) -> list[_Item]:
        """The items called `name` in a module: its own, imported ones, and those of globs.

        What it imports for itself is left out unless `private`.
        """
        key = (module, name, private)
        if key in self._known:
            return self._known[key]
        found: list[_Item] = [(child.path, child) for child in module.children.get(name, ())]
        if key in self._busy or depth > _DEEPEST:
            return found or [_OUTSIDE]
        self._busy.add(key)
        for use in module.imports.get(name, ()):
            if private or use.public:
                found += self._used(module, use, depth + 1) or [_OUTSIDE]
        if name in module.block.declares:
            found.append((module.path, None))
        elif not found:
            found = self._by_globs(module, name, depth, private)
        if not found and module is module.crate.root:
            found = [(path, None) for path in module.crate.macros.get(name, ())]
        self._busy.discard(key)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[key] = found = list(dict.fromkeys(found))
        return found

    def _by_globs(self, module: _Module, name: str, depth: int, private: bool) -> list[_Item]:
        for use in module.globs:
            self._steps -= 1
            if self._steps < 0:
                return []
            if not (private or use.public):
                continue
            for _, place in self._used(module, use, depth + 1):
                if place is not None and place is not module:
                    own = _is_within(module, place)
                    found = self._lookup(place, name, depth + 1, private=own)
                    if any(path for path, _ in found):
                        return found
        return []

    def _included(self) -> Iterable[Need]:
        for path, file in self._files.items():
            for target in file.includes:
                yield path, posixpath.normpath(join(parent(path), target)), "include"


def _is_within(module: _Module, outer: _Module) -> bool:
    """Whether a module lies in another, and so sees what that imports for itself."""
    here: _Module | None = module
    for _ in range(_DEEPEST):
        if here is None or here is outer:
            break
        here = here.parent
    return here is outer
