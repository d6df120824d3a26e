"""Runs pieces of work, in this process or in several, and survives the death of either side."""

from __future__ import annotations

import multiprocessing
import os
import resource
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from codekiln.errors import CodekilnError

Task = TypeVar("Task")
Result = TypeVar("Result")

# spawned, not forked: a fork would copy threads' locks (Arrow, BLAS) in whatever state
SPAWN = multiprocessing.get_context("spawn")

_context: Any = None  # what every task of a worker process needs, sent once


def process_count(wanted: int) -> int:
    """`wanted`, or the cores this process may use for 0."""
    return wanted or len(os.sched_getaffinity(0))


def run_all(
    function: Callable[[Any, Task], Result],
    context: object,
    tasks: Iterable[Task],
    processes: int,
    *,
    tick: Callable[[], None] | None = None,
) -> Iterator[Result]:
    """Results of `function(context, task)`, as they come.

    Args:
        function: of a module, so that worker processes find it.
        context: what all tasks share; sent to each worker once. It may hold values and locks
            made by `SPAWN`.
        processes: 1 works here, without any other process.
        tick: called twice a second or more often while other processes work.

    Raises:
        CodekilnError: a worker died.
    """
    todo = list(tasks)
    processes = min(process_count(processes), len(todo))
    if processes <= 1:
        for task in todo:
            yield function(context, task)
        return
    pool = ProcessPoolExecutor(
        processes, mp_context=SPAWN, initializer=_start, initargs=(context, os.getpid())
    )
    try:
        waiting: set[Future[Result]] = {pool.submit(_work, function, task) for task in todo}
        while waiting:
            done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
            if tick is not None:
                tick()
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise CodekilnError(
            "a worker process was killed, most likely for want of memory; what was finished is "
            "kept: run again, with fewer processes ([run] processes)"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _work(function: Callable[[Any, Task], Result], task: Task) -> Result:
    return function(_context, task)


def _start(context: object, parent: int) -> None:
    global _context  # noqa: PLW0603 (a pool gives a worker no other place)
    _context = context
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    """End this worker when the process that started it is gone, however that ended."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_memory_bytes() -> int:
    """Largest resident memory of this process so far; 0 where the system doesn't tell.

    Not from getrusage: there, a process begins with the peak of the one that started it.
    """
    try:
        with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
