"""Limits against numpy's percentiles, and what they make of spikes."""

import json
import math

import numpy as np
import pytest

from codekiln.training.spikes import NO_LIMITS, Limits, Recent


def recent(losses: list[float], norms: list[float], window: int = 64) -> Recent:
    made = Recent()
    for loss, norm in zip(losses, norms, strict=True):
        made = made.then(loss, norm, window)
    return made


def test_limits_are_median_and_deviation_as_numpy_has_them() -> None:
    draw = np.random.default_rng(0)
    losses, norms = draw.normal(3, 0.1, 301), draw.lognormal(0, 0.3, 301)
    limits = recent(losses.tolist(), norms.tolist(), window=101).limits(6)
    for found, values in ((limits.loss, losses[-101:]), (limits.gradient_norm, norms[-101:])):
        middle = np.percentile(values, 50)
        deviation = 1.4826 * np.percentile(np.abs(values - middle), 50)
        assert found == pytest.approx(middle + 6 * deviation, rel=1e-12)
    assert (losses[-101:] < limits.loss).all()


def test_a_few_spikes_in_the_window_hide_no_other() -> None:
    quiet = [3.0 + 0.01 * (i % 5) for i in range(40)]
    before = recent(quiet, quiet).limits(8)
    after = recent([*quiet, 30.0, 40.0, 50.0], [*quiet, 9e9, 9e9, 9e9]).limits(8)
    assert after.loss < 3.5 and after.gradient_norm < 3.5
    assert after.loss == pytest.approx(before.loss, rel=0.05)


def test_steps_that_hardly_differ_leave_room() -> None:
    assert recent([2.0] * 20, [1.0] * 20).limits(5) == Limits(loss=2.1, gradient_norm=1.05)


def test_few_steps_and_factor_0_judge_nothing() -> None:
    assert recent([1.0] * 7, [1.0] * 7).limits(8) is NO_LIMITS
    assert recent([1.0] * 50, [1.0] * 50).limits(0) is NO_LIMITS
    assert math.inf == NO_LIMITS.loss == NO_LIMITS.gradient_norm


def test_the_window_survives_json_to_the_last_bit() -> None:
    draw = np.random.default_rng(1)
    made = recent(draw.random(30).tolist(), draw.random(30).tolist(), window=16)
    again = Recent.from_json(json.loads(json.dumps(made.to_json())))
    assert again == made and len(again.losses) == 16
    assert Recent.from_json({}) == Recent()
