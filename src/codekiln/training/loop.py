"""The training loop: one process, on a CPU or one GPU.

The loop is a function of a value: (weights, AdamW's averages, `TrainingState`) plus the plan
fixed before the first step. Nothing else moves it: neither the clock nor a random state. So a
run that is killed and resumed ends with the same bits as one that never stopped, given the same
machine and number of threads (the plan keeps the threads; on a GPU as far as its kernels are
deterministic).
"""

from __future__ import annotations

import errno
import math
import resource
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import torch

from codekiln.corpus.settings import CorpusSettings
from codekiln.errors import CheckpointError, UserError
from codekiln.generation.style import PromptStyle
from codekiln.log import MetricsFile, Progress, human_count, logger
from codekiln.models.causal import CausalLM
from codekiln.models.weights import refuse_foreign, save_model
from codekiln.recipe import Recipe
from codekiln.storage import only_one
from codekiln.tokens.cursor import Cursor
from codekiln.tokens.packing_report import passes_line
from codekiln.tokens.settings import TokensSettings
from codekiln.training import checkpoint
from codekiln.training.build import make_plan, new_stepper
from codekiln.training.checkpoint import TrainingState
from codekiln.training.device import pick_device
from codekiln.training.evaluate import HeldOutLoss, held_out_loss
from codekiln.training.inputs import Inputs, open_inputs
from codekiln.training.interrupt import StopRequest
from codekiln.training.plan import Plan
from codekiln.training.schedule import learning_rate
from codekiln.training.settings import OptimizerSettings, TrainingSettings
from codekiln.training.step import Stepper, StepResult

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainResult:
    """How a run ended. `bits_per_byte`: of the last evaluation of this process, if any."""

    status: Literal["finished", "interrupted", "nothing to do"]
    step: int
    total_steps: int
    tokens: int
    loss_nats_per_token: float | None
    bits_per_byte: float | None
    seconds: float
    model: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationPoint:
    """What a callback is told at each evaluation point."""

    step: int
    total_steps: int
    tokens: int
    directory: Path
    model: CausalLM
    held_out: HeldOutLoss | None


class Callback(Protocol):
    """Called at each evaluation point; what it returns joins that row of metrics.jsonl."""

    def __call__(self, point: EvaluationPoint) -> Mapping[str, float] | None:
        """Measure something; the model is in evaluation mode and must stay unchanged."""
        ...


def train(
    recipe: Recipe, directory: Path, *, resume: bool = False, callbacks: Sequence[Callback] = ()
) -> TrainResult:
    """Train the recipe's model on `directory/tokens` and write it to `directory/model`.

    Args:
        recipe: its [run] seed, [model], [tokens], [optimizer] and [training] are read, and of
            [corpus] the order of files, which is recorded with the model.
        directory: the run folder; checkpoints, metrics.jsonl, recipe.toml and model go there.
        resume: go on from the newest whole checkpoint; without one, begin.
        callbacks: called at evaluation points.

    Raises:
        ShardError: no tokens, or tokens of another tokenizer.
        CheckpointError: an unfinished run without `resume`, a checkpoint of another recipe,
            or one that cannot be read or written.
        CheckpointError: `directory/model` is no model's folder, and would be lost.
        UserError: another process trains here; too many losses that are not finite; disk full;
            no GPU where one is asked for.
    """
    inputs = open_inputs(recipe, directory)
    root = directory / "checkpoints"
    with only_one(root):
        state = _start(root, inputs, resume=resume)
        model = directory / "model"
        if state.plan and state.step >= state.plan["total_steps"] and model.is_dir():
            logger.info("nothing to do: %s is trained, all %d steps", directory, state.step)
            return _result("nothing to do", state, None, None, 0.0, model)
        refuse_foreign(model)  # now, and not after hours of training
        try:
            return _Run(recipe, directory, inputs, state, callbacks).run()
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            raise UserError(
                directory,
                got=f"could not be written: {error.strerror}",
                wanted="room on the disk",
                remedy="free some space, then go on with --resume",
            ) from error


def _start(root: Path, inputs: Inputs, *, resume: bool) -> TrainingState:
    """The newest whole checkpoint's state, or that of a run which has not begun."""
    checkpoint.sweep(root)
    found = checkpoint.newest(root)
    if found is None:
        if checkpoint.steps(root):
            raise CheckpointError(
                root,
                got="checkpoints, but none that is whole",
                wanted="a whole checkpoint to go on from",
                remedy="remove this folder to begin anew",
            )
        if resume:
            logger.warning("no checkpoint in %s: beginning at step 0", root)
        return TrainingState(
            step=0, cursor=Cursor().to_json(), tokens=0, identity=dict(inputs.identity)
        )
    folder, state = found
    checkpoint.check_identity(folder, state.identity, inputs.identity)
    if not resume and state.step < state.plan["total_steps"]:
        raise CheckpointError(
            folder,
            got=f"an unfinished run, {state.step} of {state.plan['total_steps']} steps",
            wanted="a folder without a run",
            remedy="go on with --resume, remove the folder of checkpoints to begin anew, "
            "or train into another folder (--out DIR)",
        )
    return state


class _Run:
    """One process's part of a run, from a state to its end or an interruption."""

    def __init__(
        self,
        recipe: Recipe,
        directory: Path,
        inputs: Inputs,
        state: TrainingState,
        callbacks: Sequence[Callback],
    ) -> None:
        self.inputs, self.state, self.callbacks = inputs, state, callbacks
        self.directory, self.root = directory, directory / "checkpoints"
        self.settings = recipe.table(TrainingSettings)
        self.optimizer_settings = recipe.table(OptimizerSettings)
        self.metrics = MetricsFile(directory / "metrics.jsonl")
        self.recipe = recipe
        self.device = pick_device(self.settings.device)
        self.loss: float | None = None
        self.held_out: HeldOutLoss | None = None
        self.plan: Plan
        self.stepper: Stepper

    def run(self) -> TrainResult:
        """Train to the end, or to the end of the step in which a signal comes."""
        started = time.monotonic()
        threads = self.state.plan.get("threads") or self.settings.threads
        with _threads(threads or torch.get_num_threads()), StopRequest() as stop:
            self._prepare()
            self._announce()
            if self.state.step == 0:
                self._evaluate()
            status = self._steps(stop)
            passes = self.inputs.loader.passes(Cursor.from_json(self.state.cursor))
            logger.info("passes over the data so far: %s", passes_line(passes))
            model = self.directory / "model"
            if status == "finished":
                self._save_model(model)
        seconds = time.monotonic() - started
        if status == "interrupted":
            logger.warning(
                "stopped after step %d of %d; go on with --resume",
                self.state.step,
                self.plan.total_steps,
            )
        bits = self.held_out.bits_per_byte if self.held_out else None
        return _result(status, self.state, self.loss, bits, seconds, model)

    def _prepare(self) -> None:
        """Plan, model, optimiser; from the checkpoint where there is one."""
        self.plan = make_plan(
            self.recipe, self.inputs, self.device, self.root / "plan.json", self.state.plan
        )
        torch.set_num_threads(self.plan.threads)  # an older plan's may be another machine's
        self.recipe.save(self.directory / "recipe.toml")
        self.metrics.truncate_after(self.state.step if self.state.step else -1)
        self.state = replace(self.state, plan=self.plan.to_json())
        self.stepper = new_stepper(self.recipe, self.inputs, self.device, self.plan.dtype)
        if self.state.step:
            folder = self.root / f"step-{self.state.step:08d}"
            checkpoint.restore(folder, self.stepper.model, self.stepper.optimizer)
            logger.info("resuming from %s", folder)
        else:
            # an earlier run's model must not pass for this one's, should this one be cut off
            shutil.rmtree(self.directory / "model", ignore_errors=True)

    def _announce(self) -> None:
        config = self.stepper.model.config
        logger.info(
            "training %s parameters on %s (%s): %d steps of %s tokens",
            human_count(config.parameters),
            f"{self.plan.threads} threads" if self.device.type == "cpu" else self.device,
            self.plan.dtype,
            self.plan.total_steps,
            human_count(self.plan.tokens_per_step),
        )

    def _steps(self, stop: StopRequest) -> Literal["finished", "interrupted"]:
        plan = self.plan
        left = (plan.total_steps - self.state.step) * plan.tokens_per_step
        saved = self.state.step
        with Progress("training", total=left, unit="tokens") as progress:
            while self.state.step < plan.total_steps and stop.signal is None:
                result, rate = self._one_step()
                progress.advance(plan.tokens_per_step, self._note(result, rate))
                step = self.state.step
                last = step == plan.total_steps
                if last or step % plan.evaluate_every == 0:
                    self._evaluate()
                if last or stop.signal or step % plan.checkpoint_every == 0:
                    self._save()
                    saved = step
        if self.state.step > saved:
            self._save()  # a signal that came after the step's own check
        return "finished" if self.state.step >= plan.total_steps else "interrupted"

    def _one_step(self) -> tuple[StepResult, float]:
        started = time.perf_counter()
        state = self.state
        cursor = Cursor.from_json(state.cursor)
        cursor = self.inputs.loader.advance(cursor, state.step / self.plan.total_steps)
        batches = []
        for _ in range(self.settings.gradient_accumulation):
            batch, cursor = self.inputs.loader.batch(cursor)
            batches.append(batch)
        loaded = time.perf_counter()
        rate = learning_rate(self.optimizer_settings, state.step, self.plan.total_steps)
        result = self.stepper.step(batches, rate)
        self.state = replace(
            state,
            step=state.step + 1,
            cursor=cursor.to_json(),
            tokens=state.tokens + self.plan.tokens_per_step,
            skipped_steps=state.skipped_steps + result.skipped,
            skipped_in_a_row=state.skipped_in_a_row + 1 if result.skipped else 0,
        )
        self._record(result, rate, loaded - started, time.perf_counter() - started)
        return result, rate

    def _record(
        self, result: StepResult, rate: float, loader_seconds: float, seconds: float
    ) -> None:
        state = self.state
        if result.skipped:
            self._skipped(result)
        else:
            self.loss = result.loss_nats_per_token
        if state.step % self.settings.log_every and not result.skipped:
            return
        self.metrics.write(
            step=state.step,
            loss_nats_per_token=_finite(result.loss_nats_per_token),
            learning_rate=rate,
            gradient_norm=_finite(result.gradient_norm),
            tokens=state.tokens,
            tokens_per_second=self.plan.tokens_per_step / seconds,
            step_seconds=seconds,
            loader_seconds=loader_seconds,
            memory_peak_bytes=_memory_peak(self.device),
            skipped_steps=state.skipped_steps,
        )

    def _skipped(self, result: StepResult) -> None:
        state = self.state
        logger.warning(
            "step %d skipped: loss %s, gradient norm %s",
            state.step,
            result.loss_nats_per_token,
            result.gradient_norm,
        )
        if state.skipped_in_a_row > self.settings.max_skipped_steps:
            raise UserError(
                f"training step {state.step}",
                got=f"{state.skipped_in_a_row} steps in a row whose loss or gradient is not finite",
                wanted=f"at most {self.settings.max_skipped_steps} (training.max_skipped_steps)",
                remedy="lower optimizer.learning_rate or training.dtype = 'float32', and begin "
                "anew",
            )

    def _note(self, result: StepResult, rate: float) -> str:
        step = f"step {self.state.step}/{self.plan.total_steps}"
        return f"{step}, loss {result.loss_nats_per_token:.3f}, rate {rate:.2e}"

    def _evaluate(self) -> None:
        model = self.stepper.model.eval()
        row: dict[str, float] = {}
        self.held_out = None
        if self.inputs.held_out:
            self.held_out = held_out_loss(
                model,
                self.inputs.held_out,
                self.inputs.held_out_bytes,
                sequence_length=self.inputs.sequence_length,
                batch_size=self.settings.batch_size,
                device=self.device,
                dtype=self.plan.dtype,
            )
            row = {f"held_out_{name}": value for name, value in asdict(self.held_out).items()}
            logger.info(
                "step %d: %.3f bits per byte on held-out text",
                self.state.step,
                self.held_out.bits_per_byte,
            )
        point = EvaluationPoint(
            step=self.state.step,
            total_steps=self.plan.total_steps,
            tokens=self.state.tokens,
            directory=self.directory,
            model=model,
            held_out=self.held_out,
        )
        for callback in self.callbacks:
            row |= callback(point) or {}
        model.train()
        if row:
            self.metrics.write(step=self.state.step, tokens=self.state.tokens, **row)

    def _save_model(self, folder: Path) -> None:
        style = PromptStyle.trained(
            self.recipe.table(TokensSettings).fim_order, self.recipe.table(CorpusSettings).order
        )
        tokenizer = self.directory / "tokenizer"
        save_model(self.stepper.model, tokenizer, folder, style=style.to_json())

    def _save(self) -> None:
        started = time.perf_counter()
        checkpoint.save(
            self.root,
            self.state,
            self.stepper.model,
            self.stepper.optimizer,
            keep=self.settings.keep_checkpoints,
        )
        seconds = time.perf_counter() - started
        self.metrics.write(
            step=self.state.step, tokens=self.state.tokens, checkpoint_seconds=seconds
        )


def _result(
    status: Literal["finished", "interrupted", "nothing to do"],
    state: TrainingState,
    loss: float | None,
    bits_per_byte: float | None,
    seconds: float,
    model: Path,
) -> TrainResult:
    return TrainResult(
        status=status,
        step=state.step,
        total_steps=state.plan["total_steps"],
        tokens=state.tokens,
        loss_nats_per_token=loss,
        bits_per_byte=bits_per_byte,
        seconds=seconds,
        model=model,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN


def _memory_peak(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts kilobytes


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
