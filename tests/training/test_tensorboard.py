"""TensorBoard's files, as TensorBoard reads them."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from codekiln.errors import UserError
from codekiln.log import MetricsFile
from codekiln.recipe import Recipe
from codekiln.training.callbacks import EvaluationPoint
from codekiln.training.loop import train

WITH = ("training.tensorboard=true", "training.checkpoint_every=4")


def recipe_of(folder: Path, *overrides: str) -> Recipe:
    return Recipe.load(folder.parent / "recipe.toml", [*WITH, *overrides])


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Name -> (step, value), by TensorBoard's own reader."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = reader.EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    names = events.Tags()["scalars"]
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in names}


def test_every_number_of_metrics_is_a_scalar_of_its_step(run_folder: Path) -> None:
    pytest.importorskip("tensorboard")
    train(recipe_of(run_folder), run_folder)
    found = read(run_folder)
    metrics = list(MetricsFile(run_folder / "metrics.jsonl").rows())
    losses = [(row["step"], row["loss_nats_per_token"]) for row in metrics if "mfu" in row]
    assert [step for step, _ in losses] == list(range(1, 13))
    assert found["loss_nats_per_token"] == [(s, pytest.approx(v, rel=1e-6)) for s, v in losses]
    last = [row for row in metrics if "held_out_by_kind" in row][-1]["held_out_by_kind"]
    for kind in ("code", "fim_middle"):
        step, value = found[f"held_out_by_kind/{kind}/bits_per_byte"][-1]
        assert (step, value) == (12, pytest.approx(last[kind]["bits_per_byte"], rel=1e-6))


def test_a_resumed_run_has_no_step_twice(run_folder: Path) -> None:
    pytest.importorskip("tensorboard")

    class Killed(Exception):
        pass

    def stop(point: EvaluationPoint) -> None:
        if point.step == 6:
            raise Killed

    with pytest.raises(Killed):
        train(recipe_of(run_folder), run_folder, callbacks=[stop])
    assert [step for step, _ in read(run_folder)["gradient_norm"]] == list(range(1, 7))
    train(recipe_of(run_folder), run_folder, resume=True)
    assert [step for step, _ in read(run_folder)["gradient_norm"]] == list(range(1, 13))


def test_without_the_package_it_says_so_before_training(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = builtins.__import__

    def absent(name: str, *arguments: Any, **keywords: Any) -> Any:
        if "tensorboard" in name and not name.startswith("codekiln"):
            raise ModuleNotFoundError("No module named 'tensorboard'")
        return honest(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match="No module named 'tensorboard'") as caught:
        train(recipe_of(run_folder), run_folder)
    assert "pip install 'codekiln[tensorboard]'" in caught.value.remedy
    assert not (run_folder / "metrics.jsonl").exists()
