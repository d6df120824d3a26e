"""`codekiln eval` as users call it."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

from codekiln.cli.main import main
from codekiln.corpus.store import DocumentWriter
from codekiln.models.weights import refuse_foreign
from codekiln.types import Document, Span

needs_box = pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bwrap (bubblewrap)")
PROBLEMS = [
    {
        "task_id": f"H/{n}",
        "prompt": f"def f{n}():\n",
        "entry_point": f"f{n}",
        "canonical_solution": f"    return {n}\n",
        "test": f"def check(candidate):\n    assert candidate() == {n}\n",
    }
    for n in range(2)
]


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def codekiln(*arguments: object) -> Done:
    """The command in this process: imports torch once for all tests."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(["eval", *map(str, arguments)])
        except SystemExit as end:
            code = int(end.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def data(tmp_path):
    lines(tmp_path / "HumanEval.jsonl", PROBLEMS)
    return tmp_path


@needs_box
def test_score_prints_exactly_the_documented_object(data, tmp_path):
    rows = [{"task_id": "H/0", "completion": "    return 0"}]
    rows += [{"task_id": "H/1", "solution": "f1 = lambda: 7"}]
    completions = lines(tmp_path / "c.jsonl", rows)
    done = codekiln("score", "humaneval", "--completions", completions, "--data", data, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "benchmark": "humaneval",
        "profile": "strict",
        "scores": {"pass@1": 0.5, "pass@1_interval": [0.0, 1.0]},
        "verdicts": {"passed": 1, "wrong": 1},
        "problems": [{"id": "H/0", "status": "passed"}, {"id": "H/1", "status": "wrong"}],
    }


@needs_box
def test_score_for_people_and_partial(data, tmp_path):
    completions = lines(tmp_path / "c.jsonl", [{"task_id": "H/0", "completion": "    return 0"}])
    call = ("score", "humaneval", "--completions", completions, "--data", data)
    refused = codekiln(*call)
    assert refused.returncode == 2
    assert "1 of 2 problems have no completion" in refused.stderr
    done = codekiln(*call, "--partial")
    assert done.returncode == 0
    assert "pass@1" in done.stdout and "1.0000" in done.stdout
    assert "missing_problems" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("score", "humanval", "--completions", "x", "--data", "."), "did you mean 'humaneval'"),
        (("score", "infilling", "--completions", "x", "--data", "."), "no programs to run"),
        (("score", "humaneval", "--completions", "x", "--data", "absent"), "no such folder"),
        (("no-such-model", "humaneval"), "no such folder"),
        (("no-such-model",), "BENCHMARK"),
        (("--limit", "0", "m", "humaneval"), "--limit"),
    ],
)
def test_mistakes_are_one_message(arguments, said):
    done = codekiln(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_malformed_completions_name_file_and_line(data, tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_bytes(
        b'{"task_id": "H/0", "completion": ""}\n{"task_id": "H/1", "completion": "\xff"}\n'
    )
    done = codekiln("score", "humaneval", "--completions", path, "--data", data)
    assert done.returncode == 2
    assert f"error: {path}:2: " in done.stderr


def test_scoring_needs_no_torch(data, tmp_path):
    program = (
        "import sys\nfrom codekiln.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules)\n"
    )
    completions = lines(tmp_path / "c.jsonl", [{"task_id": "H/0", "completion": ""}])
    call = ["eval", "score", "humaneval", "--completions", completions, "--data", data]
    command = [sys.executable, "-c", program, *map(str, call), "--partial"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.splitlines()[-1] == "False"


def document(name: str, paths: list[str]) -> Document:
    content = "import os\n\n\ndef place():\n    return os.getcwd()\n"
    text, spans = "", []
    for path in paths:
        start, body = len(text), len(text) + len(f"#{path}\n")
        text += f"#{path}\n{content}"
        spans.append(Span(path=path, language="python", start=start, body=body, end=len(text)))
    return Document(id=name, text=text, source=name, spans=tuple(spans))


@pytest.fixture
def run_folder(tiny_model_folder, tmp_path):
    """A run folder with a model and a corpus of two held-out files."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_model_folder, folder / "model")
    shard = folder / "corpus" / "documents" / "00000.parquet"
    shard.parent.mkdir(parents=True)
    with DocumentWriter(shard) as writer:
        writer.add(document("train", ["a.py"]), "train")
        writer.add(document("held", ["f0.py", "f1.py"]), "held_out")
    return folder


def test_a_model_is_evaluated_on_its_runs_held_out_files(run_folder, monkeypatch):
    done = codekiln(run_folder, "infilling", "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    (result,) = printed["results"]
    assert result["benchmark"] == "infilling"
    assert len(result["problems"]) == 6
    assert 0 <= result["scores"]["edit_similarity"] <= 1
    assert (run_folder / "evaluation" / "infilling.completions.jsonl").exists()
    monkeypatch.setattr("codekiln.generation.engine.Engine.complete_batch", None)
    again = codekiln(run_folder, "infilling")  # nothing left to write
    assert again.returncode == 0, again.stderr
    assert "exact_match" in again.stdout


def test_a_runs_model_finds_its_runs_corpus_and_a_bare_one_asks_for_it(run_folder, tmp_path):
    done = codekiln(run_folder / "model", "infilling", "--limit", 1, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    bare = tmp_path / "bare"
    shutil.copytree(run_folder / "model", bare)
    done = codekiln(bare, "infilling")
    assert done.returncode == 2
    assert "pass --data RUN_OR_CORPUS" in done.stderr


def test_results_never_go_into_a_model_folder(run_folder, tmp_path, monkeypatch):
    model, bare, work = run_folder / "model", tmp_path / "bare", tmp_path / "work"
    shutil.copytree(model, bare)
    work.mkdir()
    (run_folder / "recipe.toml").touch()
    name = "infilling.completions.jsonl"
    for here, given, results in (
        (work, model, run_folder / "evaluation"),
        (model, ".", run_folder / "evaluation"),
        (work, bare, work / "evaluation" / "bare"),
        (work, "../bare/", work / "evaluation" / "bare"),
        (bare, ".", tmp_path / "evaluation" / "bare"),
    ):
        monkeypatch.chdir(here)
        done = codekiln(given, "infilling", "--data", run_folder, "--limit", 1)
        assert done.returncode == 0, done.stderr
        assert (results / name).exists(), given
        shutil.rmtree(results)
    for folder in (model, bare):
        refuse_foreign(folder)  # what training asks before it replaces a model


@needs_box
def test_options_may_come_first_and_results_go_where_they_are_sent(run_folder, data, tmp_path):
    out = tmp_path / "results"
    done = codekiln(
        "--limit", 1, "--out", out, "--data", data, run_folder, "humaneval", "humanevalpack"
    )
    assert done.returncode == 2  # the second benchmark's data are missing; seen before any work
    assert "humanevalpack" in done.stderr
    assert not out.exists()
    done = codekiln("--limit", 1, "--out", out, "--data", data, run_folder, "humaneval")
    assert done.returncode == 0, done.stderr
    assert "pass@1" in done.stdout
    assert len((out / "humaneval.completions.jsonl").read_text().splitlines()) == 1
