"""Where a loader stands, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A place in the data: `index` sequences of epoch `epoch` have been given out.

    Args:
        earlier: (epoch, index) at which each earlier stage of a run was left; a stage has data of
            its own, and begins at 0.
    """

    epoch: int = 0
    index: int = 0
    earlier: tuple[tuple[int, int], ...] = ()

    @property
    def stage(self) -> int:
        """The number of the stage."""
        return len(self.earlier)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Cursor:
        """From plain values, in which tuples may have become lists."""
        earlier = tuple((epoch, index) for epoch, index in values.get("earlier", ()))
        return cls(epoch=values["epoch"], index=values["index"], earlier=earlier)
