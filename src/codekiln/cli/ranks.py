"""Starts a command once for each rank on this machine, by torchrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

EXIT_FAILED = 1


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Run `codekiln ARGUMENTS` on so many ranks, without its own --processes; the exit status.

    When a rank dies, the others are stopped, and it is named. Signals reach all ranks.
    """
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    torchrun += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    command = [sys.executable, *torchrun, "-m", "codekiln", *without_option(arguments)]
    threads = str(max((os.cpu_count() or 1) // processes, 1))
    environment = {"OMP_NUM_THREADS": threads} | os.environ
    child = subprocess.Popen(command, env=environment)

    def pass_on(number: int, frame: FrameType | None) -> None:
        child.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        status = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else EXIT_FAILED


def without_option(arguments: Sequence[str], name: str = "--processes") -> list[str]:
    """Arguments without an option and its value."""
    kept: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == name:
            next(rest, None)
        elif not argument.startswith(f"{name}="):
            kept.append(argument)
    return kept
