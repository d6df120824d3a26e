"""The weights that a run begins with: drawn, or those of a model that it continues.

A token that was added has a row of its own in embeddings and head: the mean of the rows that are
there, and a little of their spread, so that it is as likely as the average token and no two are
alike (Hewitt 2021, "Initializing new word embeddings for pretrained language models").
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from codekiln.models.causal import Part, build_model, first_weights
from codekiln.models.config import ModelConfig
from codekiln.models.folder import EMBEDDINGS, HEAD, ModelFolder, open_folder
from codekiln.storage import fingerprint, fingerprint_file
from codekiln.tokenizer.tokenizer import Tokenizer

Weights = Callable[[str, torch.Size], Tensor]
SPREAD = 0.1  # share of the rows' own standard deviation


def starting_weights(
    config: ModelConfig, source: Path | None, seed: int, *, known: int | None = None
) -> Weights:
    """(name, shape) -> the whole first value of a parameter, fp32 on the CPU.

    Args:
        config: of the model to be trained; its vocabulary may be larger than the source's.
        source: a Hugging Face folder, or a run's folder; None: all weights are drawn.
        known: ids that the source learnt, where tokens were added behind them: rows from there on
            are new, those too that the source has as padding; None: all of the source's.

    Raises:
        CheckpointError: a source that is no whole model.
    """
    generator = torch.Generator().manual_seed(seed)
    if source is None:
        return first_weights(config, generator)
    folder = open_folder(source)
    drawn = first_weights(config, generator)
    parts = _parts(folder)

    def read(name: str, shape: torch.Size) -> Tensor:
        value = _read(folder, parts[name])
        if name in (EMBEDDINGS, HEAD):
            value = value[:known]
        if name in (EMBEDDINGS, HEAD) and len(value) < shape[0]:
            noise = drawn(name, torch.Size((shape[0] - len(value), shape[1])))
            spread = SPREAD * value.std(0) / config.initializer_range
            value = torch.cat((value, value.mean(0) + noise * spread))
        return value

    return read


def known_ids(source: Path, tokenizer: Tokenizer) -> int | None:
    """`known` of `starting_weights` for a run's tokenizer; None where no tokens were added.

    Raises:
        TokenizerError: the source's tokenizer is damaged or missing.
    """
    known = Tokenizer.load(source).vocab_size
    return known if known < tokenizer.vocab_size else None


def weights_fingerprint(source: Path) -> str:
    """Of all weights and the configuration of a model folder."""
    folder = open_folder(source)
    files = sorted({place.file for place in folder.tensors.values()})
    return fingerprint([folder.config.to_hf(), *(fingerprint_file(file) for file in files)])


def _parts(folder: ModelFolder) -> dict[str, list[tuple[str, Part]]]:
    """Of each parameter the checkpoint's tensors that it is made of."""
    with torch.device("meta"):
        model = build_model(folder.config)
    found: dict[str, list[tuple[str, Part]]] = {}
    for name, part in model.parts().items():
        found.setdefault(part.parameter, []).append((name, part))
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    assert found.keys() == shapes.keys()
    return found


def _read(folder: ModelFolder, parts: list[tuple[str, Part]]) -> Tensor:
    tensors = [(part, _tensor(folder, name)) for name, part in parts]
    if len(tensors) == 1 and tensors[0][0].item is None and tensors[0][0].stop is None:
        return tensors[0][1]
    items = 1 + max(part.item or 0 for part, _ in tensors)
    rows = max(part.start + len(tensor) for part, tensor in tensors)
    value = torch.empty(items, rows, *tensors[0][1].shape[1:])
    for part, tensor in tensors:
        part.of(value).copy_(tensor)
    return value


def _tensor(folder: ModelFolder, name: str) -> Tensor:
    with safe_open(folder.tensors[name].file, framework="pt") as file:
        value: Tensor = file.get_tensor(name)
    return value.float()
