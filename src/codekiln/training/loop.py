"""The training loop: the same code in one process and on each of many ranks.

The loop is a function of a value: (weights, the optimiser's averages, `TrainingState`) plus the
plan fixed before the first step. Nothing else moves it: neither the clock nor a random state. So a
run that is killed and resumed ends with the same bits as one that never stopped, given the same
machine, layout of ranks and number of threads (the plan keeps the threads; on a GPU as far as its
kernels are deterministic). On another layout it reads the same data in the same order, and differs
by rounding.

Rank 0 speaks for all: it alone writes metrics, messages and the model.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from codekiln.corpus.settings import CorpusSettings
from codekiln.errors import CheckpointError, UserError
from codekiln.generation.style import PromptStyle
from codekiln.log import Progress, human_count, logger, quiet_unless
from codekiln.models.causal import CausalLM
from codekiln.models.lora_settings import LoraSettings
from codekiln.models.weights import refuse_foreign, save_model
from codekiln.parallel.settings import ParallelSettings
from codekiln.parallel.world import Meshes, Ranks, joined
from codekiln.recipe import Recipe
from codekiln.storage import only_one
from codekiln.tokens.cursor import Cursor
from codekiln.tokens.packing_report import passes_line
from codekiln.tokens.settings import TokensSettings
from codekiln.training import checkpoint
from codekiln.training.build import (
    batch_schedule,
    make_plan,
    meshes_of,
    new_stepper,
)
from codekiln.training.callbacks import Callback, EvaluationPoint
from codekiln.training.checkpoint import TrainingState
from codekiln.training.device import pick_device
from codekiln.training.evaluate import HeldOutLoss, held_out_loss
from codekiln.training.inputs import Inputs, open_inputs
from codekiln.training.interrupt import StopRequest
from codekiln.training.plan import Plan
from codekiln.training.saving import Saver
from codekiln.training.schedule import learning_rate, position
from codekiln.training.settings import OptimizerSettings, TrainingSettings
from codekiln.training.spikes import Recent
from codekiln.training.step import Stepper, StepResult
from codekiln.training.watch import StepTimes, Watch, speed_of

ROOM = 0.8  # of a GPU's free memory, for a model beside training's: its cache needs some, too
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
    device = pick_device(recipe.table(TrainingSettings).device)
    timeout = recipe.table(ParallelSettings).timeout_minutes
    with joined(device, timeout_minutes=timeout) as ranks, quiet_unless(ranks.first):
        return _train(recipe, directory, ranks, resume=resume, callbacks=callbacks)


def _train(
    recipe: Recipe,
    directory: Path,
    ranks: Ranks,
    *,
    resume: bool,
    callbacks: Sequence[Callback],
) -> TrainResult:
    inputs = open_inputs(recipe, directory)
    meshes = meshes_of(recipe, inputs, ranks)
    root = directory / "checkpoints"
    with only_one(root) if ranks.first else nullcontext():
        if ranks.first:
            checkpoint.sweep(root)
        ranks.wait()
        state = _start(root, inputs, ranks, resume=resume)
        model = directory / "model"
        if state.plan and state.step >= state.plan["total_steps"] and model.is_dir():
            logger.info("nothing to do: %s is trained, all %d steps", directory, state.step)
            return _result("nothing to do", state, None, None, 0.0, model)
        refuse_foreign(model)  # now, and not after hours of training
        try:
            return _Run(recipe, directory, inputs, state, callbacks, meshes).run()
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            raise UserError(
                directory,
                got=f"could not be written: {error.strerror}",
                wanted="room on the disk",
                remedy="free some space, then go on with --resume",
            ) from error


def _start(root: Path, inputs: Inputs, ranks: Ranks, *, resume: bool) -> TrainingState:
    """The newest whole checkpoint's state, or that of a run which has not begun."""
    found = checkpoint.newest(root, ranks)
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
        meshes: Meshes,
    ) -> None:
        self.inputs, self.state, self.callbacks = inputs, state, callbacks
        self.directory, self.root = directory, directory / "checkpoints"
        self.settings = recipe.table(TrainingSettings)
        self.optimizer_settings = recipe.table(OptimizerSettings)
        self.batches = batch_schedule(recipe, inputs.sequence_length)
        self.watch = Watch(
            directory, speaks=meshes.ranks.first, tensorboard=self.settings.tensorboard
        )
        self.recipe = recipe
        self.meshes, self.ranks = meshes, meshes.ranks
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
            try:
                if self.state.step == 0:
                    self._evaluate()
                status = self._steps(stop)
            finally:
                self.saver.close()
                self.watch.close()
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
            self.recipe, self.inputs, self.meshes, self.root / "plan.json", self.state.plan
        )
        torch.set_num_threads(self.plan.threads)  # an older plan's may be another machine's
        if self.ranks.first:
            self.recipe.save(self.directory / "recipe.toml")
        self.stepper = new_stepper(self.recipe, self.inputs, self.meshes, self.plan.dtype)
        tokens = position(self.batches, self.plan.total_steps) * self.plan.tokens_per_step
        speed = speed_of(
            self.stepper.model.config,
            self.inputs.sequence_length,
            self.ranks,
            self.plan.dtype,
            round(tokens),
            self.recipe.table(LoraSettings),
        )
        self.watch.begin(self.state.step, speed)
        model: dict[str, Any] = {"config": self.stepper.model.config.to_hf("float32")}
        model |= {"style": self._style(), "lora": self.recipe.table(LoraSettings).model_dump()}
        self.state = replace(self.state, plan=self.plan.to_json(), model=model)
        self.parameters = dict(self.stepper.model.named_parameters())
        self.rows = self.stepper.model.rows(self.settings.batch_size)
        self.saver = Saver(
            self.root,
            self.ranks,
            keep=self.settings.keep_checkpoints,
            keep_every=self.settings.keep_every,
        )
        if self.state.step:
            folder = self.root / f"step-{self.state.step:08d}"
            checkpoint.restore(folder, self.parameters, self.stepper.optimizer, self.ranks)
            logger.info("resuming from %s", folder)
        elif self.ranks.first:
            # an earlier run's model must not pass for this one's, should this one be cut off
            shutil.rmtree(self.directory / "model", ignore_errors=True)

    def _announce(self) -> None:
        config = self.stepper.model.config
        logger.info(
            "training %s parameters on %s (%s): %d steps of %s tokens",
            human_count(config.parameters),
            self._where(),
            self.plan.dtype,
            self.plan.total_steps,
            human_count(self.plan.tokens_per_step),
        )

    def _where(self) -> str:
        device = self.ranks.device
        each = f"{self.plan.threads} threads" if device.type == "cpu" else device.type
        if self.ranks.alone:
            return each
        degrees = asdict(self.meshes.degrees).items()
        layout = ", ".join(f"{name} {degree}" for name, degree in degrees if degree > 1)
        return f"{self.ranks.size} ranks of {each} ({layout})"

    def _steps(self, stop: StopRequest) -> Literal["finished", "interrupted"]:
        plan = self.plan
        steps = position(self.batches, plan.total_steps) - position(self.batches, self.state.step)
        left = round(steps * plan.tokens_per_step)
        with Progress("training", total=left, unit="tokens") as progress:
            stopping = self._agreed(stop)
            while self.state.step < plan.total_steps and not stopping:
                result, rate = self._one_step()
                progress.advance(self._tokens(self.state.step - 1), self._note(result, rate))
                step = self.state.step
                last = step == plan.total_steps
                if last or step % plan.evaluate_every == 0:
                    self._evaluate()
                stopping = self._agreed(stop)
                if last or stopping or step % plan.checkpoint_every == 0:
                    self._save()
        if written := self.saver.wait():
            self.watch.write(
                step=self.state.step,
                tokens=self.state.tokens,
                last_checkpoint_write_seconds=written,
            )
        return "finished" if self.state.step >= plan.total_steps else "interrupted"

    def _tokens(self, step: int) -> int:
        """Tokens of one step."""
        micro_batch = self.plan.tokens_per_step // self.batches.largest
        return self.batches.size(step) * micro_batch

    def _agreed(self, stop: StopRequest) -> bool:
        """Whether a signal has come to any rank."""
        (asked,) = self.ranks.maxima(stop.signal is not None)
        return bool(asked)

    def _one_step(self) -> tuple[StepResult, float]:
        started = time.perf_counter()
        state = self.state
        cursor = Cursor.from_json(state.cursor)
        now, end = (position(self.batches, step) for step in (state.step, self.plan.total_steps))
        cursor = self.inputs.loader.advance(cursor, now / end)
        batches = []
        for _ in range(self.batches.size(state.step)):
            batch, cursor = self.inputs.loader.batch(cursor, self.rows)
            batches.append(batch)
        loaded = time.perf_counter()
        rate = learning_rate(self.optimizer_settings, now, end)
        recent, window = Recent.from_json(state.recent), self.settings.spike_window
        result = self.stepper.step(
            batches,
            rate,
            recent.limits(self.settings.spike_factor),
            skip_spikes=self.settings.spike_action == "skip",
        )
        if not result.skipped:
            recent = recent.then(result.loss_nats_per_token, result.gradient_norm, window)
        self.state = replace(
            state,
            step=state.step + 1,
            cursor=cursor.to_json(),
            tokens=state.tokens + self._tokens(state.step),
            skipped_steps=state.skipped_steps + result.skipped,
            skipped_in_a_row=state.skipped_in_a_row + 1 if result.skipped else 0,
            spiked_steps=state.spiked_steps + result.spike,
            recent=recent.to_json(),
        )
        times = StepTimes(
            tokens=self._tokens(state.step),
            seconds=time.perf_counter() - started,
            loader_seconds=loaded - started,
        )
        self._record(result, rate, times)
        return result, rate

    def _record(self, result: StepResult, rate: float, times: StepTimes) -> None:
        state = self.state
        self.watch.time(times)
        if result.skipped:
            self._skipped(result)
        else:
            self.loss = result.loss_nats_per_token
            if result.spike:
                logger.warning("step %d is a spike: %s", state.step, _figures(result))
        due = state.step % self.settings.log_every == 0 or state.step == self.plan.total_steps
        if result.skipped or result.spike or due:
            load = self.stepper.model.expert_load()
            self.watch.step(state, result, rate, self.ranks.device, load)

    def _skipped(self, result: StepResult) -> None:
        state, most = self.state, self.settings.max_skipped_steps
        logger.warning("step %d skipped: %s", state.step, _figures(result))
        if state.skipped_in_a_row > most:
            raise UserError(
                f"training step {state.step}",
                got=f"{state.skipped_in_a_row} steps in a row whose loss or gradient "
                + ("stands out" if result.spike else "is not finite"),
                wanted=f"at most {most} (training.max_skipped_steps)",
                remedy="lower optimizer.learning_rate or training.dtype = 'float32', and begin "
                "anew" + ("; or raise training.spike_factor" if result.spike else ""),
            )

    def _note(self, result: StepResult, rate: float) -> str:
        step = f"step {self.state.step}/{self.plan.total_steps}"
        return self.watch.note(step, result, rate)

    def _evaluate(self) -> None:
        model = self.stepper.model
        model.train(False)
        row: dict[str, Any] = {}
        self.held_out = None
        if self.inputs.held_out.texts:
            self.held_out = held_out_loss(
                model,
                self.inputs.held_out,
                sequence_length=self.inputs.sequence_length,
                batch_size=self.settings.batch_size,
            )
            row = {f"held_out_{name}": value for name, value in asdict(self.held_out).items()}
            logger.info("step %d: %s", self.state.step, _bits(self.held_out))
        if self.callbacks:
            row |= self._called_back()
        model.train()
        row |= self.watch.load_shares()
        if row:
            self.watch.write(step=self.state.step, tokens=self.state.tokens, **row)

    def _called_back(self) -> dict[str, float]:
        """What the callbacks say of the whole model; other ranks than the first wait."""
        model = self.stepper.model.whole()
        row: dict[str, float] = {}
        if model is not None:
            point = EvaluationPoint(
                step=self.state.step,
                total_steps=self.plan.total_steps,
                tokens=self.state.tokens,
                directory=self.directory,
                model=_near(model, self.ranks.device).eval(),
                held_out=self.held_out,
            )
            for callback in self.callbacks:
                row |= callback(point) or {}
        self.ranks.wait_for_first()
        return row

    def _style(self) -> dict[str, str]:
        return PromptStyle.trained(
            self.recipe.table(TokensSettings).fim_order, self.recipe.table(CorpusSettings).order
        ).to_json()

    def _save_model(self, folder: Path) -> None:
        model = self.stepper.model.whole()
        if model is not None:
            save_model(model, self.directory / "tokenizer", folder, style=self._style())
        self.ranks.wait_for_first()

    def _save(self) -> None:
        started = time.perf_counter()
        written = self.saver.save(self.state, self.parameters, self.stepper.optimizer)
        self.watch.write(
            step=self.state.step,
            tokens=self.state.tokens,
            checkpoint_stall_seconds=time.perf_counter() - started,
            last_checkpoint_write_seconds=written,
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


def _figures(result: StepResult) -> str:
    return f"loss {result.loss_nats_per_token}, gradient norm {result.gradient_norm}"


def _bits(held_out: HeldOutLoss) -> str:
    """In a line: the whole, and its kinds where there are several."""
    line = f"{held_out.bits_per_byte:.3f} bits per byte on held-out text"
    kinds = [f"{name} {part.bits_per_byte:.3f}" for name, part in held_out.by_kind.items()]
    return f"{line} ({', '.join(kinds)})" if len(kinds) > 1 else line


def _near(model: CausalLM, device: torch.device) -> CausalLM:
    """On the device if it has room; a model that several ranks share may be larger than one."""
    if device.type != "cuda" or next(model.parameters()).device == device:
        return model
    size = sum(parameter.nbytes for parameter in model.parameters())
    return model.to(device) if size < ROOM * torch.cuda.mem_get_info(device)[0] else model


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
