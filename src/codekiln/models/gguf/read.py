"""A dense model out of a GGUF file: a model folder, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from codekiln.errors import CheckpointError
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.folder import STYLE, require_tensors, shapes
from codekiln.models.gguf.format import GGUFFile
from codekiln.models.gguf.hyperparameters import STYLE_KEY, config_of
from codekiln.models.gguf.layout import gguf_name, halved
from codekiln.models.gguf.read_tokenizer import tokenizer_of
from codekiln.models.weights import (
    MAX_SHARD_BYTES,
    Transfer,
    progress_of,
    require_finite,
    write_model,
)

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

    def add(folder: Path) -> None:
        tokenizer.save(folder)
        if isinstance(style, str):
            (folder / STYLE).write_text(style, encoding="utf-8")

    return write_model(
        out,
        config,
        _tensors(file, config, names, chosen),
        dtype=chosen,
        add=add,
        max_shard_bytes=max_shard_bytes,
        verify=verify,
    )


def _complete(file: GGUFFile, config: LlamaConfig) -> dict[str, str]:
    """Hugging Face's name -> GGUF's, of a file that has just the tensors of its metadata."""
    wanted = shapes(config)
    names = {name: gguf_name(name) for name in wanted}
    require_tensors(
        file.path,
        {names[name]: shape for name, shape in wanted.items()},
        {name: (file.path, place.shape) for name, place in file.tensors.items()},
        "metadata",
    )
    return names


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
    file: GGUFFile, config: LlamaConfig, names: dict[str, str], dtype: torch.dtype
) -> Iterator[tuple[str, Tensor]]:
    with progress_of(f"importing {file.path.name}", config) as progress:
        for name, stored in names.items():
            tensor = halved(name, file.read(stored), config).to(dtype)
            require_finite(tensor, f"{file.path} {stored}")
            progress.advance(tensor.numel())
            yield name, tensor
