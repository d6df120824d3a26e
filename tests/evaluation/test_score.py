"""Verdicts to scores: second runs, failures of ours, several samples."""

from __future__ import annotations

import threading

import pytest

from codekiln.errors import SandboxError
from codekiln.evaluation import score as scoring
from codekiln.evaluation.completions import Sample
from codekiln.evaluation.humaneval import HumanEval
from codekiln.evaluation.score import Scored, score, summarise
from codekiln.types import Problem, Verdict

PROBLEMS = [Problem(id=f"T/{n}", prompt="", tests="") for n in range(3)]
BENCHMARK = HumanEval()


def sample(problem: int, number: int = 0, text: str = "") -> Sample:
    return Sample(problem_id=f"T/{problem}", sample=number, text=text)


def scored(problem: int, status: str, number: int = 0) -> Scored:
    return Scored(sample=sample(problem, number), verdict=Verdict(status=status))


class FakeBox:
    """Answers a program by what stands in its text, and notes how many run at a time."""

    def __init__(self, answers):
        self.answers = {text: list(verdicts) for text, verdicts in answers.items()}
        self.alone: list[str] = []
        self.running = 0
        self.lock = threading.Lock()

    def judge(self, program, *, limits, unsafe=False):
        text = program.strip()
        with self.lock:
            return self.answers[text].pop(0)


def patched(monkeypatch, **answers):
    box = FakeBox(answers)
    monkeypatch.setattr(scoring, "judge", box.judge)
    return box


def wall() -> Verdict:
    return Verdict(status="timeout", notes=("wall",))


def test_a_wall_timeout_gets_one_more_run_alone_and_a_cpu_timeout_none(monkeypatch):
    box = patched(
        monkeypatch,
        slow=[wall(), Verdict(status="passed")],
        endless=[wall(), wall(), Verdict(status="passed")],
        burning=[Verdict(status="timeout", notes=("cpu",)), Verdict(status="passed")],
    )
    samples = [sample(0, text="slow"), sample(1, text="endless"), sample(2, text="burning")]
    result = score(BENCHMARK, PROBLEMS, samples)
    assert [row["status"] for row in result.problems] == ["passed", "timeout", "timeout"]
    assert {text: len(left) for text, left in box.answers.items()} == {
        "slow": 0,
        "endless": 1,
        "burning": 1,
    }


def test_infrastructure_is_never_a_wrong_answer(monkeypatch):
    ours = Verdict(status="infrastructure", notes=("x",))
    patched(
        monkeypatch,
        good=[Verdict(status="passed")],
        bad=[Verdict(status="wrong")],
        broken=[ours, ours],
    )
    samples = [sample(0, text="good"), sample(1, text="bad"), sample(2, text="broken")]
    result = score(BENCHMARK, PROBLEMS, samples)
    assert result.scores["pass@1"] == 0.5
    assert result.verdicts == {"passed": 1, "wrong": 1, "infrastructure": 1}


def test_if_no_program_ran_that_is_an_error(monkeypatch):
    ours = Verdict(status="infrastructure", stderr="no namespaces", notes=("x",))
    patched(monkeypatch, a=[ours, ours])
    with pytest.raises(SandboxError, match="no namespaces"):
        score(BENCHMARK, PROBLEMS, [sample(0, text="a")])


def test_the_json_has_exactly_the_documented_keys():
    result = summarise(BENCHMARK, PROBLEMS, [scored(n, "passed") for n in range(3)]).to_json()
    assert list(result) == ["benchmark", "profile", "scores", "verdicts", "problems"]
    assert result["problems"][0] == {"id": "T/0", "status": "passed"}
    assert result["scores"] == {"pass@1": 1.0, "pass@1_interval": [1.0, 1.0]}
    assert (result["benchmark"], result["profile"]) == ("humaneval", "strict")


def test_samples_are_numbered_only_where_a_problem_has_several():
    rows = [scored(0, "passed"), scored(0, "wrong", 1), scored(1, "wrong"), scored(2, "passed")]
    result = summarise(BENCHMARK, PROBLEMS, rows)
    assert result.problems[1] == {"id": "T/0", "status": "wrong", "sample": 1}
    assert result.scores["pass@1"] == (0.5 + 0 + 1) / 3


def test_pass_at_10_needs_ten_samples_of_every_problem():
    ten = [scored(p, "passed" if n == p else "wrong", n) for p in range(3) for n in range(10)]
    result = summarise(BENCHMARK, PROBLEMS, ten)
    assert result.scores["pass@1"] == pytest.approx(0.1)
    assert result.scores["pass@10"] == 1.0
    assert "pass@100" not in result.scores
    assert "pass@10" not in summarise(BENCHMARK, PROBLEMS, ten[:-1]).scores


def test_missing_problems_are_counted():
    result = summarise(BENCHMARK, PROBLEMS, [scored(0, "passed")])
    assert result.scores["missing_problems"] == 2
    assert result.scores["pass@1"] == 1.0
