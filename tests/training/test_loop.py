"""The loop end to end on a tiny model: learning, resuming, stopping, refusing."""

import errno
import json
import math
import os
import random
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from codekiln.errors import CheckpointError, RecipeError, ShardError, UserError
from codekiln.generation.engine import Engine
from codekiln.log import MetricsFile
from codekiln.models.dense import LlamaForCausalLM
from codekiln.models.weights import load_model
from codekiln.parallel.model import ParallelModel
from codekiln.parallel.world import ALONE
from codekiln.recipe import Recipe
from codekiln.storage import only_one
from codekiln.tokens.cursor import Cursor
from codekiln.tokens.pack import open_shards, pack
from codekiln.tokens.settings import TokensSettings
from codekiln.training.build import meshes_of, new_stepper
from codekiln.training.callbacks import EvaluationPoint
from codekiln.training.inputs import open_inputs
from codekiln.training.loop import train
from codekiln.training.spikes import Limits

from .conftest import read


def override(folder: Path, *overrides: str) -> Recipe:
    return Recipe.load(folder.parent / "recipe.toml", overrides)


def repack(recipe: Recipe, folder: Path) -> None:
    """Pack the same documents with a recipe's settings."""
    shutil.rmtree(folder / "tokens")
    source = folder / "source"
    source.write_text("made up")
    settings = recipe.table(TokensSettings)
    pack([source], read, folder / "tokenizer", settings, folder / "tokens", seed=0)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def same_bits(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)


def test_a_run_learns_and_leaves_all_that_it_promises(recipe: Recipe, run_folder: Path) -> None:
    points: list[EvaluationPoint] = []

    def callback(point: EvaluationPoint) -> dict[str, float]:
        points.append(point)
        assert not point.model.training
        return {"answer": 42.0}

    result = train(recipe, run_folder, callbacks=[callback])
    assert (result.status, result.step, result.total_steps) == ("finished", 12, 12)
    assert result.tokens == 12 * 2 * 4 * 32

    metrics = rows(run_folder)
    steps = [row for row in metrics if "loss_nats_per_token" in row]
    assert [row["step"] for row in steps] == list(range(1, 13))
    assert steps[0]["learning_rate"] == pytest.approx(1e-2)  # warm-up: a tenth of 12 steps is 1
    assert steps[-1]["loss_nats_per_token"] < steps[0]["loss_nats_per_token"] - 1
    assert {"gradient_norm", "tokens", "tokens_per_second", "step_seconds", "loader_seconds"} < set(
        steps[0]
    )
    assert steps[0]["memory_peak_bytes"] > 10_000_000
    evaluations = [row for row in metrics if "held_out_bits_per_byte" in row]
    assert [row["step"] for row in evaluations] == [0, 6, 12]
    assert all(row["answer"] == 42.0 for row in evaluations)
    assert evaluations[-1]["held_out_bits_per_byte"] == result.bits_per_byte
    assert evaluations[-1]["held_out_bits_per_byte"] < evaluations[0]["held_out_bits_per_byte"] - 1
    assert [point.step for point in points] == [0, 6, 12]
    saves = [row for row in metrics if "checkpoint_stall_seconds" in row]
    assert [row["step"] for row in saves] == [4, 8, 12]
    assert all(row["checkpoint_stall_seconds"] > 0 for row in saves)
    # the thread's, of the save before; the last one's stand in the last row
    written = [row["last_checkpoint_write_seconds"] for row in (*saves, metrics[-1])]
    assert written[0] == 0
    assert min(written[1:]) > 0

    assert sorted(os.listdir(run_folder / "checkpoints")) == [
        ".lock",
        "plan.json",
        "step-00000008",
        "step-00000012",
    ]
    assert Recipe.load(run_folder / "recipe.toml").fingerprint() == recipe.fingerprint()
    model = load_model(run_folder / "model")
    assert torch.equal(
        model.model.embed_tokens.weight, weights(run_folder)["model.embed_tokens.weight"]
    )
    assert (run_folder / "model" / "tokenizer.json").is_file()


def test_an_untrained_model_codes_held_out_text_like_a_uniform_one(
    recipe: Recipe, run_folder: Path
) -> None:
    inputs = open_inputs(recipe, run_folder)
    values = []

    def callback(point: EvaluationPoint) -> None:
        assert point.held_out is not None
        values.append(point.held_out)

    train(override(run_folder, "training.steps=1"), run_folder, callbacks=[callback])
    shard = open_shards(run_folder / "tokens", "held_out")[0]
    held_out, tokenizer = inputs.held_out, inputs.tokenizer
    texts = [text.ids for text in held_out.texts[: held_out.documents]]
    size = sum(len(tokenizer.token_bytes(int(i))) for ids in texts for i in ids)
    assert size < shard.text_bytes.sum()  # the cap leaves some out
    tokens = sum(len(ids) - 1 for ids in texts)
    expected = math.log2(tokenizer.vocab_size) * tokens / size
    assert values[0].bits_per_byte == pytest.approx(expected, rel=0.02)
    assert values[0].by_language["python"] == values[0].by_kind["code"]
    assert values[0].by_kind["code"].bytes == size
    middle = values[0].by_kind["fim_middle"]  # costs its <eos>, too
    uniform = math.log2(tokenizer.vocab_size) * middle.tokens / middle.bytes
    assert middle.bits_per_byte == pytest.approx(uniform, rel=0.05)


def test_a_second_run_has_nothing_to_do(recipe: Recipe, run_folder: Path) -> None:
    train(recipe, run_folder)
    before = (run_folder / "metrics.jsonl").read_bytes()
    for resume in (False, True):
        result = train(recipe, run_folder, resume=resume)
        assert (result.status, result.step) == ("nothing to do", 12)
    assert (run_folder / "metrics.jsonl").read_bytes() == before
    kept = weights(run_folder)
    shutil.rmtree(run_folder / "model")  # killed between the last checkpoint and the model
    assert train(recipe, run_folder, resume=True).status == "finished"
    assert same_bits(weights(run_folder), kept)


def test_accumulation_equals_a_larger_batch(run_folder: Path) -> None:
    losses = []
    for batch_size, accumulation in ((8, 1), (2, 4)):
        recipe = override(
            run_folder,
            f"training.batch_size={batch_size}",
            f"training.gradient_accumulation={accumulation}",
        )
        inputs = open_inputs(recipe, run_folder)
        stepper = new_stepper(recipe, inputs, meshes_of(recipe, inputs, ALONE), "float32")
        cursor, seen = Cursor(), []
        for _ in range(3):
            batches = []
            for _ in range(accumulation):
                batch, cursor = inputs.loader.batch(cursor)
                batches.append(batch)
            result = stepper.step(batches, 1e-3)
            seen.append((result.loss_nats_per_token, result.gradient_norm))
        losses.append(seen)
    # targets at document borders are ignored, so micro-batches weigh unequally
    assert np.allclose(losses[0], losses[1], rtol=2e-5)


def test_clipping_bounds_the_gradient_that_is_used(run_folder: Path) -> None:
    recipe = override(run_folder, "optimizer.gradient_clip=0.01")
    inputs = open_inputs(recipe, run_folder)
    stepper = new_stepper(recipe, inputs, meshes_of(recipe, inputs, ALONE), "float32")
    seen: list[float] = []
    update = stepper.optimizer.step

    def step() -> None:
        norms = [p.grad.norm() for _, p in stepper.model.named_parameters() if p.grad is not None]
        seen.append(float(torch.stack(norms).norm()))
        update()

    stepper.optimizer.step = step  # type: ignore[assignment, method-assign]
    result = stepper.step([inputs.loader.batch(Cursor())[0]], 1e-3)
    assert result.gradient_norm > 0.1
    assert seen == [pytest.approx(0.01, rel=1e-3)]


# resuming


@pytest.fixture
def unbroken(nursery: Any, run_folder: Path) -> dict[str, Tensor]:
    """Final weights of a run that never stopped, in a folder of its own."""
    folder = run_folder.parent / "unbroken"
    shutil.copytree(run_folder, folder)
    assert nursery.run(folder)[0] == 0
    return weights(folder)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_steps_and_resumed_the_weights_are_bit_equal(
    nursery: Any, run_folder: Path, unbroken: dict[str, Tensor], seed: int
) -> None:
    draw = random.Random(seed)
    kills = sorted(draw.sample(range(12), 3))
    statuses = [
        nursery.interrupt(
            run_folder, step, signal.SIGKILL, "--resume", delay_seconds=draw.uniform(0, 0.06)
        )[0]
        for step in kills
    ]
    assert -signal.SIGKILL in statuses
    status, output = nursery.run(run_folder, "--resume")
    assert status == 0, output
    assert same_bits(weights(run_folder), unbroken)
    steps = [row["step"] for row in rows(run_folder) if "gradient_norm" in row]
    assert steps == list(range(1, 13))  # no step stands twice


@pytest.mark.slow
def test_two_threads_in_bfloat16_resume_to_the_same_bits(nursery: Any, run_folder: Path) -> None:
    wide = (
        "training.threads=2",
        "training.dtype=bfloat16",
        "model.hidden_size=128",
        "model.intermediate_size=352",
        "tokens.sequence_length=128",
        "model.max_position_embeddings=128",
        "training.steps=8",
        "training.checkpoint_every=3",
    )
    settings = [part for override in wide for part in ("--set", override)]
    other = run_folder.parent / "other"
    shutil.copytree(run_folder, other)
    assert nursery.run(other, *settings)[0] == 0
    assert nursery.interrupt(run_folder, 5, signal.SIGKILL, *settings)[0] == -signal.SIGKILL
    status, output = nursery.run(run_folder, "--resume", *settings)
    assert status == 0, output
    assert "resuming from" in output
    assert same_bits(weights(run_folder), weights(other))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_a_checkpoint_first(
    nursery: Any, run_folder: Path, unbroken: dict[str, Tensor], number: signal.Signals
) -> None:
    status, output = nursery.interrupt(run_folder, 2, number)
    assert status == 130, output
    assert "go on with --resume" in output
    saved = sorted(p.name for p in (run_folder / "checkpoints").glob("step-*"))
    last = max(row["step"] for row in rows(run_folder))
    assert saved[-1] == f"step-{last:08d}"
    status, output = nursery.run(run_folder)
    assert status == 2
    assert "an unfinished run" in output
    assert "--resume" in output
    assert nursery.run(run_folder, "--resume")[0] == 0
    assert same_bits(weights(run_folder), unbroken)


def test_a_budget_in_minutes_is_fixed_before_the_first_step(run_folder: Path) -> None:
    recipe = override(run_folder, "training.max_minutes=0.02", "training.steps=100000")

    class Stop(Exception):
        pass

    def stop(point: EvaluationPoint) -> None:
        raise Stop

    with pytest.raises(Stop):
        train(recipe, run_folder, callbacks=[stop])
    plan = json.loads((run_folder / "checkpoints" / "plan.json").read_text())["plan"]
    assert 1 <= plan["total_steps"] < 100_000
    plan_file = run_folder / "checkpoints" / "plan.json"
    text = plan_file.read_text().replace(
        f'"total_steps": {plan["total_steps"]}', '"total_steps": 5'
    )
    plan_file.write_text(text)  # as if a slower machine had planned
    result = train(recipe, run_folder, resume=True)
    assert (result.status, result.step) == ("finished", 5)


def test_resuming_what_never_began_says_so(
    recipe: Recipe, run_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="codekiln"):
        train(recipe, run_folder, resume=True)
        said = f"no checkpoint in {run_folder / 'checkpoints'}: beginning at step 0"
        assert said in caplog.text
        caplog.clear()
        train(recipe, run_folder, resume=True)
    assert "no checkpoint" not in caplog.text


def test_damaged_checkpoints_are_passed_over(
    recipe: Recipe, run_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(recipe, run_folder)
    expected = weights(run_folder)
    shutil.rmtree(run_folder / "model")
    newest = run_folder / "checkpoints" / "step-00000012"
    path = newest / "__0_0.distcp"
    path.write_bytes(path.read_bytes()[:-100])
    with caplog.at_level("WARNING", logger="codekiln"):
        result = train(recipe, run_folder, resume=True)
    assert "passing over a damaged checkpoint" in caplog.text
    assert (result.status, result.step) == ("finished", 12)
    assert same_bits(weights(run_folder), expected)
    for folder in (run_folder / "checkpoints").glob("step-*"):
        (folder / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="none that is whole"):
        train(recipe, run_folder, resume=True)


def test_a_bfloat16_run_resumes_to_the_same_bits(run_folder: Path) -> None:
    recipe = override(run_folder, "training.dtype=bfloat16")
    other = run_folder.parent / "other"
    shutil.copytree(run_folder, other)
    train(recipe, other)
    stop_at = 5

    def stop(point: EvaluationPoint) -> None:
        if point.step > stop_at:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(recipe, run_folder, callbacks=[stop])
    train(recipe, run_folder, resume=True)
    assert same_bits(weights(run_folder), weights(other))


@pytest.mark.parametrize("stop_at", [1, 3, 7, 10])
def test_a_run_with_stages_resumes_to_the_same_bits(run_folder: Path, stop_at: int) -> None:
    """Stages begin at steps 3 and 9 of 12: stopped before, at and behind a border."""
    schedule = "fim_schedule = [[0.0, 0.2], [0.25, 0.5], [0.75, 0.9]]"
    path = run_folder.parent / "recipe.toml"
    text = path.read_text().replace("[tokens]", f"[tokens]\n{schedule}\nfim_loss = 'middle'")
    path.write_text(text.replace("checkpoint_every = 4", "checkpoint_every = 1"))
    recipe = Recipe.load(path, ["training.batch_size=2", "training.evaluate_every=1"])
    repack(recipe, run_folder)
    other = run_folder.parent / "other"
    shutil.copytree(run_folder, other)
    train(recipe, other)

    def stop(point: EvaluationPoint) -> None:
        if point.step > stop_at:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(recipe, run_folder, callbacks=[stop])
    train(recipe, run_folder, resume=True)
    assert same_bits(weights(run_folder), weights(other))
    state = json.loads((run_folder / "checkpoints/step-00000012/state.json").read_text())
    assert len(state["cursor"]["earlier"]) == 2


@pytest.mark.parametrize("stop_at", [2, 9])
def test_muon_with_growing_batches_resumes_to_the_same_bits(run_folder: Path, stop_at: int) -> None:
    """Stopped while batches grow (2 + 1 + 1 steps of 1, 2 and 3 micro-batches), and behind."""
    recipe = override(
        run_folder,
        "optimizer.name=muon",
        "optimizer.z_loss=1e-4",
        f"optimizer.batch_warmup_tokens={6 * 2 * 32}",
        "training.gradient_accumulation=4",
        "training.batch_size=2",
        "training.checkpoint_every=1",
        "training.evaluate_every=1",
    )
    other = run_folder.parent / "other"
    shutil.copytree(run_folder, other)
    train(recipe, other)
    tokens = [row["tokens"] for row in rows(other) if "loss_nats_per_token" in row]
    sizes = [1, 1, 2, 3, *[4] * 8]
    assert tokens == [sum(sizes[: step + 1]) * 2 * 32 for step in range(12)]

    def stop(point: EvaluationPoint) -> None:
        if point.step > stop_at:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        train(recipe, run_folder, callbacks=[stop])
    train(recipe, run_folder, resume=True)
    assert same_bits(weights(run_folder), weights(other))


# refusing


def test_a_resumed_run_must_be_the_same_run(recipe: Recipe, run_folder: Path) -> None:
    train(recipe, run_folder)
    changed = override(run_folder, "optimizer.learning_rate=0.5", "model.num_hidden_layers=3")
    with pytest.raises(CheckpointError) as caught:
        train(changed, run_folder, resume=True)
    assert "model.num_hidden_layers = 2 there, 3 here" in str(caught.value)
    assert "optimizer.learning_rate = 0.01 there, 0.5 here" in str(caught.value)
    assert "training" not in caught.value.got


def break_off(recipe: Recipe, folder: Path, after: int) -> None:
    """Train until the first evaluation past step `after`, and die there."""

    def stop(point: EvaluationPoint) -> None:
        if point.step > after:
            raise Killed

    with pytest.raises(Killed):
        train(recipe, folder, callbacks=[stop])


class Killed(Exception):
    pass


def test_a_resumed_run_may_save_and_evaluate_at_other_steps(
    recipe: Recipe, run_folder: Path
) -> None:
    whole = run_folder.parent / "whole"
    shutil.copytree(run_folder, whole)
    train(recipe, whole)
    break_off(recipe, run_folder, 5)  # the last checkpoint is of step 4
    free = override(
        run_folder,
        "training.log_every=3",
        "training.evaluate_every=5",
        "training.checkpoint_every=3",
        "training.keep_checkpoints=9",
    )
    assert train(free, run_folder, resume=True).status == "finished"
    metrics = [row for row in rows(run_folder) if row["step"] > 4]
    assert [row["step"] for row in metrics if "held_out_bits_per_byte" in row] == [5, 10, 12]
    assert [row["step"] for row in metrics if "checkpoint_stall_seconds" in row] == [6, 9, 12]
    assert [row["step"] for row in metrics if "gradient_norm" in row] == [6, 9, 12]
    assert same_bits(weights(run_folder), weights(whole))


def test_a_resumed_run_keeps_its_number_of_threads(recipe: Recipe, run_folder: Path) -> None:
    break_off(recipe, run_folder, 5)
    before = (run_folder / "recipe.toml").read_text()
    with pytest.raises(CheckpointError, match=r"training.threads = 2, but .* with 1") as caught:
        train(override(run_folder, "training.threads=2"), run_folder, resume=True)
    assert "--out DIR" in caught.value.remedy
    assert (run_folder / "recipe.toml").read_text() == before
    seen = []

    def callback(point: EvaluationPoint) -> None:
        seen.append(torch.get_num_threads())

    any_number = override(run_folder, "training.threads=0")
    assert train(any_number, run_folder, resume=True, callbacks=[callback]).status == "finished"
    assert set(seen) == {1}


def test_an_older_model_does_not_pass_for_a_new_runs(recipe: Recipe, run_folder: Path) -> None:
    train(recipe, run_folder)
    expected = weights(run_folder)
    shutil.rmtree(run_folder / "checkpoints")
    again = override(run_folder, "run.seed=8", "training.checkpoint_every=12")

    def cut_off(*arguments: Any, **keywords: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr("codekiln.training.loop.save_model", cut_off)
        train(again, run_folder)
    result = train(again, run_folder, resume=True)
    assert (result.status, result.step) == ("finished", 12)
    assert not same_bits(weights(run_folder), expected)


def test_a_folder_that_is_no_model_is_refused_before_the_first_step(
    recipe: Recipe, run_folder: Path
) -> None:
    (run_folder / "model").mkdir()
    thesis = run_folder / "model" / "thesis.tex"
    thesis.write_text("years of work")
    with pytest.raises(CheckpointError, match=r"thesis\.tex"):
        train(recipe, run_folder)
    assert not (run_folder / "metrics.jsonl").exists()
    assert thesis.read_text() == "years of work"
    shutil.rmtree(run_folder / "model")
    (run_folder / "model").symlink_to(run_folder.parent / "elsewhere")
    with pytest.raises(CheckpointError, match="symbolic link"):
        train(recipe, run_folder)


@pytest.mark.parametrize(("order", "wanted"), [("psm", "psm"), ("spm", "spm"), ("mixed", "psm")])
def test_the_model_says_how_it_was_taught_to_read_prompts(
    run_folder: Path, order: str, wanted: str
) -> None:
    recipe = override(
        run_folder, "training.steps=1", f"tokens.fim_order={order}", "corpus.order=path"
    )
    repack(recipe, run_folder)
    train(recipe, run_folder)
    written = json.loads((run_folder / "model" / "codekiln.json").read_text())
    assert written == {"fim_order": wanted, "file_order": "path"}
    engine = Engine.load(run_folder, device="cpu")
    assert (engine.fim_order, engine.file_order) == (wanted, "path")


def test_without_tokens_the_command_to_run_is_named(recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ShardError) as caught:
        train(recipe, tmp_path / "empty")
    assert f"codekiln tokens pack {recipe.path}" in caught.value.remedy


def test_tokens_of_another_tokenizer_are_refused(recipe: Recipe, run_folder: Path) -> None:
    sidecar = run_folder / "tokens" / "train-00000.json"
    facts = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**facts, "tokenizer_sha256": "0" * 64}))
    with pytest.raises(ShardError, match="another tokenizer"):
        train(recipe, run_folder)


def test_a_vocabulary_smaller_than_the_tokenizer_is_refused(run_folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"vocab_size: 100"):
        train(override(run_folder, "model.vocab_size=100"), run_folder)


def test_a_context_shorter_than_the_sequences_is_refused(run_folder: Path) -> None:
    with pytest.raises(RecipeError, match="max_position_embeddings"):
        train(override(run_folder, "model.max_position_embeddings=16"), run_folder)


def test_only_one_process_trains_in_a_folder(recipe: Recipe, run_folder: Path) -> None:
    with only_one(run_folder / "checkpoints"), pytest.raises(UserError, match="another process"):
        train(recipe, run_folder)


def test_a_disk_that_fills_up_is_a_message(
    recipe: Recipe, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: MetricsFile, **values: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(MetricsFile, "write", full)
        with pytest.raises(UserError, match="No space left on device") as caught:
            train(recipe, run_folder)
    assert "--resume" in caught.value.remedy
    assert train(recipe, run_folder, resume=True).status == "finished"


def poison(monkeypatch: pytest.MonkeyPatch, bad_calls: set[int]) -> None:
    """Make the loss of some training micro-batches (numbered from 1) not a number."""
    calls, honest = [0], LlamaForCausalLM.loss_of

    def loss(self: LlamaForCausalLM, *arguments: Any, **keywords: Any) -> Tensor:
        value: Tensor = honest(self, *arguments, **keywords)
        if not self.training:
            return value
        calls[0] += 1
        return value * math.nan if calls[0] in bad_calls else value

    monkeypatch.setattr(LlamaForCausalLM, "loss_of", loss)


def test_a_loss_that_is_not_finite_is_skipped_and_counted(
    recipe: Recipe,
    run_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    poison(monkeypatch, {5, 6})  # two micro-batches a step: step 3
    with caplog.at_level("WARNING", logger="codekiln"):
        result = train(recipe, run_folder)
    assert result.status == "finished"
    assert "step 3 skipped: loss nan" in caplog.text
    steps = {row["step"]: row for row in rows(run_folder) if "gradient_norm" in row}
    assert steps[3]["loss_nats_per_token"] is None
    assert [steps[s]["skipped_steps"] for s in (2, 3, 12)] == [0, 1, 1]
    assert all(bool(value.isfinite().all()) for value in weights(run_folder).values())


def spike(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Make gradients of some steps (numbered from 1) 100 times as long."""
    honest = ParallelModel.clip
    calls = [0]

    def clip(self: ParallelModel, limit: float) -> float:
        calls[0] += 1
        if calls[0] in steps:
            for _, parameter in self.named_parameters():
                assert parameter.grad is not None
                parameter.grad *= 100
        return honest(self, limit)

    monkeypatch.setattr(ParallelModel, "clip", clip)


SPIKES = ("training.steps=24", "training.spike_factor=20", "training.checkpoint_every=5")


def test_a_spike_is_reported_and_taken(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spike(monkeypatch, {14, 20})
    with caplog.at_level("WARNING", logger="codekiln"):
        train(override(run_folder, *SPIKES, "training.log_every=24"), run_folder)
    assert [line.split(":")[0] for line in caplog.messages] == [
        "step 14 is a spike",
        "step 20 is a spike",
    ]
    steps = {row["step"]: row for row in rows(run_folder) if "gradient_norm" in row}
    assert sorted(steps) == [14, 20, 24]  # written whatever log_every says
    assert [(row["spiked_steps"], row["skipped_steps"]) for row in steps.values()] == [
        (1, 0),
        (2, 0),
        (2, 0),
    ]


def test_a_spike_that_is_skipped_changes_no_weight(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = override(run_folder, *SPIKES, "training.spike_action=skip", "training.steps=14")
    inputs = open_inputs(recipe, run_folder)
    stepper = new_stepper(recipe, inputs, meshes_of(recipe, inputs, ALONE), "float32")
    batch = inputs.loader.batch(Cursor())[0]
    stepper.step([batch], 1e-2)

    def everything() -> dict[str, Tensor]:
        found = {}
        for name, parameter in stepper.model.named_parameters():
            found[name] = parameter.detach().clone()
            for key, value in stepper.optimizer.state[parameter].items():
                found[f"{key} of {name}"] = value.clone()
        return found

    before = everything()
    small = Limits(gradient_norm=1e-9)
    result = stepper.step([batch], 1e-2, small, skip_spikes=True)
    assert result.skipped and result.spike
    assert same_bits(everything(), before)
    result = stepper.step([batch], 1e-2, small)
    assert result.spike and not result.skipped
    assert not same_bits(everything(), before)


def test_a_run_resumes_with_the_window_that_tells_spikes(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = override(run_folder, *SPIKES, "training.spike_action=skip")
    whole = run_folder.parent / "whole"
    shutil.copytree(run_folder, whole)
    with monkeypatch.context() as patch:
        spike(patch, {14, 20})
        train(recipe, whole)
    with monkeypatch.context() as patch:
        spike(patch, {14})
        break_off(recipe, run_folder, 17)  # the last checkpoint is of step 15
    with monkeypatch.context() as patch:
        spike(patch, {5})  # of this process: step 20
        train(recipe, run_folder, resume=True)
    assert same_bits(weights(run_folder), weights(whole))
    last = [row for row in rows(run_folder) if "gradient_norm" in row][-1]
    assert (last["spiked_steps"], last["skipped_steps"]) == (2, 2)
    states = [
        json.loads((folder / "checkpoints/step-00000024/state.json").read_text())
        for folder in (run_folder, whole)
    ]
    assert states[0]["recent"] == states[1]["recent"]
    assert len(states[0]["recent"]["losses"]) == 22


def test_too_many_spikes_in_a_row_stop_the_run(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spike(monkeypatch, set(range(12, 99)))
    recipe = override(
        run_folder, *SPIKES, "training.spike_action=skip", "training.max_skipped_steps=2"
    )
    with pytest.raises(UserError, match="3 steps in a row whose loss or gradient stands out"):
        train(recipe, run_folder)


def test_too_many_such_steps_in_a_row_stop_the_run(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, set(range(9, 1000)))
    recipe = override(run_folder, "training.max_skipped_steps=2")
    with pytest.raises(UserError, match="3 steps in a row") as caught:
        train(recipe, run_folder)
    assert "learning_rate" in caught.value.remedy
