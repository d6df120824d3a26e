"""Java, Kotlin and Scala: which files of a repository the names in a file stand for.

TODO
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from codekiln.languages import java_scan
from codekiln.languages.jvm_places import Place, Places
from codekiln.languages.jvm_scan import Scan, Unit
from codekiln.languages.resolve import Need, PathIndex, ReferenceKind

SCANS: dict[str, Scan] = {".java": java_scan.scan}
MOST_SUPERS = 256  # types above one type that are searched for a member
Found = tuple[str, str]  # the path of a file, and the full name of a type that it declares


class JvmResolver:
    """Names in Java, Kotlin and Scala files, and the files that declare them.

    Args:
        paths: all paths of the repository, and the texts of its build files.
    """

    build_files: ClassVar[frozenset[str]] = frozenset(
        {"pom.xml", "build.gradle", "build.gradle.kts"}
    )

    def __init__(self, paths: PathIndex) -> None:
        self._places = Places(paths)

    def scan(self, path: str, text: str) -> Unit:
        """What one file says."""
        dot = path.rfind(".")
        return SCANS.get(path[dot:].lower(), java_scan.scan)(text)

    def edges(self, scans: Mapping[str, Unit]) -> Iterator[Need]:
        """All names resolved."""
        project = _Project(self._places, scans)
        for path in scans:
            yield from _File(project, path).needs()


class _Project:
    """All types of the repository, by their full names."""

    def __init__(self, places: Places, units: Mapping[str, Unit]) -> None:
        self.units = units
        self.place: dict[str, Place] = {}
        self.types: dict[str, dict[str, tuple[str, ...]]] = {}  # full name -> path -> supers
        self.packages: set[str] = set()  # and what stands before each of their dots
        self._nearest = places.nearest
        self._chosen: dict[tuple[Place, str], list[str]] = {}
        self._supers: dict[Found, list[Found]] = {}
        self._files: dict[str, _File] = {}
        for path, unit in units.items():
            self.place[path] = places.place(path, unit.packages[0])
            for package, name, supers in unit.declared:
                full = f"{package}.{name}" if package else name
                self.types.setdefault(full, {})[path] = supers
                self._add_package(package)

    def _add_package(self, package: str) -> None:
        while package and package not in self.packages:
            self.packages.add(package)
            package = package.rpartition(".")[0]

    def file(self, path: str) -> _File:
        """The names of a file, asked for again and again for the types above a type."""
        if path not in self._files:
            self._files[path] = _File(self, path)
        return self._files[path]

    def choose(self, path: str, full: str) -> list[Found]:
        """The files that `full` stands for in the file `path`: one, or none, or alternatives."""
        declared = self.types.get(full)
        if declared is None:
            return []
        if path in declared:
            return [(path, full)]
        key = (self.place[path], full)
        if key not in self._chosen:
            targets = [(one, self.place[one]) for one in declared]
            self._chosen[key] = self._nearest(key[0], targets)
        return [(one, full) for one in self._chosen[key]]

    def member(self, owner: Found, name: str) -> Found | None:
        """The type `name` within a type, declared there or inherited."""
        for path, full in self._above(owner):
            if path in self.types.get(f"{full}.{name}", ()):
                return path, f"{full}.{name}"
        return None

    def inherits(self, owner: Found) -> bool:
        return bool(self.supers(owner))

    def _above(self, owner: Found) -> Iterator[Found]:
        """A type, and those above it, nearest first."""
        waiting = [owner]
        seen = {owner}
        for one in waiting:
            yield one
            if len(waiting) < MOST_SUPERS:
                new = [found for found in self.supers(one) if found not in seen]
                seen.update(new)
                waiting += new

    def supers(self, owner: Found) -> list[Found]:
        """The types that a type names as those it extends, where they are in the repository."""
        if owner not in self._supers:
            path, full = owner
            self._supers[owner] = []
            file = self.file(path)
            for chain in self.types[full][path]:
                self._supers[owner] += [found[-1] for found, _ in file.chain(chain, False)]
        return self._supers[owner]


class _File:
    """The names of one file, resolved."""

    def __init__(self, project: _Project, path: str) -> None:
        self._project = project
        self._path = path
        self._unit = project.units[path]
        self._named = {one.name: one.path for one in self._unit.imports if one.name}
        self._wild = [
            one.path
            for one in self._unit.imports
            if not one.name and (one.path in project.packages or one.path in project.types)
        ]
        self._own: dict[str, str] = {}
        for package, name, _ in self._unit.declared:
            full = f"{package}.{name}" if package else name
            self._own.setdefault(name[name.rfind(".") + 1 :], full)

    def needs(self) -> Iterator[Need]:
        """What the file needs."""
        for one in self._unit.imports:
            if one.name:
                for found, _ in self._absolute(one.path):
                    for path, _ in found:
                        yield self._path, path, "import"
            elif one.path in self._project.types:
                for path, _ in self._project.choose(self._path, one.path):
                    yield self._path, path, "import"
        for name in self._unit.names:
            for found, kind in self.chain(name, True):
                for path, _ in found:
                    yield self._path, path, kind

    def chain(
        self, chain: str, inherited: bool
    ) -> Iterator[tuple[list[Found], ReferenceKind]]:
        """The types that a chain of names passes through."""
        head, _, rest = chain.partition(".")
        heads = self._head(head, inherited)
        if heads is None:
            yield from self._absolute(chain)
            return
        found, kind = heads
        for one in found:
            yield self._walk(one, rest), kind

    def _walk(self, found: Found, rest: str) -> list[Found]:
        passed = [found]
        for name in rest.split(".") if rest else ():
            member = self._project.member(passed[-1], name)
            if member is None:
                break
            passed.append(member)
        return passed

    def _absolute(self, chain: str) -> Iterator[tuple[list[Found], ReferenceKind]]:
        """The types that a chain passes through that starts with a package, or with nothing."""
        end = chain.find(".")
        while end >= 0:
            full = chain[:end]
            if full in self._project.types:
                break
            if full not in self._project.packages:
                return
            end = chain.find(".", end + 1)
        full = chain if end < 0 else chain[:end]
        for found in self._project.choose(self._path, full):
            yield self._walk(found, chain[len(full) + 1 :]), "use"

    def _head(self, name: str, inherited: bool) -> tuple[list[Found], ReferenceKind] | None:
        """What the first name of a chain stands for; None if for no known name."""
        if name in self._own:
            return [(self._path, self._own[name])], "use"
        if inherited:
            found = self._inherited(name)
            if found is not None:
                return [found], "use"
        project = self._project
        if name in self._named:
            imported = [found[-1] for found, _ in self._absolute(self._named[name])]
            # a static import names a method or a constant
            return [one for one in imported if one[1].endswith(name)], "import"
        for package in self._unit.packages:
            full = f"{package}.{name}" if package else name
            if full in project.types:
                found_here = project.choose(self._path, full)
                if found_here:
                    return found_here, "use"
        for wild in self._wild:
            if wild in project.packages:
                found_there = project.choose(self._path, f"{wild}.{name}")
            else:
                found_there = [
                    member
                    for one in project.choose(self._path, wild)
                    if (member := project.member(one, name))
                ]
            if found_there:
                return found_there, "import"
        return None

    def _inherited(self, name: str) -> Found | None:
        for package, own, supers in self._unit.declared:
            if supers:
                full = f"{package}.{own}" if package else own
                found = self._project.member((self._path, full), name)
                if found is not None:
                    return found
        return None
