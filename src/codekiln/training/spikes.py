"""Losses and gradient norms that stand out from those of the last steps.

What stands out is told by the median, and by the median distance from it, which for a normal
distribution is 1 / 1.4826 of the standard deviation: neither is moved by a few spikes in the
window. Where steps hardly differ, a hundredth of the median stands in for the deviation, so that
the last digits are no news.

Both come from the steps before, so the limits are known before a step is taken and a step that is
too large can be left out. The window is part of a checkpoint: a resumed run judges alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

LEAST = 8  # steps, before any is judged
NORMAL = 1.4826
FLAT = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest loss (nats a token) and gradient norm that are no spike."""

    loss: float = math.inf
    gradient_norm: float = math.inf


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recent:
    """Losses and gradient norms of the last steps that counted, oldest first."""

    losses: tuple[float, ...] = ()
    gradient_norms: tuple[float, ...] = ()

    def limits(self, factor: float) -> Limits:
        """What the next step is held against; no limits while there are few, or for 0."""
        if not factor or len(self.losses) < LEAST:
            return NO_LIMITS
        return Limits(
            loss=_limit(self.losses, factor), gradient_norm=_limit(self.gradient_norms, factor)
        )

    def then(self, loss: float, gradient_norm: float, window: int) -> Recent:
        """With one step more."""
        return Recent(
            losses=(*self.losses, loss)[-window:],
            gradient_norms=(*self.gradient_norms, gradient_norm)[-window:],
        )

    def to_json(self) -> dict[str, list[float]]:
        """Plain values."""
        return {"losses": list(self.losses), "gradient_norms": list(self.gradient_norms)}

    @classmethod
    def from_json(cls, values: dict[str, list[float]]) -> Recent:
        """From plain values; of none, no steps."""
        return cls(**{name: tuple(numbers) for name, numbers in values.items()})


def _limit(values: Sequence[float], factor: float) -> float:
    middle = median(values)
    deviation = NORMAL * median(abs(value - middle) for value in values)
    return middle + factor * max(deviation, FLAT * abs(middle))
