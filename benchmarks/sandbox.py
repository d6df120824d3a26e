"""What the sandbox costs: milliseconds a program, and HumanEval with and without it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from benchmarks.rows import Row, paired
from codekiln.errors import SandboxError
from codekiln.evaluation.completions import Sample
from codekiln.evaluation.humaneval import HumanEval
from codekiln.evaluation.score import judge_all
from codekiln.sandbox.box import find
from codekiln.sandbox.run import PYTHON
from codekiln.sandbox.run import run as run_boxed

DATA = Path(__file__).resolve().parents[2] / "shared" / "benchmarks"
EMPTY = ["-s", "-S", "-c", "pass"]
TARGET_MILLISECONDS = 40


def run() -> list[Row]:
    try:
        box = find()
    except SandboxError as error:
        return [Row(what="sandbox", ours=float("nan"), unit="ms", note=f"no box here: {error.got}")]
    return [_one_program(box.python), _humaneval()]


def _one_program(python: str) -> Row:
    boxed, bare = paired(
        lambda: run_boxed([PYTHON, *EMPTY]),
        lambda: subprocess.run([python, *EMPTY], capture_output=True, check=True),
        rounds=60,
        warmup=5,
    )
    return Row(
        what="sandbox: one empty Python program (less is better)",
        ours=boxed * 1000,
        unit="ms",
        peer=bare * 1000,
        peer_name="bare subprocess",
        target=f"at most {TARGET_MILLISECONDS} ms more",
        note=f"{(boxed - bare) * 1000:.1f} ms more",
    )


def _humaneval() -> Row:
    what = "sandbox: HumanEval's 164 canonical solutions (less is better)"
    if not DATA.is_dir():
        return Row(what=what, ours=float("nan"), unit="s", note="needs ../shared/benchmarks")
    benchmark = HumanEval()
    problems = benchmark.problems(DATA)
    samples = [Sample(problem_id=p.id, sample=0, text=p.reference) for p in problems]

    def scored(*, unsafe: bool) -> None:
        verdicts = judge_all(benchmark, problems, samples, unsafe=unsafe)
        failed = [s.sample.problem_id for s in verdicts if s.verdict.status != "passed"]
        if failed:
            raise SystemExit(f"canonical solutions failed: {failed}")

    boxed, bare = paired(lambda: scored(unsafe=False), lambda: scored(unsafe=True), rounds=3)
    return Row(
        what=what,
        ours=boxed,
        unit="s",
        peer=bare,
        peer_name="same run, no sandbox",
        note="164/164 passed in both, programs side by side on all cores",
    )
