"""Run on several ranks: what `test_checkpoints.py` holds against each other."""

import json
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from train_layouts import DEGREES, config, micro_batches, rows_of

from codekiln.errors import CheckpointError
from codekiln.models.causal import first_weights
from codekiln.parallel.checks import Degrees
from codekiln.parallel.model import ParallelModel
from codekiln.parallel.settings import ParallelSettings
from codekiln.parallel.world import Meshes, Ranks, joined
from codekiln.training import checkpoint, saving
from codekiln.training.checkpoint import TrainingState
from codekiln.training.optim import build_optimizer
from codekiln.training.saving import Saver
from codekiln.training.settings import OptimizerSettings

LARGE = 30_000_000  # numbers, fp32: no disk here writes 120 MB in the time a signal takes


def state(step: int) -> TrainingState:
    return TrainingState(step=step, cursor={"epoch": 0, "index": step}, tokens=7)


def train(model: ParallelModel, optimizer: torch.optim.Optimizer, meshes: Meshes) -> None:
    model.train()
    for step in range(3):
        batches = [rows_of(batch, meshes) for batch in micro_batches(step)]
        model.backward(batches, model.targets(batches))
        optimizer.step()
        optimizer.zero_grad()


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def contents(
    parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """All whole tensors of this rank's parameters, gathered by their own means."""
    found = {name: whole(parameter.detach()).clone() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        for key, value in sorted(optimizer.state[parameter].items()):
            found[f"{name} {key}"] = whole(value).clone()
    return found


def pass_on(job: dict[str, Any], ranks: Ranks, root: Path, step: int, *, first: bool) -> None:
    """Train, or restore the checkpoint before; write down what is there, and save it."""
    layout = job[str(ranks.size)]
    degrees = Degrees(**{name: layout.get(name, 1) for name in DEGREES})
    meshes, shape = Meshes(ranks, degrees), config(job["kind"])
    seed = torch.Generator().manual_seed(3 if first else 4)
    settings = ParallelSettings(**layout)
    model = ParallelModel(shape, first_weights(shape, seed), meshes, settings)
    optimizer = build_optimizer(model, OptimizerSettings(name=job["optimizer"]))
    parameters = dict(model.named_parameters())
    if first:
        train(model, optimizer, meshes)
    else:
        folder = root / f"step-{step - 1:08d}"
        assert checkpoint.read_state(folder, ranks) == state(step - 1)
        checkpoint.restore(folder, parameters, optimizer, ranks)
    found = contents(parameters, optimizer)
    found["drawn"] = torch.rand(8)
    torch.save(found, root / f"found-{step}-{ranks.rank}.pt")
    torch.manual_seed(1000 + ranks.rank)
    saver = Saver(root, ranks, keep=9)
    saver.save(state(step), parameters, optimizer)
    with torch.no_grad():  # what is saved is what was there
        for parameter in parameters.values():
            parameter.zero_()
    saver.close()
    ranks.wait()


def error_of(work: Callable[[], object]) -> str:
    try:
        work()
    except CheckpointError as error:
        return str(error)
    return ""


def broken(path: Path) -> str:
    raise OSError(5, "Input/output error")


def fail(ranks: Ranks, root: Path) -> dict[str, Any]:
    """What every rank hears of each failure, and which checkpoint is the newest whole one then."""
    weight = nn.Parameter(torch.full((1000,), float(ranks.rank)))
    parameters = {f"weight{ranks.rank}": weight}
    optimizer = torch.optim.SGD([weight])
    saver = Saver(root, ranks, keep=9)
    heard: dict[str, Any] = {}

    def save(step: int, saver: Saver = saver) -> str:
        saver.save(state(step), parameters, optimizer)
        return error_of(saver.wait)

    heard["one"] = save(1)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    if ranks.rank == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, unlimited[1]))
    heard["full"] = save(2)
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    sound = saving.fingerprint_file
    if ranks.rank == 1:
        saving.fingerprint_file = broken
    heard["unread"] = save(3)
    saving.fingerprint_file = sound
    nowhere = root / "file" / "checkpoints"
    if ranks.first:
        nowhere.parent.write_text("no folder")
    heard["nowhere"] = save(4, Saver(nowhere, ranks, keep=9))
    heard["after"] = save(5)
    if ranks.rank == 1:
        path = root / "step-00000005" / "__1_0.distcp"
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    ranks.wait()
    heard["damaged"] = error_of(lambda: checkpoint.read_state(root / "step-00000005", ranks))
    found = checkpoint.newest(root, ranks)
    heard["newest"] = found and found[0].name
    other = {f"other{ranks.rank}": weight}
    heard["foreign"] = error_of(
        lambda: checkpoint.restore(root / "step-00000001", other, optimizer, ranks)
    )
    saver.close()
    return heard


def save_large(ranks: Ranks, root: Path) -> None:
    """A checkpoint, and another that takes a while: to be killed within."""
    weight = nn.Parameter(torch.rand(LARGE))
    optimizer = torch.optim.SGD([weight])
    saver = Saver(root, ranks, keep=1)
    saver.save(state(1), {f"weight{ranks.rank}": weight}, optimizer)
    saver.wait()
    (root / f"ready-{ranks.rank}").touch()
    saver.save(state(2), {f"weight{ranks.rank}": weight}, optimizer)
    time.sleep(60)


def main() -> None:
    what, root = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    with joined(torch.device("cpu"), timeout_minutes=2.0) as ranks:
        if what == "fail":
            heard = fail(ranks, root)
            (root / f"heard-{ranks.rank}.json").write_text(json.dumps(heard))
        elif what == "large":
            save_large(ranks, root)
        else:
            for name, job in json.loads(sys.argv[3]).items():
                for step in map(int, what.split(",")):
                    pass_on(job, ranks, root / name, step, first=step == 1)


if __name__ == "__main__":
    main()
