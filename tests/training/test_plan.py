"""The length of a run from its budgets; the trial is played by known seconds."""

import pytest

from codekiln.errors import ShardError
from codekiln.training.batches import BatchSchedule
from codekiln.training.device import fastest
from codekiln.training.plan import Plan, Timing, decide
from codekiln.training.settings import TrainingSettings

SECONDS = {"float32": 0.5, "bfloat16": 0.25}


def plan(precisions: tuple[str, ...] = ("float32",), warmup: int = 0, **values: object) -> Plan:
    asked: list[str] = []

    def trial(dtype: str) -> Timing:
        asked.append(dtype)
        return Timing(micro_batch_seconds=SECONDS[dtype], update_seconds=0.1)

    settings = TrainingSettings.model_validate(
        {
            "batch_size": 4,
            "gradient_accumulation": 2,
            "evaluate_tokens": 0,
            "evaluate_fim_tokens": 0,
            **values,
        }
    )
    made = decide(
        settings,
        sequence_length=100,
        epoch_sequences=8000,
        precisions=list(precisions),
        threads=2,
        batches=BatchSchedule(settings.gradient_accumulation, warmup),
        trial=trial,
        fastest=fastest,
    )
    assert sorted(made.trial_seconds) == sorted(asked)
    return made


def test_without_a_budget_one_pass_over_the_tokens() -> None:
    made = plan()
    assert (made.total_steps, made.tokens_per_step) == (1000, 800)
    assert (made.evaluate_every, made.checkpoint_every) == (100, 100)
    assert made.trial_seconds == {}  # nothing to measure


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ({"steps": 77}, 77),
        ({"tokens": 80_000}, 100),
        ({"tokens": 80_001}, 101),
        ({"tokens": 1}, 1),
        ({"steps": 77, "tokens": 8000}, 10),
        ({"max_minutes": 1.12}, 61),  # 67.2 s at 2 * 0.5 + 0.1 s a step
        ({"max_minutes": 1.12, "steps": 12}, 12),
        ({"max_minutes": 0.001}, 1),
    ],
)
def test_the_smallest_budget_holds(values: dict[str, object], steps: int) -> None:
    assert plan(**values).total_steps == steps


def test_small_first_steps_are_more_steps_for_the_same_tokens() -> None:
    # 60 micro-batches alone, then two a step
    assert plan(warmup=60, tokens=80_000).total_steps == 60 + (200 - 60) // 2
    assert plan(warmup=60).total_steps == 60 + (2000 - 60) // 2  # one pass


def test_minutes_count_the_evaluations_too() -> None:
    # an evaluation of 10 steps' tokens takes 40% of their time, 4.4 s: (6600 - 11 * 4.4) / 1.1
    made = plan(max_minutes=110, evaluate_tokens=8000)
    assert (made.total_steps, made.evaluate_every) == (5956, 596)
    every = plan(max_minutes=110, evaluate_tokens=8000, evaluate_every=10)
    assert every.total_steps == int((6600 - 4.4) / (1.1 + 0.44))


def test_long_evaluations_become_fewer() -> None:
    # 440 s each: a quarter of two hours holds four, the one at the start among them
    made = plan(max_minutes=120, evaluate_tokens=800_000)
    assert made.total_steps == int((7200 - 4 * 440) / 1.1)
    assert made.evaluate_every == -(-made.total_steps // 3)
    # hopelessly long ones: half of the time is training all the same
    made = plan(max_minutes=1.2, evaluate_tokens=8_000_000)
    assert made.total_steps == made.evaluate_every == int(36 / 1.1)


def test_the_faster_precision_is_kept_with_its_length() -> None:
    made = plan(("float32", "bfloat16"), max_minutes=1.0)
    assert made.dtype == "bfloat16"
    assert made.total_steps == 100  # at 0.6 s a step
    assert made.trial_seconds == pytest.approx({"float32": 1.1, "bfloat16": 0.6})


def test_a_small_gain_does_not_pay() -> None:
    assert fastest({"float32": 1.0, "bfloat16": 0.95}) == "float32"
    assert fastest({"float32": 1.0, "bfloat16": 0.90}) == "bfloat16"
    assert fastest({"bfloat16": 1.0}) == "bfloat16"


def test_long_runs_save_at_least_every_thousand_steps() -> None:
    made = plan(steps=50_000)
    assert (made.evaluate_every, made.checkpoint_every) == (1000, 1000)
    made = plan(steps=50_000, evaluate_every=7, checkpoint_every=3)
    assert (made.evaluate_every, made.checkpoint_every) == (7, 3)


def test_too_few_tokens_for_a_step() -> None:
    with pytest.raises(ShardError, match="8000 sequences") as caught:
        plan(batch_size=8001)  # two of them a step
    assert "--set training.batch_size=4000;" in caught.value.remedy
    assert "tokens.sequence_length" in caught.value.remedy
    assert plan(batch_size=4000).total_steps == 1
    with pytest.raises(ShardError) as caught:
        plan(gradient_accumulation=8001)
    keys = "--set training.batch_size=1 --set training.gradient_accumulation=1;"
    assert caught.value.remedy.startswith(keys)


def test_a_plan_survives_json() -> None:
    made = plan(("float32", "bfloat16"), max_minutes=1.0)
    assert Plan(**made.to_json()) == made
