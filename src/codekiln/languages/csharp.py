"""C#: which files of a repository the names of types in a file stand for.

What an edge is: a file needs the file that declares a type which it names. A `using` of a namespace
alone needs nothing: it makes types visible, and those that are named count. What a name stands
for, the first that is found:

1. a type of the file itself, at any depth; a type within one of the base types of the file's types.
2. a type of the file's namespaces and of those around them, innermost first ("use"). A chain such
   as `Data.Table` may also start with a namespace within these.
3. an alias (`using X = ...`), then the types of the namespaces in `using`, and those within the
   types in `using static` ("import"). `global using`, and `<Using>` in a project file, count for
   all files below the folder of the .csproj file.

In square brackets `Test` means `TestAttribute` first. An alias and a `using static` need the file
of the type that they name. Generic types are told apart from those without parameters, but not by
how many they have.

A partial type is declared by several files: whoever names it needs all of them (up to MOST_PARTS);
the parts do not need each other for being parts. Where files that are no parts declare one full
name, the nearest counts: of the same project, of a project that its .csproj names by
ProjectReference (or that these name), of the folders that share most with it. Of equally near ones
none counts.

`x.F()` needs the file of an extension method F where its namespace is visible and no other file of
the repository declares, or calls on nothing, a function F. Members of types don't count else, nor
do XML documentation and the directives: both branches of an `#if` do. Names in small letters are
taken for variables, except in `using`. A property that shares the name of a visible type is told
from it where the file, or a base type, declares it; it is the type where a type must stand.

Source: DeepSeek-Coder §2.2.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import ClassVar, NamedTuple

from codekiln.languages.csharp_scan import CSharpUnit, Using, scan
from codekiln.languages.resolve import (
    Need,
    PathIndex,
    ReferenceKind,
    join,
    parent,
    shared_depth,
)

MOST_PARTS = 16  # files of one partial type
MOST_CANDIDATES = 256  # files of other projects that declare one name
MOST_OPENED = 256  # namespaces and types that one file opens
MOST_BASES = 256  # types above one type that are searched for what it inherits
Found = tuple[str, str]  # the path of a file, and the full name of a type that it declares
_REFERENCE = re.compile(r"""<ProjectReference\s[^<>]*?Include\s*=\s*["']([^"'<>]+)["']""")
_PROJECT_USING = re.compile(r"""<Using\s[^<>]*?Include\s*=\s*["']([\w.]+)["']([^<>]*)""")


class _Declared(NamedTuple):
    bases: tuple[str, ...]
    partial: bool


class CSharpResolver:
    """Names of types in C# files, and the files that declare them.

    Args:
        paths: all paths of the repository, and the texts of its project files.
    """

    build_files: ClassVar[frozenset[str]] = frozenset({"*.csproj"})

    def __init__(self, paths: PathIndex) -> None:
        self._projects = _Projects(paths)

    def scan(self, path: str, text: str) -> CSharpUnit:
        """What one file says."""
        return scan(text)

    def edges(self, scans: Mapping[str, CSharpUnit]) -> Iterator[Need]:
        """All names resolved."""
        world = _World(self._projects, scans)
        for path in scans:
            for target, kind in world.scope(path).needs():
                yield path, target, kind


class _Projects:
    """The folders that hold project files, what these need, and what is visible in them."""

    def __init__(self, paths: PathIndex) -> None:
        self.usings: dict[str | None, list[Using]] = {}
        self._needs: dict[str, list[str]] = {}
        self._reached: dict[str, frozenset[str]] = {}
        self._of: dict[str, str | None] = {}
        for path, text in paths.build_files.items():
            if path.endswith(".csproj"):
                folder = parent(path)
                found = (one.replace("\\", "/") for one in _REFERENCE.findall(text))
                needed = [parent(posixpath.normpath(join(folder, one))) for one in found]
                self._needs.setdefault(folder, []).extend(needed)
                self.usings.setdefault(folder, []).extend(
                    Using(name, static="Static" in rest)
                    for name, rest in _PROJECT_USING.findall(text)
                )

    def project(self, path: str) -> str | None:
        """The folder of the project that a file belongs to; None if to none."""
        folder = parent(path)
        passed = []
        while folder not in self._of:
            passed.append(folder)
            if folder in self._needs or not folder:
                self._of[folder] = folder if folder in self._needs else None
                break
            folder = parent(folder)
        for one in passed:
            self._of[one] = self._of[folder]
        return self._of[folder]

    def nearness(self, source: str, target: str) -> tuple[bool, bool, int]:
        """How near a file is to another; the greatest is nearest."""
        mine, other = self.project(source), self.project(target)
        same = mine is not None and mine == other
        needed = mine is not None and other in self._reach(mine)
        return same, needed, 0 if same else shared_depth(parent(source), parent(target))

    def _reach(self, project: str) -> frozenset[str]:
        if project not in self._reached:
            reached: set[str] = set()
            waiting = [project]
            while waiting:
                new = set(self._needs.get(waiting.pop(), ())) - reached
                reached |= new
                waiting += sorted(new)
            self._reached[project] = frozenset(reached)
        return self._reached[project]


class _World:
    """All types of the repository, by their full names."""

    def __init__(self, projects: _Projects, units: Mapping[str, CSharpUnit]) -> None:
        self.units = units
        self.types: dict[str, dict[str, _Declared]] = {}
        self.namespaces: set[str] = set()
        self.extensions: dict[str, dict[str, str]] = {}  # name -> path -> namespace
        self.everywhere: dict[str | None, list[Using]] = dict(projects.usings)
        self.projects = projects
        self._functions: dict[str, int] = {}  # how many files declare or call it on nothing
        self._chosen: dict[tuple[str, str], list[Found]] = {}
        self._by_project: dict[str, dict[str | None, dict[str, _Declared]]] = {}
        self._bases: dict[Found, list[Found]] = {}
        self._scopes: dict[str, _Scope] = {}
        for path, unit in units.items():
            self._add(path, unit)

    def _add(self, path: str, unit: CSharpUnit) -> None:
        for namespace, name, bases, partial in unit.types:
            declared = self.types.setdefault(_full(namespace, name), {})
            before = declared[path].bases if path in declared else ()
            declared[path] = _Declared(before + bases, partial)
        for namespace in unit.namespaces:
            while namespace and namespace not in self.namespaces:
                self.namespaces.add(namespace)
                namespace = namespace.rpartition(".")[0]
        for namespace, name in unit.extensions:
            self.extensions.setdefault(name, {})[path] = namespace
        for name in unit.functions:
            self._functions[name] = self._functions.get(name, 0) + 1
        wide = [one._replace(everywhere=False) for one in unit.usings if one.everywhere]
        if wide:
            project = self.projects.project(path)
            self.everywhere[project] = [*self.everywhere.get(project, ()), *wide]

    def scope(self, path: str) -> _Scope:
        """What the file at `path` sees."""
        if path not in self._scopes:
            self._scopes[path] = _Scope(self, path)
        return self._scopes[path]

    def choose(self, path: str, full: str) -> list[Found]:
        """The files that a type's full name means in the file `path`."""
        declared = self.types.get(full)
        if declared is None:
            return []
        if path in declared and not declared[path].partial:
            return [(path, full)]
        if len(declared) == 1:
            return [(one, full) for one in declared]
        key = (parent(path), full)
        if key not in self._chosen:
            self._chosen[key] = [(one, full) for one in self._nearest(path, full, declared)]
        return self._chosen[key]

    def _nearest(self, path: str, full: str, declared: Mapping[str, _Declared]) -> list[str]:
        declared = self._in_project(path, full) or declared
        if len(declared) > MOST_CANDIDATES:
            return []
        near = {one: self.projects.nearness(path, one) for one in declared}
        if all(one.partial for one in declared.values()):
            best = max(rank[:2] for rank in near.values())
            found = [one for one, rank in near.items() if rank[:2] == best]
            return found if len(found) <= MOST_PARTS else []
        greatest = max(near.values())
        found = [one for one, rank in near.items() if rank == greatest]
        return found if len(found) == 1 else []

    def _in_project(self, path: str, full: str) -> Mapping[str, _Declared]:
        """The files of the same project that declare a type; none if there is no project."""
        mine = self.projects.project(path)
        if full not in self._by_project:
            groups = self._by_project[full] = {}
            for one, declared in self.types[full].items():
                groups.setdefault(self.projects.project(one), {})[one] = declared
        return self._by_project[full].get(mine, {}) if mine is not None else {}

    def member(self, owner: Found, name: str) -> list[Found]:
        """The type `name` within a type, declared there or inherited."""
        for _, full in self.above(owner):
            found = self.choose(owner[0], f"{full}.{name}")
            if found:
                return found
        return []

    def above(self, owner: Found) -> Iterator[Found]:
        """A type, and those above it, nearest first."""
        yield owner
        waiting = [owner]
        seen = {owner}
        for one in waiting:
            for found in self._direct(one):
                if found not in seen and len(seen) < MOST_BASES:
                    seen.add(found)
                    waiting.append(found)
                    yield found

    def _direct(self, owner: Found) -> list[Found]:
        if owner not in self._bases:
            path, full = owner
            self._bases[owner] = []
            for chain in self.types[full][path].bases:
                found, _ = self.scope(path).chain(chain, inherited=False)
                self._bases[owner] += [one for one in found if one[0] != path or one[1] != full]
        return self._bases[owner]

    def is_extension(self, name: str) -> bool:
        """Whether a function called on something can only be an extension method."""
        declaring = self.extensions.get(name)
        return declaring is not None and self._functions.get(name, 0) <= len(declaring)


class _Scope:
    """What the names of one file mean."""

    def __init__(self, world: _World, path: str) -> None:
        self._world = world
        self._path = path
        self._unit = unit = world.units[path]
        around: dict[str, None] = {}
        for namespace in reversed(unit.namespaces):
            while namespace:
                around[namespace] = None
                namespace = namespace.rpartition(".")[0]
        self._around = [*sorted(around, key=lambda one: -one.count(".")), ""]
        usings = [*unit.usings, *world.everywhere.get(world.projects.project(path), ())]
        self._aliases = {one.alias: one.path for one in usings if one.alias}
        plain = (one for one in usings if not one.alias)
        self._opened = [full for one in plain if (full := self._known(one))][:MOST_OPENED]
        self._own: dict[str, str] = {}
        for namespace, name, _, _ in unit.types:
            self._own.setdefault(name[name.rfind(".") + 1 :], _full(namespace, name))

    def _known(self, using: Using) -> str:
        known = self._world.types if using.static else self._world.namespaces
        readings = (_full(namespace, using.path) for namespace in reversed(self._around))
        return next((full for full in readings if full in known), "")

    def needs(self) -> Iterator[tuple[str, ReferenceKind]]:
        """Paths that the file needs, with repetitions."""
        for one in self._unit.usings:
            if one.alias or one.static:
                for path, _ in self._absolute(one.path) or self._absolute(one.path + "`"):
                    yield path, "import"
        for name in self._unit.names:
            if name not in self._unit.doubtful or not self._is_property(name):
                found, kind = self.chain(name)
                for path, _ in found:
                    yield path, kind
        for name in self._unit.attributes:
            found, kind = self.chain(name + "Attribute")
            if not found:
                found, kind = self.chain(name)
            for path, _ in found:
                yield path, kind
        yield from self._extensions()

    def _is_property(self, name: str) -> bool:
        return name.partition(".")[0].rstrip("`") in self._inherited_properties

    def _extensions(self) -> Iterator[tuple[str, ReferenceKind]]:
        for name in self._unit.called:
            if self._world.is_extension(name):
                declaring = self._world.extensions[name]
                visible = {
                    path: namespace
                    for path, namespace in declaring.items()
                    if namespace in self._around or namespace in self._opened
                }
                if len(visible) == 1:
                    [(path, namespace)] = visible.items()
                    yield path, "use" if namespace in self._around else "import"

    def chain(self, chain: str, inherited: bool = True) -> tuple[list[Found], ReferenceKind]:
        """The types that a chain of names passes through."""
        head, _, rest = chain.partition(".")
        found, kind = self._head(head, inherited)
        if not found:
            return (self._absolute(chain), "use") if rest else ([], kind)
        return self._walk(found, rest), kind

    def _walk(self, found: list[Found], rest: str) -> list[Found]:
        passed = list(found)
        for name in rest.split(".") if rest else ():
            found = self._world.member(found[0], name)
            if not found:
                break
            passed += found
        return passed

    def _absolute(self, chain: str) -> list[Found]:
        """The types that a chain passes through which starts with a namespace."""
        for namespace in self._around:
            reading = _full(namespace, chain)
            end = reading.find(".")
            while end >= 0 and reading[:end] not in self._world.types:
                if reading[:end] not in self._world.namespaces:
                    end = -2
                    break
                end = reading.find(".", end + 1)
            full = reading if end == -1 else reading[: max(end, 0)]
            found = self._world.choose(self._path, full)
            if found:
                return self._walk(found, reading[len(full) + 1 :])
        return []

    def _head(self, name: str, inherited: bool) -> tuple[list[Found], ReferenceKind]:
        """What the first name of a chain stands for."""
        if name in self._own:
            own = self._world.types[self._own[name]]
            partial = own[self._path].partial
            return ([] if partial and len(own) > 1 else [(self._path, self._own[name])]), "use"
        if inherited and name in self._inherited:
            return [self._inherited[name]], "use"
        for namespace in self._around:
            found = self._world.choose(self._path, _full(namespace, name))
            if found:
                return found, "use"
        if name in self._aliases:
            return self._absolute(self._aliases[name]), "import"
        for opened in self._opened:
            found = self._world.choose(self._path, f"{opened}.{name}")
            if found:
                return found, "import"
        return [], "use"

    @cached_property
    def _above(self) -> list[Found]:
        """The types above the file's own."""
        return [
            found
            for namespace, name, bases, _ in self._unit.types
            if bases
            for found in self._world.above((self._path, _full(namespace, name)))
        ]

    @cached_property
    def _inherited(self) -> dict[str, Found]:
        """Types that stand within those above the file's own."""
        found: dict[str, Found] = {}
        for path, full in self._above:
            for namespace, name, _, _ in self._world.units[path].types:
                inner = _full(namespace, name)
                if inner.rpartition(".")[0] == full:
                    found.setdefault(inner[len(full) + 1 :], (path, inner))
        return found

    @cached_property
    def _inherited_properties(self) -> frozenset[str]:
        paths = {path for path, _ in self._above if path != self._path}
        return frozenset().union(*(self._world.units[path].properties for path in paths))


def _full(namespace: str, name: str) -> str:
    return f"{namespace}.{name}" if namespace else name
