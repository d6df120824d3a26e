"""Any checkpoint of a run as a model folder, in one process, while training goes on.

Nothing is locked: the run may drop a checkpoint that is being read. What was asked for by its run
then gives way to a newer one.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint import CheckpointException

from codekiln.errors import CheckpointError
from codekiln.log import logger
from codekiln.models.causal import build_model
from codekiln.models.config import ModelConfig, read_config
from codekiln.models.folder import CONFIG, EMBEDDINGS
from codekiln.models.lora import add_adapters
from codekiln.models.lora_settings import LoraSettings
from codekiln.models.weights import (
    MAX_SHARD_BYTES,
    Transfer,
    carry,
    progress_of,
    require_finite,
    write_model,
    write_style,
)
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.training import checkpoint
from codekiln.training.checkpoint import MODEL, STATE, TrainingState
from codekiln.training.stored import Reader

ATTEMPTS = 5
CHECKPOINTS = "checkpoints"


def is_checkpoint(path: Path) -> bool:
    """Whether a path means a checkpoint (be it there or not), or a run that has no model yet."""
    if (path / CONFIG).is_file() or (path / "model" / CONFIG).is_file():
        return False
    return checkpoint.named_as_one(path) or bool(checkpoint.steps(path / CHECKPOINTS))


def export_checkpoint(
    source: Path,
    out: Path,
    *,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    verify: bool = True,
) -> Transfer:
    """Write a checkpoint's model as a folder for transformers; tensor by tensor.

    Args:
        source: a checkpoint's folder below its run's, or a run's: its newest whole checkpoint.
        dtype: what the weights are stored as; None keeps float32.

    Raises:
        CheckpointError: no whole checkpoint, or one that the run has dropped; values that are not
            numbers; a tokenizer that is not the run's; a target that holds something else.
        TokenizerError: no tokenizer in the run's folder.
    """

    def export(folder: Path, state: TrainingState) -> Transfer:
        return _export(
            folder, state, out, dtype=dtype, max_shard_bytes=max_shard_bytes, verify=verify
        )

    if checkpoint.named_as_one(source):
        with _unless_dropped(source):
            return export(source, checkpoint.read_state(source))
    root = source / CHECKPOINTS
    for _ in range(ATTEMPTS):
        before = checkpoint.steps(root)
        found = checkpoint.newest(root)
        if found is None and checkpoint.steps(root) == before:
            raise CheckpointError(
                root,
                got="no checkpoint that is whole",
                wanted="the folder of a run that has saved one",
            )
        if found is not None:
            try:
                return export(*found)
            except CheckpointError:
                if found[0].is_dir():
                    raise
        logger.warning("training has dropped what was being read: looking for a newer checkpoint")
    raise CheckpointError(
        root,
        got=f"checkpoints that training dropped while they were read, {ATTEMPTS} times",
        wanted="one that stays as long as reading it takes",
        remedy="train with a larger training.keep_checkpoints, or with training.keep_every",
    )


@contextmanager
def as_model_folder(source: Path, out: Path) -> Iterator[Path]:
    """A model folder of a checkpoint's weights beside `out`, as long as the block runs.

    Raises:
        CheckpointError, TokenizerError: as `export_checkpoint`.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        folder = Path(temporary) / source.resolve().name
        export_checkpoint(source, folder, verify=False)
        yield folder


@contextmanager
def _unless_dropped(folder: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        if folder.is_dir():
            raise
        there = [other.name for other in checkpoint.steps(folder.resolve().parent)]
        raise CheckpointError(
            folder,
            got="not there, or dropped by the training that goes on",
            wanted=f"a checkpoint that stays: {', '.join(there) or 'none is there'}",
            remedy="name the run's folder: its newest checkpoint is taken then; "
            "training.keep_every keeps checkpoints for good",
        ) from error


def _export(
    folder: Path,
    state: TrainingState,
    out: Path,
    *,
    dtype: torch.dtype | None,
    max_shard_bytes: int,
    verify: bool,
) -> Transfer:
    config = read_config(state.model.get("config", {}), folder / STATE)
    tokenizer = folder.resolve().parent.parent / "tokenizer"
    key = "tokenizer.sha256"
    checkpoint.check_identity(
        folder, {key: state.identity.get(key)}, {key: Tokenizer.load(tokenizer).sha256}
    )
    reader = Reader(folder)
    kept = reader.tensors[MODEL + EMBEDDINGS].properties.dtype

    def add(piece: Path) -> None:
        carry(tokenizer, piece)
        write_style(piece, state.model["style"])

    logger.info("exporting %s", folder)
    return write_model(
        out,
        config,
        _tensors(folder, reader, config, LoraSettings(**state.model.get("lora", {})), dtype),
        dtype=dtype or kept,
        add=add,
        max_shard_bytes=max_shard_bytes,
        verify=verify,
    )


def _tensors(
    folder: Path,
    reader: Reader,
    config: ModelConfig,
    lora: LoraSettings,
    dtype: torch.dtype | None,
) -> Iterator[tuple[str, Tensor]]:
    """Hugging Face's tensors; of what they are parts of, no more is held than they need."""
    with torch.device("meta"):
        model = build_model(config)
    parts = model.parts()
    add_adapters(model, lora)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    checkpoint.check_shapes(folder, reader.tensors, shapes)
    left = Counter(part.parameter for part in parts.values())
    held: dict[str, Tensor] = {}
    with progress_of(f"exporting {folder.name}", config) as progress:
        for name, part in parts.items():
            whole = part.parameter
            if whole not in held:
                held[whole] = _merged(folder, reader, whole, lora)
            tensor = part.of(held[whole]).to(dtype or held[whole].dtype)
            left[whole] -= 1
            if not left[whole]:
                del held[whole]
            require_finite(tensor, f"{folder} {name}")
            progress.advance(tensor.numel())
            yield name, tensor


def _merged(folder: Path, reader: Reader, name: str, lora: LoraSettings) -> Tensor:
    """A parameter, with what is learnt in addition to it."""
    value = _tensor(folder, reader, MODEL + name)
    addition = f"{MODEL}{name.removesuffix('weight')}adapter."
    if f"{addition}up" in reader.tensors:
        up, down = (_tensor(folder, reader, addition + part) for part in ("up", "down"))
        value += lora.alpha / lora.rank * (up @ down)
    return value


def _tensor(folder: Path, reader: Reader, key: str) -> Tensor:
    facts = reader.tensors[key]
    tensor = torch.empty(facts.size, dtype=facts.properties.dtype)
    try:
        dcp.load({key: tensor}, storage_reader=reader, no_dist=True)
    except (CheckpointException, OSError) as error:
        raise CheckpointError(folder, got=f"cannot be read: {error}") from error
    return tensor
