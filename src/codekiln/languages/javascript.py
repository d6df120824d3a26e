"""JavaScript and TypeScript: which files of a repository an import stands for.

What an edge is:

- `import … from "x"`, `import "x"`, `export … from "x"` and TypeScript's `import x = require("x")`
  need the module x: an import. With `import type`, `export type`, or where every name within the
  braces has `type` before it, it is type-only; `import { type A, b }` is an import.
- `require("x")` is an import at the top level and local within a function (judged by
  indentation). `import("x")` is local; as a type of TypeScript it is type-only.
- `/// <reference path="x" />` before the first statement is an import, with `types=` type-only.
- Names that a program puts together, `jest.mock`, `require.resolve`, AMD's `define`, workers, and
  types in JSDoc comments do not count. A file never needs itself.

What x stands for; the first hit decides:

1. `./x`, `../x`: the file of that very path; else with a suffix added, for a TypeScript source in
   TypeScript's order (.ts, .tsx, .d.ts, .js, …), for JavaScript in that of bundlers (.js first);
   else the folder, by its `package.json` or as `index`. `./x.js` is `./x.ts` where there is no
   such `.js` file, or where a TypeScript source says it and there are both (in a `.d.ts`, also
   `./x.d.ts`). `rootDirs` make several folders one.
2. other names: `paths` and `baseUrl` of the configuration that holds for the file (see
   `javascript_configs`).
3. `#x`: `imports` of the package around the file.
4. a package of the repository, the file's own included: its `exports`, else its entry, and where
   these name a build product that is not there, its source (see `javascript_packages`); else
   what lies in a `node_modules` folder above the file. Names of Node's own modules are none.

Queries and loaders of bundlers (`./x?raw`, `raw!./x`) are cut off. What `@/x` means is told by
the configuration alone.

Source: DeepSeek-Coder §2.2.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from codekiln.languages.javascript_configs import (
    CONFIG_NAMES,
    EXTENDED_NAMES,
    Config,
    Configs,
    package_name,
)
from codekiln.languages.javascript_packages import PACKAGE_FILES, Package, Packages
from codekiln.languages.javascript_scan import scan
from codekiln.languages.resolve import ByReference, PathIndex, Reference, join, parent

_SINGLE_FILES = (".vue", ".svelte", ".astro")  # components: script, markup and style in one file
_OTHERS = (".mjs", ".cjs", ".mts", ".cts", ".d.mts", ".d.cts", ".es6", ".json", *_SINGLE_FILES)
TYPESCRIPT_SUFFIXES = (".ts", ".tsx", ".d.ts", ".js", ".jsx", *_OTHERS)
JAVASCRIPT_SUFFIXES = (".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".d.ts", *_OTHERS)
_TYPED = (".ts", ".tsx", ".mts", ".cts", *_SINGLE_FILES)
_DECLARATIONS = (".d.ts", ".d.mts", ".d.cts")
# script: JavaScript, which finds what runs; typed: TypeScript; declared: `.d.ts`, where what
# declares goes before what runs even if the latter is named
Flavour = Literal["script", "typed", "declared"]
# what a name with a suffix of JavaScript may stand for in TypeScript
_WRITTEN_AS = {
    ".js": (".ts", ".tsx", ".d.ts"),
    ".jsx": (".tsx", ".ts", ".d.ts"),
    ".mjs": (".mts", ".d.mts"),
    ".cjs": (".cts", ".d.cts"),
}
_NODE_NAMES = """
assert async_hooks buffer child_process cluster console constants crypto dgram diagnostics_channel
dns domain events fs http http2 https inspector module net os path perf_hooks process punycode
querystring readline repl stream string_decoder sys timers tls trace_events tty url util v8 vm wasi
worker_threads zlib
"""
_NODE_MODULES = frozenset(_NODE_NAMES.split())
_SCRIPT = re.compile(r"<script\b[^>]*+>", re.IGNORECASE)
_SCRIPT_END = re.compile(r"</script\s*+>", re.IGNORECASE)
_FRONT_MATTER = re.compile(r"\s*---\n(.*?)\n---", re.DOTALL)


class JavaScriptResolver(ByReference):
    """Imports of JavaScript and TypeScript files, and the files that they need.

    Args:
        paths: all paths of the repository, whatever their language.
    """

    build_files: ClassVar[frozenset[str]] = PACKAGE_FILES | {*CONFIG_NAMES} | EXTENDED_NAMES

    def __init__(self, paths: PathIndex) -> None:
        self._paths = paths
        self._packages = Packages(paths)
        self._configs = Configs(paths, self._folder_of_package)
        self._installed = any(
            folder.rpartition("/")[2] == "node_modules" for folder in paths.folders
        )
        self._found: dict[tuple[str, str, Flavour], str | None] = {}

    def scan(self, path: str, text: str) -> list[Reference]:
        """The references of one file; of a component (Vue, Svelte, Astro), of its scripts."""
        if path.endswith(_SINGLE_FILES):
            front = _FRONT_MATTER.match(text) if path.endswith(".astro") else None
            scripts = [front[1]] if front else []
            text = "\n;\n".join([*scripts, *_scripts(text)])
        return scan(text, typescript=path.endswith(_TYPED))

    def imports(self, text: str) -> list[Reference]:
        """The references of one TypeScript file."""
        return scan(text, typescript=True)

    def resolve(self, reference: Reference, source: str) -> list[str]:
        """The path that `reference` in the file `source` needs, as defined above, or none."""
        key = (parent(source), reference.target, _flavour(source))
        if key not in self._found:
            self._found[key] = self._search(*key)
        path = self._found[key]
        return [] if path is None or path == source else [path]

    def _search(self, folder: str, target: str, flavour: Flavour) -> str | None:
        target = target.rpartition("!")[2].partition("?")[0]
        if not target or "\0" in target:
            return None
        config = self._configs.of(folder)
        if target.startswith(("./", "../")) or target in (".", ".."):
            return self._relative(folder, target, flavour, config)
        if target.startswith("/"):
            return None
        for place in config.places(target) if config else ():
            path = self._at(place, flavour) or self._product(place, flavour)
            if path is not None:
                return path
        if target.startswith("#"):
            return self._private(folder, target, flavour)
        return self._bare(folder, target, flavour)

    def _relative(
        self, folder: str, target: str, flavour: Flavour, config: Config | None
    ) -> str | None:
        place = posixpath.normpath(join(folder, target))
        found = None
        if not target.endswith(("/", "/.", "..")) and target != ".":
            found = self._file(place, flavour)
        found = found or self._folder(place, flavour)
        if found is None and config is not None:
            return self._first(config.siblings(place), flavour)
        return found

    def _private(self, folder: str, target: str, flavour: Flavour) -> str | None:
        package = self._packages.around(folder)
        for place in package.private(target) if package else ():
            if place.startswith("/"):
                path = self._entry(package, place[1:], flavour)
            else:
                path = None if place.startswith("#") else self._bare(folder, place, flavour)
            if path is not None:
                return path
        return None

    def _bare(self, folder: str, target: str, flavour: Flavour) -> str | None:
        if target.startswith("node:") or target.partition("/")[0] in _NODE_MODULES:
            return None
        name, inner = package_name(target)
        own = self._packages.around(folder)
        package = own if own and own.name == name else self._packages.named(name, folder)
        if package is not None:
            return self._of_package(package, inner, flavour)
        while self._installed:
            place = join(folder, f"node_modules/{name}")
            if place in self._paths.folders:
                installed = self._packages.by_folder.get(place) or Package(place, {})
                return self._of_package(installed, inner, flavour)
            if not folder:
                break
            folder = parent(folder)
        return None

    def _of_package(self, package: Package, inner: str, flavour: Flavour) -> str | None:
        places = list(package.entries(inner))
        path = self._first(places, flavour)
        for place in places if path is None else ():
            path = path or self._first(package.sources(place), flavour)
        if path is None and not inner:
            path = self._first(package.main_sources(), flavour)
        return path

    def _entry(self, package: Package | None, place: str, flavour: Flavour) -> str | None:
        path = self._at(place, flavour)
        return path or (self._first(package.sources(place), flavour) if package else None)

    def _product(self, place: str, flavour: Flavour) -> str | None:
        """The source of what `paths` calls by a place that is built: within its package."""
        if place.startswith(".."):
            return None
        package = self._packages.around(place)
        if package is None or not place.startswith(f"{package.folder}/") or not package.folder:
            return None
        return self._first(package.sources(place), flavour)

    def _first(self, places: Iterable[str], flavour: Flavour) -> str | None:
        return next((path for one in places if (path := self._at(one, flavour))), None)

    def _at(self, place: str, flavour: Flavour) -> str | None:
        return self._file(place, flavour) or self._folder(place, flavour)

    def _file(self, place: str, flavour: Flavour) -> str | None:
        """The file at a path that may lack its suffix, or have that of what it is built to."""
        files = self._paths.files
        stem, dot, suffix = place.rpartition(".")
        written = _WRITTEN_AS.get(dot + suffix, ())
        if place in files:
            for other in written if flavour != "script" else ():
                if stem + other in files and (flavour == "declared" or other not in _DECLARATIONS):
                    return stem + other
            return place
        for other in written:
            if stem + other in files:
                return stem + other
        for other in JAVASCRIPT_SUFFIXES if flavour == "script" else TYPESCRIPT_SUFFIXES:
            if place + other in files:
                return place + other
        return None

    def _folder(self, place: str, flavour: Flavour) -> str | None:
        if place == ".":
            place = ""
        if place not in self._paths.folders:
            return None
        package = self._packages.by_folder.get(place)
        if package is not None:
            for entry in _own_entries(package):
                path = self._file(entry, flavour) or (
                    self._file(join(entry, "index"), flavour) if entry != place else None
                )
                if path is not None:
                    return path
        return self._file(join(place, "index"), flavour)

    def _folder_of_package(self, name: str) -> str | None:
        package = self._packages.named(name)
        return package.folder if package else None


def _scripts(text: str) -> Iterator[str]:
    """What stands between `<script>` and `</script>`."""
    start = _SCRIPT.search(text)
    while start:
        end = _SCRIPT_END.search(text, start.end())
        if end is None:
            return
        yield text[start.end() : end.start()]
        start = _SCRIPT.search(text, end.end())


def _flavour(source: str) -> Flavour:
    if not source.endswith(_TYPED):
        return "script"
    return "declared" if source.endswith(_DECLARATIONS) else "typed"


def _own_entries(package: Package) -> Iterator[str]:
    """Where a folder with a manifest leads that is imported by its path; `exports` don't count."""
    for key in ("module", "main", "types"):
        entry = package.manifest.get(key)
        if isinstance(entry, str):
            yield posixpath.normpath(join(package.folder, entry.removeprefix("/")))
