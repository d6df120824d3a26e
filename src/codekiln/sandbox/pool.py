"""Many programs at once: threads that mostly wait, as many as there are cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def run_many(
    function: Callable[[Item], Result], items: Sequence[Item], *, workers: int = 0
) -> Iterator[tuple[int, Result]]:
    """(index, result) of `function` on each item, in the order in which they end.

    Args:
        workers: programs at a time; 0 means one a core. More than that steals time from each.
    """
    with ThreadPoolExecutor(max_workers=workers or cores()) as pool:
        futures = {pool.submit(function, item): index for index, item in enumerate(items)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            for future in futures:
                future.cancel()
