"""Writing safetensors files that are as readable as any other file of the user's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write one safetensors file with the permissions that the user's umask gives.

    `save_file` makes a private temporary file and renames it: nobody but its owner could read
    the result, a server under another account included. The mode is taken from a file made the
    usual way, since asking for the umask would change it for all threads for a moment.

    Raises:
        OSError, SafetensorError: it cannot be written.
    """
    path.touch()
    mode = path.stat().st_mode & 0o777
    save_file(dict(tensors), path, metadata={"format": "pt"})
    path.chmod(mode)
