"""`codekiln train`: what it prints and how it exits; the loop has its own tests."""

from pathlib import Path
from typing import Any

import pytest

from codekiln.cli.main import main
from codekiln.recipe import Recipe
from codekiln.training import loop
from codekiln.training.loop import TrainResult

RECIPE = '[run]\ndirectory = "{}"\n'


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codekiln.log.setup", lambda **_: None)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(RECIPE.format(tmp_path / "from-recipe"))
    return path


def answer(monkeypatch: pytest.MonkeyPatch, status: Any) -> list[tuple[Recipe, Path, bool]]:
    calls = []

    def train(
        recipe: Recipe, directory: Path, *, resume: bool, callbacks: list[Any]
    ) -> TrainResult:
        assert not callbacks
        calls.append((recipe, directory, resume))
        return TrainResult(
            status=status,
            step=300,
            total_steps=300,
            tokens=1_228_800,
            loss_nats_per_token=2.0,
            bits_per_byte=2.1534,
            seconds=181.0,
            model=directory / "model",
        )

    monkeypatch.setattr(loop, "train", train)
    return calls


def test_it_hands_on_recipe_folder_and_resume(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = answer(monkeypatch, "finished")
    main(["train", str(recipe)])
    main(["train", str(recipe), "--out", "elsewhere", "--resume", "--set", "run.seed=3"])
    assert [call[1:] for call in calls] == [
        (recipe.parent / "from-recipe", False),
        (Path("elsewhere"), True),
    ]
    assert "seed = 3\n" in calls[1][0].to_toml()
    line = capsys.readouterr().out.splitlines()[0]
    assert line == (
        "300 steps, 1.23M tokens, 2.153 bits per byte on held-out text, 3m01s: "
        f"the model is in {recipe.parent / 'from-recipe' / 'model'}"
    )


def test_an_interrupted_run_exits_130(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "interrupted")
    with pytest.raises(SystemExit) as stop:
        main(["train", str(recipe)])
    assert stop.value.code == 130


def test_a_finished_run_says_so(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, "nothing to do")
    main(["train", str(recipe)])
    assert capsys.readouterr().out.startswith("nothing to do: the model is in ")


def test_without_tokens_it_names_the_command_to_run(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train", str(recipe)])
    assert stop.value.code == 2
    assert f"run `codekiln tokens pack {recipe}` first" in capsys.readouterr().err
    assert not (recipe.parent / "from-recipe").exists()  # nothing half-begun
