"""Pieces of work on Ray: the same results, whatever happens to a worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from codekiln.engines import Workers, run_all
from codekiln.errors import UserError


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    yield
    ray.shutdown()


def square(context: str, number: int) -> int:
    return number * number


def square_after_dying(context: str, number: int) -> int:
    died = Path(context) / str(number)
    if number % 3 == 0 and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def refuse(context: str, number: int) -> int:
    raise UserError("here", got="nothing", wanted="something")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_processes_give_all_results(count: int) -> None:
    assert sorted(run_all(square, "", range(20), count=count)) == [n * n for n in range(20)]


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(ray: None, tmp_path: Path) -> None:
    workers = Workers(engine="ray", count=2)
    assert not workers.none
    assert sorted(workers.run(square, "", range(20))) == [n * n for n in range(20)]
    found = sorted(workers.run(square_after_dying, str(tmp_path), range(10)))
    assert found == [n * n for n in range(10)]
    assert len(list(tmp_path.iterdir())) == 4
    assert list(workers.run(square, "", [])) == []


@pytest.mark.slow
def test_errors_come_as_they_are(ray: None) -> None:
    with pytest.raises(UserError, match="wanted: something"):
        list(run_all(refuse, "", [1, 2], engine="ray"))


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"codekiln\[ray\]"):
        list(run_all(square, "", [1], engine="ray"))
