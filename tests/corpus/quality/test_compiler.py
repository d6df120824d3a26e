"""Compilers in the sandbox: what is a syntax error, and what is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from codekiln.corpus.quality import compiler
from codekiln.corpus.quality.compiler import Job, available, compile_files
from codekiln.languages.checkers import checkers
from codekiln.types import Verdict

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bwrap (bubblewrap)")

GOOD = {
    "python": "def f():\n    return 1\n",
    "java": "package p.q;\nimport nowhere.Thing;\npublic class A { Thing f() { return null; } }\n",
    "c": '#include <stdio.h>\nint main(void) { puts("a"); return 0; }\n',
    "cpp": "#include <vector>\nint main() { std::vector<int> a; return 0; }\n",
    "javascript": "import a from 'b';\nexport const c = await a?.d;\n",
    "php": "<?php\nfunction f(int $a): ?string { return null; }\n",
    "ruby": "class A\n  def f\n    1\n  end\nend\n",
    "shell": "if [ -f a ]; then echo b; fi\n",
    "go": 'package main\n\nimport "nowhere/x"\n\nfunc main() { x.F() }\n',
    "perl": "use strict;\nsub f { return 1; }\n1;\n",
}
BROKEN = {
    "python": "def f(:\n    return 1\n",
    "java": "public class A { int f( { return 1; } }\n",
    "c": "int main(void) { return 0\n}\n",
    "cpp": "int main( { return 0; }\n",
    "javascript": "function f( { return 1; }\n",
    "php": "<?php\nfunction f( { return 1; }\n",
    "ruby": "class A\n  def f\n    1\n  end\n",
    "shell": "if [ -f a ]; then echo b\n",
    "go": "package main\n\nfunc main( { }\n",
    "perl": "sub f { return (1; }\n1;\n",
}


@pytest.mark.parametrize("language", sorted(GOOD))
def test_good_and_broken_files_of_one_batch(language):
    if not available(language):
        pytest.skip(f"needs {checkers()[language].program}")
    texts = [GOOD[language], BROKEN[language], GOOD[language]]
    found = compile_files([Job(data=text.encode(), language=language) for text in texts])
    assert [verdict.answer for verdict in found] == ["ok", "syntax error", "ok"]
    assert found[1].line >= 1 and found[1].message


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("c", '#include "nowhere.h"\nint f(void) { return 0 }\n'),
        ("c", "Thing f(Thing *a) { return *a; }\n"),
        ("perl", "use Nowhere::Thing;\nsub f { return 1; }\n"),
        ("javascript", "// @flow\nconst a: number = 1;\n"),
        ("php", "--TEST--\nx\n--FILE--\n<?php ?>\n"),
        ("fortran", "program a\nend\n"),
    ],
)
def test_what_cannot_be_told_is_no_syntax_error(language, text):
    [verdict] = compile_files([Job(data=text.encode(), language=language)])
    assert verdict.answer == "cannot tell"


def test_a_program_that_perl_runs_while_checking_leaves_no_trace(tmp_path: Path):
    if not available("perl"):
        pytest.skip("needs perl")
    target = tmp_path / "trace"
    text = f"BEGIN {{ open(my $f, '>', '{target}'); print $f 'x'; close $f; }}\n1;\n"
    compile_files([Job(data=text.encode(), language="perl")])
    assert not target.exists()


def test_languages_are_mixed_and_bytes_are_any():
    jobs = [
        Job(data=b"x = 1\n", language="python"),
        Job(data=b"\0\xff" * 50, language="python"),
        Job(data=b"", language="shell"),
        Job(data=b"x = (\n", language="python"),
    ]
    found = compile_files(jobs)
    assert [found[0].answer, found[2].answer, found[3].answer] == ["ok", "ok", "syntax error"]
    assert found[1].answer != "ok"


def test_one_file_that_does_not_end_does_not_cost_the_batch(monkeypatch):
    honest = compiler.run
    sizes = []

    def limited(command, *, files, **options):
        sizes.append(len(files) - 2)
        if any(content == b"bad" for content in files.values()):
            return Verdict(status="timeout")
        return honest(command, files=files, **options)

    monkeypatch.setattr(compiler, "run", limited)
    jobs = [Job(data=b"x = 1\n", language="python") for _ in range(7)]
    jobs.insert(3, Job(data=b"bad", language="python"))
    found = compile_files(jobs)
    assert [v.answer for v in found] == ["ok"] * 3 + ["cannot tell"] + ["ok"] * 4
    assert sizes == [8, 4, 2, 2, 1, 1, 4]
