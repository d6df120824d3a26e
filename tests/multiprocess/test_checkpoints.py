"""Checkpoints of many ranks: read by any other number, whole whoever fails or is killed."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from codekiln.training import checkpoint

from .launch import launch, start
from .test_ranks import until

SCRIPT = Path(__file__).parent / "checkpoint_ranks.py"
JOBS: dict[str, dict[str, Any]] = {
    "dense": {"kind": "dense", "4": {"data": 4}, "2": {"data": 2}, "1": {}},
    "hybrid": {
        "kind": "dense",
        "4": {"replicate": 2, "data": 2},
        "2": {"tensor": 2, "data": 1},
        "1": {},
    },
    "experts": {
        "kind": "experts",
        "4": {"data": 4, "expert": 2},
        "2": {"pipeline": 2, "data": 1},
        "1": {},
    },
    "muon": {"kind": "dense", "4": {"data": 2, "tensor": 2}, "2": {"data": 2}, "1": {}},
}
PASSES = ((4, "1,2"), (2, "3"), (1, "4"), (4, "5"))  # ranks, and the steps that they pass on


def found(root: Path, step: int) -> list[dict[str, Tensor]]:
    """What each rank had before it saved `step`."""
    return [torch.load(path) for path in sorted(root.glob(f"found-{step}-*.pt"))]


def drawn(seed: int) -> Tensor:
    return torch.rand(8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def passed_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on 4 ranks, then restored and saved again by 4, 2, 1 and 4."""
    root = tmp_path_factory.mktemp("passed")
    jobs = {
        name: {"optimizer": "muon" if name == "muon" else "adamw", **job}
        for name, job in JOBS.items()
    }
    for name in jobs:
        (root / name).mkdir()
    for ranks, steps in PASSES:
        launch(ranks, SCRIPT, steps, str(root), json.dumps(jobs))
    return root


@pytest.mark.slow
@pytest.mark.parametrize("name", JOBS)
def test_any_number_of_ranks_has_the_same_bits(passed_on: Path, name: str) -> None:
    root = passed_on / name
    trained: dict[str, Tensor] = {}
    for part in found(root, 1):
        trained |= part
    del trained["drawn"]
    kept = {key.partition(" ")[2] for key in trained}
    assert kept == {"", "exp_avg", "exp_avg_sq", "step"} | (
        {"momentum"} if name == "muon" else set()
    )
    assert all(value.count_nonzero() for value in trained.values())
    for step, ranks in ((2, 4), (3, 2), (4, 1), (5, 4)):
        parts = found(root, step)
        assert len(parts) == ranks
        assert {key for part in parts for key in part} == trained.keys() | {"drawn"}
        for part in parts:
            for key in part.keys() - {"drawn"}:
                assert part[key].dtype == trained[key].dtype
                assert torch.equal(part[key], trained[key]), (step, key)


@pytest.mark.slow
def test_as_many_ranks_draw_on_others_draw_as_rank_0(passed_on: Path) -> None:
    for step, seeds in (
        (2, [1000, 1001, 1002, 1003]),
        (3, [1000] * 2),
        (4, [1000]),
        (5, [1000] * 4),
    ):
        parts = found(passed_on / "dense", step)
        for part, seed in zip(parts, seeds, strict=True):
            assert torch.equal(part["drawn"], drawn(seed)), step


@pytest.mark.slow
def test_what_fails_on_one_rank_is_heard_on_all(tmp_path: Path) -> None:
    launch(2, SCRIPT, "fail", str(tmp_path), seconds=120)
    first, second = (json.loads((tmp_path / f"heard-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first["one"] == first["after"] == ""
    for what in ("full", "unread"):
        assert "could not be written" in first[what]
        assert "(rank 1)" in first[what]
        assert "last good checkpoint is step-00000001" in first[what]
    assert "File too large" in first["full"]
    assert "Input/output error" in first["unread"]
    assert "Not a directory" in first["nowhere"]
    assert "(rank 0)" in first["nowhere"]
    assert "__1_0.distcp" in first["damaged"]
    assert first["newest"] == "step-00000001"
    assert "another model: other0, other1, weight0, weight1" in first["foreign"]
    folders = [path.name for path in tmp_path.iterdir() if path.is_dir()]
    assert sorted(folders) == ["step-00000001", "step-00000005"]  # nothing is left of the others


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.08])
def test_killed_while_saving_the_one_before_stays_whole(tmp_path: Path, seconds: float) -> None:
    processes = start(2, SCRIPT, "large", str(tmp_path))
    try:
        until(lambda: bool(list(tmp_path.glob(".step-00000002.*.tmp/*/__*.distcp"))))
        time.sleep(seconds)
    finally:
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    assert list(tmp_path.glob(".step-00000002.*.tmp"))  # killed within
    assert [folder.name for folder in checkpoint.steps(tmp_path)] == ["step-00000001"]
    newest = checkpoint.latest(tmp_path)
    assert newest == tmp_path / "step-00000001"
    checkpoint.sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["ready-0", "ready-1", "step-00000001"]
