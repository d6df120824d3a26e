"""What a benchmark gives: rows of a table, each a ratio against a peer measured in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. `ours` and `peer` in `unit`; more is better unless said otherwise."""

    what: str
    ours: float
    unit: str
    peer: float | None = None
    peer_name: str = ""
    target: str = ""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's."""
        return self.ours / self.peer if self.peer else None


def paired(
    ours: Callable[[], object], peer: Callable[[], object], *, rounds: int = 5, warmup: int = 1
) -> tuple[float, float]:
    """Median seconds of both, run in turn (A B A B …) so that a drifting machine hits both."""
    times: tuple[list[float], list[float]] = ([], [])
    for round_ in range(warmup + rounds):
        for function, kept in zip((ours, peer), times, strict=True):
            started = time.perf_counter()
            function()
            if round_ >= warmup:
                kept.append(time.perf_counter() - started)
    return statistics.median(times[0]), statistics.median(times[1])
