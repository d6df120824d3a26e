"""A dense model to a GGUF file, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codekiln.errors import CheckpointError
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.folder import (
    DTYPE_NAMES,
    STYLE,
    ModelFolder,
    find_model,
    open_folder,
    read_config,
)
from codekiln.models.gguf.format import MAGIC, GGUFFile, library
from codekiln.models.gguf.hyperparameters import ARCHITECTURE, STYLE_KEY, config_metadata
from codekiln.models.gguf.layout import gguf_name, interleaved
from codekiln.models.gguf.write_tokenizer import tokenizer_metadata
from codekiln.models.weights import Transfer, progress_of, require_finite
from codekiln.storage import atomic_path

Q8_0 = "q8_0"
BLOCK = 32  # numbers that q8_0 packs with one scale
_QUANTISATION_VERSION = 2  # of ggml's packed formats
# GGML's and llama.cpp's word for each
_FORMATS = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", Q8_0: "Q8_0"}
_FILE_TYPES = {"float32": "ALL_F32"} | {k: f"MOSTLY_{_FORMATS[k]}" for k in ("float16", "bfloat16")}
_FILE_TYPES[Q8_0] = "MOSTLY_Q8_0"


def export_gguf(source: Path, out: Path, *, dtype: str = "keep") -> Transfer:
    """Write a codekiln model, or the model of a run, as a GGUF file for llama.cpp.

    Memory is bounded by the largest tensor. Norms are float32, as llama.cpp wants them.

    Args:
        dtype: of the matrices: float32, float16, bfloat16, q8_0, or keep.

    Raises:
        CheckpointError: not a dense model, damaged, values that `dtype` cannot hold, a target
            that is something else than a GGUF file.
        TokenizerError: no tokenizer, or one that llama.cpp cannot read.
        MissingToolError: the extra `gguf` is not installed.
    """
    _refuse_other_targets(out)
    folder, config = _dense(source)
    kind = DTYPE_NAMES[folder.dtype] if dtype == "keep" else dtype
    _check_rows(folder, kind)
    formats = library(out)
    metadata = {
        "general.type": "model",
        "general.name": folder.path.resolve().name,
        "general.file_type": int(formats.LlamaFileType[_FILE_TYPES[kind]]),
        "general.quantization_version": _QUANTISATION_VERSION,
        **config_metadata(config, folder.path),
        **_style(folder.path),
        **tokenizer_metadata(folder.path, config.vocab_size),
    }
    with atomic_path(out) as piece:
        size = _write(piece, folder, metadata, _converted(folder, config, kind), kind, formats)
        GGUFFile(piece)  # its header can be read, and the file is as long as it says
    return Transfer(
        config=config,
        parameters=config.parameters,
        dtype=kind,
        weight_bytes=size,
        files=(out.name,),
        ignored=folder.ignored,
        tokenizer=True,
    )


def _refuse_other_targets(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_file()):
        raise CheckpointError(out, got="no plain file", wanted="a new file, or a GGUF to replace")
    if out.exists():
        with out.open("rb") as file:
            if file.read(4) != MAGIC:
                raise CheckpointError(
                    out, got="another kind of file", wanted="a new file, or a GGUF to replace"
                )


def _dense(source: Path) -> tuple[ModelFolder, LlamaConfig]:
    path = find_model(source)
    config = read_config(path)
    if not isinstance(config, LlamaConfig):
        raise CheckpointError(
            path,
            got=f"a model of another architecture ({config.ARCHITECTURE})",
            wanted=f"{LlamaConfig.ARCHITECTURE}: GGUF is written for dense models only",
            remedy="export it with `--to hf` and convert that with llama.cpp's own script",
        )
    return open_folder(path), config


def _check_rows(folder: ModelFolder, kind: str) -> None:
    if kind != Q8_0:
        return
    for name, place in folder.tensors.items():
        if len(place.shape) == 2 and place.shape[1] % BLOCK:
            raise CheckpointError(
                f"{folder.path} {name}",
                got=f"rows of {place.shape[1]} numbers",
                wanted=f"a multiple of {BLOCK}, which {Q8_0} packs together",
                remedy="export with --dtype bfloat16",
            )


def _style(folder: Path) -> dict[str, str]:
    path = folder / STYLE
    return {STYLE_KEY: path.read_text(encoding="utf-8")} if path.is_file() else {}


def _write(
    path: Path,
    folder: ModelFolder,
    metadata: dict[str, Any],
    tensors: Iterator[tuple[str, Tensor]],
    kind: str,
    formats: Any,
) -> int:
    writer = formats.GGUFWriter(path, ARCHITECTURE)
    try:
        for key, value in metadata.items():
            _put(writer, key, value)
        for name in _in_reading_order(folder):
            _announce(writer, name, folder.tensors[name].shape, kind, formats)
        size = sum(info.nbytes for info in writer.tensors[0].values())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for _, tensor in tensors:
            writer.write_tensor_data(_packed(tensor, kind, formats))
    finally:
        writer.close()
    return int(size)


def _put(writer: Any, key: str, value: Any) -> None:
    adders = {
        str: writer.add_string,
        bool: writer.add_bool,
        int: writer.add_uint32,
        float: writer.add_float32,
        list: writer.add_array,
    }
    adders[type(value)](key, value)


def _in_reading_order(folder: ModelFolder) -> list[str]:
    """File by file, as `ModelFolder.read` gives them: a GGUF names its tensors beforehand."""
    files = list(dict.fromkeys(place.file for place in folder.tensors.values()))
    return sorted(folder.tensors, key=lambda name: files.index(folder.tensors[name].file))


def _announce(writer: Any, name: str, shape: tuple[int, ...], kind: str, formats: Any) -> None:
    stored = formats.GGMLQuantizationType[_FORMATS[kind] if len(shape) > 1 else "F32"]
    block, size = formats.GGML_QUANT_SIZES[stored]
    count = torch.Size(shape).numel()
    # the writer takes the shape of bytes for packed rows; of any other type it is the tensor's
    writer.add_tensor_info(gguf_name(name), shape, None, count // block * size, stored)


def _converted(folder: ModelFolder, config: LlamaConfig, kind: str) -> Iterator[tuple[str, Tensor]]:
    """Tensors in llama.cpp's order of rows, in the dtype that they are stored or packed from."""
    with progress_of(f"exporting {folder.path.name}", config) as progress:
        for name, tensor in folder.read():
            narrow = tensor.dim() > 1 and kind != Q8_0
            dtype = getattr(torch, kind) if narrow else torch.float32
            wanted = interleaved(name, tensor, config).to(dtype).contiguous()
            require_finite(wanted, f"{folder.tensors[name].file} {name}")
            progress.advance(tensor.numel())
            yield name, wanted


def _packed(tensor: Tensor, kind: str, formats: Any) -> Any:
    if kind == Q8_0 and tensor.dim() > 1:
        return formats.quants.quantize(tensor.numpy(), formats.GGMLQuantizationType.Q8_0)
    if tensor.dtype == torch.bfloat16:  # which NumPy lacks
        tensor = tensor.view(torch.int16)
    return tensor.numpy()
