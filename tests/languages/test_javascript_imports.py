"""JavaScript and TypeScript imports: the scan by hand, the resolution by its written definition."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.languages.javascript import JavaScriptResolver
from codekiln.languages.javascript_scan import scan
from codekiln.languages.resolve import PathIndex, is_build_file


def plain(text: str, *, typescript: bool = True) -> list[tuple[str, str]]:
    return [(r.kind, r.target) for r in scan(text, typescript=typescript)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('import "a"', ["import a"]),
        ("import a from 'a'", ["import a"]),
        ('import a,{b as c}from"a";import*as d from"d"', ["import a", "import d"]),
        ('import {\n  a, // "no" {\n  b, /* } from "no" */\n} from "a"', ["import a"]),
        ('import { "odd name" as a } from "a"', ["import a"]),
        ('import a from "a" with { type: "json" }', ["import a"]),
        ('import defer * as a from "a"', ["import a"]),
        ('import größe, * as $ from "a"', ["import a"]),
        ('import type A from "a"', ["type-only a"]),
        ('import type { A, B } from "a"', ["type-only a"]),
        ('import { type A, type B as C, } from "a"', ["type-only a"]),
        ('import { type A, b } from "a"', ["import a"]),
        ('import { type as a } from "a"', ["import a"]),
        ('import type from "a"', ["import a"]),
        ('import type, { a } from "a"', ["import a"]),
        ('import A, { type B } from "a"', ["import a"]),
        ('import typeof A from "a"', ["type-only a"]),
        ('import a = require("a")', ["import a"]),
        ('  import type a = require("a")', ["type-only a"]),
        ('export * from "a"', ["import a"]),
        ('export * as b from "a"', ["import a"]),
        ('export * as "b" from "a"', ["import a"]),
        ('export { a as default, b } from "a"', ["import a"]),
        ('export type { A } from "a"', ["type-only a"]),
        ('export type * from "a"', ["type-only a"]),
        ('export { a }\nimport b from "b"', ["import b"]),
        ('const a = await import("a")', ["local a"]),
        ('import(/* webpackChunkName: "c" */ `a`).then(f)', ["local a"]),
        ('x = { a: import("a") }', ["local a"]),
        ('let a: import("a").A<B>', ["type-only a"]),
        ('let a: typeof import("a")', ["type-only a"]),
        ('f<import("a")>()', ["type-only a"]),
        ('const a = require("a"), b = require("b").c', ["import a", "import b"]),
        ('module.exports = {\n  a: require("a"),\n  ...require("b"),\n}', ["import a", "import b"]),
        ('function f() {\n  return require("a")\n}', ["local a"]),
        ('function f() { return require("a") }', ["local a"]),
        ('class A {\n  f(x) {\n    if (x) {\n      require("a")\n    }\n  }\n}', ["local a"]),
        ('const f = (\n  x,\n) => {\n  require("a")\n}\nrequire("b")', ["local a", "import b"]),
        ('if (x) {\n  require("a")\n} else {\n  require("b")\n}', ["import a", "import b"]),
        ('(function () {\n  var a = require("a")\n})()', ["import a"]),
        ('/// <reference path="a.d.ts" />\n', ["import ./a.d.ts"]),
        ('"use strict";\n/// <reference types="a" />\nimport "b"', ["type-only a", "import b"]),
        ('#!/usr/bin/env node "\nimport "a"', ["import a"]),
        ('\ufeffimport "a"\r\nimport "b"\r\n', ["import a", "import b"]),
        ('const t = `${require("a")} require("b") ${`${require("c")}`}`', ["import a", "import c"]),
        ('x = a / b; require("a") / 2', ["import a"]),
        ("x = /[/'\"`]/; require('a') // '", ["import a"]),
        ("if (x) /'/.test(y); require('a')", ["import a"]),
        ("x = (a) / 2; y = '/'; require('a')", ["import a"]),
        ("return /`/; require('a')", ["import a"]),
        ("<p>Don't</p>\nrequire('a')", ["import a"]),
        ("<br />; require('a'); <b/>", ["import a"]),
    ],
)
def test_forms_of_the_reference(text: str, wanted: list[str]) -> None:
    assert [" ".join(found) for found in plain(text)] == wanted


@pytest.mark.parametrize(
    "text",
    [
        '// import "a"',
        '/* \nimport "a"\n*/',
        "x = 'import \"a\"'",
        "x = \"require('a')\"",
        "x = `\nimport 'a'\n`",
        "x = `${`import('a')`}`",
        "x = /require('a')/",
        "x = '\\\nimport(\"a\")'",
        "import.meta.glob('./*.js')",
        "a.require('a'); a?.import('b'); this.#require('c')",
        "xrequire('a'); $import('b'); requires('c')",
        "require('a' + b); import('a' + b); require(`a${b}`)",
        "require.resolve('a'); jest.mock('a'); require.context('a')",
        "export { a, b }; const from = 'a'",
        "export const a = 'b'",
        "export default 'a'",
        "import a = b.c",
        "const a = 1\n/// <reference path='a' />",
        "import a from 'b",
        "require('a\n')",
        "/* open\nimport 'a'",
        "imported from 'a'",
        "",
        "import",
    ],
)
def test_what_is_no_reference(text: str) -> None:
    assert plain(text) == []


def test_only_typescript_has_types() -> None:
    text = 'const { a } = await import("a").b'
    assert plain(text, typescript=False) == [("local", "a")]
    assert plain(text, typescript=True) == [("type-only", "a")]


def test_components_are_read_by_their_scripts() -> None:
    resolver = JavaScriptResolver(PathIndex([]))
    text = (
        '<template>import "no"</template>\n<script lang="ts">\nimport "a"\n</script>\n'
        '<script setup>\nimport type B from "b"\n</script>'
    )
    assert [(r.kind, r.target) for r in resolver.scan("x.vue", text)] == [
        ("import", "a"),
        ("type-only", "b"),
    ]
    text = "---\nimport A from './a'\n---\n<p>import 'no'</p><script>import 'b'</script><script>"
    assert [r.target for r in resolver.scan("x.astro", text)] == ["./a", "b"]


def found(paths: str, source: str, target: str, **build: object) -> str | None:
    texts = {
        path.replace("__", "/").replace("_", "."): one if isinstance(one, str) else json.dumps(one)
        for path, one in build.items()
    }
    resolver = JavaScriptResolver(PathIndex(paths.split(), texts))
    (reference,) = resolver.scan(source, f'import "{target}"')
    hits = resolver.resolve(reference, source)
    assert len(hits) < 2
    return hits[0] if hits else None


@pytest.mark.parametrize(
    ("paths", "source", "target", "wanted"),
    [
        ("a.ts b.ts b.d.ts b.js b.tsx", "a.ts", "./b", "b.ts"),
        ("a.ts b.d.ts b.js", "a.ts", "./b", "b.d.ts"),
        ("a.js b.d.ts b.ts b.js", "a.js", "./b", "b.js"),
        ("a.js b.ts", "a.js", "./b", "b.ts"),
        ("a.ts b.js b.ts", "a.ts", "./b.js", "b.ts"),
        ("a.js b.js b.ts", "a.js", "./b.js", "b.js"),
        ("a.ts b.js b.d.ts", "a.ts", "./b.js", "b.js"),
        ("a.d.ts b.js b.d.ts", "a.d.ts", "./b.js", "b.d.ts"),
        ("a.js b.ts", "a.js", "./b.js", "b.ts"),
        ("a.ts b.mts", "a.ts", "./b.mjs", "b.mts"),
        ("a.ts b.tsx", "a.ts", "./b.jsx", "b.tsx"),
        ("a.ts b.ts b/index.ts", "a.ts", "./b", "b.ts"),
        ("a.ts b.ts b/index.ts", "a.ts", "./b/", "b/index.ts"),
        ("a.ts b/index.js", "a.ts", "./b", "b/index.js"),
        ("x/a.ts index.ts x/index.ts", "x/a.ts", "..", "index.ts"),
        ("x/a.ts index.ts x/index.ts", "x/a.ts", ".", "x/index.ts"),
        ("x/y/a.ts x/b.json", "x/y/a.ts", "../b.json", "x/b.json"),
        ("a.ts b.component.ts", "a.ts", "./b.component", "b.component.ts"),
        ("a.ts b.vue", "a.ts", "./b.vue", "b.vue"),
        ("a.js b.svg", "a.js", "./b.svg?raw", "b.svg"),
        ("a.js b.svg", "a.js", "!!raw-loader!./b.svg", "b.svg"),
        ("a.js", "a.js", "./a", None),
        ("x/a.js b.js", "x/a.js", "../../b", None),
        ("a.js B.js", "a.js", "./b", None),
        ("a.js b.js", "a.js", "b", None),
        ("a.js b.js", "a.js", "/b", None),
        ("a.js fs.js fs/index.js", "a.js", "fs", None),
        ("x/a.js x/node_modules/b/index.js", "x/a.js", "b", "x/node_modules/b/index.js"),
        ("x/a.js node_modules/@b/c/d.js", "x/a.js", "@b/c/d", "node_modules/@b/c/d.js"),
    ],
)
def test_paths(paths: str, source: str, target: str, wanted: str | None) -> None:
    assert found(paths, source, target) == wanted


def test_configurations_map_names() -> None:
    paths = "src/a.ts src/lib/b.ts gen/c.ts src/lib/exact.ts other/x.ts src/index.ts web/d.ts"
    base = """{ // comments, and
      "compilerOptions": { "baseUrl": "./src", /* trailing commas */
        "paths": { "@/*": ["nowhere/*", "*"], "@/lib/*": ["lib/*"], "one": ["lib/exact.ts"], },
      }, }"""
    main = {"extends": "./tsconfig.base.json"}
    build = {"tsconfig_base_json": base, "tsconfig_json": main}
    assert found(paths, "src/a.ts", "@/lib/b", **build) == "src/lib/b.ts"
    assert found(paths, "src/lib/b.ts", "@/a", **build) == "src/a.ts"
    assert found(paths, "src/a.ts", "one", **build) == "src/lib/exact.ts"
    assert found(paths, "src/a.ts", "lib/b", **build) == "src/lib/b.ts"
    assert found(paths, "src/a.ts", "@/c", **build) is None
    inner = {"compilerOptions": {"paths": {"~/*": ["./*"]}}}
    assert found(paths, "web/d.ts", "~/d2", web__tsconfig_json=inner, **build) is None
    assert found(paths + " web/e.ts", "web/d.ts", "~/e", web__tsconfig_json=inner, **build) == (
        "web/e.ts"
    )
    assert found(paths, "src/a.ts", "@/lib/b", tsconfig_json="{ broken") is None
    loop = {"extends": ["./tsconfig.json", "./gone"], "compilerOptions": {"baseUrl": "src"}}
    assert found(paths, "src/a.ts", "lib/b", tsconfig_json=loop) == "src/lib/b.ts"


def test_configurations_of_parts_and_of_roots() -> None:
    parts = {"files": [], "references": [{"path": "./tsconfig.app.json"}, 3]}
    app = {"compilerOptions": {"paths": {"@/*": ["./src/*"]}}}
    build = {"tsconfig_json": parts, "tsconfig_app_json": app}
    assert found("src/a.ts src/b.ts", "src/a.ts", "@/b", **build) == "src/b.ts"
    roots = {"compilerOptions": {"rootDirs": ["src", "gen"]}}
    assert found("src/x/a.ts gen/x/b.ts", "src/x/a.ts", "./b", jsconfig_json=roots) == "gen/x/b.ts"
    assert found("src/x/a.ts gen/x/b.ts", "src/x/a.ts", "./b") is None


ROOT = {"private": True, "workspaces": ["packages/*", "!packages/old"]}


@pytest.mark.parametrize(
    ("manifest", "target", "wanted"),
    [
        ({"main": "dist/index.js"}, "p", "packages/p/src/index.ts"),
        ({"main": "x.js"}, "p", "packages/p/x.js"),
        ({"main": "x"}, "p", "packages/p/x.d.ts"),
        ({}, "p/x", "packages/p/x.d.ts"),
        ({}, "p/part", "packages/p/src/part.ts"),
        ({"exports": "./x.js"}, "p", "packages/p/x.js"),
        (
            {"exports": {"./part": {"import": "./dist/part.mjs"}}},
            "p/part",
            "packages/p/src/part.ts",
        ),
        (
            {"exports": {"./*": {"types": "./dist/types/*.d.ts"}}},
            "p/part",
            "packages/p/src/part.ts",
        ),
        ({"exports": {".": [{"own": "./src/part.ts"}, "./x.js"]}}, "p", "packages/p/src/part.ts"),
        ({"exports": {"types": "./x.d.ts", "default": "./x.js"}}, "p", "packages/p/x.js"),
        ({"main": "dist/other.cjs.min.js"}, "p", "packages/p/src/index.ts"),
        ({"main": 3, "exports": None}, "p", "packages/p/src/index.ts"),
        ({}, "q", None),
    ],
)
def test_workspaces(manifest: dict[str, object], target: str, wanted: str | None) -> None:
    paths = (
        "packages/a/a.ts packages/p/x.js packages/p/x.d.ts packages/p/src/index.ts "
        "packages/p/src/part.ts packages/old/index.js"
    )
    build = {
        "package_json": ROOT,
        "packages__p__package_json": {"name": "p", **manifest},
        "packages__old__package_json": {"name": "q"},
    }
    assert found(paths, "packages/a/a.ts", target, **build) == wanted


@pytest.mark.parametrize(
    "declared",
    [
        {"pnpm-workspace.yaml": "packages:\n  # all\n  - 'libs/**'\ncatalog:\n  x: 1\n"},
        {"pnpm-workspace.yaml": 'packages: ["libs/one", libs/two/three]\n'},
        {"lerna.json": '{"packages": ["libs/*/*"]}'},
        {"package.json": '{"workspaces": {"packages": ["./libs/two/*"]}}'},
        {},
    ],
)
def test_ways_to_declare_workspaces(declared: dict[str, str]) -> None:
    manifest = {"libs/two/three/package.json": '{"name": "@x/three"}'}
    fixture = {"test/fixtures/p/package.json": '{"name": "p"}'}
    paths = ["a.ts", "libs/two/three/index.ts", "test/fixtures/p/index.js"]
    resolver = JavaScriptResolver(PathIndex(paths, {**manifest, **fixture, **declared}))
    three, private = resolver.scan("a.ts", 'import "@x/three"; import "p"')
    assert resolver.resolve(three, "a.ts") == ["libs/two/three/index.ts"]
    assert resolver.resolve(private, "a.ts") == []


def test_a_package_names_itself_and_its_private_parts() -> None:
    manifest = {
        "name": "@x/own",
        "exports": {".": "./dist/index.js", "./deep/*": "./dist/deep/*.js"},
        "imports": {"#in/*": {"node": "./src/*.js"}, "#self": "@x/own", "#loop": "#loop"},
    }
    paths = "src/index.ts src/deep/d.ts test/t.ts"
    for target, wanted in {
        "@x/own": "src/index.ts",
        "@x/own/deep/d": "src/deep/d.ts",
        "#in/deep/d": "src/deep/d.ts",
        "#self": "src/index.ts",
        "#loop": None,
        "#gone": None,
    }.items():
        assert found(paths, "test/t.ts", target, package_json=manifest) == wanted, target


def test_what_is_read_for_the_resolution() -> None:
    names = ["a/package.json", "tsconfig.json", "x/tsconfig.base.json", "pnpm-workspace.yaml"]
    assert all(map(is_build_file, names))
    assert not is_build_file("data.json")


PIECES = (
    "import|export|require|from|type|typeof|(|)|{|}|[|]|\"|'|`|${|/|//|/*|*/|\\|\n|\r\n| |,|;|=|*|."
    "|a|/// <reference path=|as|function|=>|return|\0|\ufeff|é|if|default|<script>|</script>"
)


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES.split("|")), max_size=60))
def test_no_text_breaks_the_scan(pieces: list[str]) -> None:
    resolver = JavaScriptResolver(PathIndex(["a/x.ts"]))
    for path in ("a/x.ts", "a/x.vue", "a/x.astro"):
        for reference in resolver.scan(path, "".join(pieces)):
            resolver.resolve(reference, "a/x.ts")


NAME_PIECES = "./ ../ / . a b index .js .ts # @ ? ! node: \0 \\ *"


@settings(deadline=None)
@given(st.lists(st.sampled_from(NAME_PIECES.split())))
def test_no_name_breaks_the_resolution(pieces: list[str]) -> None:
    target = "".join(pieces)
    configs = {"paths": {"*": ["*"], "a*": ["../*", 3]}, "baseUrl": "..", "rootDirs": ["a", ".."]}
    build = {
        "a/tsconfig.json": json.dumps({"extends": ["..", "x/y"], "compilerOptions": configs}),
        "a/package.json": json.dumps(
            {"name": "a", "exports": {"./*": "./*"}, "imports": {"#*": "*"}}
        ),
        "package.json": json.dumps({"workspaces": [target, "", "*"], "main": target}),
    }
    resolver = JavaScriptResolver(PathIndex(["a/a.ts", "b/index.js", "a/b.ts"], build))
    for reference in resolver.scan("a/a.ts", f"import '{target}'"):
        assert set(resolver.resolve(reference, "a/a.ts")) <= {"b/index.js", "a/b.ts"} | build.keys()


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "unit",
    [
        "import a from ", "import {", "import /*", "export {", "export {a} ", "require(",
        "require('", "import type ", "import a, b ", "`${", "`${import('a')", "=/[/", "'\\'", '"',
        "=/", "(", "function(){require('a');", ")/", "\n require('a')\n  require('b')", "x(\n",
        "}{", "import(/*", "import '", "<script>", "/// <reference path=", "import a//\n",
        "import\n",
    ],
)  # fmt: skip
def test_long_texts_take_linear_time(unit: str) -> None:
    """A scan that took the square of this 1 MB would not end within the time limit."""
    text = unit * (1_000_000 // len(unit))
    resolver = JavaScriptResolver(PathIndex([]))
    for tail in ("", ";import 'a'"):
        resolver.scan("a.ts", text + tail)
    resolver.scan("a.vue", text)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("unit", ['"\\"', "/*", ", ", "//\n", '{"a":', "["])
def test_broken_configurations_take_linear_time(unit: str) -> None:
    build = dict.fromkeys(("tsconfig.json", "package.json", "lerna.json"), unit * 200000)
    resolver = JavaScriptResolver(PathIndex(["a.ts", "b.ts"], build))
    (reference,) = resolver.scan("a.ts", 'import "b"')
    assert resolver.resolve(reference, "a.ts") == []


def test_configurations_that_extend_others_many_times_over() -> None:
    build = {
        f"tsconfig.{i}.json": json.dumps({"extends": [f"./tsconfig.{i + 1}.json"] * 2})
        for i in range(400)
    }
    build["tsconfig.json"] = '{"extends": "./tsconfig.0", "compilerOptions": {"baseUrl": "."}}'
    resolver = JavaScriptResolver(PathIndex(["a.ts", "b.ts"], build))
    (reference,) = resolver.scan("a.ts", 'import "b"')
    assert resolver.resolve(reference, "a.ts") == ["b.ts"]
