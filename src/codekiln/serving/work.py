"""Generation in worker threads, so that the event loop stays free to answer.

A job is an iterator that is run in a thread; what it yields comes out of an async iterator.
At most `threads` jobs run and `queue_length` wait; one more is refused at once, so that a
client hears "busy" instead of waiting for a turn that may never come.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class BusyError(Exception):
    """All threads are at work and the queue is full."""


class TimeUpError(Exception):
    """The job did not end within its time, waiting included."""


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


class _End:
    """The last thing in a job's channel, with the error that ended it, if one did."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Workers:
    """The threads that generate.

    Args:
        threads: jobs at once.
        queue_length: jobs that may wait.
    """

    def __init__(self, threads: int, queue_length: int) -> None:
        self.threads, self.queue_length = threads, queue_length
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="codekiln-generate")
        self._jobs: set[Job[Any]] = set()
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """Jobs at work."""
        return min(len(self._jobs), self.threads)

    @property
    def waiting(self) -> int:
        """Jobs in the queue."""
        return len(self._jobs) - self.running

    def submit(self, make: Callable[[], Iterator[Item]], *, seconds: float) -> Job[Item]:
        """Queue a job; `make` is called in the thread. Call it from the event loop.

        Raises:
            BusyError: the queue is full.
        """
        with self._lock:
            if len(self._jobs) >= self.threads + self.queue_length:
                raise BusyError
            job: Job[Item] = Job(asyncio.get_running_loop())
            self._jobs.add(job)
        job.start(self._executor, make, seconds, on_end=self._forget)
        return job

    def _forget(self, job: Job[Item]) -> None:
        with self._lock:
            self._jobs.discard(job)

    def close(self) -> None:
        """Cancel every job; threads end after the step that they are in."""
        with self._lock:
            jobs = list(self._jobs)
        for job in jobs:
            job.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)


class Job(Generic[Item]):
    """One job: iterate over it to get its items; cancel it when they are not wanted."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._channel: asyncio.Queue[Item | _End] = asyncio.Queue()
        self._cancelled = threading.Event()
        self._future: Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(
        self,
        executor: ThreadPoolExecutor,
        make: Callable[[], Iterator[Item]],
        seconds: float,
        on_end: Callable[[Job[Item]], None],
    ) -> None:
        """Hand the job to a thread; `on_end` is called once, in any thread."""
        self._timer = self._loop.call_later(seconds, self._put, _End(TimeUpError()))
        self._future = executor.submit(self._run, make)
        self._future.add_done_callback(lambda _: on_end(self))

    def cancel(self) -> None:
        """Stop it before its next step; a job that waits never starts."""
        self._cancelled.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._future is not None:
            self._future.cancel()

    async def items(self) -> AsyncIterator[Item]:
        """What the job yields; leaving the loop early cancels it.

        Raises:
            TimeUpError, ClientGoneError: see there.
            Exception: whatever the job raised.
        """
        try:
            while True:
                item = await self._channel.get()
                if isinstance(item, _End):
                    if item.error is not None:
                        raise item.error
                    return
                yield item
        finally:
            self.cancel()

    def watch(self, receive: Callable[[], Awaitable[dict[str, object]]]) -> asyncio.Task[None]:
        """End the job when the client disconnects. `receive` is ASGI's, the body being read."""

        async def wait() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.cancel()
            self._put(_End(ClientGoneError()))

        return asyncio.create_task(wait())

    def _run(self, make: Callable[[], Iterator[Item]]) -> None:
        try:
            for item in make():
                if self._cancelled.is_set():
                    return
                self._send(item)
            self._send(_End())
        except BaseException as error:  # handed over: the event loop raises it
            self._send(_End(error))

    def _send(self, item: Item | _End) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._put, item)

    def _put(self, item: Item | _End) -> None:
        self._channel.put_nowait(item)
