"""Edges of JavaScript and TypeScript against dependency-cruiser, on real and hand-made projects."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tarfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from codekiln.corpus.ordering.graph import build_graph
from codekiln.languages.javascript_scan import scan
from codekiln.languages.resolve import is_build_file
from codekiln.languages.table import detect
from codekiln.types import SourceFile

PACKAGES = ("dependency-cruiser@17.4.3", "typescript@5.9.3")
CRUISE = """
import { cruise } from "dependency-cruiser";
import extractTSConfig from "dependency-cruiser/config-utl/extract-ts-config";
import { existsSync } from "node:fs";
const tsConfig = existsSync("tsconfig.json") ? extractTSConfig("tsconfig.json") : undefined;
const options = {
  tsPreCompilationDeps: true,
  moduleSystems: ["cjs", "es6", "tsd"],
  doNotFollow: { path: "node_modules" },
  enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "require",
    "node", "default", "types"] },
  ...(tsConfig ? { tsConfig: { fileName: "tsconfig.json" } } : {}),
};
const { output } = await cruise(process.argv.slice(2), options, undefined, { tsConfig });
const modules = output.modules.map(({ source, dependencies }) => ({
  source,
  dependencies: dependencies.map(({ resolved, dependencyTypes }) => ({
    resolved, typeOnly: dependencyTypes.some((type) => type.startsWith("type-")) })),
}));
process.stdout.write(JSON.stringify(modules));
"""


def cache() -> Path:
    default = Path.home() / ".cache" / "codekiln" / "tests"
    folder = Path(os.environ.get("CODEKILN_TEST_DATA", default))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@functools.cache
def cruiser() -> Path | None:
    """A folder with dependency-cruiser and a script that prints what it finds as JSON."""
    folder = cache() / "dependency-cruiser"
    folder.mkdir(exist_ok=True)
    if not (folder / "node_modules" / "dependency-cruiser").is_dir():
        (folder / "package.json").write_text('{"private": true}')
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", *PACKAGES]
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=240)
        except (OSError, subprocess.SubprocessError):
            return None
    (folder / "cruise.mjs").write_text(CRUISE)
    return folder


def dependencies(root: Path, *entries: str) -> dict[tuple[str, str], bool]:
    """Edges by dependency-cruiser, and whether all references of each are type-only."""
    folder = cruiser()
    if folder is None:
        pytest.skip("needs dependency-cruiser: npm and the npm registry")
    command = ["node", str(folder / "cruise.mjs"), *entries]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    edges: dict[tuple[str, str], bool] = {}
    for module in json.loads(done.stdout):
        for one in module["dependencies"]:
            if one["resolved"] != module["source"]:
                key = module["source"], one["resolved"]
                edges[key] = edges.get(key, True) and one["typeOnly"]
    return edges


def edges_of(texts: Mapping[str, str]) -> dict[tuple[str, str], bool]:
    files = [
        SourceFile(path=path, text=text, language=language.name)
        for path, text in texts.items()
        if (language := detect(path)) is not None
    ]
    build = {path: text for path, text in texts.items() if is_build_file(path)}
    graph = build_graph(files, other_paths=texts, build_files=build)
    assert not graph.failed
    return {(edge.source, edge.target): edge.kind == "type-only" for edge in graph.edges}


WORKSPACE = {
    "package.json": '{"name": "root", "private": true, "workspaces": ["packages/*", "apps/*"]}',
    "tsconfig.json": '{"extends": "./tsconfig.base.json", "include": ["apps", "packages"]}',
    "tsconfig.base.json": """{
      // shared
      "compilerOptions": {
        "baseUrl": ".", "module": "esnext", "moduleResolution": "bundler", "jsx": "preserve",
        "paths": { "@app/*": ["apps/web/src/*"], "@shared": ["packages/shared/src/index.ts"], },
      },
    }""",
    "packages/shared/package.json": '{"name": "@w/shared", "main": "./lib/main.js"}',
    "packages/shared/lib/main.js": 'const b = require("./b");\nmodule.exports = { b };\n',
    "packages/shared/lib/b.js": "module.exports = 'require(\"./main\")';\n",
    "packages/shared/src/index.ts": 'export * from "./one.js";\nexport type { T } from "./two";\n',
    "packages/shared/src/one.ts": 'import data from "./data.json";\nexport const one = data;\n',
    "packages/shared/src/two.d.ts": "export type T = 1;\n",
    "packages/shared/src/data.json": "{}",
    "packages/kit/package.json": """{"name": "@w/kit", "type": "module",
      "imports": {"#inner/*": "./inner/*.js"},
      "exports": {".": {"import": "./index.mjs"}, "./part/*": "./parts/*.js"}}""",
    "packages/kit/index.mjs": 'import "#inner/x";\nexport { p } from "@w/kit/part/p";\n',
    "packages/kit/inner/x.js": "export default /import '..\\/index.mjs'/;\n",
    "packages/kit/parts/p.js": "export const p = `import x from '../index.mjs'`;\n",
    "apps/web/src/main.tsx": """
import React from "react";
import { one } from "@shared";
import { b } from "@w/shared";
import { p } from "@w/kit";
import * as part from "@w/kit/part/p";
import { type Props, View } from "@app/view";
import type { State } from "./state";
import "./style.css";
// import "./never";
const lazy = () => import("./lazy");
type Never = import("./types").Never;
export const main = <View text="import './never'">it's {one} // require("./never")</View>;
""",
    "apps/web/src/view/index.tsx": 'export { State as Props } from "../state";\nexport let View;\n',
    "apps/web/src/state.ts": "export interface State {}\n",
    "apps/web/src/lazy.ts": 'import fs = require("./types");\nexport default fs;\n',
    "apps/web/src/types.ts": "/* import './never' */ export type Never = never;\n",
    "apps/web/src/never.ts": "export {};\n",
    "apps/web/src/style.css": "",
}


def test_a_workspace_with_paths_and_packages(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("needs node")
    for path, text in WORKSPACE.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    scope = tmp_path / "node_modules" / "@w"
    scope.mkdir(parents=True)
    for name in ("shared", "kit"):  # as `npm install` would
        (scope / name).symlink_to(tmp_path / "packages" / name)
    wanted = dependencies(tmp_path, "apps", "packages")
    wanted = {key: only for key, only in wanted.items() if key[1] in WORKSPACE}
    assert len(wanted) == 17  # the oracle itself has seen all forms

    assert edges_of(WORKSPACE) == wanted


def published(name: str, version: str) -> Path:
    """The unpacked tarball of an npm package, kept between runs."""
    folder = cache() / f"npm-{name}-{version}"
    if not folder.is_dir():
        command = ["npm", "pack", "--silent", "--pack-destination", str(cache())]
        try:
            subprocess.run(
                [*command, f"{name}@{version}"], check=True, capture_output=True, timeout=240
            )
        except (OSError, subprocess.SubprocessError):
            pytest.skip(f"needs npm and its package {name} {version}")
        with tarfile.open(cache() / f"{name}-{version}.tgz") as archive:
            archive.extractall(folder, filter="data")
    return folder / "package"


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("name", "version", "entries", "least"),
    [
        ("rxjs", "7.8.2", ("src",), 1000),  # TypeScript, with extended configurations
        ("webpack", "5.112.2", ("lib", "hot"), 3000),  # CommonJS, with requires in functions
        ("three", "0.187.0", ("src", "examples"), 3000),  # modules, and imports of itself
    ],
)
def test_recall_and_precision(
    name: str, version: str, entries: tuple[str, ...], least: int
) -> None:
    if shutil.which("node") is None:
        pytest.skip("needs node")
    root = published(name, version)
    wanted = dependencies(root, *entries)
    texts = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(root.rglob("*"))
        if path.is_file() and (path.suffix == ".json" or detect(path.name) is not None)
    }
    wanted = {key: only for key, only in wanted.items() if key[1] in texts}
    sources = {source for source, _ in wanted}
    found = {key: only for key, only in edges_of(texts).items() if key[0] in sources}
    both = wanted.keys() & found.keys()
    recall, precision = len(both) / len(wanted), len(both) / len(found)
    print(f"{name}: {len(wanted)} edges, recall {recall:.4f}, precision {precision:.4f}")
    assert len(wanted) > least  # the oracle itself has found the project's imports
    assert recall >= 0.98
    assert precision >= 0.98
    assert sum(found[key] == wanted[key] for key in both) > 0.99 * len(both)


def statements(text: str, typescript: bool) -> list[tuple[str, str]] | None:
    """Kind and target of each reference by a whole grammar; None where it finds errors."""
    tree_sitter = pytest.importorskip("tree_sitter")
    if typescript:
        grammar = pytest.importorskip("tree_sitter_typescript").language_typescript()
    else:
        grammar = pytest.importorskip("tree_sitter_javascript").language()
    parser = tree_sitter.Parser(tree_sitter.Language(grammar))
    root = parser.parse(text.encode()).root_node
    found: list[tuple[int, str, str]] = []
    if root.has_error:
        return None
    todo = [(root, False)]
    while todo:
        node, inside = todo.pop()
        target, kind = None, "import"
        if node.type in ("import_statement", "export_statement", "import_require_clause"):
            target = node.child_by_field_name("source")
            if any(child.type == "type" for child in node.children):
                kind = "type-only"
        elif node.type == "call_expression":
            function = node.child_by_field_name("function")
            arguments = node.child_by_field_name("arguments")
            if function.type == "import" or function.text == b"require":
                values = [one for one in arguments.named_children if one.type != "comment"]
                target = values[0] if len(values) == 1 else None
                kind = "local" if inside or function.type == "import" else "import"
        if target is not None and target.type == "string":
            found.append((node.start_byte, kind, target.text.decode()[1:-1]))
        inside = inside or "function" in node.type or node.type == "method_definition"
        todo += [(child, inside) for child in node.children]
    return [(kind, target) for _, kind, target in sorted(found)]


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("name", "version", "folder", "least"),
    [("webpack", "5.112.2", "lib", 3000), ("rxjs", "7.8.2", "src", 1200)],
)
def test_the_scan_agrees_with_a_grammar(name: str, version: str, folder: str, least: int) -> None:
    root = published(name, version) / folder
    total = missed = other_kind = 0
    for path in sorted(root.rglob("*.[jt]s")):
        text = path.read_text(encoding="utf-8")
        typescript = path.suffix == ".ts"
        parsed = statements(text, typescript)
        if parsed is None:
            continue
        wanted = Counter(parsed)
        found = Counter(
            (one.kind, one.target)
            for one in scan(text, typescript=typescript)
            if typescript or one.kind != "type-only"
        )
        targets, seen = (Counter(target for _, target in one.elements()) for one in (wanted, found))
        total += targets.total()
        missed += ((targets - seen) + (seen - targets)).total()
        other_kind += (wanted - found).total()
    print(f"{name}: {total} references, {missed} missed or too many, {other_kind} of other kind")
    assert total > least
    assert missed <= 0.005 * total
    assert other_kind <= 0.01 * total


def test_cycles_through_every_file_and_names_that_differ_in_case() -> None:
    count = 2000
    ring = {
        f"src/{'Mm'[i % 2]}{i // 2}.ts": f'import "./{"mM"[i % 2]}{(i + 1) % count // 2}";\0\n'
        for i in range(count)
    }
    edges = edges_of(ring)
    assert len(edges) == count
    assert {source for source, _ in edges} == {target for _, target in edges} == ring.keys()
