"""Starts a script on several gloo ranks of this machine, as torchrun does, and waits for it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ON_REQUEST = pytest.mark.skipif(
    not os.environ.get("CODEKILN_ALL_LAYOUTS"), reason="takes minutes: make layouts"
)


def launch(
    ranks: int, script: Path, *arguments: str, seconds: float = 240.0, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run `script` on `ranks` ranks (one: without torchrun); its output and exit status."""
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", str(ranks)]
    torchrun += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    command = [sys.executable, *(torchrun if ranks > 1 else []), str(script), *arguments]
    environment = _environment()
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=seconds, check=False
    )
    if check and done.returncode:
        at = max(done.stderr.find("Traceback"), 0)
        raise AssertionError(f"{done.stdout[-2000:]}\n{done.stderr[at : at + 6000]}")
    return done


def start(ranks: int, script: Path, *arguments: str) -> "list[subprocess.Popen[bytes]]":
    """Start `script` on `ranks` ranks without torchrun, to be killed by whoever asked for them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        subprocess.Popen(
            [sys.executable, str(script), *arguments],
            env=_environment() | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(ranks)
    ]


def _environment() -> dict[str, str]:
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
