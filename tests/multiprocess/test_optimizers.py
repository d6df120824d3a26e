"""Sharded parameters, on meshes of different kinds, step as whole ones do."""

import json
from pathlib import Path

import pytest

from .launch import ON_REQUEST, launch

SCRIPT = Path(__file__).parent / "step_optimizers.py"


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=ON_REQUEST)])
def test_divided_weights_step_as_whole_ones(ranks: int, tmp_path: Path) -> None:
    """Fused AdamW on two meshes at once; Muon on matrices cut in two and on experts that are not;
    on 4 ranks some have nothing of a parameter."""
    out = tmp_path / "found.json"
    launch(ranks, SCRIPT, str(out))
    found = json.loads(out.read_text())
    assert set(found) == {"adamw", "muon"}
    for name, apart in found.items():
        assert len(apart) == 8
        assert max(apart.values()) < 1e-5, (name, apart)
