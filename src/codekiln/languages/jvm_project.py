"""All that the Java, Kotlin and Scala files of a repository declare, and what each file sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from codekiln.languages.jvm_places import MOST_ALTERNATIVES, Place, Places
from codekiln.languages.jvm_scan import Import, Unit
from codekiln.languages.resolve import ReferenceKind

MOST_WILDCARDS = 256  # that open something of the repository, in one file
MOST_CANDIDATES = 256  # files of other modules that declare one name
MOST_SUPERS = 256  # types above one type that are searched for what it inherits
Found = tuple[str, str]  # the path of a file, and the full name of a type that it declares

# Functions of Kotlin's own library that are called on nearly everything.
_STANDARD_LIST = """
all also any apply contains count drop filter find first firstOrNull flatMap fold forEach get
getOrNull groupBy indexOf invoke isEmpty isNotEmpty isNullOrEmpty iterator joinToString last
lastOrNull let map mapNotNull max min minus none plus reduce replace run set size sorted sortedBy
split sum take takeIf to toByteArray toDouble toFloat toInt toList toLong toMap toMutableList toSet
toString trim use value with zip
"""
_STANDARD_EXTENSIONS = frozenset(_STANDARD_LIST.split())


def full_name(package: str, name: str) -> str:
    """`name` within a package, where "" is the unnamed one."""
    return f"{package}.{name}" if package else name


class Project:
    """All types, functions and values of the repository, by their full names.

    Args:
        places: of the repository's files.
        units: what each file says, by path.
    """

    def __init__(self, places: Places, units: Mapping[str, Unit]) -> None:
        self.units = units
        self.types: dict[str, dict[str, tuple[str, ...]]] = {}  # full name -> path -> supers
        self.members: dict[str, dict[str, bool]] = {}  # full name -> path -> is it an extension
        self.packages: set[str] = set()  # and what stands before each of their dots
        self.methods: set[str] = set()  # functions within types, anywhere
        self._inner: dict[Found, list[str]] = {}
        self._nearest = places.nearest
        self._place: dict[str, Place] = {}
        self._chosen: dict[tuple[Place, str, bool], list[str]] = {}
        self._by_module: dict[str, dict[str, list[tuple[str, Place]]]] = {}
        self._supers: dict[Found, list[Found]] = {}
        self._scopes: dict[str, Scope] = {}
        self._first: dict[str, str] = {}
        for path, unit in units.items():
            self._place[path] = places.place(path, unit.packages[0])
            self._add(path, unit)

    def _add(self, path: str, unit: Unit) -> None:
        for package, name, supers in unit.declared:
            full = full_name(package, name)
            declared = self.types.setdefault(full, {})
            declared[path] = declared.get(path, ()) + supers  # a class and an object of one name
            outer, dot, inner = name.rpartition(".")
            if dot:
                self._inner.setdefault((path, full_name(package, outer)), []).append(inner)
            self._add_package(package)
        for package, name, extension in unit.members:
            self.members.setdefault(full_name(package, name), {})[path] = extension
            self._add_package(package)
        self.methods.update(unit.methods)

    def _add_package(self, package: str) -> None:
        while package and package not in self.packages:
            self.packages.add(package)
            package = package.rpartition(".")[0]

    def scope(self, path: str) -> Scope:
        """What the file at `path` sees; kept, since others ask for the types above its types."""
        if path not in self._scopes:
            self._scopes[path] = Scope(self, path)
        return self._scopes[path]

    def choose(self, path: str, full: str) -> list[Found]:
        """The files that a type's full name means in the file `path`: one, none, alternatives."""
        declared = self.types.get(full)
        if declared is None:
            return []
        if path in declared:
            return [(path, full)]
        return [(one, full) for one in self._choose(path, full, declared, False)]

    def choose_members(self, path: str, full: str, extension: bool | None = None) -> list[str]:
        """The files that a function's or value's full name means in the file `path`.

        Without `extension`, an import is asked for: it names all functions of one name, even
        those of several files.
        """
        declared = self.members.get(full)
        if declared is None or path in declared:
            return []
        if extension and not all(declared.values()):
            return []
        return self._choose(path, full + "()", declared, extension is None)

    def _choose(
        self, path: str, full: str, declared: Mapping[str, object], several: bool
    ) -> list[str]:
        key = (self._place[path], full, several)
        if key not in self._chosen:
            targets = self._candidates(key[0], full, declared)
            found = self._nearest(key[0], targets)
            if not found and several and len(targets) <= MOST_ALTERNATIVES:
                found = [one for one, place in targets if key[0].test or not place.test]
            self._chosen[key] = found
        return self._chosen[key]

    def _candidates(
        self, source: Place, full: str, declared: Mapping[str, object]
    ) -> list[tuple[str, Place]]:
        """The files that may be meant: those of the module, or of others if they are not many.

        Kept by module, since a repository may hold a thousand copies of one project.
        """
        if len(declared) == 1:
            return [(one, self._place[one]) for one in declared]
        if full not in self._by_module:
            modules = self._by_module[full] = {}
            for one in declared:
                modules.setdefault(self._place[one].module, []).append((one, self._place[one]))
        own = self._by_module[full].get(source.module, ())
        own = [one for one in own if source.test or not one[1].test]
        if own or len(declared) > MOST_CANDIDATES:
            return own
        return [(one, self._place[one]) for one in declared]

    def first_type(self, chain: str) -> str:
        """The part of a chain of names up to its first type; "" if it has none."""
        if chain not in self._first:
            end = chain.find(".")
            while end >= 0 and chain[:end] not in self.types:
                if chain[:end] not in self.packages:
                    self._first[chain] = ""
                    return ""
                end = chain.find(".", end + 1)
            full = chain if end < 0 else chain[:end]
            self._first[chain] = full if full in self.types else ""
        return self._first[chain]

    def member(self, owner: Found, name: str) -> Found | None:
        """The type `name` within a type, declared there or inherited."""
        for path, full in self.above(owner):
            if path in self.types.get(f"{full}.{name}", ()):
                return path, f"{full}.{name}"
        return None

    def above(self, owner: Found) -> Iterator[Found]:
        """A type, and those above it, nearest first."""
        yield owner
        if not self._direct(owner):
            return
        waiting = [owner]
        seen = {owner}
        for one in waiting:
            for found in self._direct(one):
                if found not in seen and len(seen) < MOST_SUPERS:
                    seen.add(found)
                    waiting.append(found)
                    yield found

    def inner(self, owner: Found) -> list[str]:
        """The names of the types that stand directly within a type."""
        return self._inner.get(owner, [])

    def _direct(self, owner: Found) -> list[Found]:
        """The types that a type names as those it extends, where they are in the repository."""
        if owner not in self._supers:
            path, full = owner
            self._supers[owner] = []
            for chain in self.types[full][path]:
                found, _ = self.scope(path).chain(chain, inherited=False)
                self._supers[owner] += found[-1:]
        return self._supers[owner]


class Scope:
    """What the names of one file mean."""

    def __init__(self, project: Project, path: str) -> None:
        self._project = project
        self._path = path
        self._unit = unit = project.units[path]
        self._scala = unit.language == "scala"
        self._named = {one.name: one.path for one in unit.imports if one.name}
        self._passed: dict[str, list[Found]] = {}
        self._own: dict[str, str] = {}
        for package, name, _ in unit.declared:
            self._own.setdefault(name[name.rfind(".") + 1 :], full_name(package, name))
        self._wild = [path for one in unit.imports if not one.name and (path := self._known(one))]
        del self._wild[MOST_WILDCARDS:]

    def _known(self, wildcard: Import) -> str:
        """The full name of what a wildcard opens; "" if the repository doesn't have it."""
        for full in self._readings(wildcard.path):
            if full in self._project.packages or full in self._project.types:
                return full
        return ""

    def _readings(self, chain: str) -> Iterator[str]:
        """What a chain of names that starts with a package may mean: in Scala, much."""
        if self._scala:
            head, _, rest = chain.partition(".")
            path = self._named.get(head, chain)
            if rest and path.partition(".")[0] != head:
                yield f"{path}.{rest}"
            for package in self._unit.packages:
                if package:
                    yield f"{package}.{chain}"
            yield chain.removeprefix("_root_.")
        else:
            yield chain

    def imported(self, one: Import) -> Iterator[str]:
        """The files that an import statement needs."""
        for path, _ in self._absolute(one.path):
            yield path
        if one.name:
            for full in self._readings(one.path):
                yield from self._project.choose_members(self._path, full)

    def chain(self, chain: str, inherited: bool = True) -> tuple[list[Found], ReferenceKind]:
        """The types that a chain of names passes through.

        Args:
            chain: of names, such as "Map.Entry".
            inherited: whether to look into the types that the file's own types extend.
        """
        head, dot, rest = chain.partition(".")
        found, kind = self._head(head, inherited)
        if dot and not found and (self._scala or not kind):
            return self._absolute(chain), kind or "use"
        passed = list(found)
        for one in found:
            passed += self._walk(one, rest)[1:]
        return passed, kind or "use"

    def _walk(self, found: Found, rest: str) -> list[Found]:
        """A type, and the types within it that the rest of a chain names."""
        passed = [found]
        for name in rest.split(".") if rest else ():
            member = self._project.member(passed[-1], name)
            if member is None:
                break
            passed.append(member)
        return passed

    def _absolute(self, chain: str) -> list[Found]:
        """The types that a chain passes through which starts with a package."""
        if chain not in self._passed:
            self._passed[chain] = []
            for reading in self._readings(chain) if self._scala else (chain,):
                full = self._project.first_type(reading)
                found = self._project.choose(self._path, full) if full else []
                if found:
                    rest = reading[len(full) + 1 :]
                    self._passed[chain] = [one for each in found for one in self._walk(each, rest)]
                    break
        return self._passed[chain]

    def _head(self, name: str, inherited: bool) -> tuple[list[Found], ReferenceKind | None]:
        """What the first name of a chain stands for; the kind is None for an unknown name."""
        if name in self._own:
            return [(self._path, self._own[name])], "use"
        if inherited and name in self._inherited[0]:
            return [self._inherited[0][name]], "use"
        if name in self._named:
            path = self._named[name]
            last = path[path.rfind(".") + 1 :]
            found = self._absolute(path)
            # else the name of a method or a constant, or of something outside
            return [one for one in found[-1:] if one[1].endswith(last)], "import"
        searched = (self._opened, self._beside) if self._scala else (self._beside, self._opened)
        for search in searched:
            found, kind = search(name)
            if found:
                return found, kind
        if inherited and name in self._inherited[1]:
            return [self._inherited[1][name]], "use"
        return [], None

    def _beside(self, name: str) -> tuple[list[Found], ReferenceKind]:
        """A type of the file's own packages."""
        for package in self._unit.packages:
            found = self._project.choose(self._path, full_name(package, name))
            if found:
                return found, "use"
        return [], "use"

    def _opened(self, name: str) -> tuple[list[Found], ReferenceKind]:
        """A type that a wildcard makes visible."""
        project = self._project
        for wild in self._wild:
            found = project.choose(self._path, f"{wild}.{name}")
            if not found and wild in project.types:
                members = (project.member(one, name) for one in project.choose(self._path, wild))
                found = [one for one in members if one]
            if found:
                return found, "import"
        return [], "import"

    @cached_property
    def _inherited(self) -> tuple[dict[str, Found], dict[str, Found]]:
        """Types that the file's outermost types inherit, and those that only inner ones do.

        What an inner type inherits is seen in a part of the file only: imports stand before it.
        """
        found: tuple[dict[str, Found], dict[str, Found]] = ({}, {})
        for package, name, supers in self._unit.declared:
            if supers:
                for one in self._project.above((self._path, full_name(package, name))):
                    for inner in self._project.inner(one):
                        found["." in name].setdefault(inner, (one[0], f"{one[1]}.{inner}"))
        return found

    @cached_property
    def _inherited_methods(self) -> frozenset[str]:
        """Functions of the types that the file's types extend."""
        above = {
            one[0]
            for package, name, supers in self._unit.declared
            if supers
            for one in self._project.above((self._path, full_name(package, name)))
        }
        units = self._project.units
        return frozenset(name for path in above for name in units[path].methods)

    def value(self, name: str) -> Iterator[tuple[str, ReferenceKind]]:
        """The files that declare a function or value of the packages that the file sees."""
        if name not in self._named and name not in self._inherited_methods:
            yield from self._members(name, False)

    def extension(self, name: str) -> Iterator[tuple[str, ReferenceKind]]:
        """The files that declare an extension, if nothing else of the repository has its name."""
        foreign = name in _STANDARD_EXTENSIONS or name in self._project.methods
        if not foreign and name not in self._named:
            yield from self._members(name, True)

    def _members(self, name: str, extension: bool) -> Iterator[tuple[str, ReferenceKind]]:
        for package in self._unit.packages:
            full = full_name(package, name)
            if full in self._project.members:
                for path in self._project.choose_members(self._path, full, extension):
                    yield path, "use"
                return
        for wild in self._wild:
            for path in self._project.choose_members(self._path, f"{wild}.{name}", extension):
                yield path, "import"
