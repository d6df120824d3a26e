"""A dense model out of a GGUF file: a model folder, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from codekiln.errors import CheckpointError
from codekiln.models.config import ModelConfig
from codekiln.models.folder import DTYPE_NAMES, STYLE
from codekiln.models.gguf.format import GGUFFile
from codekiln.models.gguf.layout import STYLE_KEY, config_of, gguf_name, halved, shapes
from codekiln.models.gguf.vocabulary import tokenizer_of
from codekiln.models.weights import MAX_SHARD_BYTES, Transfer, progress_of, write_model

_NARROW = {"F16": torch.float16, "BF16": torch.bfloat16}


def import_gguf(
    source: Path,
    out: Path,
    *,
    dtype: torch.dtype | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    verify: bool = True,
) -> Transfer:
    """Take a GGUF file of a dense model in: check all of it, write a model folder.

    Memory is bounded by one shard; `verify` loads the result and runs it.

    Args:
        dtype: what the weights are stored as; None is the narrowest that changes no value:
            float32 for quantised weights.

    Raises:
        CheckpointError: anything wrong with the file, or a target that holds something else.
        TokenizerError: a tokenizer that is damaged or of a kind that is not supported.
        MissingToolError: the extra `gguf` is not installed.
    """
    file = GGUFFile(source)
    found = {name: place.shape for name, place in file.tensors.items()}
    config = config_of(file.metadata, found, source)
    names = _complete(file, config)
    tokenizer = tokenizer_of(file.metadata, source)
    if tokenizer.vocab_size > config.vocab_size:
        raise CheckpointError(
            f"{source} tokenizer.ggml.tokens",
            got=f"{tokenizer.vocab_size} ids, but the model has {config.vocab_size} embeddings",
            wanted="the tokenizer that the model was trained with",
        )
    chosen = dtype or _narrowest(file, names)
    style = file.metadata.get(STYLE_KEY)
    return write_model(
        out,
        config,
        _tensors(file, config, names, chosen),
        tokenizer=tokenizer,
        texts={STYLE: style} if isinstance(style, str) else {},
        dtype=chosen,
        max_shard_bytes=max_shard_bytes,
        verify=verify,
    )


def _complete(file: GGUFFile, config: ModelConfig) -> dict[str, str]:
    """Hugging Face's name -> GGUF's, of a file that has just the tensors of its metadata."""
    wanted = shapes(config)
    names = {name: gguf_name(name) for name in wanted}
    expected, found = set(names.values()), set(file.tensors)
    if found - expected:
        biases = any(name.endswith(".bias") for name in found - expected)
        raise CheckpointError(
            file.path,
            got=f"tensors this model does not have: {_some(found - expected)}",
            wanted=f"the {len(expected)} tensors of its metadata",
            remedy="its layers have biases: another architecture under Llama's name"
            if biases
            else "",
        )
    if expected - found:
        raise CheckpointError(
            file.path,
            got=f"{len(expected - found)} tensors missing: {_some(expected - found)}",
            wanted=f"the {len(expected)} tensors of its metadata",
            remedy="fetch or write it again",
        )
    for name, shape in wanted.items():
        if file.tensors[names[name]].shape != shape:
            raise CheckpointError(
                f"{file.path} {names[name]}",
                got=f"shape {list(file.tensors[names[name]].shape)}",
                wanted=f"{list(shape)}, by its metadata",
            )
    return names


def _some(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _narrowest(file: GGUFFile, names: dict[str, str]) -> torch.dtype:
    """float16 or bfloat16, if the matrices are and the norms (always float32) lose nothing."""
    stored = [file.tensors[name] for name in names.values()]
    kinds = {place.kind for place in stored if len(place.shape) > 1}
    narrow = _NARROW.get(kinds.pop()) if len(kinds) == 1 else None
    if narrow is None:
        return torch.float32
    norms = [name for name in names.values() if len(file.tensors[name].shape) == 1]
    exact = all(torch.equal(n, n.to(narrow).to(n.dtype)) for n in map(file.read, norms))
    return narrow if exact else torch.float32


def _tensors(
    file: GGUFFile, config: ModelConfig, names: dict[str, str], dtype: torch.dtype
) -> Iterator[tuple[str, Tensor]]:
    with progress_of(f"importing {file.path.name}", config) as progress:
        for name, stored in names.items():
            tensor = halved(name, file.read(stored), config).to(dtype)
            bad = tensor.numel() - int(torch.isfinite(tensor).sum())
            if bad:
                raise CheckpointError(
                    f"{file.path} {stored}",
                    got=f"{bad} of {tensor.numel()} values are NaN or infinite as "
                    f"{DTYPE_NAMES[dtype]}",
                    wanted="finite weights",
                )
            progress.advance(tensor.numel())
            yield name, tensor
