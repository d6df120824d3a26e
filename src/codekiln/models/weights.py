"""Weights in and out. A codekiln model folder is a Hugging Face folder: one format, no adapter."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from codekiln.errors import CheckpointError
from codekiln.log import Progress
from codekiln.models.causal import CausalLM, build_model
from codekiln.models.config import ModelConfig
from codekiln.models.folder import (
    CONFIG,
    DTYPE_NAMES,
    EMBEDDINGS,
    INDEX,
    SINGLE,
    STYLE,
    ModelFolder,
    open_folder,
)
from codekiln.models.tensor_file import write_tensors
from codekiln.storage import atomic_path

MAX_SHARD_BYTES = 2 * 10**9
MEMINFO = Path("/proc/meminfo")
SHOWN_PARAMETERS = 200_000_000
TOKENIZER = "tokenizer.json"
# files of a tokenizer and of the model's ways, which travel with the weights
CARRIED = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template*",
    "generation_config.json",
    STYLE,
    "LICENSE*",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What an import or export wrote.

    `unverified` says why the result was not loaded and run although that was asked for.
    """

    config: ModelConfig
    parameters: int
    dtype: str
    weight_bytes: int
    files: tuple[str, ...]
    ignored: tuple[str, ...]
    tokenizer: bool
    unverified: str = ""


def load_model(
    folder: Path,
    *,
    dtype: torch.dtype | None = torch.float32,
    device: torch.device | str = "cpu",
) -> CausalLM:
    """Load a model folder, or the model of a run, tensor by tensor.

    Args:
        dtype: what the weights become; None keeps what the folder has.

    Raises:
        CheckpointError: a folder that `folder.open_folder` refuses.
    """
    return _load(open_folder(folder), dtype=dtype, device=device)


def save_model(
    model: CausalLM,
    tokenizer_folder: Path | None,
    folder: Path,
    *,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    style: Mapping[str, str] | None = None,
) -> None:
    """Write a model folder, atomically; one that stands there is replaced.

    Args:
        tokenizer_folder: its tokenizer files are copied beside the weights.
        dtype: what the weights are stored as; None keeps each as it is.
        style: how prompts are laid out, by `generation.style`; None says nothing of it.

    Raises:
        CheckpointError: `folder` holds something else than a model.
    """
    refuse_foreign(folder)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    tensors = ((name, part.of(parameters[part.parameter])) for name, part in model.parts().items())
    with atomic_path(folder) as piece:
        piece.mkdir()
        _write_config(piece, model.config, dtype or parameters[EMBEDDINGS].dtype)
        _write_weights(piece, tensors, dtype, max_shard_bytes)
        if tokenizer_folder is not None:
            carry(tokenizer_folder, piece)
        if style is not None:
            write_style(piece, style)


def import_hf(
    source: Path,
    out: Path,
    *,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    verify: bool = True,
) -> Transfer:
    """Take a Hugging Face folder in: check all of it, write it anew.

    Memory is bounded by one shard; `verify` loads the result and runs it, which takes the
    whole model's memory, and is left out where there is not so much.

    Raises:
        CheckpointError: anything wrong with the source, values that are not numbers, a target
            that holds something else.
    """
    return _transfer(source, out, dtype, max_shard_bytes, verify=verify)


def export_hf(
    source: Path,
    out: Path,
    *,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    verify: bool = True,
) -> Transfer:
    """Write a codekiln model, or the model of a run, as a folder for transformers.

    Raises:
        CheckpointError: as `import_hf`.
    """
    return _transfer(source, out, dtype, max_shard_bytes, verify=verify)


def write_model(
    out: Path,
    config: ModelConfig,
    tensors: Iterator[tuple[str, Tensor]],
    *,
    dtype: torch.dtype,
    add: Callable[[Path], object],
    max_shard_bytes: int = MAX_SHARD_BYTES,
    verify: bool = True,
    ignored: tuple[str, ...] = (),
) -> Transfer:
    """Write a model folder, atomically, from tensors as they come in.

    Args:
        tensors: Hugging Face's names, exactly those of `config`, as they are to be stored.
        dtype: what the configuration says that they are.
        add: writes what else belongs to the model, its tokenizer above all, into the folder.
        ignored: names of tensors that the source has and the model does not need.

    Raises:
        CheckpointError: `out` holds something else than a model.
    """
    refuse_foreign(out)
    with atomic_path(out) as piece:
        piece.mkdir()
        _write_config(piece, config, dtype)
        size = _write_weights(piece, tensors, None, max_shard_bytes)
        add(piece)
        unverified = _verify(piece, size) if verify else ""
        files = tuple(sorted(p.name for p in piece.iterdir()))
    return Transfer(
        config=config,
        parameters=config.parameters,
        dtype=DTYPE_NAMES[dtype],
        weight_bytes=size,
        files=files,
        ignored=ignored,
        tokenizer=TOKENIZER in files,
        unverified=unverified,
    )


def refuse_foreign(folder: Path) -> None:
    """Refuse a target which holds anything that writing a model there would lose.

    Raises:
        CheckpointError: a file, a symbolic link, or a folder with other content than a model's.
    """
    if folder.is_symlink():
        raise CheckpointError(
            folder, got="is a symbolic link", wanted="a folder, which a new one can replace"
        )
    if not folder.exists():
        return
    known = (CONFIG, INDEX, "model*.safetensors", *CARRIED)
    others = (
        [folder.name]
        if folder.is_file()
        else [p.name for p in sorted(folder.iterdir()) if not any(p.match(k) for k in known)]
    )
    if others:
        raise CheckpointError(
            folder,
            got=f"holds {others[0]!r}, which is no part of a model",
            wanted="a new or empty folder, or a model folder to replace",
        )


def _transfer(
    source: Path, out: Path, dtype: torch.dtype | None, max_shard_bytes: int, *, verify: bool
) -> Transfer:
    folder = open_folder(source)
    if folder.path.resolve() == out.resolve():
        raise CheckpointError(out, got="source and target are one folder", wanted="another target")
    refuse_foreign(out)
    _check_tokenizer(folder)
    return write_model(
        out,
        folder.config,
        _finite(folder, dtype),
        dtype=dtype or folder.dtype,
        add=functools.partial(carry, folder.path),
        max_shard_bytes=max_shard_bytes,
        verify=verify,
        ignored=folder.ignored,
    )


def _load(
    folder: ModelFolder, *, dtype: torch.dtype | None, device: torch.device | str
) -> CausalLM:
    with torch.device("meta"):
        model = build_model(folder.config)
    parts, made = model.parts(), {}
    with progress_of(f"loading {folder.path.name}", folder.config) as progress:
        for name, tensor in folder.read():
            part = parts[name]
            if part.parameter not in made:
                kept = dtype or tensor.dtype
                made[part.parameter] = _new_parameter(model, part.parameter, kept, device)
            part.of(made[part.parameter]).copy_(tensor)
            progress.advance(tensor.numel())
    model.tie_weights()
    return model


def _new_parameter(
    model: CausalLM, name: str, dtype: torch.dtype, device: torch.device | str
) -> Tensor:
    """Put memory in the place of a parameter on the meta device; the tensor to be filled."""
    module, _, leaf = name.rpartition(".")
    owner = model.get_submodule(module)
    value = torch.empty(getattr(owner, leaf).shape, dtype=dtype, device=device)
    setattr(owner, leaf, torch.nn.Parameter(value))
    return value


def _finite(folder: ModelFolder, dtype: torch.dtype | None) -> Iterator[tuple[str, Tensor]]:
    """All tensors in their new dtype; large values may become infinite in float16."""
    with progress_of(f"copying {folder.path.name}", folder.config) as progress:
        for name, stored in folder.read():
            tensor = stored.to(dtype or stored.dtype)
            require_finite(tensor, f"{folder.tensors[name].file} {name}")
            progress.advance(tensor.numel())
            yield name, tensor


def require_finite(tensor: Tensor, where: str) -> None:
    """Refuse weights that are no numbers.

    Raises:
        CheckpointError: NaN or infinite values.
    """
    bad = tensor.numel() - int(torch.isfinite(tensor).sum())
    if bad:
        raise CheckpointError(
            where,
            got=f"{bad} of {tensor.numel()} values are NaN or infinite "
            f"as {DTYPE_NAMES[tensor.dtype]}",
            wanted="finite weights",
        )


def progress_of(title: str, config: ModelConfig) -> contextlib.AbstractContextManager[Progress]:
    """Shown for models that take a while; a small one passes without a word."""
    progress = Progress(title, total=config.parameters, unit="parameters")
    shown = config.parameters >= SHOWN_PARAMETERS
    return progress if shown else contextlib.nullcontext(progress)


def _write_config(folder: Path, config: ModelConfig, dtype: torch.dtype) -> None:
    text = json.dumps(config.to_hf(DTYPE_NAMES[dtype]), indent=2)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")


def _write_weights(
    folder: Path,
    tensors: Iterator[tuple[str, Tensor]],
    dtype: torch.dtype | None,
    max_shard_bytes: int,
) -> int:
    """Write shards as tensors come in; give the bytes of the weights."""
    shards: list[list[str]] = []
    total = 0
    for batch in _shards(tensors, dtype, max_shard_bytes):
        total += sum(tensor.nbytes for tensor in batch.values())
        # the number of shards is known at the end only: names follow then
        write_tensors(batch, folder / f"{len(shards)}.part")
        shards.append(list(batch))
    if len(shards) == 1:
        (folder / "0.part").rename(folder / SINGLE)
        return total
    places: dict[str, str] = {}
    for number, names in enumerate(shards):
        file = f"model-{number + 1:05}-of-{len(shards):05}.safetensors"
        (folder / f"{number}.part").rename(folder / file)
        places |= dict.fromkeys(names, file)
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return total


def _shards(
    tensors: Iterator[tuple[str, Tensor]], dtype: torch.dtype | None, max_shard_bytes: int
) -> Iterator[dict[str, Tensor]]:
    batch: dict[str, Tensor] = {}
    size = 0
    for name, tensor in tensors:
        tensor = tensor.to(device="cpu", dtype=dtype or tensor.dtype).contiguous()
        if batch and size + tensor.nbytes > max_shard_bytes:
            yield batch
            batch, size = {}, 0
        batch[name] = tensor
        size += tensor.nbytes
    yield batch


def write_style(folder: Path, style: Mapping[str, str]) -> None:
    """Say in a model folder how prompts are laid out, by `generation.style`."""
    (folder / STYLE).write_text(json.dumps(dict(style), indent=2) + "\n", encoding="utf-8")


def carry(source: Path, target: Path) -> None:
    """Copy a model's files that are not weights: its tokenizer, its ways, its licence."""
    for file in (p for pattern in CARRIED for p in source.glob(pattern) if p.is_file()):
        shutil.copyfile(file, target / file.name)


def _check_tokenizer(folder: ModelFolder) -> None:
    file = folder.path / TOKENIZER
    if not file.is_file():
        return
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        vocabulary = content["model"].get("vocab", {})
        ids = [*vocabulary.values()] if isinstance(vocabulary, dict) else range(len(vocabulary))
        top = max([*ids, *(token["id"] for token in content.get("added_tokens", []))], default=0)
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(file, got=f"not a tokenizer ({error!r})") from None
    if top >= folder.config.vocab_size:
        raise CheckpointError(
            file,
            got=f"token id {top}, but the model's vocab_size is {folder.config.vocab_size}",
            wanted="the tokenizer that the model was trained with",
        )


def _verify(piece: Path, size: int) -> str:
    """Load what was written and run it once; or why not: it has more bytes than there is memory."""
    available = _available_bytes()
    if available is not None and size > available:
        return f"{available / 1e6:,.1f} MB of free memory do not hold the model"
    with torch.inference_mode():
        model = load_model(piece, dtype=None)
        tokens = torch.arange(min(8, model.config.vocab_size))[None]
        finite = bool(torch.isfinite(model(tokens)).all())
    if not finite:
        raise CheckpointError(
            piece.name, got="the model's logits are not finite", wanted="weights that can be run"
        )
    return ""


def _available_bytes() -> int | None:
    """What a process can take without swapping; None where the system does not say."""
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return next((int(number) * 1024 for number in kilobytes), None)
