"""Sizes of steps against counting them one by one."""

from hypothesis import given
from hypothesis import strategies as st

from codekiln.training.batches import BatchSchedule
from codekiln.training.schedule import factor, position
from codekiln.training.settings import OptimizerSettings

SCHEDULES = st.builds(BatchSchedule, largest=st.integers(1, 40), warmup=st.integers(0, 3000))


@given(SCHEDULES, st.integers(0, 500))
def test_what_was_read_is_the_sum_of_all_sizes(schedule: BatchSchedule, step: int) -> None:
    assert schedule.before(step) == sum(schedule.size(earlier) for earlier in range(step))


@given(SCHEDULES, st.integers(0, 5000))
def test_the_fewest_steps_for_so_much(schedule: BatchSchedule, micro_batches: int) -> None:
    steps = schedule.steps(micro_batches)
    assert schedule.before(steps) >= micro_batches
    assert steps == 0 or schedule.before(steps - 1) < micro_batches


@given(SCHEDULES, st.integers(1, 60))
def test_the_rate_is_never_above_its_maximum(schedule: BatchSchedule, warmup: int) -> None:
    settings = OptimizerSettings(schedule="constant", warmup_steps=warmup)
    end = position(schedule, 600)
    rates = [factor(settings, position(schedule, step), end) for step in range(600)]
    assert max(rates) == 1.0


@given(SCHEDULES)
def test_sizes_grow_to_the_largest(schedule: BatchSchedule) -> None:
    sizes = [schedule.size(step) for step in range(schedule.steps(4 * schedule.warmup) + 900)]
    assert sizes == sorted(sizes)
    assert sizes[-1] == schedule.largest
    if (
        schedule.largest > 1 and schedule.warmup >= 100 * schedule.largest
    ):  # as many tokens at each size
        at_each = [sizes.count(size) * size for size in range(1, schedule.largest)]
        wanted = schedule.warmup / (schedule.largest - 1)
        assert all(abs(tokens - wanted) <= schedule.largest for tokens in at_each)


@given(SCHEDULES, st.integers(1, 20_000), st.integers(1, 99))
def test_borders_are_in_tokens(schedule: BatchSchedule, micro_batches: int, percent: int) -> None:
    """A stage's first step is the first one that begins where its tokens do, or behind."""
    border = percent / 100
    settings = OptimizerSettings(warmup_steps=0, stage_borders=(border,), stage_factor=0.1)
    total = schedule.steps(micro_batches)
    end = position(schedule, total)
    read = 0
    for step in range(min(total, 3000)):
        passed = 100 * read >= percent * schedule.before(total)
        assert factor(settings, position(schedule, step), end) == (0.1 if passed else 1.0)
        read += schedule.size(step)
