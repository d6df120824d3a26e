"""A checkpoint becomes the same model folder as the run's end, whatever training does meanwhile."""

import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from codekiln.cli.main import main
from codekiln.errors import CheckpointError, TokenizerError
from codekiln.models.causal import build_model
from codekiln.models.config import read_config
from codekiln.parallel.world import ALONE
from codekiln.recipe import Recipe
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.train import train as train_tokenizer
from codekiln.training import checkpoint
from codekiln.training.export import export_checkpoint, is_checkpoint
from codekiln.training.loop import train
from codekiln.training.saving import Saver

from .test_train_experts import SPARSE


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: Path, two: Path) -> None:
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def trained(recipe: Recipe, run_folder: Path) -> Path:
    """A run that has checkpoints 8 and 12; its model is moved to `end` beside it."""
    train(recipe, run_folder)
    (run_folder / "model").rename(run_folder.parent / "end")
    return run_folder


def damage(folder: Path) -> None:
    path = folder / "__0_0.distcp"
    path.write_bytes(path.read_bytes()[:-100])


@contextmanager
def once_exporting(name: str, folder: Path) -> Iterator[None]:
    """Drop a checkpoint as training does, at the moment when its tensors are about to be read."""

    class Drop(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage() == f"exporting {folder / name}":
                shutil.rmtree(folder / name)

    logger, handler = logging.getLogger("codekiln"), Drop()
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_the_last_checkpoint_is_the_runs_model(trained: Path, tmp_path: Path) -> None:
    out, end = tmp_path / "out", tmp_path / "end"
    assert is_checkpoint(trained)
    export_checkpoint(trained / "checkpoints" / "step-00000012", out)
    assert sorted(os.listdir(out)) == sorted(os.listdir(end))
    same(out, end)
    for file in set(os.listdir(end)) - {"model.safetensors"}:
        assert (out / file).read_bytes() == (end / file).read_bytes(), file


def test_transformers_reads_it(trained: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    export_checkpoint(trained, tmp_path / "out")
    tokens = torch.arange(12)[None]
    logits = [
        transformers.AutoModelForCausalLM.from_pretrained(folder)(tokens).logits
        for folder in (tmp_path / "out", tmp_path / "end")
    ]
    assert torch.equal(*logits)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "out").encode("def count")


@pytest.mark.parametrize("shard_bytes", [2 * 10**9, 20_000])
def test_experts_come_out_of_the_parameters_they_share(
    run_folder: Path, tmp_path: Path, shard_bytes: int
) -> None:
    overrides = (*SPARSE, "training.steps=2")
    train(Recipe.load(tmp_path / "recipe.toml", overrides), run_folder)
    (run_folder / "model").rename(tmp_path / "end")
    export_checkpoint(run_folder, tmp_path / "out", max_shard_bytes=shard_bytes)
    found: dict[str, Tensor] = {}
    for file in (tmp_path / "out").glob("*.safetensors"):
        found |= load_file(file)
    wanted = weights(tmp_path / "end")
    assert any(".experts.3." in name for name in wanted)
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_run_gives_its_newest_whole_checkpoint(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = trained / "checkpoints"
    export_checkpoint(root / "step-00000008", tmp_path / "eight")
    damage(root / "step-00000012")
    with caplog.at_level("WARNING", logger="codekiln"):
        export_checkpoint(trained, tmp_path / "out")
    assert "passing over a damaged checkpoint" in caplog.text
    same(tmp_path / "out", tmp_path / "eight")
    with pytest.raises(AssertionError):
        same(tmp_path / "out", tmp_path / "end")
    damage(root / "step-00000008")
    with pytest.raises(CheckpointError, match="no checkpoint that is whole"):
        export_checkpoint(trained, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_run_whose_checkpoint_is_dropped_gives_another(trained: Path, tmp_path: Path) -> None:
    root = trained / "checkpoints"
    export_checkpoint(root / "step-00000008", tmp_path / "eight")
    with once_exporting("step-00000012", root):
        export_checkpoint(trained, tmp_path / "out")
    same(tmp_path / "out", tmp_path / "eight")


def test_a_checkpoint_that_is_dropped_is_named(trained: Path, tmp_path: Path) -> None:
    root = trained / "checkpoints"
    folder = root / "step-00000008"
    with once_exporting(folder.name, root), pytest.raises(CheckpointError) as caught:
        export_checkpoint(folder, tmp_path / "out")
    assert "dropped by the training" in caught.value.got
    assert caught.value.wanted.endswith(": step-00000012")
    assert "keep_every" in caught.value.remedy
    with pytest.raises(CheckpointError, match="dropped by the training"):
        export_checkpoint(folder, tmp_path / "out")  # as if asked for too late
    assert not (tmp_path / "out").exists()


def test_a_run_is_exported_while_it_trains(nursery: Any, run_folder: Path, tmp_path: Path) -> None:
    """Some of what is read is dropped meanwhile; what is written can be run."""
    settings = (
        "steps=100000",
        "checkpoint_every=30",
        "keep_checkpoints=4",
        "evaluate_every=100000",
    )
    pid = nursery.start(run_folder, *(f"--set=training.{setting}" for setting in settings))
    seen = set()
    try:
        end = time.monotonic() + 120
        while len(seen) < 3 and time.monotonic() < end:
            if checkpoint.steps(run_folder / "checkpoints"):
                export_checkpoint(run_folder, tmp_path / "out")  # loads and runs it too
                seen.add(float(weights(tmp_path / "out")["model.norm.weight"].sum()))
    finally:
        os.kill(pid, signal.SIGKILL)
        status, output = nursery.wait(run_folder)
    assert status == -signal.SIGKILL, output
    assert len(seen) == 3


def test_another_tokenizer_is_refused(trained: Path, tmp_path: Path) -> None:
    settings = TokenizerSettings(vocab_size=320)
    train_tokenizer(["other words than the run's"] * 9, settings).save(trained / "tokenizer")
    with pytest.raises(CheckpointError, match=r"tokenizer\.sha256"):
        export_checkpoint(trained, tmp_path / "out")
    shutil.rmtree(trained / "tokenizer")
    with pytest.raises(TokenizerError):
        export_checkpoint(trained, tmp_path / "out")


def test_weights_that_are_no_numbers_are_refused(trained: Path, tmp_path: Path) -> None:
    root = trained / "checkpoints"
    state = checkpoint.read_state(root / "step-00000012")
    model = build_model(read_config(state.model["config"]))
    with torch.no_grad():
        model.model.norm.weight[3] = torch.nan
    saver = Saver(root, ALONE, keep=1)
    parameters = dict(model.named_parameters())
    saver.save(replace(state, step=13), parameters, torch.optim.SGD(model.parameters()))
    saver.close()
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight: 1 of 32 values are NaN"):
        export_checkpoint(trained, tmp_path / "out")


def test_by_the_command(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gguf")
    file, back = tmp_path / "m.gguf", tmp_path / "back"
    main(["export", str(trained), "--to", "hf", "--out", str(tmp_path / "hf")])
    assert "loaded and run once" in capsys.readouterr().out
    main(["export", str(trained), "--to", "gguf", "--out", str(file)])
    main(["import", str(file), "--out", str(back)])
    same(back, tmp_path / "end")
    same(tmp_path / "hf", tmp_path / "end")
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]
    config = json.loads((back / "config.json").read_text())
    assert config["hidden_size"] == 32
    with pytest.raises(SystemExit) as stop:
        main(["export", str(trained / "checkpoints" / "step-00000004"), "--to", "hf", "--out", "x"])
    assert stop.value.code == 2
    assert "step-00000008, step-00000012" in capsys.readouterr().err
