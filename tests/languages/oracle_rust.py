"""The edges between the Rust files of one crate, as rustc itself resolves them.

rustc prints its HIR, in which every path bears the item that it was resolved to. From that text
come the file of each module and item, the files that declare modules, and the files whose paths
lead to other files. What macros expand to does not count.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

_OWNER = re.compile(r"^DefId\(0:\d+ ~ ([^\n]*)\) => OwnerNodes \{")
_SPAN = re.compile(r"^\s*(inner_span|span): (\S+?):\d+:\d+: \d+:\d+ \(#(\d+)\)")
_RESOLVED = re.compile(r"DefId\(0:\d+ ~ ([^)\n]*(?:\([^)\n]*\)[^)\n]*)*)\)")


def hir(root: Path, crate: str, edition: str, *options: str) -> str:
    """rustc's HIR of the crate whose root file is `crate`, as text; empty if it fails."""
    command = ["rustc", "--edition", edition, "--crate-type", "lib", "--cap-lints", "allow"]
    command += ["-Zunpretty=hir-tree", *options, crate]
    environment = {**os.environ, "RUSTC_BOOTSTRAP": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    return done.stdout if done.returncode == 0 else ""


def edges(tree: str) -> tuple[set[tuple[str, str]], set[str]]:
    """Pairs (file, file that it needs), and all files of the crate."""
    files: dict[str, str] = {}
    uses: set[tuple[str, str]] = set()
    found: set[tuple[str, str]] = set()
    for owner, lines in _sections(tree):
        matches = [_SPAN.match(line) for line in lines if "span: " in line]
        spans = [match.groups() for match in matches if match and match[3] == "0"]
        inner = [file for kind, file, _ in spans if kind == "inner_span"]
        plain = [file for kind, file, _ in spans if kind == "span"]
        if inner:
            files[owner] = inner[0]
            found.update((file, inner[0]) for file in plain if file != inner[0])
        elif plain:
            files[owner] = plain[0]
        uses.update(_paths(lines))
    for source, item in uses:
        target = _file(item, files)
        if target and target != source:
            found.add((source, target))
    return found, set(files.values())


def _sections(tree: str) -> list[tuple[str, list[str]]]:
    sections: list[tuple[str, list[str]]] = []
    for line in tree.splitlines():
        owner = _OWNER.match(line)
        if owner:
            sections.append((owner[1], []))
        elif sections:
            sections[-1][1].append(line)
    return sections


def _paths(lines: list[str]) -> set[tuple[str, str]]:
    """File of each path, and the item that it is resolved to."""
    found: set[tuple[str, str]] = set()
    for at, line in enumerate(lines):
        if not line.endswith("Path {"):
            continue
        span = _SPAN.match(lines[at + 1]) if at + 1 < len(lines) else None
        if span is None or span[3] != "0":
            continue
        for below in lines[at + 2 :]:
            if "segments:" in below:
                break
            if "DefId(0:" not in below:
                continue
            found.update((span[2], item) for item in _RESOLVED.findall(below))
    return found


def _file(item: str, files: dict[str, str]) -> str | None:
    while item not in files:
        item, separator, _ = item.rpartition("::")
        if not separator:
            return None
    return files[item]
