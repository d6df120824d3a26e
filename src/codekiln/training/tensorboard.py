"""Rows of metrics as TensorBoard's scalars; an option, for those who have it open anyway."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from codekiln.errors import UserError


class TensorBoard:
    """Writes event files into `folder`.

    Args:
        folder: what `tensorboard --logdir` is given.
        first_step: what an earlier, broken-off run wrote of this step and later ones is dropped by
            TensorBoard when it reads.

    Raises:
        UserError: the package is not installed.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        check()
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=first_step)

    def write(self, values: Mapping[str, Any]) -> None:
        """One row; `step` is its place, numbers are scalars, tables within it have a slash."""
        for name, value in _scalars(values):
            self._writer.add_scalar(name, value, values["step"])
        self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        self._writer.close()


def check() -> None:
    """Make sure that the package is there.

    Raises:
        UserError: when it is not.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise UserError(
            "training.tensorboard",
            got=f"true, and {error}",
            wanted="the package tensorboard",
            remedy="pip install 'codekiln[tensorboard]', or set training.tensorboard = false: "
            "metrics.jsonl and `codekiln report` have the same numbers",
        ) from error


def _scalars(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and math.isfinite(value) and name != "step":
            yield prefix + name, float(value)
