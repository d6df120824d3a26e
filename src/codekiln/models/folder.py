"""Reading a Hugging Face model folder: what lies where, and whether it is all of the model.

Everything is checked from headers, before a single weight is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from codekiln.errors import CheckpointError
from codekiln.models import config as configs
from codekiln.models.causal import build_model
from codekiln.models.config import ModelConfig

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
STYLE = "codekiln.json"  # how prompts are laid out; not of Hugging Face's format
HEAD, EMBEDDINGS = "lm_head.weight", "model.embed_tokens.weight"
# older checkpoints hold the angles of the rotary positions, which follow from the configuration
DERIVED = ".rotary_emb.inv_freq"

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
DTYPE_NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16", torch.float16: "float16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a tensor lies."""

    file: Path
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFolder:
    """A folder whose tensors are exactly those of its configuration.

    `tensors` are in the model's own order; `ignored` names what the folder holds beyond them
    and the model does not need.
    """

    path: Path
    config: ModelConfig
    tensors: Mapping[str, Place]
    ignored: tuple[str, ...]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the embeddings, which stands for the model's."""
        return self.tensors[EMBEDDINGS].dtype

    def read(self) -> Iterator[tuple[str, Tensor]]:
        """All tensors, one file after another; each is its own memory.

        Raises:
            CheckpointError: a file that cannot be read any more.
        """
        files = dict.fromkeys(place.file for place in self.tensors.values())
        for file in files:
            with _opened(file) as weights:
                for name, place in self.tensors.items():
                    if place.file == file:
                        yield name, weights.get_tensor(name).clone()


def find_model(path: Path) -> Path:
    """The model folder that `path` means: itself, or the `model` folder of a run.

    Raises:
        CheckpointError: when neither holds a configuration.
    """
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file():
            return folder
    raise CheckpointError(
        path,
        got=f"no {CONFIG} here or in model/" if path.exists() else "no such folder",
        wanted="a model folder in Hugging Face's format, or a run folder whose training has ended",
        remedy="`codekiln train` or `codekiln quickstart` writes one; `codekiln import` reads one",
    )


def open_folder(path: Path) -> ModelFolder:
    """Check a model folder.

    Raises:
        CheckpointError: no model there, another architecture, tensors that are missing, extra,
            of a wrong shape or dtype, files that are truncated or not there.
    """
    path = find_model(path)
    config = read_config(path)
    found = _tensors(path)
    expected = shapes(config)
    ignored = {name for name in found if name.endswith(DERIVED)}
    if config.tie_word_embeddings and HEAD in found:
        _same_head(path, found)
        ignored.add(HEAD)
    tensors = {name: found[name] for name in expected if name in found}
    here = {n: (p.file, p.shape) for n, p in found.items() if n not in ignored}
    require_tensors(path, expected, here, CONFIG)
    return ModelFolder(path=path, config=config, tensors=tensors, ignored=tuple(sorted(ignored)))


def read_config(path: Path) -> ModelConfig:
    """The configuration of a model folder.

    Raises:
        CheckpointError: missing, not JSON, or of another architecture.
    """
    return configs.read_config(_json(path / CONFIG), path / CONFIG)


def shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of a checkpoint, in the model's own order."""
    with torch.device("meta"):
        model = build_model(config)
    parameters = dict(model.named_parameters())
    return {
        name: tuple(part.of(parameters[part.parameter]).shape)
        for name, part in model.parts().items()
    }


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(path, got="no such file", wanted="a JSON file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CheckpointError(path, got=f"not JSON ({error})", wanted="a JSON file") from None
    if not isinstance(values, dict):
        raise CheckpointError(path, got=f"a JSON {type(values).__name__}", wanted="a JSON object")
    return values


def _tensors(path: Path) -> dict[str, Place]:
    if (path / SINGLE).exists():
        return _header(path / SINGLE)
    if (path / INDEX).exists():
        return _sharded(path)
    others = [p.name for p in sorted(path.iterdir()) if p.suffix in (".bin", ".pt", ".pth")]
    if others:
        raise CheckpointError(
            path,
            got=f"weights as Python pickles only ({others[0]})",
            wanted=f"{SINGLE}: reading a pickle from elsewhere may run code",
            remedy="convert it once where it came from: transformers' "
            "from_pretrained(FOLDER).save_pretrained(OUT) writes safetensors",
        )
    raise CheckpointError(path, got="no weights there", wanted=f"{SINGLE} or {INDEX}")


def _sharded(path: Path) -> dict[str, Place]:
    places = _json(path / INDEX).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(path / INDEX, got="no weight_map", wanted="tensor name -> file name")
    found: dict[str, Place] = {}
    for name in sorted(set(places.values())):
        if not isinstance(name, str) or Path(name).name != name or not (path / name).is_file():
            raise CheckpointError(
                path / INDEX,
                got=f"it points to {name!r}, which is not in the folder",
                wanted="all shards beside the index",
                remedy="copy the missing file there, or fetch the checkpoint again",
            )
        inside = _header(path / name)
        listed = {tensor for tensor, file in places.items() if file == name}
        if listed - set(inside):
            raise CheckpointError(
                path / name,
                got=f"lacks {_some(listed - set(inside))}",
                wanted=f"what {INDEX} says",
                remedy="fetch the checkpoint again: its files are of different versions",
            )
        found |= {tensor: place for tensor, place in inside.items() if tensor in listed}
    return found


def _header(file: Path) -> dict[str, Place]:
    places = {}
    with _opened(file) as weights:
        for name in weights.keys():  # noqa: SIM118 - no mapping
            piece = weights.get_slice(name)
            kind = piece.get_dtype()
            if kind not in DTYPES and not name.endswith(DERIVED):
                raise CheckpointError(
                    f"{file} {name}", got=f"numbers of type {kind}", wanted=", ".join(DTYPES)
                )
            dtype = DTYPES.get(kind, torch.float32)
            places[name] = Place(file=file, shape=tuple(piece.get_shape()), dtype=dtype)
    return places


def _opened(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            file,
            got=f"truncated or damaged ({error})",
            wanted="a whole safetensors file",
            remedy="fetch or write it again",
        ) from None


def _same_head(path: Path, found: Mapping[str, Place]) -> None:
    with _opened(found[HEAD].file) as one, _opened(found[EMBEDDINGS].file) as other:
        same = torch.equal(one.get_tensor(HEAD), other.get_tensor(EMBEDDINGS))
    if not same:
        raise CheckpointError(
            path,
            got=f"tie_word_embeddings, but {HEAD} differs from {EMBEDDINGS}",
            wanted="one matrix for both",
            remedy=f"set tie_word_embeddings to false in {CONFIG} if the head is its own",
        )


def require_tensors(
    path: Path,
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[Path, tuple[int, ...]]],
    source: str,
) -> None:
    """Make sure that a checkpoint has just the tensors of its model, in their shapes.

    Args:
        expected: name -> shape.
        found: name -> file and shape.
        source: what says so, for messages.

    Raises:
        CheckpointError: tensors that are missing, extra or of another shape.
    """
    missing, extra = set(expected) - set(found), set(found) - set(expected)
    if extra:
        biases = any(name.endswith(".bias") for name in extra)
        raise CheckpointError(
            path,
            got=f"tensors this model does not have: {_some(extra)}",
            wanted=f"the {len(expected)} tensors of its {source}",
            remedy="its layers have biases: another architecture under Llama's name"
            if biases
            else "check the number of layers and the architecture",
        )
    if missing:
        raise CheckpointError(
            path,
            got=f"{len(missing)} tensors missing: {_some(missing)}",
            wanted=f"the {len(expected)} tensors of its {source}",
            remedy=f"fetch the checkpoint again, or mend its {source}",
        )
    for name, shape in expected.items():
        file, got = found[name]
        if got != shape:
            raise CheckpointError(
                f"{file} {name}", got=f"shape {list(got)}", wanted=f"{list(shape)}, by its {source}"
            )


def _some(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
