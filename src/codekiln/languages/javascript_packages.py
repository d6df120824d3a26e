"""`package.json` and workspaces: which files of a repository a package name stands for.

A package of the repository is a folder with a `package.json` that has a name. Where the
repository declares workspaces (`package.json`, `pnpm-workspace.yaml`, `lerna.json`), it must
belong to one; where not, it must not lie in a test or example tree of others. An entry
(`exports`, `imports`, `main` and the like) that names a file which is not there is a build
product: its source is meant, as `src/a.ts` is by `dist/a.js`.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from codekiln.languages.javascript_configs import Patterns, read_json
from codekiln.languages.nearest import Nearest
from codekiln.languages.resolve import PathIndex, join, parent

PACKAGE_FILES = frozenset({"package.json", "pnpm-workspace.yaml", "lerna.json"})
# of entries for several uses, that of sources first, then what a program would load
_ENTRIES = ("source", "svelte", "module", "jsnext:main", "main", "types", "typings")
_PRIVATE_NAMES = """
test tests testdata __tests__ spec fixtures __fixtures__ fixture example examples demo demos sandbox
node_modules template templates
"""
_PRIVATE_TREES = frozenset(_PRIVATE_NAMES.split())
_SUFFIX = re.compile(r"(?:\.d)?\.[cm]?[jt]sx?$")
_VARIANT = re.compile(
    r"[.-](?:min|esm|es|cjs|umd|mjs|iife|common|global|browser|bundler|node|prod"
    r"|production|development|legacy|modern|module)(?=[.-]|$)"
)
_YAML_ITEM = re.compile(r"\s*-\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s#]+))")


class Package:
    """One `package.json`.

    Args:
        folder: that it lies in.
        manifest: its contents.
    """

    def __init__(self, folder: str, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest

    @property
    def name(self) -> str:
        """The name that others import it by; "" without."""
        name = self.manifest.get("name")
        return name if isinstance(name, str) else ""

    @cached_property
    def _exports(self) -> Patterns:
        exports = self.manifest.get("exports")
        subpaths = isinstance(exports, dict) and any(key.startswith(".") for key in exports)
        return Patterns(exports if isinstance(exports, dict) and subpaths else {".": exports})

    @cached_property
    def _imports(self) -> Patterns:
        imports = self.manifest.get("imports")
        return Patterns(imports if isinstance(imports, dict) else {})

    def entries(self, inner: str) -> Iterator[str]:
        """Places that `inner`, a path in the package, stands for, best first; "" is itself.

        They are paths of the repository; whether they exist is not looked at.
        """
        found, star = self._exports.find(f"./{inner}" if inner else ".")
        for target in _leaves(found):
            yield self._place(target.replace("*", star))
        if inner:
            yield self._place(inner)
            return
        for key in _ENTRIES:
            entry = self.manifest.get(key)
            if isinstance(entry, str):
                yield self._place(entry)
        if "main" not in self.manifest:
            yield join(self.folder, "index")

    def private(self, name: str) -> Iterator[str]:
        """What a name that starts with `#` stands for: places, or package names."""
        found, star = self._imports.find(name)
        for target in _leaves(found):
            target = target.replace("*", star)
            yield f"/{self._place(target)}" if target.startswith("./") else target

    def _place(self, target: str) -> str:
        return posixpath.normpath(join(self.folder, target.removeprefix("/")))

    def sources(self, place: str) -> Iterator[str]:
        """Where the source of a build product may lie, without suffix, best first."""
        prefix = f"{self.folder}/" if self.folder else ""
        inner = _SUFFIX.sub("", place[len(prefix) :])
        for tail in dict.fromkeys((inner, _VARIANT.sub("", inner))):
            rest = tail.split("/")
            for skip in range(min(len(rest), 4)):
                yield prefix + "/".join(("src", *rest[skip:]))
                if skip:
                    yield prefix + "/".join(rest[skip:])
                    yield prefix + "/".join(("lib", *rest[skip:]))

    def main_sources(self) -> Iterator[str]:
        """Where the source of the package itself may lie, where its entries don't tell."""
        own = self.name.rpartition("/")[2]
        for folder in ("src", "lib", "source", ""):
            for name in ("index", "main", own, "public-api", "public_api", "mod"):
                if name:
                    yield join(self.folder, join(folder, name))


class Packages:
    """The packages of a repository, by their folders and their names."""

    def __init__(self, paths: PathIndex) -> None:
        self._texts = paths.build_files
        self.by_folder = {
            parent(path): Package(parent(path), read_json(path, text))
            for path, text in sorted(self._texts.items())
            if path == "package.json" or path.endswith("/package.json")
        }
        self._nearest: dict[str, Package | None] = {}

    def around(self, folder: str) -> Package | None:
        """The package that the files of a folder belong to: the nearest above."""
        passed: list[str] = []
        found = None
        while True:
            if folder in self._nearest:
                found = self._nearest[folder]
                break
            passed.append(folder)
            if folder in self.by_folder or not folder:
                found = self.by_folder.get(folder)
                break
            folder = parent(folder)
        self._nearest.update(dict.fromkeys(passed, found))
        return found

    def named(self, name: str, folder: str = "") -> Package | None:
        """The package that files of a folder mean by a name; None if it is unknown or unclear."""
        found = self._by_name.get(name)
        path = found.to(folder) if found else None
        return None if path is None else self.by_folder[parent(path)]

    @cached_property
    def _by_name(self) -> dict[str, Nearest]:
        patterns = list(self._patterns())
        found: dict[str, list[str]] = {}
        for folder, package in self.by_folder.items():
            if package.name and (not folder or _belongs(folder, patterns)):
                found.setdefault(package.name, []).append(join(folder, "package.json"))
        return {name: Nearest(paths) for name, paths in found.items()}

    def _patterns(self) -> Iterator[str]:
        """The patterns of all workspaces, from the repository's root; "!" excludes."""
        for path, text in sorted(self._texts.items()):
            name = path[path.rfind("/") + 1 :]
            if name == "pnpm-workspace.yaml":
                listed: Any = _yaml_packages(text)
            elif name == "lerna.json":
                listed = read_json(path, text).get("packages")
            elif name == "package.json":
                listed = self.by_folder[parent(path)].manifest.get("workspaces")
                if isinstance(listed, dict):
                    listed = listed.get("packages")
            else:
                continue
            for one in listed if isinstance(listed, list) else ():
                if isinstance(one, str) and not _is_private(parent(path)):
                    mark = "!" if one.startswith("!") else ""
                    yield mark + posixpath.normpath(join(parent(path), one.lstrip("!")))


def _belongs(folder: str, patterns: list[str]) -> bool:
    if not patterns:
        return not _is_private(folder)
    if any(_globs(folder, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return any(_globs(folder, pattern) for pattern in patterns if not pattern.startswith("!"))


def _globs(folder: str, pattern: str) -> bool:
    """Whether a workspace pattern covers a folder; `*` stands within one part, `**` for several."""
    if pattern.endswith("/**"):
        return folder.startswith(pattern[:-2]) or _globs(folder, pattern[:-3])
    mine, theirs = folder.split("/"), pattern.split("/")
    if "**" in theirs:
        return fnmatch.fnmatchcase(folder, pattern.replace("**", "*"))
    return len(mine) == len(theirs) and all(map(fnmatch.fnmatchcase, mine, theirs))


def _is_private(folder: str) -> bool:
    return not _PRIVATE_TREES.isdisjoint(folder.split("/"))


def _leaves(found: Any, depth: int = 0) -> Iterator[str]:
    """The targets of an entry with conditions; types last, as they hold no program."""
    if isinstance(found, str):
        yield found
    elif isinstance(found, list) and depth < 8:
        for one in found:
            yield from _leaves(one, depth + 1)
    elif isinstance(found, dict) and depth < 8:
        for condition in sorted(found, key=lambda one: _LATE_CONDITIONS.get(one, 0)):
            yield from _leaves(found[condition], depth + 1)


_LATE_CONDITIONS = {"default": 1, "types": 2, "typings": 2}


def _yaml_packages(text: str) -> list[str]:
    """The list under `packages:`; the file needs no more of YAML than this."""
    found: list[str] = []
    listing = False
    for line in text.splitlines():
        if re.match(r"\S", line) and not line.startswith(("-", "#")):
            listing = line.startswith("packages:")
            if listing and "[" in line:
                found += re.findall(r"[^\s\"',\[\]]+", line.partition("[")[2])
        elif listing:
            item = _YAML_ITEM.match(line)
            if item:
                found.append(item[1] or item[2] or item[3])
    return found
