"""A GGUF file: its metadata, and where its tensors lie; nothing is believed without a check.

The `gguf` package writes files for us, but reads them without looking where they end: a damaged
count makes it loop over nothing until memory is full. Its tables of number formats serve both ways.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codekiln.errors import CheckpointError, MissingToolError
from codekiln.models.gguf.cursor import Cursor

MAGIC = b"GGUF"
VERSIONS = (2, 3)
ALIGNMENT = 32  # bytes, unless the file says otherwise
_MOST_DIMENSIONS = 4
_TORCH = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Where a tensor lies: its shape (rows first), its format by name, and its bytes."""

    shape: tuple[int, ...]
    kind: str
    start: int
    nbytes: int


class GGUFFile:
    """An opened GGUF file.

    `metadata` holds plain values (a float32 as the shortest decimal that means it), `tensors`
    what lies where, in the file's order.

    Raises:
        CheckpointError: no GGUF file, truncated or damaged, of a version or with numbers that
            are not supported.
        MissingToolError: the `gguf` package is not installed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._formats = library(path)
        self._data = _mapped(path)
        cursor = Cursor(path, self._data)
        if cursor.take(4) != MAGIC:
            raise CheckpointError(path, got="no GGUF file", wanted="a file that begins with GGUF")
        self._check_version(cursor.number("I"))
        tensors, pairs = cursor.number("Q"), cursor.number("Q")
        self.metadata = _metadata(cursor, pairs)
        self._refuse_parts()
        self.tensors = self._tensors(cursor, tensors)

    def read(self, name: str) -> Tensor:
        """One tensor, dequantised to float32 where it is quantised; its own memory."""
        place = self.tensors[name]
        raw = np.frombuffer(self._data, np.uint8, place.nbytes, place.start)
        dtype = _TORCH.get(place.kind)
        if dtype is not None:
            return torch.from_numpy(raw.copy()).view(dtype).view(place.shape)
        rows = raw.reshape(-1, place.nbytes // prod(place.shape[:-1]))
        kind = self._formats.GGMLQuantizationType[place.kind]
        wide = self._formats.quants.dequantize(rows, kind)
        return torch.from_numpy(np.array(wide, dtype=np.float32)).view(place.shape)

    def _check_version(self, version: int) -> None:
        if version in VERSIONS:
            return
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        raise CheckpointError(
            self.path,
            got="a big-endian file" if swapped in VERSIONS else f"version {version} of the format",
            wanted="a little-endian file of version " + " or ".join(map(str, VERSIONS)),
            remedy="convert it with llama.cpp's tools, or fetch a newer file",
        )

    def _refuse_parts(self) -> None:
        parts = self.metadata.get("split.count", 1)
        if isinstance(parts, int) and parts > 1:
            raise CheckpointError(
                self.path,
                got=f"one of {parts} parts of a model",
                wanted="a model in one file",
                remedy="join them: llama-gguf-split --merge FIRST_PART OUT.gguf",
            )

    def _tensors(self, cursor: Cursor, count: int) -> dict[str, Stored]:
        found: dict[str, Stored] = {}
        for _ in range(cursor.possible(count, 24)):
            name = cursor.string()
            dimensions = cursor.number("I")
            if name in found or not 1 <= dimensions <= _MOST_DIMENSIONS:
                raise cursor.damaged(f"tensor {name!r} twice, or of {dimensions} dimensions")
            shape = tuple(cursor.number("Q") for _ in range(dimensions))[::-1]
            kind, offset = cursor.number("I"), cursor.number("Q")
            found[name] = self._stored(name, shape, kind, offset)
        alignment = self.metadata.get("general.alignment", ALIGNMENT)
        if not isinstance(alignment, int) or alignment < 1:
            raise cursor.damaged(f"general.alignment = {alignment!r}")
        start = -(-cursor.at // alignment) * alignment
        return {name: self._placed(name, place, start) for name, place in found.items()}

    def _stored(self, name: str, shape: tuple[int, ...], number: int, offset: int) -> Stored:
        try:
            kind = self._formats.GGMLQuantizationType(number)
            block, size = self._formats.GGML_QUANT_SIZES[kind]
            if kind.name not in _TORCH:  # tried on a block of zeros: the package has no list
                self._formats.quants.dequantize(np.zeros((1, size), np.uint8), kind)
        except (ValueError, KeyError, NotImplementedError):
            raise CheckpointError(
                f"{self.path} {name}",
                got=f"numbers of type {_type_name(self._formats, number)}",
                wanted="float32, float16, bfloat16 or a quantisation that can be undone",
                remedy="fetch the model in another quantisation, such as Q8_0 or BF16",
            ) from None
        if not all(shape) or shape[-1] % block:
            raise CheckpointError(
                f"{self.path} {name}",
                got=f"shape {list(shape)}",
                wanted=f"rows of a multiple of {block} numbers, as {kind.name} packs them",
            )
        return Stored(shape=shape, kind=kind.name, start=offset, nbytes=prod(shape) // block * size)

    def _placed(self, name: str, place: Stored, start: int) -> Stored:
        begin = start + place.start
        if begin + place.nbytes > len(self._data):
            raise CheckpointError(
                f"{self.path} {name}",
                got=f"truncated: the file ends at byte {len(self._data):,}",
                wanted=f"{place.nbytes:,} bytes from byte {begin:,} on",
                remedy="fetch or write it again",
            )
        return Stored(shape=place.shape, kind=place.kind, start=begin, nbytes=place.nbytes)


def library(where: object) -> Any:
    """The `gguf` package.

    Raises:
        MissingToolError: it is not installed.
    """
    try:
        import gguf
        import gguf.quants
    except ImportError:
        raise MissingToolError(
            where,
            got="a GGUF file, and the package gguf is not installed",
            wanted="the extra `gguf`",
            remedy="pip install 'codekiln[gguf]'",
        ) from None
    return gguf


def _mapped(path: Path) -> mmap.mmap | bytes:
    try:
        with path.open("rb") as file:
            empty = path.stat().st_size == 0  # of which no map can be made
            return b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise CheckpointError(
            path, got=f"cannot be read ({error.strerror})", wanted="a GGUF file"
        ) from None


def _type_name(formats: Any, number: int) -> str:
    try:
        return str(formats.GGMLQuantizationType(number).name)
    except ValueError:
        return f"{number}, which is unknown"


def _metadata(cursor: Cursor, count: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(cursor.possible(count, 13)):
        key = cursor.string()
        if key in found:
            raise cursor.damaged(f"{key} twice")
        found[key] = cursor.value(cursor.number("I"), key)
    return found
