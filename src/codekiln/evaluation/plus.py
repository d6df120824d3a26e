"""HumanEval+ and MBPP+: the same problems, and eighty and thirty-five times as many tests.

Read from the self-contained form of the sets (`*-OriginFmt.jsonl`), whose tests hold inputs and
expected results. They compare floats by numpy's `allclose`; the box's Python has no packages, so
that function stands in for the module (`_ALLCLOSE`), with the same tolerances.

Source: Liu et al. 2023 (EvalPlus); DeepSeek-Coder-V2 §4.1 reports both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from codekiln.errors import BenchmarkError
from codekiln.evaluation.completions import Sample
from codekiln.evaluation.humaneval import HumanEval, find_file, read_problems
from codekiln.evaluation.rows import text_field
from codekiln.sandbox.limits import Limits
from codekiln.types import Problem

# a thousand tests each; one of MBPP+'s reference solutions needs over a gigabyte
LIMITS = Limits(cpu_seconds=60, wall_seconds=90, memory_bytes=4 * 2**30)
# the test of HumanEval/32 as it is written there calls the answer the wrong way round
_WRONG, _RIGHT = "_poly(*candidate(*inp), inp)", "_poly(*inp, candidate(*inp))"
_NUMPY = "import numpy as np\n"
_ALLCLOSE = """class np:
    class ndarray:
        pass

    float32 = float64 = float

    @staticmethod
    def allclose(out, exp, rtol, atol):
        if isinstance(exp, (list, tuple)) or isinstance(out, (list, tuple)):
            if not (isinstance(exp, (list, tuple)) and isinstance(out, (list, tuple))):
                scalar, many = (exp, out) if isinstance(out, (list, tuple)) else (out, exp)
                return all(np.allclose(scalar, one, rtol, atol) for one in many)
            if len(out) != len(exp):
                raise ValueError("shapes differ")
            return all(np.allclose(a, b, rtol, atol) for a, b in zip(out, exp))
        return out == exp or abs(out - exp) <= atol + rtol * abs(exp)
"""


class HumanEvalPlus(HumanEval):
    """164 functions, as of HumanEval."""

    name: ClassVar[str] = "humaneval-plus"
    files: ClassVar[tuple[str, ...]] = (
        "HumanEvalPlus-OriginFmt.jsonl.gz",
        "HumanEvalPlus-OriginFmt.jsonl",
    )
    folder: ClassVar[str] = "humaneval-plus"
    limits: ClassVar[Limits] = LIMITS

    def _with_tests(self, place: str, row: dict[str, Any], entry: str, tests: str) -> Problem:
        return super()._with_tests(place, row, entry, _without_numpy(place, tests))


class MBPPPlus(HumanEval):
    """378 tasks of MBPP, those with sound tests; asked by a docstring with one test."""

    name: ClassVar[str] = "mbpp-plus"
    stop: ClassVar[tuple[str, ...]] = ('\n"""', "\nassert", "\nprint", "\n#", "\nif __name__")
    files: ClassVar[tuple[str, ...]] = ("MbppPlus-OriginFmt.jsonl.gz", "MbppPlus-OriginFmt.jsonl")
    folder: ClassVar[str] = "mbpp-plus"
    limits: ClassVar[Limits] = LIMITS

    def problems(self, data: Path) -> list[Problem]:
        """The problems in `data`, as of `HumanEval.problems`.

        Raises:
            BenchmarkError: no such file, a malformed row, or an id that stands twice.
        """
        return read_problems(find_file(data, self.folder, self.files), self._problem)

    def program(self, problem: Problem, sample: Sample) -> str:
        """The answer (the prompt is a docstring), then the tests."""
        return f"{sample.text}\n{problem.tests}"

    def _problem(self, place: str, row: dict[str, Any]) -> Problem:
        tests = row.get("test_list")
        if not isinstance(tests, list) or not tests:
            raise BenchmarkError(place, got=f"test_list {tests!r}"[:80], wanted="assertions")
        return Problem(
            id=f"Mbpp/{row.get('task_id')}",
            prompt=f'"""\n{text_field(place, row, "prompt")}\n{tests[0]}\n"""\n',
            tests=_without_numpy(place, text_field(place, row, "test")),
            stop=self.stop,
            reference=text_field(place, row, "code"),
        )


def _without_numpy(place: str, tests: str) -> str:
    found = tests.replace(_NUMPY, _ALLCLOSE).replace(_WRONG, _RIGHT)
    used = found.replace("np.allclose", "").replace("np.ndarray", "").replace("np.float", "")
    if "np." in used.split("inputs =")[0]:
        raise BenchmarkError(place, got="tests that need more of numpy", wanted="np.allclose alone")
    return found
