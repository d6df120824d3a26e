"""How many micro-batches each step has: all of them, or a number that grows at first.

Small batches at the beginning take more steps for the same tokens, where gradients are still much
alike. The size is a function of the step, so that there is nothing to save.

Source: DeepSeek-V2 §3.1.2 (2304 sequences to 9216 over the first 225B tokens; the steps between
are open: here as many tokens at each size). V1 has one size throughout.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True)
class BatchSchedule:
    """Sizes of steps, in micro-batches.

    Args:
        largest: micro-batches of a step in the end.
        warmup: micro-batches read until then; 0: every step has `largest`.
    """

    largest: int
    warmup: int = 0

    @property
    def _runs(self) -> list[int]:
        """Steps of each size below the largest, from 1 on."""
        if not self.warmup or self.largest == 1:
            return []
        each = self.warmup / (self.largest - 1)
        return [max(round(each / size), 1) for size in range(1, self.largest)]

    def size(self, step: int) -> int:
        """Micro-batches of one step."""
        ends = list(accumulate(self._runs))
        return bisect_right(ends, step) + 1 if ends else self.largest

    def before(self, step: int) -> int:
        """Micro-batches of all earlier steps."""
        done, total = 0, 0
        for size, steps in enumerate(self._runs, 1):
            here = min(max(step - done, 0), steps)
            total += here * size
            done += steps
        return total + max(step - done, 0) * self.largest

    def steps(self, micro_batches: int) -> int:
        """The fewest steps that read so many micro-batches."""
        low, high = 0, micro_batches
        while low < high:
            middle = (low + high) // 2
            if self.before(middle) >= micro_batches:
                high = middle
            else:
                low = middle + 1
        return low
