"""Single-line infilling: which lines are asked for, and what an answer is worth."""

from __future__ import annotations

import random

import pytest

from codekiln.errors import BenchmarkError
from codekiln.evaluation.infilling import SingleLineInfilling
from codekiln.types import Completion, Document, Span

FILES = {
    "a.py": "import os\n\n# a comment that says much\ndef first():\n    return os.getcwd()\n",
    "b.py": "import a\n\n\ndef second(value):\n    if value:\n        return a.first()\n    }\n",
    "data.json": '{"a long key": "a long value"}\n',
    "c.c": "// only a comment here\nint main(void) {\n  return 0;\n}\n",
}
LANGUAGES = {"py": "python", "json": "json", "c": "c"}
BENCHMARK = SingleLineInfilling()


def document(name: str = "doc", files: dict[str, str] | None = None) -> Document:
    text, spans = "", []
    for path, content in (files or FILES).items():
        start = len(text)
        text += f"#{path}\n"
        body = len(text)
        text += content
        language = LANGUAGES[path.rsplit(".", 1)[1]]
        spans.append(Span(path=path, language=language, start=start, body=body, end=len(text)))
    return Document(id=name, text=text, source="test", spans=tuple(spans))


def test_the_parts_make_up_the_file_and_context_is_what_came_before():
    problems = BENCHMARK.problems([document()], limit=100)
    assert {p.path for p in problems} == {"a.py", "b.py", "c.c"}
    for problem in problems:
        assert problem.prefix + problem.line + problem.suffix == FILES[problem.path]
        assert problem.prefix == "" or problem.prefix.endswith("\n")
        assert problem.suffix.startswith("\n")
        before = list(FILES)[: list(FILES).index(problem.path)]
        assert [(f.path, f.text) for f in problem.context] == [(n, FILES[n]) for n in before]


def test_only_lines_that_say_something_are_asked_for():
    lines = {p.line for p in BENCHMARK.problems([document()], limit=100)}
    assert lines == {
        "import os",
        "def first():",
        "    return os.getcwd()",
        "import a",
        "def second(value):",
        "    if value:",
        "        return a.first()",
        "int main(void) {",
        "  return 0;",
    }


def test_the_choice_is_seeded_spread_over_files_and_blind_to_order():
    documents = [document(f"d{n}", {f"f{n}.py": FILES["b.py"]}) for n in range(20)]
    chosen = BENCHMARK.problems(documents, limit=12, seed=3)
    shuffled = random.Random(0).sample(documents, 20)
    assert BENCHMARK.problems(shuffled, limit=12, seed=3) == chosen
    assert BENCHMARK.problems(documents, limit=12, seed=4) != chosen
    assert len({p.path for p in chosen}) == 12
    assert len({p.id for p in BENCHMARK.problems(documents, limit=60)}) == 60


def test_nothing_to_ask_for_is_an_error():
    for documents in ([], [document(files={"data.json": FILES["data.json"]})]):
        with pytest.raises(BenchmarkError, match="no line to take out"):
            BENCHMARK.problems(documents)


def test_the_truth_scores_one_and_anything_else_less():
    problems = BENCHMARK.problems([document()], limit=100)
    truth = [Completion(problem_id=p.id, text=p.line + "\nand more") for p in problems]
    result = BENCHMARK.score(problems, truth)
    assert result.scores["exact_match"] == result.scores["edit_similarity"] == 1.0
    assert result.scores["exact_match_interval"] == [1.0, 1.0]
    wrong = [Completion(problem_id=p.id, text="\n" + p.line) for p in problems]
    result = BENCHMARK.score(problems, wrong)
    assert result.scores["exact_match"] == result.scores["edit_similarity"] == 0.0
    half = BENCHMARK.score(problems, truth[:-1])
    assert half.scores["exact_match"] == pytest.approx(1 - 1 / len(problems))
    assert half.verdicts == {"passed": len(problems) - 1, "wrong": 1}


def test_rows_show_the_truth_beside_what_was_written():
    (problem,) = BENCHMARK.problems([document()], limit=1)
    result = BENCHMARK.score([problem], [Completion(problem_id=problem.id, text=problem.line[:-1])])
    (row,) = result.problems
    assert row["truth"] == problem.line and row["written"] == problem.line[:-1]
    assert row["status"] == "wrong"
    assert row["id"] == f"doc:{row['path']}:{row['line']}"
    assert row["source"] == "test"
    assert FILES[row["path"]].splitlines()[row["line"] - 1] == row["truth"]
    length = len(problem.line)
    assert row["edit_similarity"] == pytest.approx((2 * length - 2) / (2 * length - 1))


def test_line_ends_of_other_systems_neither_hide_a_right_answer_nor_make_up_a_line():
    files = {"a.py": "first = 1\r\nsecond = 2\r\n", "b.py": "third = 3\rfourth = 4\n"}
    problems = BENCHMARK.problems([document(files=files)], limit=100)
    assert {p.line for p in problems} == {"first = 1\r", "second = 2\r"}
    answers = [Completion(problem_id=p.id, text=p.line.rstrip() + "\r\nmore") for p in problems]
    assert BENCHMARK.score(problems, answers).scores["exact_match"] == 1.0
