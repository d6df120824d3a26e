"""The memory model against the live tensors of real steps on several ranks."""

import json
from pathlib import Path
from typing import Any

import pytest

from .launch import ON_REQUEST, launch

SCRIPT = Path(__file__).parent / "measure_peaks.py"
Case = tuple[dict[str, Any], int, dict[str, int], dict[str, Any]]
DENSE, UNTIED = {"preset": "tiny-3m"}, {"preset": "tiny-3m", "tie_word_embeddings": False}
WIDE = {"preset": "tiny-1m", "tie_word_embeddings": False}
LARGE = {"preset": "small-30m", "tie_word_embeddings": False}
EXPERTS = {"preset": "tiny-moe-8m"}


def case(
    model: dict[str, Any], degrees: dict[str, int], batch: int, length: int, **work: Any
) -> Case:
    work |= {"batch_size": batch, "sequence_length": length}
    return model, 32000 if model is WIDE else 4096, degrees, work


FEW = [
    case(DENSE, {"data": 2}, 2, 64, optimizer="muon"),
    case(WIDE, {"data": 2}, 2, 64, micro_batches=2),
    case(EXPERTS, {"data": 2, "expert": 2}, 4, 128),
    case(UNTIED, {"pipeline": 2}, 2, 128, micro_batches=4),
]
TWO = [
    case(DENSE, {"data": 2}, 4, 256),
    case(DENSE, {"data": 2}, 8, 256, micro_batches=2, checkpointing=True),
    case(DENSE, {"context": 2}, 4, 256, micro_batches=2),
    case(LARGE, {"data": 2}, 2, 128, dtype="bfloat16"),
    case(LARGE, {"tensor": 2}, 2, 256),
    case(WIDE, {"data": 2}, 2, 64),
    case(EXPERTS, {"data": 2}, 4, 256),
    case(EXPERTS, {"data": 2, "expert": 2}, 4, 256),
    case(EXPERTS, {"data": 2}, 4, 64, optimizer="muon"),
    case(UNTIED, {"pipeline": 2}, 4, 256, micro_batches=4),
    case(UNTIED, {"pipeline": 2}, 4, 256, micro_batches=4, chunks=3),
]
FOUR = [
    case(UNTIED, {"pipeline": 2, "data": 2}, 4, 256, micro_batches=4),
    case(LARGE, {"data": 2, "tensor": 2}, 4, 256, micro_batches=2, dtype="bfloat16"),
    case(EXPERTS, {"data": 4, "expert": 2}, 8, 256, micro_batches=2),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "cases"),
    [
        (2, FEW),
        pytest.param(2, TWO, marks=ON_REQUEST),
        pytest.param(4, FOUR, marks=ON_REQUEST),
    ],
)
def test_the_peak_of_a_rank_is_within_a_tenth(
    ranks: int, cases: list[Case], tmp_path: Path
) -> None:
    out = tmp_path / "found.json"
    launch(ranks, SCRIPT, json.dumps(cases), str(out))
    for one, (measured, said) in zip(cases, json.loads(out.read_text()), strict=True):
        assert said == pytest.approx(measured, rel=0.1), one
