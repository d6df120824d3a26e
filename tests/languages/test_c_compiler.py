"""C and C++ against gcc and g++ on whole projects from Debian's sources.

What is compared, so that it is fair: an include graph holds for all configurations, the compiler
sees one. Hence only units count that the compiler can preprocess here (not those of Windows), and
only edges that are not "conditional", of files that it read for some unit. Two comparisons:

- closures: for each unit, all files that it reaches by our edges against what `-MM` lists. One
  wrong edge near the root counts for all that lies behind it.
- direct edges: ours against the `#include` directives that the compiler met.

What is wrong still is an include under a macro that only a build could tell of.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Set
from pathlib import Path
from types import ModuleType

import pytest

from codekiln.corpus.ordering.graph import build_graph
from codekiln.types import SourceFile

SOURCES = (".c", ".cc", ".cpp")
HEADERS = (".h", ".hpp", ".hh", ".inc")
PROJECTS = {  # the folders that their build files search, as options
    "libuv1": ["gcc", "-Iinclude", "-Isrc", "-D_GNU_SOURCE"],
    "zlib": ["gcc", "-I."],
    "lua5.4": ["gcc", "-Isrc"],
    "leveldb": ["g++", "-I.", "-Iinclude", "-DLEVELDB_PLATFORM_POSIX=1"],
    "re2": ["g++", "-I."],
}


def load_oracle() -> ModuleType:
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        import oracle_cc
    finally:
        sys.path.pop(0)
    return oracle_cc


def debian_source(name: str) -> Path:
    """The upstream archive of a Debian package, kept between runs; skips where it isn't had."""
    default = Path.home() / ".cache" / "codekiln" / "tests"
    folder = Path(os.environ.get("CODEKILN_TEST_DATA", default))
    folder.mkdir(parents=True, exist_ok=True)
    if not _archives(folder, name):
        command = ["apt-get", "source", "--download-only", name]
        try:
            subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=120)
        except (OSError, subprocess.SubprocessError):
            pytest.skip(f"needs the Debian source of {name}, by apt-get source with deb-src")
    return _archives(folder, name)[-1]


def _archives(folder: Path, name: str) -> list[Path]:
    return sorted(p for p in folder.glob(f"{name}_*.orig.tar.*") if p.suffix != ".asc")


def unpack(archive: Path, folder: Path) -> dict[str, str]:
    """Extract an archive without its top folder; returns the C and C++ files' texts by path."""
    texts = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            member.name = member.name.partition("/")[2]
            if member.isfile() and member.name.endswith(SOURCES + HEADERS):
                tar.extract(member, folder, filter="data")
                texts[member.name] = (folder / member.name).read_text("utf-8", "replace")
    return texts


def closure(after: Mapping[str, Set[str]], start: str) -> set[str]:
    seen, todo = {start}, [start]
    while todo:
        new = after.get(todo.pop(), set()) - seen
        seen |= new
        todo += new
    return seen - {start}


def rates(found: Set[object], wanted: Set[object]) -> tuple[float, float]:
    return len(found & wanted) / len(wanted), len(found & wanted) / len(found)


@pytest.mark.oracle
@pytest.mark.parametrize("name", PROJECTS)
def test_edges_against_the_compiler(name: str, tmp_path: Path) -> None:
    command = PROJECTS[name]
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    oracle = load_oracle()
    texts = unpack(debian_source(name), tmp_path)
    language = "c" if command[0] == "gcc" else "cpp"
    graph = build_graph([SourceFile(path=p, text=t, language=language) for p, t in texts.items()])
    ours = {(e.source, e.target) for e in graph.edges if e.kind != "conditional"}
    after: dict[str, set[str]] = {}
    for source, target in ours:
        after.setdefault(source, set()).add(target)

    reached, listed, met, seen, units = set(), set(), set(), set(), 0
    for unit in sorted(path for path in texts if path.endswith(SOURCES)):
        direct = oracle.directives(tmp_path, command, unit)
        if direct is None:
            continue
        units += 1
        read = oracle.reads(tmp_path, command, unit) & texts.keys()
        seen |= {unit, *read}
        listed |= {(unit, path) for path in read}
        reached |= {(unit, path) for path in closure(after, unit)}
        met |= {(one, two) for one, two in direct if {one, two} <= texts.keys() and one != two}
    ours = {(source, target) for source, target in ours if source in seen}
    for what, found, wanted in (("closures", reached, listed), ("direct", ours, met)):
        recall, precision = rates(found, wanted)
        print(
            f"{name}: {units} units, {what}: {len(wanted)} pairs, "
            f"recall {recall:.4f}, precision {precision:.4f}"
        )
        assert len(wanted) > 60
        assert recall >= 0.97
        assert precision >= 0.97
