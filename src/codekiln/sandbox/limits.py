"""What a program in the box may use before it is stopped."""

from __future__ import annotations

import math
import resource
from dataclasses import dataclass, fields

MEBIBYTE = 1 << 20
STACK_BYTES = 8 * MEBIBYTE  # also what glibc gives each thread, so more would eat the memory limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of one run; a program that passes one is stopped, not slowed.

    Args:
        cpu_seconds: processor time of the whole box. This is the limit that judges a program.
        wall_seconds: the backstop for programs that wait. Time in which the program was ready
            but the machine's cores were busy does not count (up to four times the limit).
        memory_bytes: resident memory of the whole box, and private memory of each process.
        processes: processes and threads alive in the box at a time.
        file_bytes: size of the work folder, of /dev/shm, and of any one file.
        output_bytes: standard output and standard error, each.
        open_files: file descriptors of one process.
    """

    cpu_seconds: float = 5.0
    wall_seconds: float = 15.0
    memory_bytes: int = 512 * MEBIBYTE
    processes: int = 64
    file_bytes: int = 64 * MEBIBYTE
    output_bytes: int = MEBIBYTE
    open_files: int = 256

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"{field.name} must be above zero")

    def prlimit(self) -> list[str]:
        """Arguments for prlimit(1), which sets them from inside the box.

        RLIMIT_DATA and not RLIMIT_AS: Java, Go and V8 reserve far more than they touch.
        RLIMIT_NPROC is set inside, where only the box's own processes count.
        """
        cpu = math.ceil(self.cpu_seconds)
        return [
            f"--cpu={_clamp(resource.RLIMIT_CPU, cpu)}:{_clamp(resource.RLIMIT_CPU, cpu + 1)}",
            f"--data={_clamp(resource.RLIMIT_DATA, self.memory_bytes)}",
            f"--nproc={_clamp(resource.RLIMIT_NPROC, self.processes)}",
            f"--fsize={_clamp(resource.RLIMIT_FSIZE, self.file_bytes)}",
            f"--nofile={_clamp(resource.RLIMIT_NOFILE, self.open_files)}",
            f"--stack={_clamp(resource.RLIMIT_STACK, STACK_BYTES)}",
            "--core=0",
        ]


def _clamp(name: int, wanted: int) -> int:
    """An unprivileged process may only lower its hard limit."""
    hard = resource.getrlimit(name)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
