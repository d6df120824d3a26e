"""Which Rust crates a repository holds: their root files, names and editions, as Cargo sees them.

Cargo.toml names the targets of a package, and files in src/bin, tests, examples and benches are
targets without being named. Where there is no Cargo.toml, a file lib.rs or main.rs is the root of
a crate.
"""

from __future__ import annotations

import posixpath
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from codekiln.languages.resolve import PathIndex, join, parent
from codekiln.log import logger

_FOLDERS = {"bin": "src/bin", "test": "tests", "example": "examples", "bench": "benches"}


@dataclass(frozen=True, slots=True)
class Package:
    """A package with a Cargo.toml.

    Args:
        folder: that of its Cargo.toml.
        name: of its library, as code spells it.
        library: path of the library's root file; "" if it has none.
        edition: "2015", "2018", …
        roots: root files of all its crates, the library first.
        renamed: name in code -> package, as its dependencies are renamed.
    """

    folder: str
    name: str
    library: str
    edition: str
    roots: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)


def packages(paths: PathIndex) -> list[Package]:
    """All packages of a repository, in the order of their folders."""
    manifests = {
        parent(path): _parsed(path, text)
        for path, text in sorted(paths.build_files.items())
        if path.rpartition("/")[2] == "Cargo.toml"
    }
    beside = _targets_by_folder(paths)
    return [
        _package(folder, manifest, manifests, paths, beside)
        for folder, manifest in manifests.items()
        if isinstance(manifest.get("package", manifest.get("project")), dict)
    ]


def _parsed(path: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError):  # a template, or damaged: the rest still stands
        logger.debug("%s: not read as TOML", path)
        return {}


def _package(
    folder: str,
    manifest: Mapping[str, Any],
    manifests: Mapping[str, Mapping[str, Any]],
    paths: PathIndex,
    beside: Mapping[str, list[str]],
) -> Package:
    package = manifest.get("package", manifest.get("project"))
    assert isinstance(package, dict)
    name = _text(package.get("name"))
    edition = package.get("edition", "2015")
    if isinstance(edition, dict):  # edition.workspace = true
        edition = _inherited(folder, "edition", manifests)
    library = manifest.get("lib")
    library = library if isinstance(library, dict) else {}
    root = posixpath.normpath(join(folder, _text(library.get("path")) or "src/lib.rs"))
    root = root if root in paths.files else ""
    found = [root, *_named(folder, manifest, paths), *_unnamed(folder, beside, paths)]
    return Package(
        folder=folder,
        name=_spelt(_text(library.get("name")) or name),
        library=root,
        edition=_text(edition),
        roots=tuple(dict.fromkeys(path for path in found if path)),
        renamed=dict(_renamed(manifest)),
    )


def _named(folder: str, manifest: Mapping[str, Any], paths: PathIndex) -> Iterator[str]:
    """Root files of the targets that a Cargo.toml names, and of its build script."""
    for kind, place in _FOLDERS.items():
        targets = manifest.get(kind)
        for target in targets if isinstance(targets, list) else ():
            if not isinstance(target, dict):
                continue
            name = _text(target.get("name"))
            options = [_text(target.get("path"))] if "path" in target else []
            options += [f"{place}/{name}.rs", f"{place}/{name}/main.rs"]
            yield from _present(folder, options, paths)
    package = manifest.get("package")
    build = package.get("build") if isinstance(package, dict) else None
    yield from _present(folder, [_text(build) or "build.rs"], paths)


def _unnamed(folder: str, beside: Mapping[str, list[str]], paths: PathIndex) -> Iterator[str]:
    yield from _present(folder, ["src/main.rs"], paths)
    for place in _FOLDERS.values():
        yield from beside.get(join(folder, place), ())


def _present(folder: str, options: list[str], paths: PathIndex) -> list[str]:
    found = (posixpath.normpath(join(folder, option)) for option in options if option)
    return [path for path in found if path in paths.files][:1]


def _targets_by_folder(paths: PathIndex) -> dict[str, list[str]]:
    """Folder src/bin, tests, … of any package -> the root files that lie in it."""
    endings = tuple(place.rpartition("/")[2] for place in _FOLDERS.values())
    found: dict[str, list[str]] = {}
    for path in sorted(paths.files):
        if path.endswith(".rs"):
            folder = parent(path)
            if path.endswith("/main.rs") and parent(folder).endswith(endings):
                folder = parent(folder)
            if folder.endswith(endings):
                found.setdefault(folder, []).append(path)
    return found


def _inherited(folder: str, key: str, manifests: Mapping[str, Mapping[str, Any]]) -> str:
    """What the workspace around a package says for all its packages."""
    while True:
        workspace = manifests.get(folder, {}).get("workspace")
        if isinstance(workspace, dict):
            shared = workspace.get("package")
            return _text(shared.get(key)) if isinstance(shared, dict) else ""
        if not folder:
            return ""
        folder = parent(folder)


def _renamed(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for table in ("dependencies", "dev-dependencies", "build-dependencies"):
        entries = manifest.get(table)
        for name, entry in entries.items() if isinstance(entries, dict) else ():
            if isinstance(entry, dict) and isinstance(entry.get("package"), str):
                yield _spelt(name), _spelt(entry["package"])


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _spelt(name: str) -> str:
    """A package's name as code spells it."""
    return name.replace("-", "_")
