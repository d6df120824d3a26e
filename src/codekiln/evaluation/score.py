"""Completions to verdicts to scores: programs run in the sandbox, side by side.

A program that ran out of wall time may only have waited for its neighbours, so it runs once
more alone; so does one for which the box itself failed. What then still failed for a reason of
ours is `infrastructure`: counted, reported, and left out of the score, never a wrong answer.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Protocol, get_args

from codekiln.errors import SandboxError
from codekiln.evaluation.completions import Sample
from codekiln.evaluation.metrics import interval, pass_at_k
from codekiln.log import Progress, logger
from codekiln.sandbox.limits import Limits
from codekiln.sandbox.pool import run_many
from codekiln.sandbox.run import PYTHON, run
from codekiln.types import Problem, Status, Verdict

KS = (1, 10, 100)
STATUSES: tuple[Status, ...] = get_args(Status)
# The same order of sets and dictionaries in every run: scores that reproduce.
ENVIRONMENT = {"PYTHONHASHSEED": "0"}


class PythonBenchmark(Protocol):
    """What scoring needs to know of a benchmark whose answers are Python programs."""

    @property
    def name(self) -> str:
        """As on the command line."""
        ...

    @property
    def profile(self) -> str:
        """The rules by which it is scored."""
        ...

    @property
    def limits(self) -> Limits:
        """Of one program."""
        ...

    def program(self, problem: Problem, sample: Sample) -> str:
        """The program that passes if the sample is right."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The verdict on one sample."""

    sample: Sample
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a benchmark gave: numbers, counts of verdicts, and each sample's verdict.

    `problems` are rows for JSON: {"id", "status"}, and "sample" where a problem has several.
    """

    benchmark: str
    profile: str
    scores: Mapping[str, Any]
    verdicts: Mapping[str, int]
    problems: Sequence[Mapping[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """As `codekiln eval score --json` prints it."""
        return {
            "benchmark": self.benchmark,
            "profile": self.profile,
            "scores": dict(self.scores),
            "verdicts": dict(self.verdicts),
            "problems": [dict(row) for row in self.problems],
        }


def score(
    benchmark: PythonBenchmark,
    problems: Sequence[Problem],
    samples: Sequence[Sample],
    *,
    workers: int = 0,
    unsafe: bool = False,
) -> Score:
    """Run every sample and sum up.

    Args:
        benchmark: builds the programs.
        problems: all of the benchmark; those without a sample are reported as missing.
        samples: one or more for each problem.
        workers: programs at a time; 0 means one a core.
        unsafe: without the sandbox; only for programs that you trust.

    Raises:
        SandboxError: no safe way to run them here, or the box failed for every program.
    """
    return summarise(benchmark, problems, judge_all(benchmark, problems, samples, workers, unsafe))


def judge_all(
    benchmark: PythonBenchmark,
    problems: Sequence[Problem],
    samples: Sequence[Sample],
    workers: int = 0,
    unsafe: bool = False,
) -> list[Scored]:
    """The verdict on every sample, in the order of `samples`.

    Raises:
        SandboxError: as in `score`.
    """
    by_id = {problem.id: problem for problem in problems}

    def judge_one(sample: Sample) -> Verdict:
        program = benchmark.program(by_id[sample.problem_id], sample)
        return judge(program, limits=benchmark.limits, unsafe=unsafe)

    verdicts: dict[int, Verdict] = {}
    with Progress(f"scoring {benchmark.name}", total=len(samples), unit="programs") as progress:
        for index, verdict in run_many(judge_one, samples, workers=workers):
            verdicts[index] = verdict
            progress.advance()
    alone = [index for index in sorted(verdicts) if _deserves_another_run(verdicts[index])]
    if alone:
        with Progress("again, alone", total=len(alone), unit="programs") as progress:
            for index in alone:
                verdicts[index] = _noted(judge_one(samples[index]), "second run, alone")
                progress.advance()
    scored = [Scored(sample=s, verdict=verdicts[index]) for index, s in enumerate(samples)]
    _check_box(scored)
    return scored


def judge(program: str, *, limits: Limits, unsafe: bool = False) -> Verdict:
    """Run one Python program in the box: passed, wrong (an assertion), compile_error, …

    It passes only if it ran to its last line without an error; see `harness`.
    """
    word = secrets.token_hex(16)
    verdict = run(
        [PYTHON, "-s", "-S", "-c", _harness()],
        stdin=f"{word}\n".encode() + program.encode("utf-8", "surrogatepass"),
        limits=limits,
        environment=ENVIRONMENT,
        unsafe=unsafe,
    )
    if verdict.status in ("timeout", "infrastructure", "out_of_memory"):
        return verdict
    output, _, last = verdict.stdout.rstrip("\n").rpartition("\n")
    said, _, status = last.partition(" ")
    if said == word and status in STATUSES:
        return replace(verdict, status=status, stdout=output, notes=())
    if verdict.status == "passed":
        left = "left before its tests ended"
        return replace(verdict, status="runtime_error", notes=(left,))
    return verdict


def summarise(
    benchmark: PythonBenchmark, problems: Sequence[Problem], scored: Sequence[Scored]
) -> Score:
    """pass@1, @10 and @100 as far as every problem has the samples, with intervals.

    The mean is over problems. A problem whose samples all failed for a reason of ours has no
    estimate and is left out; one without any sample counts as "missing_problems".
    """
    verdicts = Counter(s.verdict.status for s in scored)
    ran: dict[str, list[bool]] = {}
    for s in scored:
        if s.verdict.status != "infrastructure":
            ran.setdefault(s.sample.problem_id, []).append(s.verdict.status == "passed")
    scores: dict[str, Any] = {}
    for k in KS:
        if ran and k <= min(map(len, ran.values())):
            values = [pass_at_k(len(results), sum(results), k) for results in ran.values()]
            scores[f"pass@{k}"] = sum(values) / len(values)
            scores[f"pass@{k}_interval"] = list(interval(values))
    attempted = {s.sample.problem_id for s in scored}
    if len(attempted) < len(problems):
        scores["missing_problems"] = len(problems) - len(attempted)
    several = len(scored) > len(attempted)
    return Score(
        benchmark=benchmark.name,
        profile=benchmark.profile,
        scores=scores,
        verdicts={status: verdicts[status] for status in STATUSES if verdicts[status]},
        problems=[_row(s, several=several) for s in scored],
    )


def _row(scored: Scored, *, several: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": scored.sample.problem_id, "status": scored.verdict.status}
    return {**row, "sample": scored.sample.sample} if several else row


def _deserves_another_run(verdict: Verdict) -> bool:
    return verdict.status == "infrastructure" or (
        verdict.status == "timeout" and "wall" in verdict.notes
    )


def _noted(verdict: Verdict, note: str) -> Verdict:
    return replace(verdict, notes=(*verdict.notes, note))


def _check_box(scored: Sequence[Scored]) -> None:
    ours = [s.verdict for s in scored if s.verdict.status == "infrastructure"]
    if ours and len(ours) == len(scored):
        raise SandboxError(
            "sandbox",
            got=f"no program could run: {ours[0].stderr.strip()[-300:] or ours[0].notes[0]}",
            remedy="see `codekiln doctor`",
        )
    if ours:
        logger.warning("%d programs could not be run and are left out of the score", len(ours))


def _harness() -> str:
    return resources.files("codekiln.evaluation").joinpath("harness.py").read_text("utf-8")
