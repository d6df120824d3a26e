"""`codekiln train` on several ranks: killed, told to stop, resumed on as many and on others."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from codekiln.training.export import export_checkpoint

SETTINGS = (
    "training.steps=40",
    "training.checkpoint_every=5",
    "training.evaluate_every=40",
    "optimizer.warmup_steps=0",
)


def start(folder: Path, processes: int, *arguments: str) -> "subprocess.Popen[str]":
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    command = [sys.executable, "-m", "codekiln", "train", str(folder.parent / "recipe.toml")]
    command += ["--out", str(folder), "--processes", str(processes), *settings, *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def finish(process: "subprocess.Popen[str]", seconds: float = 120.0) -> tuple[int, str]:
    try:
        output, _ = process.communicate(timeout=seconds)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode, output


def run(folder: Path, processes: int, *arguments: str) -> str:
    status, output = finish(start(folder, processes, *arguments))
    assert status == 0, output
    return output


def rows(folder: Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def losses(folder: Path) -> list[float]:
    return [row["loss_nats_per_token"] for row in rows(folder) if "gradient_norm" in row]


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def copy(folder: Path, name: str) -> Path:
    return Path(shutil.copytree(folder, folder.parent / name))


def until_step(folder: Path, step: int) -> None:
    until(lambda: any(row["step"] >= step for row in rows(folder)))


def until(done: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.02)


def pid_of(rank: int, folder: Path) -> int:
    """The process of that rank which trains in `folder`."""
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if f"\0RANK={rank}\0".encode() in environment and str(folder).encode() in command:
            return int(process.name)
    raise AssertionError(f"no rank {rank}")


@pytest.mark.slow
def test_a_killed_rank_ends_all_and_the_run_resumes_to_the_same_bits(run_folder: Path) -> None:
    whole = copy(run_folder, "whole")
    run(whole, 2)
    process = start(run_folder, 2)
    until_step(run_folder, 12)
    killed = time.monotonic()
    os.kill(pid_of(1, run_folder), signal.SIGKILL)
    status, output = finish(process)
    assert time.monotonic() - killed < 60
    assert status != 0
    assert "rank      : 1" in output
    assert len(losses(run_folder)) < 40
    assert "resuming from" in run(run_folder, 2, "--resume")
    assert losses(run_folder) == losses(whole)
    ours, theirs = weights(run_folder), weights(whole)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_a_run_goes_on_with_other_numbers_of_ranks(run_folder: Path) -> None:
    """One rank, then four in another layout, then two: the losses of one rank alone."""
    whole = copy(run_folder, "whole")
    run(whole, 1)
    for ranks, stop, layout in (
        (1, 8, ()),
        (4, 20, ("--set", "parallel.tensor=2", "--set", "parallel.data=2")),
    ):
        process = start(run_folder, ranks, "--resume", *layout)
        until_step(run_folder, stop)
        process.send_signal(signal.SIGTERM)
        status, output = finish(process)
        assert status != 0, output
        last = len(losses(run_folder))
        assert stop <= last < 40
        # a checkpoint of the last step, before leaving
        assert (run_folder / "checkpoints" / f"step-{last:08d}").is_dir()
    output = run(run_folder, 2, "--resume")
    assert "2 ranks" in output
    assert losses(run_folder) == pytest.approx(losses(whole), abs=1e-4)
    states = [
        json.loads((folder / "checkpoints" / "step-00000040" / "state.json").read_text())
        for folder in (run_folder, whole)
    ]
    assert states[0]["cursor"] == states[1]["cursor"]
    # two ranks' files, read by one process
    export_checkpoint(run_folder / "checkpoints" / "step-00000040", run_folder.parent / "out")
    exported, ours = load_file(run_folder.parent / "out" / "model.safetensors"), weights(run_folder)
    assert exported.keys() == ours.keys()
    assert all(torch.equal(exported[name], ours[name]) for name in ours)


def test_a_layout_that_does_not_fit_is_refused(run_folder: Path) -> None:
    status, output = finish(start(run_folder, 2, "--set", "parallel.data=4"))
    assert status != 0
    assert "x pipeline = 4" in output
    assert "wanted: 2, the number of ranks" in output
    assert not (run_folder / "checkpoints" / "plan.json").exists()
