"""Java, Kotlin and Scala: which files of a repository the names in a file stand for.

TODO
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from codekiln.languages import java_scan, kotlin_scan, scala_scan
from codekiln.languages.jvm_places import Places
from codekiln.languages.jvm_project import Found, Project
from codekiln.languages.jvm_scan import Declared, Scan, Unit
from codekiln.languages.resolve import Need, PathIndex, ReferenceKind

SCANS: dict[str, Scan] = {
    "kt": kotlin_scan.scan,
    "kts": kotlin_scan.scan,
    "ktm": kotlin_scan.scan,
    "scala": scala_scan.scan,
    "sc": scala_scan.scan,
    "sbt": scala_scan.scan,
}  # everything else is read as Java
Resolved = tuple[list[Found], ReferenceKind]


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
        stem, _, suffix = path[path.rfind("/") + 1 :].rpartition(".")
        unit = SCANS.get(suffix.lower(), java_scan.scan)(text)
        if unit.members and unit.language == "kotlin":  # Java calls them by a class of this name
            facade = Declared(unit.packages[0], f"{stem[:1].upper()}{stem[1:]}Kt", ())
            return unit._replace(declared=(*unit.declared, facade))
        return unit

    def edges(self, scans: Mapping[str, Unit]) -> Iterator[Need]:
        """All names resolved."""
        project = Project(self._places, scans)
        for path in scans:
            for target, kind in _File(project, path).needs():
                yield path, target, kind


class _File:
    """The names of one file, resolved in the order that its language searches them."""

    def __init__(self, project: Project, path: str) -> None:
        self._project = project
        self._scope = project.scope(path)
        self._path = path
        self._unit = project.units[path]

    def needs(self) -> Iterator[tuple[str, ReferenceKind]]:
        """Paths that the file needs, with repetitions."""
        for one in self._unit.imports:
            for path in self._scope.imported(one):
                yield path, "import"
        for name in self._unit.names:
            found, kind = self._scope.chain(name)
            for path, _ in found:
                yield path, kind
        for name in self._unit.values:
            yield from self._scope.value(name)
        for name in self._unit.called:
            yield from self._scope.extension(name)
