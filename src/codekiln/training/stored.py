"""What a checkpoint's tensors are, read without running anything that stands in the checkpoint.

`.metadata` is a pickle, which may call whatever it names. Ours name a dozen classes that describe
tensors; a reader that knows no others makes a checkpoint from elsewhere as safe as its tensors,
which PyTorch reads as weights only.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint import FileSystemReader, filesystem, metadata
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from codekiln.errors import CheckpointError

METADATA = ".metadata"
REMEDY = "remove this folder; the run then resumes from the checkpoint before it"
_DESCRIBING = (
    "Metadata",
    "TensorStorageMetadata",
    "TensorProperties",
    "ChunkStorageMetadata",
    "MetadataIndex",
    "StorageMeta",
    "_MEM_FORMAT_ENCODING",
)
_KNOWN = {(metadata.__name__, name) for name in _DESCRIBING} | {
    (filesystem.__name__, "_StorageInfo"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    # where it was written
    ("pathlib", "PosixPath"),
    ("pathlib._local", "PosixPath"),
}


class Reader(FileSystemReader):
    """Reads a checkpoint's tensors; what they are it reads once, and believes no other class.

    Raises:
        CheckpointError: `.metadata` cannot be read, or describes something else than tensors.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._metadata = _read(folder / METADATA)

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """What `torch.distributed.checkpoint` asks for."""
        return self._metadata

    @property
    def tensors(self) -> dict[str, TensorStorageMetadata]:
        """Name -> shape, dtype and pieces of each tensor."""
        return self._metadata.state_dict_metadata  # type: ignore[return-value]


class _Describing(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if dtype or (module, name) in _KNOWN:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} in a description of tensors")


def _read(path: Path) -> Metadata:
    try:
        with path.open("rb") as file:
            found = _Describing(file).load()
    except (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError) as error:
        raise CheckpointError(path, got=f"unreadable: {error}", remedy=REMEDY) from error
    described = found.state_dict_metadata.values() if isinstance(found, Metadata) else [None]
    if not all(isinstance(facts, TensorStorageMetadata) for facts in described):
        raise CheckpointError(path, got="no description of tensors", remedy=REMEDY)
    return found
