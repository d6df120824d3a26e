"""Pieces of work in one process and in several."""

from __future__ import annotations

import operator
import os

import pytest

from codekiln.errors import CodekilnError
from codekiln.processes import peak_memory_bytes, process_count, run_all


@pytest.mark.parametrize("processes", [1, 2])
def test_every_task_is_done_once(processes: int) -> None:
    assert sorted(run_all(operator.add, 10, range(5), processes)) == [10, 11, 12, 13, 14]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_of_a_task_is_the_callers(processes: int) -> None:
    with pytest.raises(ZeroDivisionError):
        list(run_all(operator.floordiv, 1, [1, 0], processes))


def test_a_dead_worker_is_an_error_that_says_what_to_do() -> None:
    # operator.call(os._exit, 3) ends the worker as the kernel would for want of memory
    with pytest.raises(CodekilnError, match="fewer processes"):
        list(run_all(operator.call, os._exit, [3, 3], 2))


def test_process_count() -> None:
    assert process_count(3) == 3
    assert process_count(0) == len(os.sched_getaffinity(0))


def test_peak_memory_grows_with_use() -> None:
    before = peak_memory_bytes()
    ballast = bytearray(os.urandom(1)) * (before + 50_000_000)
    assert peak_memory_bytes() >= before + 40_000_000
    del ballast
    assert peak_memory_bytes() >= before + 40_000_000  # the peak stays
