"""Training checkpoints: a folder that is whole or not there, and that proves it is whole.

`checkpoints/step-00000100/` holds `model.safetensors` (float32 weights under their own names),
`optimizer.safetensors` (AdamW's averages and step counts by weight, random states) and
`state.json` (step, cursor of the loader, plan, identity of the run, size and SHA-256 of the two
other files). The folder takes its name in one rename, after everything in it is on disk.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from codekiln.errors import CheckpointError, UserError
from codekiln.log import logger
from codekiln.models.tensor_file import write_tensors
from codekiln.storage import atomic_path, fingerprint_file, read_json, write_json

FORMAT = 1
STATE, WEIGHTS, OPTIMIZER = "state.json", "model.safetensors", "optimizer.safetensors"
_NAME = re.compile(r"step-(\d{8,})")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """What a run is besides its tensors; all of it JSON.

    Args:
        step: optimiser steps done; the next step has this number.
        cursor: the loader's position, `Cursor.to_json()`.
        tokens: training tokens seen.
        skipped_steps: steps passed over because loss or gradient was not finite.
        skipped_in_a_row: of these, the ones just before `step`.
        plan: total steps, precision and the like, decided before the first step.
        identity: "table.key" -> value: what a resumed run must share with this one.
    """

    step: int
    cursor: dict[str, Any]
    tokens: int
    skipped_steps: int = 0
    skipped_in_a_row: int = 0
    plan: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)


def save(
    root: Path,
    state: TrainingState,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    keep: int,
) -> Path:
    """Write one checkpoint atomically, then drop all but the newest `keep`.

    Those of later steps are dropped, too: a run that has come to an earlier step found them
    damaged and passed them over. They must not take the places of whole ones.

    Raises:
        CheckpointError: when it cannot be written (disk full); earlier checkpoints stay.
    """
    target = root / f"step-{state.step:08d}"
    weights = {name: p.detach().contiguous() for name, p in model.named_parameters()}
    try:
        with atomic_path(target) as folder:
            folder.mkdir()
            write_tensors(weights, folder / WEIGHTS)
            write_tensors(_optimizer_tensors(model, optimizer), folder / OPTIMIZER)
            files = {name: _facts(folder / name) for name in (WEIGHTS, OPTIMIZER)}
            write_json(folder / STATE, {"format": FORMAT, **asdict(state), "files": files})
    except (OSError, SafetensorError) as error:
        last = latest(root)
        raise CheckpointError(
            target,
            got=f"could not be written: {error}",
            wanted="room on the disk",
            remedy="free some space, then train with --resume; the last good checkpoint is "
            + (last.name if last else "the start"),
        ) from error
    folders = steps(root)
    usable = [folder for folder in folders if _number(folder) <= state.step]
    for folder in folders:
        if folder not in usable[-keep:]:
            shutil.rmtree(folder, ignore_errors=True)
    return target


def _number(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def _facts(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": fingerprint_file(path)}


def steps(root: Path) -> list[Path]:
    """Checkpoint folders below `root`, oldest first, whole or not."""
    if not root.is_dir():
        return []
    found = [p for p in root.iterdir() if p.is_dir() and _NAME.fullmatch(p.name)]
    return sorted(found, key=_number)


def newest(root: Path) -> tuple[Path, TrainingState] | None:
    """The newest whole checkpoint and its state; damaged ones are passed over with a warning."""
    for folder in reversed(steps(root)):
        try:
            return folder, read_state(folder)
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


def read_state(folder: Path) -> TrainingState:
    """Check that a checkpoint is whole, byte for byte, and read its state.

    Raises:
        CheckpointError: a file is missing, cut short or changed, or the state is not ours.
    """
    try:
        values = read_json(folder / STATE)
        if values.pop("format") != FORMAT:
            raise CheckpointError(folder, got="another format", wanted=f"format {FORMAT}")
        files = values.pop("files")
        state = TrainingState(**values)
    except CheckpointError:
        raise
    except (UserError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            folder / STATE, got=f"damaged ({error})", wanted="a whole checkpoint", remedy=_REMEDY
        ) from error
    for name, facts in files.items():
        _check_file(folder / name, facts)
    return state


_REMEDY = "remove this folder; the run then resumes from the checkpoint before it"


def _check_file(path: Path, facts: Mapping[str, Any]) -> None:
    size = path.stat().st_size if path.is_file() else None
    if size is None:
        got = "missing"
    elif size != facts["bytes"]:
        got = f"{size} bytes"
    elif fingerprint_file(path) != facts["sha256"]:
        got = "the right size, but other bytes than were written"
    else:
        return
    raise CheckpointError(path, got=got, wanted=f"{facts['bytes']} bytes", remedy=_REMEDY)


def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put weights, AdamW's averages and random states back, in place.

    Raises:
        CheckpointError: when names or shapes are another model's.
    """
    weights = _load(folder / WEIGHTS)
    parameters = dict(model.named_parameters())
    wrong = [
        name
        for name in sorted(weights.keys() | parameters.keys())
        if name not in weights
        or name not in parameters
        or weights[name].shape != parameters[name].shape
    ]
    if wrong:
        raise CheckpointError(
            folder,
            got=f"weights of another model: {', '.join(wrong[:5])}",
            wanted="the names and shapes of the recipe's [model]",
            remedy="resume with the recipe that this run began with",
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    _restore_optimizer(_load(folder / OPTIMIZER), parameters, optimizer)


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(path, got=f"unreadable: {error}", remedy=_REMEDY) from error


_RANDOM_CPU, _RANDOM_CUDA = "random.cpu", "random.cuda"


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    tensors = {_RANDOM_CPU: torch.get_rng_state()}
    if torch.cuda.is_initialized():
        tensors[_RANDOM_CUDA] = torch.cuda.get_rng_state()
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"{key}:{name}"] = value.detach().contiguous()
    return tensors


def _restore_optimizer(
    tensors: dict[str, Tensor],
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
) -> None:
    torch.set_rng_state(tensors.pop(_RANDOM_CPU))
    cuda = tensors.pop(_RANDOM_CUDA, None)
    if cuda is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(cuda)
    optimizer.state.clear()
    for entry, value in tensors.items():
        key, _, name = entry.partition(":")
        parameter = parameters[name]
        optimizer.state[parameter][key] = value.to(parameter.device)


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
