"""Where pieces of work run: in processes of this machine, or as tasks of a Ray cluster.

Both run the same functions over the same pieces and give results as they come. What a piece
writes appears by atomic rename, so that a worker killed in its midst, and the piece run again,
change nothing. On a cluster all machines must see the folder that the run writes to.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from codekiln import processes
from codekiln.errors import CodekilnError, UserError
from codekiln.log import logger

Engine = Literal["processes", "ray"]
Task = TypeVar("Task")
Result = TypeVar("Result")

RETRIES = 20  # of one piece whose worker or machine died


def run_all(
    function: Callable[[Any, Task], Result],
    context: object,
    tasks: Iterable[Task],
    *,
    engine: Engine = "processes",
    count: int = 0,
) -> Iterator[Result]:
    """Results of `function(context, task)`, as they come.

    Args:
        function: of a module, so that workers find it.
        context: what all tasks share; sent to each worker once.
        count: worker processes; 0 means one a core. With Ray: the tasks at once, 0 as many as
            the cluster has cores.

    Raises:
        CodekilnError: a worker died again and again.
        UserError: Ray is asked for and not installed.
    """
    if engine == "processes":
        return processes.run_all(function, context, tasks, count)
    return _run_on_ray(function, context, list(tasks), count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """An engine, and how many of its workers are used (0 as many as there are cores)."""

    engine: Engine = "processes"
    count: int = 0

    @property
    def none(self) -> bool:
        """Whether the work is best done here, without any other process."""
        return self.engine == "processes" and processes.process_count(self.count) <= 1

    def run(
        self, function: Callable[[Any, Task], Result], context: object, tasks: Iterable[Task]
    ) -> Iterator[Result]:
        """As `run_all`."""
        return run_all(function, context, tasks, engine=self.engine, count=self.count)


def _run_on_ray(
    function: Callable[[Any, Task], Result], context: object, tasks: list[Task], count: int
) -> Iterator[Result]:
    if not tasks:
        return
    ray = _ray()
    shared = ray.put(context)
    remote = ray.remote(max_retries=RETRIES, num_cpus=1)(_call)
    most = count or max(int(ray.cluster_resources().get("CPU", 1)), 1)
    waiting: dict[Any, None] = {}
    todo = iter(tasks)
    try:
        while True:
            # a few more than can run, so that no core waits for us
            while len(waiting) < (most if count else most + 2):
                task = next(todo, None)
                if task is None:
                    break
                waiting[remote.remote(function, shared, task)] = None
            if not waiting:
                return
            done, _ = ray.wait(list(waiting), timeout=1.0)
            for reference in done:
                del waiting[reference]
                yield _result(ray, reference)
    finally:
        for reference in waiting:
            ray.cancel(reference, force=True)


def _call(function: Callable[[Any, Task], Result], context: object, task: Task) -> Result:
    return function(context, task)


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.as_instanceof_cause() from None
    except ray.exceptions.RayError as error:
        raise CodekilnError(
            f"a piece of work failed on Ray after {RETRIES} tries ({type(error).__name__}); what "
            "was finished is kept: run again"
        ) from error


def _ray() -> Any:
    """Ray, connected: to the cluster that RAY_ADDRESS names, or to one of this machine's own."""
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # no GPUs asked, none hidden
    try:
        import ray
    except ImportError:
        raise UserError(
            "engine 'ray'",
            got="the package ray is not installed",
            wanted="ray beside codekiln",
            remedy="pip install 'codekiln[ray]'",
        ) from None
    if not ray.is_initialized():
        started = time.monotonic()
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "warning"}
        if "RAY_ADDRESS" not in os.environ:
            options |= {"include_dashboard": False, "num_cpus": processes.process_count(0)}
        ray.init(runtime_env={"env_vars": _environment()}, **options)
        logger.debug("Ray is there after %.1f s", time.monotonic() - started)
    return ray


def _environment() -> dict[str, str]:
    """What workers need to import what this process can."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
