"""Learning rates against values worked out by hand."""

import math

import pytest

from codekiln.training.schedule import learning_rate, warmup_steps
from codekiln.training.settings import OptimizerSettings

PAPER = OptimizerSettings(learning_rate=5.3e-4, warmup_steps=2000, schedule="three_stage")
TOTAL = 100_000


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 5.3e-4 / 2000),  # the first step already learns
        (999, 5.3e-4 / 2),
        (1999, 5.3e-4),
        (2000, 5.3e-4),
        (79_999, 5.3e-4),
        (80_000, 1.676_007e-4),  # sqrt(1/10) of the maximum
        (89_999, 1.676_007e-4),
        (90_000, 5.3e-5),  # a tenth
        (99_999, 5.3e-5),
    ],
)
def test_three_stages_of_the_paper(step: int, expected: float) -> None:
    assert learning_rate(PAPER, step, TOTAL) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("shape", "step", "expected"),
    [
        ("linear", 79, 1.0),
        ("linear", 80, 1.0),
        ("linear", 90, 0.55),  # halfway from 1 to 0.1
        ("linear", 99, 0.1 + 0.9 * 0.05),
        ("cosine", 90, 0.55),
        ("cosine", 85, 0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2),
        ("sqrt", 85, 0.1 + 0.9 * 0.5),  # 1 - sqrt(1/4)
        ("sqrt", 99, 0.1 + 0.9 * (1 - math.sqrt(0.95))),
    ],
)
def test_warmup_stable_decay(shape: str, step: int, expected: float) -> None:
    settings = OptimizerSettings.model_validate(
        {
            "learning_rate": 1.0,
            "warmup_steps": 10,
            "schedule": "warmup_stable_decay",
            "decay_share": 0.2,
            "decay_shape": shape,
            "minimum_ratio": 0.1,
        }
    )
    assert learning_rate(settings, step, 100) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("step", "expected"), [(9, 1.0), (10, 1.0), (55, 0.55), (32, None), (100, 0.1)]
)
def test_cosine_to_a_tenth(step: int, expected: float | None) -> None:
    settings = OptimizerSettings(learning_rate=1.0, warmup_steps=10, schedule="cosine")
    value = learning_rate(settings, step, 100)
    if expected is None:
        expected = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 22 / 90))
    assert value == pytest.approx(expected)


def test_constant_keeps_the_maximum_after_the_warmup() -> None:
    settings = OptimizerSettings(learning_rate=2e-3, warmup_steps=4, schedule="constant")
    rates = [learning_rate(settings, step, 100) for step in range(100)]
    assert rates[:4] == pytest.approx([5e-4, 1e-3, 1.5e-3, 2e-3])
    assert set(rates[4:]) == {2e-3}


def test_a_short_run_warms_up_for_a_tenth_of_it() -> None:
    assert warmup_steps(PAPER, 300) == 30
    assert warmup_steps(PAPER, 1_000_000) == 2000
    assert warmup_steps(PAPER, 5) == 0
    assert learning_rate(PAPER, 29, 300) == pytest.approx(5.3e-4)


@pytest.mark.parametrize("schedule", ["three_stage", "warmup_stable_decay", "cosine", "constant"])
def test_every_schedule_is_positive_and_never_rises_after_the_warmup(schedule: str) -> None:
    settings = OptimizerSettings.model_validate(
        {"schedule": schedule, "warmup_steps": 7, "minimum_ratio": 0.0}
    )
    for total in (1, 2, 3, 10, 97):
        rates = [learning_rate(settings, step, total) for step in range(total)]
        start = warmup_steps(settings, total)
        assert min(rates) > 0
        assert max(rates) <= settings.learning_rate
        assert rates[start:] == sorted(rates[start:], reverse=True)
