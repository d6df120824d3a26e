"""What rank 0 does alone, and what the compiler makes of parts of matrices."""

import json
from pathlib import Path

import pytest

from .launch import ON_REQUEST, launch

HERE = Path(__file__).parent


@pytest.mark.slow
def test_ranks_wait_for_the_first_longer_than_for_an_exchange() -> None:
    script = HERE / "wait_for_first.py"
    done = launch(2, script, "5", "patient")
    assert done.stdout.count("together [2.0]") == 2
    done = launch(2, script, "5", "impatient", check=False)  # else this test could not fail
    assert done.returncode != 0
    assert "Timed out" in done.stderr


@ON_REQUEST
@pytest.mark.parametrize(
    ("preset", "degrees"),
    [
        ("tiny-1m", {"tensor": 2}),
        ("tiny-1m", {"data": 2}),
        ("tiny-moe-8m", {"data": 2, "expert": 2}),
    ],
    ids=str,
)
def test_a_compiled_step_is_the_plain_one(preset: str, degrees: dict[str, int]) -> None:
    done = launch(2, HERE / "compile_layouts.py", preset, json.dumps(degrees))
    line = next(line for line in done.stdout.splitlines() if line.startswith("result"))
    plain, compiled = json.loads(line.removeprefix("result"))
    assert compiled == pytest.approx(plain, rel=1e-5)
