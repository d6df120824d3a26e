"""Completions files: good ones in order, bad ones named with their line."""

from __future__ import annotations

import gzip
import json

import pytest

from codekiln.errors import BenchmarkError
from codekiln.evaluation.completions import read_completions
from codekiln.types import Problem

PROBLEMS = [Problem(id=name, prompt="", tests="") for name in ("T/0", "T/1")]
GOOD = [{"task_id": "T/0", "completion": "a"}, {"task_id": "T/1", "solution": "b"}]


def written(tmp_path, *lines: bytes | dict):
    path = tmp_path / "completions.jsonl"
    path.write_bytes(
        b"".join((x if isinstance(x, bytes) else json.dumps(x).encode()) + b"\n" for x in lines)
    )
    return path


def test_both_kinds_several_samples_and_empty_lines(tmp_path):
    path = written(tmp_path, GOOD[1], b"", {"task_id": "T/0", "completion": ""}, GOOD[0])
    samples = read_completions(path, PROBLEMS)
    assert [(s.problem_id, s.sample, s.text, s.whole) for s in samples] == [
        ("T/0", 0, "", False),
        ("T/0", 1, "a", False),
        ("T/1", 0, "b", True),
    ]


def test_gzipped_and_numbered(tmp_path):
    rows = [{**GOOD[0], "sample": 5}, {**GOOD[0], "sample": 2}, GOOD[1]]
    path = tmp_path / "completions.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))
    assert [s.sample for s in read_completions(path, PROBLEMS)] == [2, 5, 0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"task_id": "T/0", "completion": "\xff"}', "not UTF-8"),
        (b'{"task_id": "T/0", "completion"', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'["T/0", "x"]', "a JSON list"),
        ({"completion": "x"}, "no field 'task_id'"),
        ({"task_id": 7, "completion": "x"}, "task_id is int"),
        ({"task_id": "T/9", "completion": "x"}, "not in the benchmark"),
        ({"task_id": "T/0"}, "neither completion nor solution"),
        ({"task_id": "T/0", "completion": "x", "solution": "y"}, "completion and solution"),
        ({"task_id": "T/0", "completion": ["x"]}, "completion is list"),
        ({"task_id": "T/0", "completion": "x", "sample": -1}, "sample -1"),
        ({"task_id": "T/0", "completion": "x", "sample": True}, "sample True"),
        ({"task_id": "T/0", "completion": "x", "sample": 0}, "for the second time"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, said):
    path = written(tmp_path, *GOOD, line)
    with pytest.raises(BenchmarkError) as error:
        read_completions(path, PROBLEMS)
    assert error.value.where == f"{path}:3"
    assert said in error.value.got


def test_the_nearest_id_is_offered(tmp_path):
    problems = [Problem(id="HumanEval/12", prompt=""), *PROBLEMS]
    path = written(tmp_path, {"task_id": "HumanEva/12", "completion": ""})
    with pytest.raises(BenchmarkError, match="did you mean 'HumanEval/12'"):
        read_completions(path, problems)


def test_missing_problems_are_an_error_unless_partial(tmp_path):
    path = written(tmp_path, GOOD[0])
    with pytest.raises(BenchmarkError, match="1 of 2 problems have no completion, such as 'T/1'"):
        read_completions(path, PROBLEMS)
    assert len(read_completions(path, PROBLEMS, partial=True)) == 1


def test_no_file_no_rows_and_a_cut_archive(tmp_path):
    with pytest.raises(BenchmarkError, match="no such file"):
        read_completions(tmp_path / "absent", PROBLEMS)
    for partial in (False, True):
        with pytest.raises(BenchmarkError, match="no completions"):
            read_completions(written(tmp_path), PROBLEMS, partial=partial)
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json.dumps(GOOD[0]).encode() * 99)[:-12])
    with pytest.raises(BenchmarkError, match="cannot be read"):
        read_completions(cut, PROBLEMS)
    with pytest.raises(BenchmarkError, match="cannot be read"):
        read_completions(tmp_path, PROBLEMS)
