"""`tsconfig.json` and `jsconfig.json`: where the modules that they map are looked for.

Of a configuration and those that it extends, `baseUrl`, `paths` and `rootDirs` are read. A file
belongs to the nearest one above it; where that only refers to others in its own folder (as
scaffolds of Vite do), to the first of those that has paths. What it says about which files belong
to the project is not read.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from codekiln.languages.resolve import PathIndex, join, parent
from codekiln.log import logger

CONFIG_NAMES = ("tsconfig.json", "jsconfig.json")
_EXTENDED = """
app base browser build cjs client cloud common config core default dev dist docs e2e es5 es6 esm
eslint jest lib lint main module monorepo node options package packages path paths prod production
project projects release renderer root server settings shared solution source spec src strict test
tests types web worker workspace
"""
# what is extended, as projects name it: a resolver can't ask for all "tsconfig.*.json"
EXTENDED_NAMES = frozenset(f"tsconfig{m}{n}.json" for m in ".-" for n in _EXTENDED.split())
_LONGEST_CHAIN = 16
# a string, which stays; or a comment, or a comma before a closing bracket, which go
_NOT_JSON = re.compile(
    r'("(?:[^"\\\n]++|\\.)*+"?+)|//[^\n]*+|/\*(?:[^*]++|\*(?!/))*+(?:\*/|\Z)|,(?=\s*+[}\]])'
)


class Patterns:
    """A table whose keys may hold one `*` for any text, as in `paths` and `exports`.

    An exact key goes before those with a `*`, and of these the longest start.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._exact = {key: found for key, found in table.items() if "*" not in key}
        parted = [(key.partition("*"), found) for key, found in table.items() if "*" in key]
        ordered = sorted(parted, key=lambda one: -len(one[0][0]))
        self._open = [(start, end, found) for (start, _, end), found in ordered]

    def find(self, name: str) -> tuple[Any, str]:
        """What the key for a name stands for, and what its `*` does; (None, "") without one."""
        if name in self._exact:
            return self._exact[name], ""
        for start, end, found in self._open:
            if name.startswith(start) and name.endswith(end) and len(name) >= len(start + end):
                return found, name[len(start) : len(name) - len(end)]
        return None, ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What one configuration says about resolution, with what it extends taken in.

    Args:
        base: the folder that bare names are looked for in, as `baseUrl` says; None without.
        paths: pattern -> places, likewise.
        anchor: the folder that the places of `paths` start from.
        roots: folders that are one in the eyes of relative imports.
    """

    base: str | None = None
    paths: Patterns | None = None
    anchor: str = ""
    roots: tuple[str, ...] = ()

    def places(self, name: str) -> Iterator[str]:
        """Where a bare name may lie, without suffix, best first; "../" leads outside."""
        targets, star = self.paths.find(name) if self.paths else (None, "")
        for target in targets or ():
            yield posixpath.normpath(join(self.anchor, target.replace("*", star)))
        if self.base is not None:
            yield posixpath.normpath(join(self.base, name))

    def siblings(self, place: str) -> Iterator[str]:
        """The same place in the other folders of `roots`."""
        for root in self.roots:
            if place.startswith(f"{root}/") or not root:
                inner = place[len(root) + 1 :] if root else place
                yield from (join(other, inner) for other in self.roots if other != root)
                return


class Configs:
    """The configurations of a repository.

    Args:
        paths: with the texts of the configurations among its build files.
        package: the folder of a package by its name, for what is extended by name.
    """

    def __init__(self, paths: PathIndex, package: Callable[[str], str | None]) -> None:
        self._texts = paths.build_files
        self._package = package
        self._by_folder: dict[str, Config | None] = {}
        self._known: dict[str, Config] = {}
        self._has_any = any(path[path.rfind("/") + 1 :] in CONFIG_NAMES for path in self._texts)

    def of(self, folder: str) -> Config | None:
        """The configuration that holds for the files of a folder."""
        if not self._has_any:
            return None
        passed: list[str] = []
        while folder not in self._by_folder:
            passed.append(folder)
            path = next(
                (p for p in (join(folder, name) for name in CONFIG_NAMES) if p in self._texts), None
            )
            if path is not None or not folder:
                self._by_folder[folder] = self._project(path) if path else None
                break
            folder = parent(folder)
        config = self._by_folder[folder]
        self._by_folder.update(dict.fromkeys(passed, config))
        return config

    def _project(self, path: str) -> Config:
        config = self._read(path)
        if config.paths is not None or config.base is not None:
            return config
        references = self._parsed(path).get("references")
        for one in references if isinstance(references, list) else ():
            other = one.get("path") if isinstance(one, dict) else None
            if isinstance(other, str):
                place = posixpath.normpath(join(parent(path), other))
                if place in self._texts and parent(place) == parent(path):
                    referred = self._read(place)
                    if referred.paths is not None or referred.base is not None:
                        return referred
        return config

    def _read(self, path: str, depth: int = 0) -> Config:
        if path in self._known:
            return self._known[path]
        self._known[path] = config = Config()  # what a configuration that extends itself finds
        parsed = self._parsed(path)
        extended = parsed.get("extends")
        for name in [extended] if isinstance(extended, str) else _texts(extended):
            place = self._extended(name, parent(path))
            if place and depth < _LONGEST_CHAIN:
                config = _overlay(config, self._read(place, depth + 1))
        options = parsed.get("compilerOptions")
        if isinstance(options, dict):
            config = _own(config, options, parent(path))
        self._known[path] = config
        return config

    def _extended(self, name: str, folder: str) -> str | None:
        if name.startswith("."):
            place = posixpath.normpath(join(folder, name))
        else:
            package, rest = package_name(name)
            found = self._package(package)
            if found is None:
                return None
            place = posixpath.normpath(join(found, rest or "tsconfig.json"))
        tries = (place, f"{place}.json", join(place, "tsconfig.json"))
        return next((one for one in tries if one in self._texts), None)

    def _parsed(self, path: str) -> Mapping[str, Any]:
        return read_json(path, self._texts.get(path, "{}"))


def _own(config: Config, options: Mapping[str, Any], folder: str) -> Config:
    base, paths, roots = (options.get(key) for key in ("baseUrl", "paths", "rootDirs"))
    if isinstance(base, str):
        config = replace(config, base=_within(folder, base))
    if isinstance(paths, dict):
        mapped = {
            key: tuple(place.replace("${configDir}", ".") for place in _texts(places))
            for key, places in paths.items()
        }
        anchor = config.base if config.base is not None else folder
        config = replace(config, paths=Patterns(mapped), anchor=anchor)
    elif isinstance(base, str) and config.base is not None:
        config = replace(config, anchor=config.base)
    if isinstance(roots, list):
        config = replace(config, roots=tuple(_within(folder, root) for root in _texts(roots)))
    return config


def _overlay(below: Config, above: Config) -> Config:
    """`above`, with what it does not say itself from `below`."""
    return Config(
        base=below.base if above.base is None else above.base,
        paths=below.paths if above.paths is None else above.paths,
        anchor=below.anchor if above.paths is None else above.anchor,
        roots=above.roots or below.roots,
    )


def _within(folder: str, name: str) -> str:
    place = posixpath.normpath(join(folder, name.replace("${configDir}", ".")))
    return "" if place == "." else place


def _texts(found: Any) -> list[str]:
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def package_name(specifier: str) -> tuple[str, str]:
    """The package of a bare specifier, and the path in it: "@a/b/c/d" is "@a/b" and "c/d"."""
    parts = specifier.split("/", 2 if specifier.startswith("@") else 1)
    if specifier.startswith("@") and len(parts) > 1:
        return "/".join(parts[:2]), "".join(parts[2:])
    return parts[0], "".join(parts[1:])


def read_json(path: str, text: str) -> Mapping[str, Any]:
    """A JSON object, comments and trailing commas allowed; empty where it can't be read."""
    try:
        found = json.loads(_NOT_JSON.sub(lambda part: part[1] or " ", text.removeprefix("\ufeff")))
    except (ValueError, RecursionError) as error:
        logger.debug("%s: passed over: %s", path, error)
        return {}
    return found if isinstance(found, dict) else {}
