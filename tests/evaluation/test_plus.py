"""HumanEval+ and MBPP+: the stand-in for numpy, the references, and recorded verdicts."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.errors import BenchmarkError
from codekiln.evaluation.completions import Sample, read_completions
from codekiln.evaluation.plus import _ALLCLOSE, HumanEvalPlus, MBPPPlus, _without_numpy
from codekiln.evaluation.score import score

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "benchmarks"
RECORDED = SHARED / "recorded-outputs" / "qwen2.5-coder-7b-base" / "evalplus" / "humaneval"
needs_box = pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bwrap (bubblewrap)")
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/benchmarks")

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32) | st.integers(-9, 9)
NEAR = st.floats(-1e-6, 1e-6)


def stand_in() -> Any:
    names: dict[str, Any] = {}
    exec(_ALLCLOSE, names)
    return names["np"]


@given(st.lists(st.tuples(NUMBERS, NEAR), min_size=1, max_size=4), st.sampled_from([1e-6, 1e-8]))
def test_the_stand_in_is_numpys(pairs: list[tuple[float, float]], atol: float) -> None:
    out, exp = [x for x, _ in pairs], [x + d for x, d in pairs]
    with np.errstate(invalid="ignore"):
        assert stand_in().allclose(out, exp, 1e-07, atol) == np.allclose(out, exp, 1e-07, atol)
        one = np.allclose(out[0], exp[0], 1e-07, atol)
    assert stand_in().allclose(out[0], exp[0], 1e-07, atol) == one


def test_other_uses_of_numpy_are_refused() -> None:
    with pytest.raises(BenchmarkError, match="more of numpy"):
        _without_numpy("row", "import numpy as np\nx = np.linalg\ninputs = []\n")


@needs_box
@needs_data
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("benchmark", "count", "every"),
    [(HumanEvalPlus(), 164, 8), (MBPPPlus(), 378, 21)],
    ids=["humaneval", "mbpp"],
)
def test_the_reference_solutions_pass(benchmark: Any, count: int, every: int) -> None:
    problems = benchmark.problems(SHARED)
    assert len(problems) == count
    some = problems[::every]  # with HumanEval/32, whose test is mended
    samples = [Sample(problem_id=p.id, sample=0, text=p.reference) for p in some]
    result = score(benchmark, some, samples)
    assert [row for row in result.problems if row["status"] != "passed"] == []


@needs_box
@needs_data
@pytest.mark.shared
@pytest.mark.slow
def test_recorded_verdicts_are_ours() -> None:
    benchmark = HumanEvalPlus()
    problems = benchmark.problems(SHARED)
    # all 164 take a minute: `codekiln eval score humaneval-plus` gives their 53.0
    samples = read_completions(RECORDED / "generated.jsonl.gz", problems)[::4]
    result = score(benchmark, problems, samples)
    assert len(result.problems) == 41
    with gzip.open(RECORDED / "generated_eval_results.json.gz", "rt") as file:
        recorded = json.load(file)["eval"]
    for row in result.problems:
        (theirs,) = recorded[row["id"]]
        passed = theirs["base_status"] == theirs["plus_status"] == "pass"
        assert (row["status"] == "passed") == passed, row["id"]
