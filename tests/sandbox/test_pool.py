"""Programs side by side."""

from __future__ import annotations

import shutil
import time

import pytest

from codekiln.sandbox.pool import cores, run_many
from codekiln.sandbox.run import run


def test_every_item_once_with_its_index():
    assert dict(run_many(lambda item: item * 2, [3, 1, 2], workers=2)) == {0: 6, 1: 2, 2: 4}
    assert dict(run_many(lambda item: item, [])) == {}
    assert cores() >= 1


def test_an_error_in_one_is_raised_and_the_waiting_are_dropped():
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        time.sleep(0.01)
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        dict(run_many(work, range(200), workers=2))
    assert len(started) < 100


@pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bwrap (bubblewrap)")
def test_boxes_side_by_side_keep_their_own_files():
    def work(item: int) -> str:
        return run(["cat", "mine"], files={"mine": str(item)}).stdout

    assert dict(run_many(work, range(12), workers=6)) == {n: str(n) for n in range(12)}
