"""Writes checkpoints while training goes on.

A save copies all tensors, and hands the copy to a thread that writes it, takes its fingerprint and
gives the folder its name. One save is under way at a time; who wants the next waits for it.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint import CheckpointException, FileSystemWriter
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

from codekiln.errors import CheckpointError
from codekiln.parallel.world import Ranks
from codekiln.storage import atomic_path, fingerprint_file, write_json
from codekiln.training import checkpoint
from codekiln.training.checkpoint import FORMAT, STATE, TrainingState, number, steps, tensors_of

T = TypeVar("T")


class Saver:
    """A run's checkpoints below `root`: all ranks call every method, at the same steps.

    Args:
        keep: how many of the newest stay.
        keep_every: those of every so many steps stay for good; 0: none.
    """

    def __init__(self, root: Path, ranks: Ranks, *, keep: int, keep_every: int = 0) -> None:
        self._root, self._ranks = root, ranks
        self._keep, self._keep_every = keep, keep_every
        # the thread's exchanges must not mix with those of training
        self._group = None if ranks.alone else dist.new_group(backend="gloo", timeout=ranks.timeout)
        cuda = ranks.device.type == "cuda"
        self._stager = DefaultStager(StagingOptions(cuda, False, False, cuda))
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._seconds = 0.0

    def save(
        self,
        state: TrainingState,
        parameters: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
    ) -> float:
        """Begin to write a checkpoint; seconds that the one before took to be written.

        Those of later steps are dropped in the end: a run that has come to an earlier step found
        them damaged and passed them over. They must not take the places of whole ones.

        Raises:
            CheckpointError: the save before could not be written (disk full); those before it stay.
        """
        seconds = self.wait()
        staged: Any = self._stager.stage(tensors_of(parameters, optimizer, self._ranks))
        self._thread = threading.Thread(target=self._run, args=(state, staged), name="saving")
        self._thread.start()
        return seconds

    def wait(self) -> float:
        """Until nothing is being written; the seconds that it took to write.

        Raises:
            CheckpointError: it could not be written.
        """
        if self._thread is None:
            return 0.0
        self._thread.join()
        self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        return self._seconds

    def close(self) -> None:
        """Wait for the last save, and let go of its memory."""
        try:
            self.wait()
        finally:
            self._stager.close()

    def _run(self, state: TrainingState, tensors: dict[str, Tensor]) -> None:
        started = time.perf_counter()
        target = self._root / f"step-{state.step:08d}"
        try:
            self._write(target, state, tensors)
        except (Exception, CheckpointException) as error:  # the next save raises it
            self._error = self._failed(target, error)
        else:
            self._drop(state.step)
        self._seconds = time.perf_counter() - started

    def _write(self, target: Path, state: TrainingState, tensors: dict[str, Tensor]) -> None:
        """Rank 0 makes the folder and names it when all have written; an error is everybody's."""
        with ExitStack() as unnamed:

            def begin() -> Path | None:
                return unnamed.enter_context(atomic_path(target)) if self._ranks.first else None

            folder = self._agreed(begin)[0]
            assert folder is not None
            writer = FileSystemWriter(folder)
            dcp.save(
                tensors,
                storage_writer=writer,
                process_group=self._group,
                no_dist=self._ranks.alone,
            )
            found = self._agreed(lambda: self._facts(folder))

            def finish() -> None:
                if self._ranks.first:
                    files = {name: facts for part in found for name, facts in part.items()}
                    write_json(folder / STATE, {"format": FORMAT, **asdict(state), "files": files})
                    unnamed.close()

            self._agreed(finish)

    def _agreed(self, work: Callable[[], T]) -> list[T]:
        """Every rank's result, on every rank.

        Raises:
            RuntimeError: on all ranks, when the work failed on one of several.
        """
        if self._group is None:
            return [work()]
        result, failure = None, ""
        try:
            result = work()
        except Exception as error:  # of whatever kind: the others wait for this rank
            failure = f"{error} (rank {self._ranks.rank})"
        held: list[Any] = [None] * self._ranks.size
        dist.all_gather_object(held, (result, failure), group=self._group)
        for _, failed in held:
            if failed:
                raise RuntimeError(failed)
        return [found for found, _ in held]

    def _facts(self, folder: Path) -> dict[str, Any]:
        """Size and SHA-256 of the files that this rank wrote; of `.metadata` too on rank 0."""
        written = [p for p in folder.iterdir() if p.name.startswith(f"__{self._ranks.rank}_")]
        if self._ranks.first:
            written += [p for p in folder.iterdir() if not p.name.startswith("__")]
        return {p.name: {"bytes": p.stat().st_size, "sha256": fingerprint_file(p)} for p in written}

    def _failed(self, target: Path, error: BaseException) -> CheckpointError:
        last = checkpoint.latest(self._root)
        return CheckpointError(
            target,
            got=f"could not be written: {_reason(error)}",
            wanted="room on the disk",
            remedy="free some space, then train with --resume; the last good checkpoint is "
            + (last.name if last else "the start"),
        )

    def _drop(self, step: int) -> None:
        if not self._ranks.first:
            return
        folders = steps(self._root)
        usable = [folder for folder in folders if number(folder) <= step]
        kept = set(usable[-self._keep :])
        if self._keep_every:
            kept |= {folder for folder in usable if number(folder) % self._keep_every == 0}
        for folder in folders:
            if folder not in kept:
                _remove(folder)


def _remove(folder: Path) -> None:
    """Take its name away first: what has a checkpoint's name is whole, whenever we are killed."""
    unnamed = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(unnamed, ignore_errors=True)
    with suppress(OSError):  # it stays, and goes after the next save
        folder.rename(unnamed)
    shutil.rmtree(unnamed, ignore_errors=True)


def _reason(error: BaseException) -> str:
    """In a line; of several ranks' failures the first."""
    if isinstance(error, CheckpointException):
        rank, (failure, _) = min(error.failures.items())
        return f"{failure} (rank {rank})".strip()
    return str(error)
