"""Benchmarks of a recipe, run at each evaluation point of a real run."""

import json
import random
from pathlib import Path

import pytest

from codekiln.cli.benchmarks import benchmark_callbacks
from codekiln.cli.main import main
from codekiln.errors import RecipeError, UserError
from codekiln.evaluation.run import evaluate, identity
from codekiln.evaluation.settings import EvaluationSettings
from codekiln.generation.engine import Engine
from codekiln.recipe import Recipe

RECIPE = """
[run]
directory = "{out}"
[corpus]
repositories = ["{code}"]
held_out_unit = "sample"
held_out_rate = 0.3
[tokenizer]
vocab_size = 300
[tokens]
sequence_length = 64
[model]
preset = "tiny-1m"
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 1
num_attention_heads = 2
num_key_value_heads = 2
[optimizer]
learning_rate = 1e-2
[training]
steps = 60
batch_size = 2
dtype = "float32"
evaluate_tokens = 500
evaluate_every = 30
[evaluation]
benchmarks = ["infilling"]
problems = 3
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    draw = random.Random(0)
    code = tmp_path / "code"
    code.mkdir()
    for number in range(12):
        lines = [f"value_{draw.randrange(99)} = {draw.randrange(99)} + total" for _ in range(30)]
        (code / f"part_{number}.py").write_text("\n".join(lines) + "\n")
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(out=tmp_path / "run", code=code))
    return path


def test_infilling_is_scored_on_the_way(recipe: Path) -> None:
    for command in (["corpus", "build"], ["tokenizer", "train"], ["tokens", "pack"], ["train"]):
        main([*command, str(recipe)])
    run = recipe.parent / "run"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    scored = [row for row in rows if "infilling_exact_match" in row]
    assert [row["step"] for row in scored] == [0, 30, 60]
    assert all(row["infilling_problems"] == 3 for row in scored)
    # as `codekiln eval` scores the model that the run left
    model = run / "model"
    after = evaluate(
        Engine.load(model),
        "infilling",
        run,
        recipe.parent / "after",
        model=identity(model),
        limit=3,
        seed=0,
    )
    assert scored[-1]["infilling_edit_similarity"] == after.scores["edit_similarity"]
    texts = [
        [json.loads(line)["completion"] for line in path.read_text().splitlines()]
        for path in (
            run / "evaluation" / "step-00000060" / "infilling.completions.jsonl",
            recipe.parent / "after" / "infilling.completions.jsonl",
        )
    ]
    assert texts[0] == texts[1]
    assert any(texts[0])


def test_a_benchmark_without_its_data_is_refused_before_training(recipe: Path) -> None:
    with pytest.raises(RecipeError, match="humaneval needs its folder"):
        Recipe.load(recipe, ['evaluation.benchmarks=["humaneval"]'])
    nowhere = Recipe.load(
        recipe,
        [
            'evaluation.benchmarks=["humaneval"]',
            f'evaluation.data={{humaneval="{recipe.parent}/no"}}',
        ],
    )
    with pytest.raises(UserError):
        benchmark_callbacks(nowhere, recipe.parent / "run")


@pytest.mark.parametrize("names", [("infiling",), ("infilling", "infilling")])
def test_names_are_checked(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"did you mean .infilling.|each benchmark once"):
        EvaluationSettings(benchmarks=names)


def test_none_are_asked_for_by_default(recipe: Path) -> None:
    plain = Recipe.load(recipe, ["evaluation.benchmarks=[]"])
    assert benchmark_callbacks(plain, recipe.parent / "run") == []
