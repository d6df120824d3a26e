"""Every layout learns as one process does: losses, gradient norms and an evaluation."""

import json
from pathlib import Path
from typing import Any

import pytest

from .launch import ON_REQUEST, launch

Layout = dict[str, Any]
SCRIPT = Path(__file__).parent / "train_layouts.py"
KINDS = ("dense", "experts", "experts-batch")
TWO: list[Layout] = [
    {"kind": "dense", "data": 2},
    {"kind": "dense", "replicate": 2, "data": 1},
    {"kind": "dense", "tensor": 2, "data": 1},
    {"kind": "dense", "context": 2, "data": 1},
    {"kind": "dense", "pipeline": 2, "data": 1},
    {"kind": "dense", "pipeline": 2, "data": 1, "pipeline_schedule": "interleaved"},
    {"kind": "experts", "tensor": 2, "data": 1},
    {"kind": "experts", "context": 2, "data": 1},
    {"kind": "experts", "data": 2, "expert": 2},
    {"kind": "experts", "data": 2, "expert": 2, "activation_checkpointing": "layer"},
    {"kind": "experts-batch", "tensor": 2, "data": 1, "expert": 2},
]
FOUR: list[Layout] = [
    {"kind": "dense", "data": 2, "tensor": 2},
    {"kind": "dense", "data": 2, "pipeline": 2, "pipeline_schedule": "interleaved"},
    {"kind": "dense", "tensor": 2, "context": 2, "data": 1},
    {"kind": "experts", "data": 4, "expert": 2},
    {"kind": "experts", "replicate": 2, "data": 2, "expert": 2},
]
EIGHT: list[Layout] = [
    {"kind": "dense", "pipeline": 2, "data": 2, "tensor": 2},
    {"kind": "dense", "replicate": 2, "data": 2, "context": 2},
    {"kind": "experts", "pipeline": 2, "data": 2, "context": 2, "expert": 4},
]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("one") / "found.json"
    launch(1, SCRIPT, json.dumps([{"kind": kind} for kind in KINDS]), str(out))
    return dict(zip(KINDS, json.loads(out.read_text()), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "layouts"),
    [(2, TWO), (4, FOUR), pytest.param(8, EIGHT, marks=ON_REQUEST)],
)
def test_losses_are_those_of_one_process(
    ranks: int, layouts: list[Layout], one_process: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "found.json"
    launch(ranks, SCRIPT, json.dumps(layouts), str(out))
    for layout, found in zip(layouts, json.loads(out.read_text()), strict=True):
        wanted = one_process[layout["kind"]]
        assert wanted["losses"][0] - wanted["losses"][-1] > 0.1  # it learns
        assert found["losses"] == pytest.approx(wanted["losses"], abs=1e-5), layout
        assert found["norms"] == pytest.approx(wanted["norms"], rel=1e-5), layout
        assert found["nats"] == pytest.approx(wanted["nats"], rel=1e-5), layout
        assert found["whole"] == pytest.approx(wanted["nats"], rel=1e-5), layout
        # a choice of two equal scores may fall otherwise
        assert found["load"] == pytest.approx(wanted["load"], abs=2e-3), layout
        assert len(wanted["load"]) == (0 if layout["kind"] == "dense" else 3 * 8)


@ON_REQUEST
def test_muon_additions_and_z_loss_step_as_in_one_process(tmp_path: Path) -> None:
    one, out = tmp_path / "one.json", tmp_path / "found.json"
    ways: list[Layout] = [
        {"kind": "dense", "optimizer": "muon"},
        {"kind": "experts", "optimizer": "muon"},
        {"kind": "dense", "lora": 4},
        {"kind": "dense", "z_loss": 0.1},
    ]
    launch(1, SCRIPT, json.dumps(ways), str(one))
    degrees: list[Layout] = [
        {"data": 2, "tensor": 2},
        {"data": 4, "expert": 2},
        {"data": 4},
        {"data": 2, "pipeline": 2},
    ]
    layouts = [way | degree for way, degree in zip(ways, degrees, strict=True)]
    launch(4, SCRIPT, json.dumps(layouts), str(out))
    pairs = zip(json.loads(out.read_text()), json.loads(one.read_text()), strict=True)
    for layout, (found, wanted) in zip(layouts, pairs, strict=True):
        assert found["losses"] == pytest.approx(wanted["losses"], abs=1e-4), layout
        assert found["whole"] == pytest.approx(wanted["nats"], rel=1e-5), layout


@ON_REQUEST
def test_bfloat16_differs_by_its_rounding_alone(
    one_process: dict[str, Any], tmp_path: Path
) -> None:
    layouts = [
        {"kind": kind, "dtype": "bfloat16", **degrees}
        for kind in ("dense", "experts")
        for degrees in ({"data": 2}, {"data": 1, "tensor": 2})
    ]
    launch(2, SCRIPT, json.dumps(layouts), str(tmp_path / "found.json"))
    for layout, found in zip(
        layouts, json.loads((tmp_path / "found.json").read_text()), strict=True
    ):
        wanted = one_process[layout["kind"]]
        assert found["losses"] == pytest.approx(wanted["losses"], abs=0.03), layout
        assert found["losses"] != wanted["losses"]
