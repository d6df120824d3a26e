"""A checkpoint's description of its tensors is read, and nothing in it is run."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from torch.distributed.checkpoint import FileSystemReader

from codekiln.errors import CheckpointError
from codekiln.training.stored import Reader

from .test_checkpoint import STATE, make, save, step


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model, optimizer = make()
    step(model, optimizer)
    return save(tmp_path, STATE, model, optimizer, keep=1)


def test_it_reads_what_pytorchs_own_reader_reads(folder: Path) -> None:
    ours, theirs = Reader(folder), FileSystemReader(folder).read_metadata()
    assert ours.tensors == theirs.state_dict_metadata
    assert ours.read_metadata().storage_data == theirs.storage_data
    assert ours.tensors["model:1.weight"].size == torch.Size([5, 4])


class Deed:
    """What a pickle may do when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_calls_something_is_refused(folder: Path, tmp_path: Path) -> None:
    done = tmp_path / "done"
    bytes_ = pickle.dumps(Deed(done))
    pickle.loads(bytes_)
    done.rmdir()  # it would have worked
    (folder / ".metadata").write_bytes(bytes_)
    with pytest.raises(CheckpointError, match="mkdir in a description of tensors"):
        Reader(folder)
    assert not done.exists()


@pytest.mark.parametrize(
    "bytes_", [b"", b"\x80", b"no pickle", pickle.dumps({"a": 1}), pickle.dumps(torch.float32)]
)
def test_what_describes_nothing_is_refused(folder: Path, bytes_: bytes) -> None:
    (folder / ".metadata").write_bytes(bytes_)
    with pytest.raises(CheckpointError, match=r"\.metadata"):
        Reader(folder)
    (folder / ".metadata").unlink()
    with pytest.raises(CheckpointError, match="unreadable"):
        Reader(folder)
