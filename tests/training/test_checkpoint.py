"""Checkpoints are whole or not there; damaged and foreign ones are named."""

import copy
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from codekiln.errors import CheckpointError
from codekiln.parallel.world import ALONE
from codekiln.training import checkpoint
from codekiln.training.checkpoint import TrainingState
from codekiln.training.optim import build_optimizer
from codekiln.training.saving import Saver
from codekiln.training.settings import OptimizerSettings

STATE = TrainingState(
    step=3,
    cursor={"epoch": 1, "index": 24},
    tokens=96,
    plan={"total_steps": 10},
    identity={"optimizer.learning_rate": 0.001, "tokenizer.sha256": "ab"},
)


def make(width: int = 4) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5, width), nn.Linear(width, 5, bias=False))
    return model, build_optimizer(model, OptimizerSettings())


def save(
    root: Path,
    state: TrainingState,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    keep: int,
    keep_every: int = 0,
) -> Path:
    saver = Saver(root, ALONE, keep=keep, keep_every=keep_every)
    saver.save(state, dict(model.named_parameters()), optimizer)
    saver.close()
    return root / f"step-{state.step:08d}"


def restore(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    checkpoint.restore(folder, dict(model.named_parameters()), optimizer)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.randint(5, (8,))).square().sum().backward()  # draws from torch's random state
    optimizer.step()


def test_going_on_from_a_checkpoint_is_bit_equal(tmp_path: Path) -> None:
    model, optimizer = make()
    for _ in range(3):
        step(model, optimizer)
    folder = save(tmp_path, STATE, model, optimizer, keep=2)
    for _ in range(3):
        step(model, optimizer)

    other, other_optimizer = make()
    step(other, other_optimizer)  # something to overwrite
    assert checkpoint.read_state(folder) == STATE
    restore(folder, other, other_optimizer)
    for _ in range(3):
        step(other, other_optimizer)
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_tied_weight_is_stored_once_and_stays_tied(tmp_path: Path) -> None:
    model, _ = make()
    model[1].weight = model[0].weight
    optimizer = build_optimizer(model, OptimizerSettings())
    step(model, optimizer)
    folder = save(tmp_path, STATE, model, optimizer, keep=1)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other[0].weight.zero_()
    restore(folder, other, build_optimizer(other, OptimizerSettings()))
    assert other[1].weight is other[0].weight
    assert torch.equal(other[0].weight, model[0].weight)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    model, optimizer = make()
    for number in (1, 2, 10, 11):
        save(tmp_path, replace(STATE, step=number), model, optimizer, keep=2)
    assert sorted(os.listdir(tmp_path)) == ["step-00000010", "step-00000011"]


def test_every_so_many_steps_one_stays_for_good(tmp_path: Path) -> None:
    model, optimizer = make()
    for number in range(1, 8):
        save(tmp_path, replace(STATE, step=number), model, optimizer, keep=1, keep_every=3)
    assert sorted(os.listdir(tmp_path)) == [f"step-0000000{number}" for number in (3, 6, 7)]


def test_what_is_saved_is_what_was_when_saving_began(tmp_path: Path) -> None:
    model, optimizer = make(width=2000)
    step(model, optimizer)
    before = [parameter.clone() for parameter in model.parameters()]
    saver = Saver(tmp_path, ALONE, keep=1)
    saver.save(STATE, dict(model.named_parameters()), optimizer)
    step(model, optimizer)  # while it is being written
    saver.close()
    restore(tmp_path / "step-00000003", model, optimizer)
    assert all(map(torch.equal, before, model.parameters()))


def test_tensors_are_as_readable_as_the_state(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        folder = save(tmp_path, STATE, *make(), keep=1)
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o640}


def test_a_damaged_checkpoint_takes_no_whole_ones_place(tmp_path: Path) -> None:
    model, optimizer = make()
    for number in (100, 200):
        save(tmp_path, replace(STATE, step=number), model, optimizer, keep=2)
    flip(tmp_path / "step-00000200" / "__0_0.distcp")
    found = checkpoint.newest(tmp_path)
    assert found is not None
    assert found[1].step == 100
    save(tmp_path, replace(STATE, step=150), model, optimizer, keep=1)
    last = checkpoint.newest(tmp_path)
    assert last is not None
    assert last[1].step == 150
    assert sorted(os.listdir(tmp_path)) == ["step-00000150"]


def save_two(root: Path) -> tuple[Path, Path]:
    model, optimizer = make()
    step(model, optimizer)
    first, second = (
        save(root, replace(STATE, step=number), model, optimizer, keep=5) for number in (1, 2)
    )
    return first, second


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata", "state.json"])
@pytest.mark.parametrize("damage", [cut, flip, Path.unlink], ids=["cut", "flipped", "removed"])
def test_a_damaged_checkpoint_is_passed_over_and_refused(
    tmp_path: Path, name: str, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = save_two(tmp_path)
    if name == "state.json" and damage is flip:
        (second / name).write_text("[]")
    else:
        damage(second / name)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")) as caught:
        checkpoint.read_state(second)
    assert "remove this folder" in caught.value.remedy
    with caplog.at_level("WARNING", logger="codekiln"):
        assert checkpoint.latest(tmp_path) == first
    assert "passing over a damaged checkpoint" in caplog.text
    shutil.rmtree(first)
    assert checkpoint.latest(tmp_path) is None


def test_another_format_is_refused(tmp_path: Path) -> None:
    _, second = save_two(tmp_path)
    path = second / "state.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 99'))
    with pytest.raises(CheckpointError, match="another format"):
        checkpoint.read_state(second)


def test_a_checkpoint_of_another_model_names_the_weights(tmp_path: Path) -> None:
    _, second = save_two(tmp_path)
    with pytest.raises(CheckpointError, match=r"another model: 0\.weight, 1\.weight"):
        restore(second, *make(width=6))


def test_differing_keys_are_named_with_both_values(tmp_path: Path) -> None:
    checkpoint.check_identity(tmp_path, STATE.identity, dict(STATE.identity))
    wanted = {**STATE.identity, "optimizer.learning_rate": 0.002, "model.hidden_size": 8}
    with pytest.raises(CheckpointError) as caught:
        checkpoint.check_identity(tmp_path, STATE.identity, wanted)
    assert "optimizer.learning_rate = 0.001 there, 0.002 here" in str(caught.value)
    assert "model.hidden_size = None there, 8 here" in str(caught.value)
    assert "tokenizer" not in caught.value.got


DISK_FULL = """
import resource, signal, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_checkpoint as t
from codekiln.training import checkpoint
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
root = Path({root!r})
small = t.make()
t.save(root, t.STATE, *small, keep=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    t.save(root, replace(t.STATE, step=4), *t.make(width=4000), keep=1)
except t.CheckpointError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    said = run(DISK_FULL, tmp_path)
    assert "could not be written" in said
    assert "last good checkpoint is step-00000003" in said
    assert os.listdir(tmp_path) == ["step-00000003"]
    assert checkpoint.latest(tmp_path) == tmp_path / "step-00000003"


def test_a_killed_save_leaves_nothing_that_counts(tmp_path: Path) -> None:
    first, second = save_two(tmp_path)
    left = tmp_path / ".step-00000003.abc.tmp" / "step-00000003"
    shutil.copytree(second, left)
    assert checkpoint.steps(tmp_path) == [first, second]
    checkpoint.sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [first.name, second.name]


GROWING = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_checkpoint as t
model, optimizer = t.make(width=1_000_000)  # 40 MB, and 80 MB of averages
t.step(model, optimizer)
saver = t.Saver(Path({root!r}), t.ALONE, keep=1)
for step in range(1, 9):
    saver.save(replace(t.STATE, step=step), dict(model.named_parameters()), optimizer)
    saver.wait()
    print(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)
"""


def test_memory_does_not_grow_with_saves(tmp_path: Path) -> None:
    resident = [int(line) for line in run(GROWING, tmp_path).splitlines()]
    assert resident[-1] - resident[1] < 60_000_000  # six copies that nobody freed: 720 MB


KILLED_WHILE_DROPPING = """
import os, shutil, signal, sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_checkpoint as t

def killed(folder, ignore_errors=False):
    for file in Path(folder).glob("*"):
        file.unlink()
        os.kill(os.getpid(), signal.SIGKILL)

shutil.rmtree = killed
made = t.make()
t.save(Path({root!r}), t.STATE, *made, keep=1)
t.save(Path({root!r}), replace(t.STATE, step=4), *made, keep=1)
"""


def test_killed_while_dropping_all_that_have_a_name_are_whole(tmp_path: Path) -> None:
    run(KILLED_WHILE_DROPPING, tmp_path, status=-signal.SIGKILL)
    assert [folder.name for folder in checkpoint.steps(tmp_path)] == ["step-00000004"]
    assert (tmp_path / ".step-00000003.tmp").is_dir()
    checkpoint.read_state(tmp_path / "step-00000004")
    checkpoint.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["step-00000004"]


def run(program: str, root: Path, status: int = 0) -> str:
    """What a program in a process of its own prints."""
    text = program.format(tests=str(Path(__file__).parent), root=str(root))
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == status, done.stderr
    return done.stdout
