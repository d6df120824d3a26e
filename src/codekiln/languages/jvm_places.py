"""Where the files of a Java, Kotlin or Scala project lie: source roots, modules, test trees.

A root is the folder that packages are counted from. Of `core/src/test/java/org/x/A.java` it is
`core/src/test/java`, the module is `core`, and the file belongs to the tests. Other layouts are
read off the package: what is left of the folder without it is the root, which belongs to the tests
where one of its folders is called so, or where a pom.xml says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from codekiln.languages.resolve import PathIndex, join, parent, shared_depth

_CONVENTION = re.compile(r"(?:(.*)/)?src/([^/]+)/(?:java|kotlin|scala|groovy|aidl)[^/]*(?=/|\Z)")
_TEST_SET = re.compile(r"test|\Ait\Z|\Ajmh\Z", re.IGNORECASE)
_SET_ENDING = re.compile(r"(?:Main|main|Test|test)\Z")
_TEST_FOLDERS = frozenset({"test", "tests", "unittest", "unittests", "src-test", "test-src"})
_SOURCE_FOLDERS = _TEST_FOLDERS | {"src", "source", "sources", "main", "java", "kotlin", "scala"}
_GRADLE_PROJECT = re.compile(r"""project\(\s*(?:path\s*[:=]\s*)?["']:([\w.:-]+)["']""")
MOST_ALTERNATIVES = 4  # so many files may stand for one name, in as many roots of one module


class Place(NamedTuple):
    """Where a file lies.

    Args:
        root: the folder that its package is counted from.
        module: the folder of what is built as one.
        test: whether it belongs to the tests.
        variant: "jvm" of the source sets jvmMain and jvmTest; "" of main, test and common.
    """

    root: str
    module: str
    test: bool
    variant: str


class Places:
    """The places of a repository's files, and the choice among files that declare one name."""

    def __init__(self, paths: PathIndex) -> None:
        self._needs, self._tests = _modules(paths)
        self._reached: dict[str, frozenset[str]] = {}

    def place(self, path: str, package: str) -> Place:
        """The place of a file that declares a package ("" is the unnamed one)."""
        folder = parent(path)
        match = _CONVENTION.match(folder)
        if match:
            kind = match[2]
            stem = _SET_ENDING.sub("", kind)
            variant = "" if stem == "common" else stem
            return Place(match[0], match[1] or "", _TEST_SET.search(kind) is not None, variant)
        root = _without_package(folder, package)
        parts = root.split("/")
        test = not _TEST_FOLDERS.isdisjoint(parts) or root in self._tests
        while parts and parts[-1] in _SOURCE_FOLDERS:
            parts.pop()
        return Place(root, "/".join(parts), test, "")

    def nearest(self, source: Place, targets: Sequence[tuple[str, Place]]) -> list[str]:
        """Which of several files that declare one name a file at `source` means.

        A test is seen by tests only. Then the nearest counts: of the same root; of the same
        module; of a module that the build files name; the one that shares most folders. Of equally
        near ones none counts, except those in different roots of the same module.
        """
        seen = [one for one in targets if source.test or not one[1].test]
        if len(seen) > 1:
            ranks = [self._rank(source, place) for _, place in seen]
            best = max(ranks)
            seen = [one for one, rank in zip(seen, ranks, strict=True) if rank == best]
        if len(seen) > 1:
            roots = {place.root for _, place in seen}
            alternatives = all(place.module == source.module for _, place in seen)
            if not alternatives or len(roots) < len(seen) or len(seen) > MOST_ALTERNATIVES:
                return []
        return [path for path, _ in seen]

    def _rank(self, source: Place, target: Place) -> tuple[bool, bool, int, bool, int]:
        same_module = source.module == target.module
        kinship = 0
        if same_module:
            kinship = (
                2 * (source.test == target.test)
                + 4 * (source.variant == target.variant)
                + (target.variant == "")
            )
        needed = target.module in self._reach(source.module)
        near = 0 if same_module else shared_depth(source.root, target.root)
        return source.root == target.root, same_module, kinship, needed, near

    def _reach(self, module: str) -> frozenset[str]:
        """All modules that a module needs by its build file, directly or through others."""
        if module not in self._reached:
            reached: set[str] = set()
            waiting = [module]
            while waiting:
                for one in self._needs.get(waiting.pop(), ()):
                    if one not in reached:
                        reached.add(one)
                        waiting.append(one)
            self._reached[module] = frozenset(reached)
        return self._reached[module]


def _without_package(folder: str, package: str) -> str:
    """The folder without the package at its end; Kotlin may leave out the first parts of it."""
    parts = package.split(".") if package else []
    for start in range(len(parts)):
        ending = "/".join(parts[start:])
        if folder == ending:
            return ""
        if folder.endswith("/" + ending):
            return folder[: -len(ending) - 1]
    return folder


def _modules(paths: PathIndex) -> tuple[dict[str, list[str]], frozenset[str]]:
    """Module folder -> folders of the modules that its build file needs; roots of tests."""
    maven: dict[str, list[str]] = {}
    wanted: dict[str, list[str]] = {}
    needs: dict[str, list[str]] = {}
    tests: set[str] = set()
    for path, text in paths.build_files.items():
        folder, name = parent(path), path[path.rfind("/") + 1 :]
        if name == "pom.xml":
            artifact, wanted[folder] = _pom(text)
            maven.setdefault(artifact, []).append(folder)
            test = _element(text, "testSourceDirectory").strip("/")
            if test:
                tests.add(join(folder, test.removeprefix("${project.basedir}/")))
        elif name in ("build.gradle", "build.gradle.kts"):
            found = (_gradle_folder(folder, one, paths) for one in _GRADLE_PROJECT.findall(text))
            needs[folder] = [one for one in found if one is not None]
    for folder, artifacts in wanted.items():
        needs[folder] = [_closest(folder, maven[one]) for one in artifacts if one in maven]
    return needs, frozenset(tests)


def _closest(folder: str, others: Iterable[str]) -> str:
    """Of several modules with one artifact id, that which shares most folders."""
    return max(others, key=lambda other: (shared_depth(folder, other), other == folder, other))


def _gradle_folder(folder: str, project: str, paths: PathIndex) -> str | None:
    """The folder of the project ":a:b", for a build file in `folder`: a/b there or above."""
    place = project.replace(":", "/")
    while True:
        if join(folder, place) in paths.folders:
            return join(folder, place)
        if not folder:
            return None
        folder = parent(folder)


def _pom(text: str) -> tuple[str, list[str]]:
    """The artifact id of a pom.xml, and those of its dependencies."""
    before, _, rest = text.partition("<parent>")
    if rest:
        text = before + rest.partition("</parent>")[2]
    pieces = text.split("<dependency>")
    found = (_element(one.partition("</dependency>")[0], "artifactId") for one in pieces[1:])
    return _element(pieces[0], "artifactId"), [one for one in found if one]


def _element(text: str, name: str) -> str:
    _, opening, rest = text.partition(f"<{name}>")
    return rest.partition("<")[0].strip() if opening else ""
