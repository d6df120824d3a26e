"""Training checkpoints: a folder that is whole or not there, and that proves it is whole.

`checkpoints/step-00000100/` holds tensors as PyTorch's distributed checkpoints have them (one file
a rank, `.metadata`): weights, the optimiser's averages and counts, random states. `state.json` has
the step, the loader's cursor, the plan, the run's identity, the model's configuration, and size
and SHA-256 of all other files. Learning rate and batch are functions of the step; metrics.jsonl is
cut to it. The folder takes its name in one rename, after everything in it is on disk, and loses it
in one before it is removed (`saving.py`).

Any number of ranks reads what any other has written: each takes its part.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from codekiln.errors import CheckpointError, UserError
from codekiln.log import logger
from codekiln.parallel.world import ALONE, Ranks
from codekiln.storage import fingerprint_file, read_json
from codekiln.training.stored import REMEDY, Reader

FORMAT = 2
STATE = "state.json"
MODEL, OPTIMIZER = "model:", "optimizer:"  # how the names of stored tensors begin
RANDOM_CPU, RANDOM_CUDA = "random.cpu:", "random.cuda:"
# one process needs no process group, and is no news
warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """What a run is besides its tensors; all of it JSON.

    Args:
        step: optimiser steps done; the next step has this number.
        cursor: the loader's position, `Cursor.to_json()`.
        tokens: training tokens seen.
        skipped_steps: steps passed over because loss or gradient was not finite, or stood out.
        skipped_in_a_row: of these, the ones just before `step`.
        spiked_steps: steps whose loss or gradient norm stood out.
        recent: what steps are held against to tell, `Recent.to_json()`.
        plan: total steps, precision and the like, decided before the first step.
        identity: "table.key" -> value: what a resumed run must share with this one.
        model: what stands beside the weights in a model's folder: "config", as in `config.json`,
            and "style", as in `codekiln.json`.
    """

    step: int
    cursor: dict[str, Any]
    tokens: int
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    spiked_steps: int = 0
    recent: dict[str, list[float]] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)


def number(folder: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(folder.name.removeprefix("step-"))


def named_as_one(path: Path) -> bool:
    """Whether a path has a checkpoint's name, be it there or not."""
    return _NAME.fullmatch(path.resolve().name) is not None


def steps(root: Path) -> list[Path]:
    """Checkpoint folders below `root`, oldest first, whole or not."""
    if not root.is_dir():
        return []
    found = [p for p in root.iterdir() if p.is_dir() and _NAME.fullmatch(p.name)]
    return sorted(found, key=number)


def newest(root: Path, ranks: Ranks = ALONE) -> tuple[Path, TrainingState] | None:
    """The newest whole checkpoint and its state; damaged ones are passed over with a warning."""
    for folder in reversed(ranks.from_first(steps(root))):
        try:
            return folder, read_state(folder, ranks)
        except CheckpointError as error:
            logger.warning("passing over a damaged checkpoint: %s", error)
    return None


def latest(root: Path) -> Path | None:
    """The newest whole checkpoint's folder, as `newest` finds it."""
    found = newest(root)
    return found[0] if found else None


def sweep(root: Path) -> None:
    """Remove what a killed save left behind."""
    for folder in root.glob(".step-*.tmp") if root.is_dir() else ():
        shutil.rmtree(folder, ignore_errors=True)


def read_state(folder: Path, ranks: Ranks = ALONE) -> TrainingState:
    """Check that a checkpoint is whole, byte for byte, and read its state.

    Ranks divide the files among them; if one finds damage, all raise.

    Raises:
        CheckpointError: a file is missing, cut short or changed, or the state is not ours.
    """
    damage: CheckpointError | None = None
    state = None
    try:
        state, files = _read(folder)
        for name in sorted(files)[ranks.rank :: ranks.size]:
            _check_file(folder / name, files[name])
    except CheckpointError as error:
        damage = error
    for found in ranks.gathered(damage):
        if found is not None:
            raise found
    assert state is not None
    return state


def _read(folder: Path) -> tuple[TrainingState, dict[str, Any]]:
    try:
        values = read_json(folder / STATE)
        if values.pop("format") != FORMAT:
            raise CheckpointError(folder, got="another format", wanted=f"format {FORMAT}")
        files = values.pop("files")
        return TrainingState(**values), files
    except CheckpointError:
        raise
    except (UserError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            folder / STATE, got=f"damaged ({error})", wanted="a whole checkpoint", remedy=REMEDY
        ) from error


def _check_file(path: Path, facts: Mapping[str, Any]) -> None:
    try:
        size = path.stat().st_size
        if size != facts["bytes"]:
            got = f"{size} bytes"
        elif fingerprint_file(path) != facts["sha256"]:
            got = "the right size, but other bytes than were written"
        else:
            return
    except FileNotFoundError:
        got = "missing"
    except OSError as error:
        got = f"unreadable: {error.strerror}"
    raise CheckpointError(path, got=got, wanted=f"{facts['bytes']} bytes", remedy=REMEDY)


def restore(
    folder: Path,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    ranks: Ranks = ALONE,
) -> None:
    """Put weights, the optimiser's state and random states back, in place.

    With as many ranks as wrote it, each has its random state again; otherwise all have rank 0's.

    Args:
        parameters: this rank's, by name.

    Raises:
        CheckpointError: when names or shapes are another model's.
    """
    reader = Reader(folder)
    stored = reader.tensors
    here = {name: parameter.shape for name, parameter in parameters.items()}
    wanted = {name: shape for found in ranks.gathered(here) for name, shape in found.items()}
    check_shapes(folder, stored, wanted)
    state = _room(stored, parameters)
    random = _random_room(stored, ranks)
    tensors = {MODEL + name: parameter.detach() for name, parameter in parameters.items()}
    averages = {f"{OPTIMIZER}{key}:{name}": value for (key, name), value in state.items()}
    dcp.load(tensors | averages | random, storage_reader=reader, no_dist=ranks.alone)
    optimizer.state.clear()
    for (key, name), value in state.items():
        optimizer.state[parameters[name]][key] = value
    for key, value in random.items():
        if key.startswith(RANDOM_CPU):
            torch.set_rng_state(value)
        elif torch.cuda.is_available():
            torch.cuda.set_rng_state(value)


def tensors_of(
    parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer, ranks: Ranks
) -> dict[str, Tensor]:
    """All tensors of a rank's checkpoint, by the names that they are stored under."""
    tensors = {f"{RANDOM_CPU}{ranks.rank}": torch.get_rng_state()}
    if torch.cuda.is_initialized():
        tensors[f"{RANDOM_CUDA}{ranks.rank}"] = torch.cuda.get_rng_state()
    for name, parameter in parameters.items():
        tensors[MODEL + name] = parameter.detach()
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{OPTIMIZER}{key}:{name}"] = value.detach()
    return tensors


def check_shapes(
    folder: Path,
    stored: Mapping[str, TensorStorageMetadata],
    wanted: Mapping[str, tuple[int, ...]],
) -> None:
    """Make sure that a checkpoint has just a model's weights.

    Args:
        stored: as `Reader.tensors`.
        wanted: name of a parameter -> shape.

    Raises:
        CheckpointError: when names or shapes are another model's.
    """
    weights = {
        key.removeprefix(MODEL): value for key, value in stored.items() if key.startswith(MODEL)
    }
    wrong = [
        name
        for name in sorted(weights.keys() | wanted.keys())
        if name not in weights or name not in wanted or weights[name].size != wanted[name]
    ]
    if wrong:
        raise CheckpointError(
            folder,
            got=f"weights of another model: {', '.join(wrong[:5])}",
            wanted="the names and shapes of the recipe's [model]",
            remedy="resume with the recipe that this run began with",
        )


def _room(
    stored: Mapping[str, TensorStorageMetadata], parameters: Mapping[str, nn.Parameter]
) -> dict[tuple[str, str], Tensor]:
    """Room for what the optimiser keeps of this rank's parameters: (key, name) -> tensor."""
    room = {}
    for entry, facts in stored.items():
        if not entry.startswith(OPTIMIZER):
            continue
        key, _, name = entry.removeprefix(OPTIMIZER).partition(":")
        if name in parameters:
            like = parameters[name].detach()
            dtype = facts.properties.dtype
            room[key, name] = (
                torch.zeros_like(like, dtype=dtype)
                if facts.size == like.shape
                else torch.zeros(facts.size, dtype=dtype, device=like.device)
            )
    return room


def _random_room(stored: Mapping[str, TensorStorageMetadata], ranks: Ranks) -> dict[str, Tensor]:
    room = {}
    for kind in (RANDOM_CPU, RANDOM_CUDA):
        writers = sum(key.startswith(kind) for key in stored)
        key = f"{kind}{ranks.rank if writers == ranks.size else 0}"
        if key in stored:
            room[key] = torch.zeros(stored[key].size, dtype=torch.uint8)
    return room


def check_identity(folder: Path, saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to go on from a checkpoint of another recipe, tokenizer or corpus.

    Raises:
        CheckpointError: naming each key that differs, with both values.
    """
    differing = [
        f"{key} = {saved.get(key)!r} there, {wanted.get(key)!r} here"
        for key in sorted(saved.keys() | wanted.keys())
        if saved.get(key) != wanted.get(key)
    ]
    if differing:
        raise CheckpointError(
            folder,
            got="a checkpoint of another run: " + "; ".join(differing),
            wanted="the recipe, tokenizer and tokens that this run began with",
            remedy="undo the change, or train into another folder (--out DIR)",
        )
