"""Where a loader stands, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A place in the data: `index` sequences of epoch `epoch` have been given out."""

    epoch: int = 0
    index: int = 0
