"""Edges of PHP against PHP's own parser, on real projects and on hand-made repositories."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from codekiln.corpus.ordering.graph import build_graph
from codekiln.languages.resolve import is_build_file
from codekiln.types import SourceFile

ORACLE = Path(__file__).parent / "oracle_php.php"
Edge = tuple[str, str]


@functools.cache
def needs_parser() -> None:
    if shutil.which("php") is None:
        pytest.skip("needs php (php-cli)")
    modules = subprocess.run(["php", "-m"], capture_output=True, text=True, check=True)
    if "ast" not in modules.stdout.split():
        pytest.skip("needs PHP's extension ast (php-ast)")


def parsed(root: Path, paths: Iterable[str]) -> dict[str, dict[str, list]]:
    """What PHP's parser reads in each file that it can parse."""
    done = subprocess.run(
        ["php", str(ORACLE)],
        input="".join(f"{path}\n" for path in paths),
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    read = [json.loads(line) for line in done.stdout.splitlines()]
    return {one.pop("path"): one for one in read if "error" not in one}


def wanted_edges(read: Mapping[str, dict[str, list]]) -> tuple[set[Edge], set[Edge]]:
    """Edges by the parser; and those to one of several files that declare the same name."""
    classes: dict[str, set[str]] = {}
    functions: dict[str, set[str]] = {}
    for path, one in read.items():
        for name in one["classes"]:
            classes.setdefault(name.lower(), set()).add(path)
        for name in one["functions"]:
            functions.setdefault(name, set()).add(path)
    certain: set[Edge] = set()
    unclear: set[Edge] = set()
    for path, one in read.items():
        targets = [classes.get(name, set()) for name, _ in one["named"]]
        targets += [
            functions.get(own) or functions.get(plain, set()) for own, plain in one["called"]
        ]
        for declarers in targets:
            if path not in declarers:
                edges = {(path, target) for target in declarers}
                (certain if len(edges) == 1 else unclear).update(edges)
    return certain, unclear - certain


def found_edges(root: Path, paths: Iterable[str], build: Mapping[str, str]) -> dict[Edge, str]:
    files = [
        SourceFile(path=path, text=(root / path).read_text("utf-8", "replace"), language="php")
        for path in paths
    ]
    graph = build_graph(files, build_files=build)
    assert not graph.failed
    return {(edge.source, edge.target): edge.kind for edge in graph.edges}


def source_package(name: str) -> Path:
    """The unpacked upstream source of a Debian package, kept between runs."""
    default = Path.home() / ".cache" / "codekiln" / "tests"
    cache = Path(os.environ.get("CODEKILN_TEST_DATA", default))
    folder = cache / f"debian-{name}"
    if not folder.is_dir():
        download = cache / f"debian-{name}.download"
        download.mkdir(parents=True, exist_ok=True)
        command = ["apt-get", "source", "--download-only", "--quiet", name]
        try:
            subprocess.run(command, cwd=download, check=True, capture_output=True, timeout=240)
        except (OSError, subprocess.SubprocessError):
            pytest.skip(f"needs the Debian source of {name}: apt-get with deb-src")
        (archive,) = download.glob("*.orig.tar.*")
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    return folder


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("name", "least"), [("php-monolog", 400), ("phpunit", 1500), ("php-symfony", 20_000)]
)
def test_recall_and_precision(name: str, least: int) -> None:
    needs_parser()
    root = source_package(name)
    paths = sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*.php")
        if path.is_file() and not path.is_symlink()
    )
    build = {
        path.relative_to(root).as_posix(): path.read_text("utf-8", "replace")
        for path in root.rglob("*.json")
        if is_build_file(path.name)
    }
    read = parsed(root, paths)
    assert len(read) > 0.95 * len(paths)
    certain, unclear = wanted_edges(read)
    found = {
        edge
        for edge, kind in found_edges(root, list(read), build).items()
        if edge not in unclear and (kind != "include" or edge in certain)
    }
    recall = len(found & certain) / len(certain)
    precision = len(found & certain) / len(found)
    print(
        f"{name}: {len(certain)} edges, {len(unclear)} unclear, recall {recall:.4f}, "
        f"precision {precision:.4f}"
    )
    print(sorted(certain - found)[:10], sorted(found - certain)[:10])
    assert len(certain) > least  # the oracle itself has found the project's names
    assert recall >= 0.98
    assert precision >= 0.98
