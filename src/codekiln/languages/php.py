"""PHP: which files of a repository need which.

What an edge is:

- A file that names a class (interface, trait, enum) needs the file that declares it: by
  `use A\\B;` an import, by its name alone a use. Names count wherever PHP itself reads them as
  those of classes: `new`, `extends`, `implements`, `instanceof`, `catch`, before `::`, in types,
  attributes and traits' `use`; not in strings and comments, nor in DocBlocks.
- A file that calls a function, or imports it by `use function`, needs the file that declares it
  at its top level. As PHP does, a plain name is looked for in the file's own namespace, then in
  the global one. Functions declared in a block, as substitutes for what an older PHP lacks are,
  don't count (`if: … endif` is no block), nor do constants.
- `require` and `include` of a path that can be told need that file: an include. It is told from
  texts, `__DIR__`, `__FILE__` and `dirname()`. A plain path is looked for beside the file, then
  in the folders above it. What stands behind one constant, such as `ABSPATH . 'a/b.php'`, is
  looked for in the root; that and what stands behind several, as the only path that ends so.

Where a class is declared: names lead to declarations, not to paths, so what no `composer.json`
maps is found too. Where several files declare the same, the file itself is meant, if it does;
else the one that `composer.json` maps the name to (PSR-4, PSR-0, class map; `autoload-dev` too);
else the one that shares most folders with the file. If two are equally near, none is.

Source: DeepSeek-Coder §2.2.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from codekiln.languages.nearest import Nearest
from codekiln.languages.php_include import UNKNOWN
from codekiln.languages.php_scan import PhpScan, scan
from codekiln.languages.resolve import Need, PathIndex, join, parent
from codekiln.log import logger


class PhpResolver:
    """Names and includes of PHP files, and the files that they need.

    Args:
        paths: all paths of the repository, with the texts of `composer.json` files.
    """

    build_files: ClassVar[frozenset[str]] = frozenset({"composer.json"})

    def __init__(self, paths: PathIndex) -> None:
        self._paths = paths
        self._autoload = Autoload(paths.build_files)
        self._nearest: dict[tuple[str, str], Nearest] = {}

    def scan(self, path: str, text: str) -> PhpScan:
        """What one file declares, names and includes."""
        return scan(path, text)

    def edges(self, scans: Mapping[str, PhpScan]) -> Iterator[Need]:
        """All references resolved, as defined above."""
        classes = _index((path, one.classes) for path, one in scans.items())
        functions = _index((path, one.functions) for path, one in scans.items())
        for source, one in scans.items():
            for name in one.named.keys() & classes.keys():
                target = self._choose(name, classes[name], source, "class")
                if target is not None:
                    yield source, target, one.named[name]
            for names, kind in one.called.items():
                name = names[0] if names[0] in functions else names[1]
                target = self._choose(name, functions.get(name), source, "function")
                if target is not None:
                    yield source, target, kind
            for place in one.included:
                target = self._included(place, source)
                if target is not None and target != source:
                    yield source, target, "include"

    def _choose(
        self, name: str, declarers: Mapping[str, str] | None, source: str, what: str
    ) -> str | None:
        """Of the files that declare a name, the one that a file means by it."""
        if not declarers or source in declarers:
            return None
        if len(declarers) == 1:
            return next(iter(declarers))
        key = (what, name)
        if key not in self._nearest:
            mapped = [path for path, spelt in declarers.items() if self._autoload.maps(spelt, path)]
            self._nearest[key] = Nearest(mapped or declarers)
        return self._nearest[key].to(parent(source))

    def _included(self, place: str, source: str) -> str | None:
        files = self._paths.files
        if place.startswith("/"):
            path = posixpath.normpath(place[1:])
            return path if path in files else None
        if UNKNOWN not in place:
            folder = parent(source)
            while True:
                path = posixpath.normpath(join(folder, place))
                if path in files or not folder:
                    return path if path in files else None
                folder = parent(folder)
        ending = posixpath.normpath(place.rpartition(UNKNOWN)[2].lstrip("/"))
        if ending.startswith("."):
            return None
        if ending in files and place.count(UNKNOWN) == 1 and place.startswith(UNKNOWN):
            return ending
        named = self._paths.by_name.get(ending[ending.rfind("/") + 1 :], ())
        hits = [path for path in named if path.endswith(f"/{ending}")]
        return hits[0] if len(hits) == 1 else None


def _index(declared: Any) -> dict[str, dict[str, str]]:
    """Name in lower case -> the files that declare it, and how they spell it."""
    found: dict[str, dict[str, str]] = {}
    for path, names in declared:
        for name in names:
            found.setdefault(name.lower(), {})[path] = name
    return found


class Autoload:
    """What the `composer.json` files of a repository map class names to.

    Args:
        texts: path -> text; those of other names are passed over, as are broken ones.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._standards: list[tuple[str, str, bool]] = []  # prefix, folder, whether by PSR-4
        self._class_maps: list[str] = []
        for path, text in sorted(texts.items()):
            if path == "composer.json" or path.endswith("/composer.json"):
                self._read(path, text)

    def _read(self, path: str, text: str) -> None:
        try:
            manifest = json.loads(text)
        except (ValueError, RecursionError) as error:
            logger.debug("%s: passed over: %s", path, error)
            return
        for section in ("autoload", "autoload-dev"):
            rules = manifest.get(section) if isinstance(manifest, dict) else None
            if isinstance(rules, dict):
                self._take(rules, parent(path))

    def _take(self, rules: Mapping[str, Any], folder: str) -> None:
        for standard in ("psr-4", "psr-0"):
            mapped = rules.get(standard)
            for prefix, places in mapped.items() if isinstance(mapped, dict) else ():
                for place in places if isinstance(places, list) else [places]:
                    if isinstance(place, str):
                        inside = _within(folder, place)
                        self._standards.append((prefix.lower(), inside, standard == "psr-4"))
        listed = rules.get("classmap")
        for place in listed if isinstance(listed, list) else ():
            if isinstance(place, str):
                self._class_maps.append(_within(folder, place))

    def maps(self, name: str, path: str) -> bool:
        """Whether a class, as it is spelt, is looked for at a path."""
        lower = name.lower()
        for prefix, folder, modern in self._standards:
            if lower.startswith(prefix):
                if modern:
                    inner = name[len(prefix) :].replace("\\", "/")
                else:
                    space, slash, own = name.rpartition("\\")
                    inner = (space + slash).replace("\\", "/") + own.replace("_", "/")
                if join(folder, inner) + ".php" == path:
                    return True
        return any(not one or path == one or path.startswith(f"{one}/") for one in self._class_maps)


def _within(folder: str, place: str) -> str:
    inside = posixpath.normpath(join(folder, place.lstrip("/") or "."))
    return "" if inside == "." else inside
