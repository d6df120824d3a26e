"""Progress lines and the metrics file."""

import json
from pathlib import Path

import pytest

from codekiln.log import MetricsFile, Progress, human_count, human_seconds


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (950, "950"), (12_345, "12.3k"), (4_560_000, "4.56M"), (0.5, "0.5")],
)
def test_human_count(value: float, text: str) -> None:
    assert human_count(value) == text


@pytest.mark.parametrize(("value", "text"), [(4, "4s"), (192, "3m12s"), (7500, "2h05m")])
def test_human_seconds(value: float, text: str) -> None:
    assert human_seconds(value) == text


def test_progress_shows_share_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("codekiln.log.time.monotonic", lambda: now[0])
    progress = Progress("packing", total=1000, unit="tokens")
    progress.done = 250
    now[0] = 110.0
    assert progress.line() == "packing: 250/1k (25%) tokens, 25 tokens/s, 30s left"


def test_metrics_survive_a_cut_line_and_a_resume(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    for step in range(1, 5):
        metrics.write(step=step, loss=1.0 / step)
    with metrics.path.open("a") as file:
        file.write('{"step": 5, "lo')  # killed while writing
    assert [row["step"] for row in metrics.rows()] == [1, 2, 3, 4]
    metrics.truncate_after(2)
    metrics.write(step=3, loss=0.1)
    assert [row["step"] for row in metrics.rows()] == [1, 2, 3]


def test_metrics_are_json_whatever_the_numbers(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.write(step=1, loss=float("nan"), rates={"a": [float("inf"), 0.5]}, note="NaN")
    with metrics.path.open("a") as file:
        file.write('{"step": 2, "loss": -Infinity}\n')  # of an older version
    metrics.truncate_after(2)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    rows = [json.loads(r, parse_constant=refuse) for r in metrics.path.read_text().splitlines()]
    assert rows == [
        {"step": 1, "loss": None, "rates": {"a": [None, 0.5]}, "note": "NaN"},
        {"step": 2, "loss": None},
    ]
