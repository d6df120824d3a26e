"""Intervals by hand; a small experiment from repositories to its table, and once more."""

import json
import math
import random
from pathlib import Path

import pytest
from rich.console import Console

from codekiln.cli.experiment.command import RESULTS, table
from codekiln.cli.experiment.settings import ExperimentSettings
from codekiln.cli.experiment.statistics import difference, interval
from codekiln.cli.main import main
from codekiln.errors import RecipeError
from codekiln.recipe import Recipe

RECIPES = Path(__file__).parents[3] / "recipes" / "experiments"


def test_intervals_are_students() -> None:
    mean, half = interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.303 * 1.0 / math.sqrt(3))
    assert interval([5.0]) == (5.0, math.inf)


def test_ninety_five_of_a_hundred_intervals_hold_the_mean() -> None:
    draw = random.Random(0)
    held = 0
    for _ in range(4000):
        mean, half = interval([draw.gauss(3.0, 2.0) for _ in range(4)])
        held += abs(mean - 3.0) <= half
    assert held / 4000 == pytest.approx(0.95, abs=0.012)


def test_pairs_resolve_what_single_means_do_not() -> None:
    noise = [0.0, 5.0, -4.0]
    values = [1.0 + n for n in noise]
    others = [0.5 + n + d for n, d in zip(noise, (0.0, 0.01, -0.01), strict=True)]
    mean, half, resolved = difference(values, others)
    assert mean == pytest.approx(0.5)
    assert half < 0.1
    assert resolved
    assert not difference([1.0, 2.0, 3.0], [2.0, 1.0, 3.5])[2]


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_papers_experiments_are_valid(path: Path) -> None:
    settings = Recipe.load(path).table(ExperimentSettings)
    assert len(settings.variants) >= 2
    for changes in settings.variants.values():
        Recipe.load(path, changes)


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
[training]
steps = 4
batch_size = 2
dtype = "float32"
evaluate_tokens = 500
[experiment]
seeds = [0, 1]
infilling_problems = 4
[experiment.variants]
half = ["tokens.fim_rate=0.5"]
none = ["tokens.fim_rate=0.0"]
"""


@pytest.mark.slow
def test_an_experiment_goes_on_and_prints_its_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = tmp_path / "code"
    code.mkdir()
    for number in range(12):
        body = "".join(f"def f{number}_{i}(value):\n    return value + {i}\n" for i in range(8))
        (code / f"file_{number}.py").write_text(body)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(out=tmp_path / "out", code=code))
    main(["experiment", str(recipe), "--set", "experiment.seeds=[0,1]"])
    shown = capsys.readouterr().out
    assert "bits a byte" in shown
    assert "within" in shown or "yes" in shown
    results = json.loads((tmp_path / "out" / RESULTS).read_text())
    assert results.keys() == {"half", "none"}
    assert results["half"].keys() == {"0", "1"}
    assert results["half"]["0"]["fim_middle_bits_per_byte"] > 1
    assert "fim_middle_bits_per_byte" not in results["none"]["0"]
    steps = (tmp_path / "out" / "half" / "seed-0" / "metrics.jsonl").read_text()
    main(["experiment", str(recipe), "--json"])  # nothing to do again
    again = capsys.readouterr().out
    assert json.loads(again[again.index("{\n") :]) == results
    assert (tmp_path / "out" / "half" / "seed-0" / "metrics.jsonl").read_text() == steps


def test_a_table_with_gaps_pairs_what_is_there() -> None:
    results = {
        "none [0]": {0: {"bits_per_byte": 2.0}, 1: {"bits_per_byte": 3.0}, 2: {}},
        "half": {
            0: {"bits_per_byte": 2.0, "fim_middle_bits_per_byte": 1.0},
            2: {"bits_per_byte": 9.0},
            1: {"bits_per_byte": 3.0},
        },
    }
    console = Console(record=True, width=200)
    console.print(table(results, "gaps"))
    shown = console.export_text()
    assert "none [0]" in shown
    assert "+0.0000 ± 0.0000" in shown  # seeds 0 and 1
    assert "1.0000 ± inf" in shown


def test_an_experiment_without_variants_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[run]\nseed = 1\n")
    with pytest.raises((RecipeError, SystemExit)):
        main(["experiment", str(recipe)])
