"""The published infilling sets: the truth gives all, a wrong line nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codekiln.errors import BenchmarkError
from codekiln.evaluation.completions import Sample
from codekiln.evaluation.fim_single_line import FimSingleLine
from codekiln.evaluation.humaneval_infilling import (
    MultiLine,
    RandomSpan,
    RandomSpanLight,
    SingleLine,
)
from codekiln.evaluation.score import score
from codekiln.types import Completion

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "benchmarks"
needs_box = pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bwrap (bubblewrap)")
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/benchmarks")
ROWS = [
    {
        "name": name,
        "language": language,
        "prompt": "start\n",
        "suffix": "end\n",
        "canonical_solution": line,
        "tests": "",
    }
    for name, language, line in [
        ("a-L1", "py", "    return 1"),
        ("b-L1", "py", "x = 2"),
        ("a-L1", "java", "    }"),
    ]
]


def parquet(tmp_path, rows):
    path = tmp_path / "train.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def scored(benchmark, problems, write):
    completions = [Completion(problem_id=p.id, text=write(p)) for p in problems]
    return benchmark.score(problems, completions, unsafe=False)


def test_a_line_is_right_without_the_blanks_around_it(tmp_path):
    benchmark = FimSingleLine()
    problems = benchmark.problems(parquet(tmp_path, ROWS))
    assert [p.id for p in problems] == ["py/a-L1", "py/b-L1", "java/a-L1"]
    assert [p.id for p in benchmark.load(tmp_path, limit=1)] == ["py/a-L1", "java/a-L1"]
    texts = {"py/a-L1": "\nreturn 1 \nmore", "py/b-L1": "x = 3", "java/a-L1": "}"}
    result = scored(benchmark, problems, lambda p: texts[p.id])
    assert result.scores["exact_match_python"] == 0.5
    assert result.scores["exact_match_java"] == 1.0
    assert result.scores["exact_match"] == 0.75  # of languages, not of lines
    assert [row["status"] for row in result.problems] == ["passed", "wrong", "passed"]
    assert benchmark.score(problems, [], unsafe=False).scores["exact_match"] == 0.0


def test_the_prompt_is_the_fim_layout(tmp_path, tiny_tokenizer):
    (problem, *_) = FimSingleLine().problems(parquet(tmp_path, ROWS))
    special, encode = tiny_tokenizer.special, tiny_tokenizer.encode
    ids = FimSingleLine().prompt(tiny_tokenizer, problem, 500, "psm").ids
    begin, hole, end = special.fim()
    expected = [special.bos, begin, *encode("start\n"), hole, *encode("end\n"), end]
    assert ids == expected
    assert SingleLine().prompt(tiny_tokenizer, problem, 500, "psm").ids == expected


def test_bad_data_are_named(tmp_path):
    with pytest.raises(BenchmarkError, match="for the second time"):
        FimSingleLine().problems(parquet(tmp_path, [ROWS[0], ROWS[0]]))
    with pytest.raises(BenchmarkError, match="language 'c'"):
        FimSingleLine().problems(parquet(tmp_path, [{**ROWS[0], "language": "c"}]))
    with pytest.raises(BenchmarkError, match="no field 'suffix'"):
        without = {k: v for k, v in ROWS[0].items() if k != "suffix"}
        FimSingleLine().problems(parquet(tmp_path, [without]))
    (tmp_path / "train.parquet").write_text("no")
    with pytest.raises(BenchmarkError, match="cannot be read"):
        FimSingleLine().problems(tmp_path)


def test_what_is_written_stands_between_prefix_and_suffix(tmp_path):
    row = {
        "task_id": "SingleLineInfilling/HumanEval/0/L0",
        "entry_point": "one",
        "prompt": "def one():\n",
        "suffix": "    return x\n",
        "canonical_solution": "    x = 1\n",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
    }
    path = tmp_path / "HumanEval-SingleLineInfilling.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (problem,) = SingleLine().problems(tmp_path)
    sample = Sample(problem_id=problem.id, sample=0, text="    x = 2\n")
    start = "def one():\n    x = 2\n    return x\n\n"
    assert SingleLine().program(problem, sample).startswith(start)
    assert SingleLine().program(problem, sample).endswith("check(one)")


@needs_data
@pytest.mark.shared
def test_all_published_lines_by_the_truth_and_by_a_wrong_line():
    benchmark = FimSingleLine()
    problems = benchmark.problems(SHARED)
    assert len(problems) == 4792
    right = scored(benchmark, problems, lambda p: p.reference)
    wrong = scored(benchmark, problems, lambda p: "#" + p.reference.strip())
    assert {right.scores[key] for key in right.scores if not key.endswith("interval")} == {1.0}
    assert wrong.scores["exact_match"] == 0.0


@needs_box
@needs_data
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("benchmark", "count", "every"),
    [
        (SingleLine(), 1033, 30),
        (MultiLine(), 5815, 180),
        (RandomSpan(), 1640, 50),
        (RandomSpanLight(), 164, 6),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_the_taken_out_part_passes_and_nothing_in_its_place_does_not(benchmark, count, every):
    problems = benchmark.problems(SHARED)
    assert len(problems) == count
    some = problems[::every]
    truth = [Sample(problem_id=p.id, sample=0, text=p.reference) for p in some]
    assert score(benchmark, some, truth).scores["pass@1"] == 1.0
    broken = [Sample(problem_id=p.id, sample=0, text="\n    raise ValueError\n") for p in some]
    assert score(benchmark, some, broken).scores["pass@1"] == 0.0
