"""Whole runs with engines that are scripted, and with a real small one."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest

from codekiln.evaluation.humaneval import HumanEval
from codekiln.evaluation.infilling import SingleLineInfilling
from codekiln.evaluation.run import evaluate, identity, run_problems
from codekiln.languages.table import path_header
from codekiln.types import Document, Problem, Span

TEXTS = {
    "shapes.py": "import math\n\n\ndef area(radius):\n    return math.pi * radius ** 2\n",
    "main.py": "from shapes import area\n\n\ndef main():\n    print(area(2.0))\n",
}


def documents() -> list[Document]:
    text, spans = "", []
    for path, content in TEXTS.items():
        start = len(text)
        text += path_header(path, "python")
        body = len(text)
        text += content
        spans.append(Span(path=path, language="python", start=start, body=body, end=len(text)))
    return [Document(id="test", text=text, source="test", spans=tuple(spans))]


class Scripted:
    """Answers the prompts in order, and keeps them."""

    def __init__(self, tokenizer, answers, context_length=512):
        self.tokenizer, self.answers = tokenizer, list(answers)
        self.context_length = context_length
        self.prompts: list[list[int]] = []

    def complete_batch(self, prompts, sampling):
        self.prompts += map(list, prompts)
        self.sampling = sampling
        texts = [self.answers.pop(0) for _ in prompts]
        return [SimpleNamespace(text=t, finish_reason="stop", tokens=len(t)) for t in texts]


def test_feeding_the_truth_gives_all_and_a_wrong_line_nothing(tiny_tokenizer, tmp_path):
    problems = SingleLineInfilling().problems(documents(), limit=5)
    for answers, expected in (([p.line for p in problems], 1.0), (["#" * 99] * 5, 0.0)):
        engine = Scripted(tiny_tokenizer, answers)
        out = tmp_path / str(expected)
        result = run_problems(engine, SingleLineInfilling(), problems, out, model="m")
        assert result.scores["exact_match"] == expected
        assert result.scores["edit_similarity"] == expected
        assert json.loads((out / "infilling.json").read_text()) == result.to_json()
        rows = (out / "infilling.results.jsonl").read_text().splitlines()
        assert [json.loads(row)["id"] for row in rows] == [p.id for p in problems]


def test_infilling_prompts_hold_context_header_and_both_sides(tiny_tokenizer, tmp_path):
    problems = [p for p in SingleLineInfilling().problems(documents()) if p.path == "main.py"]
    (problem,) = [p for p in problems if p.line == "def main():"]
    engine = Scripted(tiny_tokenizer, ["def main():"])
    run_problems(engine, SingleLineInfilling(), [problem], tmp_path, model="m")
    special = tiny_tokenizer.special
    pieces = {
        special.bos: "<bos>",
        special.fim_begin: "<begin>",
        special.fim_hole: "<hole>",
        special.fim_end: "<end>",
    }
    text, ids = "", []
    for token in [*engine.prompts[0], None]:
        if token in pieces or token is None:
            text += tiny_tokenizer.decode(ids) + pieces.get(token, "")
            ids = []
        else:
            ids.append(token)
    assert text == (
        "<bos>#shapes.py\n" + TEXTS["shapes.py"] + "<begin>#main.py\nfrom shapes import area\n\n\n"
        "<hole>\n    print(area(2.0))\n<end>"
    )
    assert engine.sampling.temperature == 0
    assert engine.sampling.stop == ("\n",)


def test_humaneval_prompts_are_plain_and_scored_in_the_box(tiny_tokenizer, tmp_path):
    if not shutil.which("bwrap"):
        pytest.skip("needs bwrap (bubblewrap)")
    problems = [
        Problem(id=f"T/{n}", prompt="def one():\n", tests="assert one() == 1", entry_point="one")
        for n in range(3)
    ]
    engine = Scripted(tiny_tokenizer, ["    return 1", "    return 2", "    return"])
    result = run_problems(engine, HumanEval(), problems, tmp_path, model="m")
    assert [row["status"] for row in result.problems] == ["passed", "wrong", "wrong"]
    special = tiny_tokenizer.special
    assert engine.prompts[0] == [special.bos, *tiny_tokenizer.encode("def one():\n")]
    assert "\ndef" in engine.sampling.stop


def test_a_short_context_leaves_room_to_write(tiny_tokenizer, tmp_path):
    problems = SingleLineInfilling().problems(documents(), limit=3)
    engine = Scripted(tiny_tokenizer, [""] * 3, context_length=48)
    run_problems(engine, SingleLineInfilling(), problems, tmp_path, model="m")
    assert engine.sampling.max_new_tokens == 24
    assert max(map(len, engine.prompts)) <= 24
    row = json.loads((tmp_path / "infilling.completions.jsonl").read_text().splitlines()[0])
    assert row["dropped"]


def test_a_real_engine_runs_and_resumes(tiny_engine, tmp_path):
    problems = SingleLineInfilling().problems(documents(), limit=4)
    first = run_problems(tiny_engine, SingleLineInfilling(), problems, tmp_path, model="m")
    kept = (tmp_path / "infilling.completions.jsonl").read_bytes()
    again = run_problems(
        Scripted(tiny_engine.tokenizer, [], tiny_engine.context_length),
        SingleLineInfilling(),
        problems,
        tmp_path,
        model="m",
    )
    assert again == first
    assert (tmp_path / "infilling.completions.jsonl").read_bytes() == kept
    assert 0 <= first.scores["edit_similarity"] <= 1


def test_evaluate_takes_a_benchmark_by_name(tiny_tokenizer, tmp_path):
    if not shutil.which("bwrap"):
        pytest.skip("needs bwrap (bubblewrap)")
    row = {"task_id": "H/0", "prompt": "def one():\n", "entry_point": "one"}
    row |= {"canonical_solution": "", "test": "def check(f):\n    assert f() == 1\n"}
    data = tmp_path / "HumanEval.jsonl"
    data.write_text(json.dumps(row) + "\n")
    engine = Scripted(tiny_tokenizer, ["    return 1"])
    result = evaluate(engine, "humaneval", data, tmp_path / "out", model="m", limit=5)
    assert result.verdicts == {"passed": 1}


def test_identity_follows_the_weights(tiny_model_folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model_folder, copy)
    assert identity(copy) == identity(tiny_model_folder)
    weights = next(copy.glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert identity(copy) != identity(tiny_model_folder)
