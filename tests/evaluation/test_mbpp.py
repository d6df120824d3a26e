"""MBPP: the prompt as the paper builds it, both rules, and the real tasks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from codekiln.errors import BenchmarkError, UserError
from codekiln.evaluation.completions import Sample
from codekiln.evaluation.mbpp import MBPP
from codekiln.evaluation.profiles import make
from codekiln.evaluation.score import score

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "benchmarks"
needs_box = pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bwrap (bubblewrap)")
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/benchmarks")
NEEDS_SETUP = "Mbpp/367"


def row(number, **changes):
    return {
        "task_id": number,
        "text": f"Write task {number}.",
        "code": f"def f{number}():\r\n\treturn {number}",
        "test_setup_code": "",
        "test_list": [f"assert f{number}() == {number}", f"assert f{number}() > 0"],
        **changes,
    }


def write(tmp_path, rows):
    path = tmp_path / "mbpp" / "mbpp.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return path


@pytest.fixture
def data(tmp_path):
    return write(tmp_path, [row(number) for number in range(1, 601)])


def test_the_prompt_is_three_examples_and_the_task(data, tiny_tokenizer):
    benchmark = MBPP()
    problems = benchmark.problems(data)
    assert [p.id for p in problems] == [f"Mbpp/{n}" for n in range(11, 511)]
    ids = benchmark.prompt(tiny_tokenizer, problems[0], 10_000, "psm").ids
    text = tiny_tokenizer.decode_bytes(ids[1:]).decode()
    intro = "You are an expert Python programmer, and here is your task: "
    shots = "".join(
        f"{intro}Write task {n}. Your code should pass these tests:\n\n"
        f"assert f{n}() == {n}\nassert f{n}() > 0\n[BEGIN]\ndef f{n}():\n    return {n}\n[DONE]\n"
        for n in (2, 3, 4)
    )
    asked = f"{intro}Write task 11. Your code should pass these tests:\n\n"
    assert text == f"{shots}{asked}assert f11() == 11\nassert f11() > 0\n[BEGIN]"


def test_examples_that_do_not_fit_are_left_out_whole(data, tiny_tokenizer):
    benchmark = MBPP()
    problem = benchmark.problems(data)[0]
    whole = len(benchmark.prompt(tiny_tokenizer, problem, 10_000, "psm").ids)
    ids = benchmark.prompt(tiny_tokenizer, problem, whole - 1, "psm").ids
    text = tiny_tokenizer.decode_bytes(ids[1:]).decode()
    assert text.startswith("You are an expert")
    assert text.count("[BEGIN]") == 3
    assert text.endswith("[BEGIN]")


def test_setup_code_runs_by_strict_rules_alone(data, tmp_path):
    rows = [row(number) for number in range(1, 601)]
    rows[10] = row(11, test_setup_code="LIMIT = 3")
    problem = MBPP().problems(write(tmp_path, rows))[0]
    sample = Sample(problem_id=problem.id, sample=0, text=" def f11(): return 11\n[DONE]\nx = (")
    tests = "assert f11() == 11\nassert f11() > 0"
    assert MBPP("strict").program(problem, sample) == f"def f11(): return 11\nLIMIT = 3\n{tests}"
    assert MBPP("paper").program(problem, sample) == f"def f11(): return 11\n{tests}"


def test_bad_data_are_named(tmp_path):
    with pytest.raises(BenchmarkError, match="no task 510"):
        MBPP().problems(write(tmp_path, [row(number) for number in range(1, 510)]))
    broken = [row(1, test_list="assert 1"), *[row(n) for n in range(2, 511)]]
    assert len(MBPP().problems(write(tmp_path, broken))) == 500  # task 1 is not used
    broken[20] = row(21, test_list=[])
    with pytest.raises(BenchmarkError, match=r"test_list \[\]"):
        MBPP().problems(write(tmp_path, broken))
    with pytest.raises(BenchmarkError, match="task_id 'a'"):
        MBPP().problems(write(tmp_path, [row("a")]))


def test_rules_are_chosen_by_name():
    assert make("mbpp").profile == "strict"
    assert make("mbpp", "paper").profile == "paper"
    assert make("humaneval", "strict").profile == "strict"
    with pytest.raises(UserError, match="are the same"):
        make("humaneval", "paper")


@needs_box
@needs_data
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(("profile", "failed"), [("strict", []), ("paper", [NEEDS_SETUP])])
def test_the_reference_solutions_pass(profile, failed):
    benchmark = MBPP(profile)
    problems = [p for p in benchmark.problems(SHARED) if _due(p.id)]
    samples = [Sample(problem_id=p.id, sample=0, text=p.reference) for p in problems]
    result = score(benchmark, problems, samples)
    assert [row["id"] for row in result.problems if row["status"] != "passed"] == failed
    assert result.scores["pass@1"] == (len(problems) - len(failed)) / len(problems)


def _due(name):
    """A sixth, and the task that the two rules differ in: all take a minute."""
    return int(name.split("/")[1]) % 6 == 0 or name == NEEDS_SETUP
