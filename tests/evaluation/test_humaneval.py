"""HumanEval: the data file, the program of a sample, and the real problems."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

from codekiln.errors import BenchmarkError
from codekiln.evaluation.completions import Sample, read_completions
from codekiln.evaluation.humaneval import HumanEval, HumanEvalPack
from codekiln.evaluation.score import judge_all, score
from codekiln.sandbox.run import run

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "benchmarks"
ROW = {
    "task_id": "H/0",
    "prompt": "def one():\n",
    "entry_point": "one",
    "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
}
needs_box = pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bwrap (bubblewrap)")
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/benchmarks")


def data(tmp_path, *rows):
    path = tmp_path / "humaneval" / "HumanEval.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_file_is_found_at_in_and_below_the_folder(tmp_path):
    path = data(tmp_path, ROW)
    for place in (path, path.parent, tmp_path):
        assert [p.id for p in HumanEval().problems(place)] == ["H/0"]
    path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert HumanEval().problems(tmp_path)[0].reference == "    return 1\n"


def test_the_program_is_prompt_completion_tests_call(tmp_path):
    (problem,) = HumanEval().problems(data(tmp_path, ROW))
    after = Sample(problem_id="H/0", sample=0, text="    return 1")
    whole = Sample(problem_id="H/0", sample=0, text="one = lambda: 1", whole=True)
    end = "\ndef check(candidate):\n    assert candidate() == 1\n\ncheck(one)"
    assert HumanEval().program(problem, after) == "def one():\n    return 1" + end
    assert HumanEval().program(problem, whole) == "one = lambda: 1" + end


def test_bad_data_are_named(tmp_path):
    with pytest.raises(BenchmarkError, match="no such folder"):
        HumanEval().problems(tmp_path / "absent")
    with pytest.raises(BenchmarkError, match="brings no benchmark data"):
        HumanEval().problems(tmp_path)
    with pytest.raises(BenchmarkError, match=r":2: task_id 'H/0' for the second time"):
        HumanEval().problems(data(tmp_path, ROW, ROW))
    with pytest.raises(BenchmarkError, match=r":1: no field 'entry_point'"):
        HumanEval().problems(data(tmp_path, {k: v for k, v in ROW.items() if k != "entry_point"}))
    with pytest.raises(BenchmarkError, match="no problems"):
        HumanEval().problems(data(tmp_path))


@needs_box
@needs_data
@pytest.mark.shared
@pytest.mark.slow
def test_official_example_gives_the_official_verdicts():
    problems = HumanEval().problems(SHARED / "humaneval" / "example_problem.jsonl")
    samples = read_completions(SHARED / "humaneval" / "example_samples.jsonl", problems)
    result = score(HumanEval(), problems, samples)
    # the published figure is 0.49999999999999994: the official product of floats
    assert result.scores["pass@1"] == pytest.approx(0.49999999999999994, abs=1e-15)
    assert [row["status"] for row in result.problems] == [
        "runtime_error",  # no program "rm -rf tmp"
        "timeout",  # sleeps for ten seconds
        "runtime_error",  # reads from an empty input
        "passed",
        "passed",
        "passed",
    ]


@needs_box
@needs_data
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("benchmark", [HumanEval(), HumanEvalPack()])
def test_every_canonical_solution_passes(benchmark):
    problems = benchmark.problems(SHARED)
    samples = [Sample(problem_id=p.id, sample=0, text=p.reference) for p in problems]
    assert score(benchmark, problems, samples).verdicts == {"passed": 164}


@needs_box
@needs_data
@pytest.mark.shared
@pytest.mark.slow
def test_no_buggy_solution_passes():
    benchmark = HumanEvalPack()
    problems = benchmark.problems(SHARED)
    path = SHARED / "humanevalpack" / "humanevalpack-python.jsonl.gz"
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    samples = [
        Sample(problem_id=row["task_id"], sample=0, text=row["buggy_solution"]) for row in rows
    ]
    verdicts = score(benchmark, problems, samples).verdicts
    assert sum(verdicts.values()) == 164
    assert not verdicts.keys() & {"passed", "infrastructure", "compile_error"}


@needs_box
@needs_data
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize("size", ["7b", "1.5b"])
def test_recorded_verdicts_of_a_model_are_reproduced_one_by_one(size):
    folder = SHARED / "recorded-outputs" / f"qwen2.5-coder-{size}-base" / "evalplus" / "humaneval"
    path = folder / "generated_eval_results.json.gz"
    record = json.loads(gzip.decompress(path.read_bytes()))["eval"]
    problems = HumanEval().problems(SHARED)
    samples = [
        Sample(problem_id=name, sample=0, text=rows[0]["solution"], whole=True)
        for name, rows in record.items()
    ]
    ours = {
        s.sample.problem_id: s.verdict.status == "passed"
        for s in judge_all(HumanEval(), problems, samples)
    }
    assert ours == {name: rows[0]["base_status"] == "pass" for name, rows in record.items()}


@needs_box
@needs_data
@pytest.mark.shared
def test_a_few_canonical_solutions_pass_quickly_and_their_opposites_fail():
    problems = HumanEval().problems(SHARED)[:8]
    right = [Sample(problem_id=p.id, sample=0, text=p.reference) for p in problems]
    assert score(HumanEval(), problems, right).verdicts == {"passed": 8}
    wrong = [Sample(problem_id=p.id, sample=0, text="    return None\n") for p in problems]
    assert "passed" not in score(HumanEval(), problems, wrong).verdicts


@needs_box
def test_problems_never_reach_the_disk_of_the_box(tmp_path):
    assert run(["ls", "-A", "/tmp"]).stdout == ""
