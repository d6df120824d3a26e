"""The syntax check against Python's own parser, and with parsers that die or do not end."""

from __future__ import annotations

import ast
import json
import random
import re
import sys
import sysconfig
import warnings
from pathlib import Path

import pytest

from codekiln.corpus.quality import syntax as checking
from codekiln.corpus.quality.parse import CRASHED, GIVEN_UP, PYTHON_2, UNKNOWN, Syntax, parse
from codekiln.corpus.quality.syntax import SyntaxChecker, limit_of
from codekiln.errors import CodekilnError
from codekiln.languages import grammars as table
from codekiln.languages import trees
from codekiln.languages.grammars import grammar_of, grammars, installed, versions

pytest.importorskip("tree_sitter")
pytest.importorskip("tree_sitter_python")

STDLIB = Path(sysconfig.get_paths()["stdlib"])


def needs(name: str) -> None:
    if not installed(name):
        pytest.skip(f"needs {grammars()[name].module}")


def accepts(data: bytes) -> bool:
    """Python's own word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(data)
        except (SyntaxError, ValueError):
            return False
    return True


def real_files(count: int) -> list[bytes]:
    paths = sorted(path for path in STDLIB.glob("*.py") if path.stat().st_size < 40_000)
    return [path.read_bytes() for path in random.Random(7).sample(paths, count)]


def without_a_bracket(data: bytes, draw: random.Random) -> bytes:
    places = [match.start() for match in re.finditer(rb"[()\[\]{}:]", data)]
    place = draw.choice(places)
    return data[:place] + data[place + 1 :]


def test_agrees_with_pythons_parser_on_real_and_broken_files():
    draw = random.Random(3)
    good = [data for data in real_files(40) if accepts(data)]
    broken = [without_a_bracket(data, draw) for data in good for _ in range(3)]
    broken = [data for data in broken if not accepts(data)]
    assert len(good) >= 35 and len(broken) >= 60
    assert [parse(data, "python").errors for data in good] == [0.0] * len(good)
    found = sum(parse(data, "python") != Syntax(0.0) for data in broken)
    assert found / len(broken) >= 0.8


def test_the_share_leaves_out_whole_constructs_within_an_error():
    function = b"def f(a):\n    return a + 1\n\n\n"
    lines = function * 20
    small = parse(lines + b"x = (1,\n" + lines, "python")
    assert small.errors is not None and 0 < small.errors < 0.5
    prose = parse(b"Here is some text, which nobody would take for code. " * 20, "python")
    assert prose.errors is not None and prose.errors > 0.5


@pytest.mark.parametrize(
    "text",
    [
        'print "a", b\n',
        'def f():\n    print "%s" % x\n',
        "try:\n    f()\nexcept ValueError, error:\n    pass\n",
        'raise ValueError, "no"\n',
        'exec "x = 1" in scope\n',
        "def f():\n    raise E, 'x'\nx = 0777\n",
    ],
)
def test_python_2_is_named(text):
    assert parse(text.encode(), "python") == Syntax(1.0, PYTHON_2)


@pytest.mark.parametrize(
    "text",
    [
        '"""\nprint "a"\nraise ValueError, "no"\n"""\nprint("a")\n',
        "print ('a')\nprint (x)\n",
        "exec ('x')\n",
    ],
)
def test_python_3_is_not_taken_for_python_2(text):
    assert parse(text.encode(), "python") == Syntax(0.0)


def test_a_fault_of_today_in_a_file_with_a_sign_of_python_2_is_just_a_fault():
    text = '"""\nprint "a"\n"""\nx = (1,,2)\n'
    found = parse(text.encode(), "python")
    assert found.note == "" and found.errors


def test_json_agrees_with_the_library():
    needs("json")
    for text in ('{"a": [1, 2.5e3, null]}', "[]", '"x"'):
        assert parse(text.encode(), "json") == Syntax(0.0)
    for text in ('{"a": 1', '{"a" 1}', "[1, 2", "{'a': 1}"):
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
        assert parse(text.encode(), "json").errors
    deep = b"[" * 5000 + b"]" * 5000  # too deep for the library, which must not matter
    assert parse(deep, "json").errors == 0.0


@pytest.mark.parametrize("data", [b"", b"\0" * 5000, b"\xff\xfe" * 900, b"x" * (1 << 20), b"("])
def test_any_bytes_get_an_answer(data):
    with SyntaxChecker() as checker:
        for language in ("python", "c", "java", "yaml", "lua", "nothing"):
            found = checker.check(data, language)
            assert found.errors is None or 0 <= found.errors <= 1
        assert checker.check(b"x = 1\n", "python") == Syntax(0.0)


def test_a_parser_that_dies_costs_one_file():
    dies = "import os, sys; os.write(1, b'R'); sys.stdin.buffer.read(5); os.abort()"
    with SyntaxChecker(command=[sys.executable, "-c", dies]) as checker:
        for _ in range(2):
            assert checker.check(b"x = 1\n", "python") == Syntax(None, CRASHED)
        assert checker.restarts == 2


def test_a_parser_that_hangs_is_ended():
    with SyntaxChecker(
        command=[sys.executable, "-c", "import os, time; os.write(1, b'R'); time.sleep(600)"],
        hangs_seconds=0.2,
    ) as checker:
        assert checker.check(b"x = 1\n", "python") == Syntax(None, CRASHED)


FRAGILE = """
import os, time
from codekiln.corpus.quality import parse_worker

def parse(data, grammar, real=parse_worker.parse):
    if data.startswith(b"# dies"):
        os.abort()
    if data.startswith(b"# hangs"):
        time.sleep(600)
    return real(data, grammar)

parse_worker.parse = parse
parse_worker.main()
"""


def test_many_files_at_a_time_and_a_fault_costs_one_of_them():
    good, broken, large = b"x = 1\n", b"x = (\n", b"x = 1\n" * 60_000
    dies, hangs = b"# dies\n" + large, b"# hangs\n"
    datas = [good, dies, broken, large, dies, dies, good, hangs, large, large, good, dies]
    files = [(data, "python", "a.py") for data in datas]
    files.insert(3, (b"?", "nothing", ""))
    with SyntaxChecker(command=[sys.executable, "-c", FRAGILE], hangs_seconds=3) as checker:
        found = checker.check_files(files)
        assert checker.restarts == 5
        assert checker.check_files(files[:1]) == [Syntax(0.0)] and checker.check_files([]) == []
    lost = [file[0] in (dies, hangs) for file in files]
    assert [each == Syntax(None, CRASHED) for each in found] == lost
    kept = [file for file in files if file[0] not in (dies, hangs)]
    wanted = [
        parse(data, "python") if language == "python" else UNKNOWN for data, language, _ in kept
    ]
    assert [each for each in found if each.note != CRASHED] == wanted
    assert found[3] == UNKNOWN and found[2].errors


def test_what_nobody_waited_for_is_not_taken_for_the_answer():
    with SyntaxChecker() as checker:
        checker.begin([(b"x = (\n" * 5000, "python", "")] * 3)
        assert checker.check_files([(b"x = 1\n", "python", "")] * 2) == [Syntax(0.0)] * 2
        assert checker.restarts == 0


def test_a_parser_that_never_starts_is_no_fault_of_the_file():
    checker = SyntaxChecker(command=[sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(CodekilnError, match="exit code 3"):
        checker.check(b"x = 1\n", "python")


def test_the_process_finds_this_codekiln(monkeypatch, tmp_path):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir(tmp_path)
    with SyntaxChecker() as checker:
        assert checker.check(b"x = 1\n", "python") == Syntax(0.0)


def test_after_a_real_crash_the_next_file_is_checked():
    needs("yaml")
    with SyntaxChecker() as checker:
        hostile = checker.check(b"- " * 60_000, "yaml")  # a segmentation fault in 0.7.2
        assert hostile.note in ("", CRASHED, GIVEN_UP)
        assert checker.restarts == (hostile.note == CRASHED)
        assert checker.check(b"a: [1, 2]\n", "yaml") == Syntax(0.0)


def test_too_many_steps_are_given_up(monkeypatch):
    text = b"x = [" + b"1, " * 20_000 + b"]\n"
    assert parse(text, "python") == Syntax(0.0)
    monkeypatch.setattr(trees, "MOST_STEPS", 10)
    monkeypatch.setattr(trees, "STEPS_PER_BYTE", 0)
    assert parse(text, "python") == Syntax(None, GIVEN_UP)
    assert parse(b"x = 1\n", "python") == Syntax(0.0)  # the parser starts afresh


def test_time_is_linear_in_hostile_depth():
    for opening in (b"(", b"{", b"f(", b"[x for "):
        found = parse(opening * 50_000, "python")  # quadratic would be minutes
        assert found.errors is None or found.errors > 0


def test_without_a_grammar_nothing_is_said(monkeypatch):
    for module in (checking, table):
        monkeypatch.setattr(module, "installed", lambda name: False)
    with SyntaxChecker() as checker:
        assert checker.check(b"x = (\n", "python") == UNKNOWN
    assert versions() == {}


def test_versions_name_what_verdicts_depend_on():
    found = versions()
    assert {"tree-sitter", "tree-sitter-python"} <= set(found) and all(found.values())


def test_dialects_and_templates_are_left_alone():
    assert grammar_of("css", "a/b.scss") is None and grammar_of("css", "b.css")
    tsx = grammar_of("typescript", "a.tsx")
    assert tsx is not None and tsx.function == "language_tsx"
    assert grammar_of("typescript", "a.d.ts") is None
    assert grammar_of("php", "test.phpt") is None
    needs("html")
    template = b"<ul>{% for x in y %}<li class={% if a %}b</li>{% endfor %}</ul>"
    assert parse(template, "html") == UNKNOWN
    assert limit_of("fortran") == 1.0 and limit_of("java") == 0.0


def test_grammars_that_are_installed_read_their_language():
    good = {
        "java": "class A { int f() { return 1; } }\n",
        "c": "int main(void) { return 0; }\n",
        "cpp": "template <class T> struct A : B<T> { A() = default; };\n",
        "c-sharp": "namespace N { class A { int F() => 1; } }\n",
        "javascript": "export const f = async (a) => { await a?.b; };\n",
        "typescript": "type A<T> = { [k in keyof T]: T[k] };\n",
        "typescript-tsx": "const a = <B c={1}>x</B>;\n",
        "go": "package main\n\nfunc main() { go f() }\n",
        "rust": "fn main() { let x: Vec<&'static str> = vec![]; }\n",
        "php": "<?php\nfunction f(int $a): ?string { return null; }\n",
        "ruby": "class A\n  def f = puts(1)\nend\n",
        "kotlin": 'fun main() { println("a") }\n',
        "scala": "object A { def f(x: Int): Int = x + 1 }\n",
        "shell": 'if [ -f a ]; then echo "$b"; fi\n',
        "swift": "func f(_ a: Int) -> Int { return a }\n",
        "lua": "local function f(a) return a end\n",
        "html": "<!doctype html><p>a</p>\n",
        "css": "a:hover { color: red }\n",
        "yaml": "a:\n  - b: 1\n",
        "sql": "SELECT a FROM b WHERE c = 1;\n",
    }
    for name, text in good.items():
        if installed(name):
            assert parse(text.encode(), name) == Syntax(0.0), name
            cut = text[: len(text) * 2 // 3].rstrip() + " ((\n"
            if name not in ("html", "yaml"):  # nearly anything is one of these
                assert parse(cut.encode(), name).errors, name
