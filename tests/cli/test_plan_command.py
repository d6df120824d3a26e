"""`codekiln plan`: what it says, and what it refuses as training would."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from codekiln.cli.plan import plan
from codekiln.errors import RecipeError, UserError
from codekiln.models.settings import ModelSettings

RECIPES = Path(__file__).parents[2] / "recipes"
TINY = RECIPES / "pretrain-tiny.toml"
LARGE = RECIPES / "deepseek-coder-33b.toml"


def planned(recipe: Path, *arguments: str) -> str:
    result = CliRunner().invoke(plan, [str(recipe), *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def values(recipe: Path, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(planned(recipe, "--json", *arguments))
    return found


def overrides(**settings: object) -> list[str]:
    return [f"--set={name.replace('__', '.')}={value}" for name, value in settings.items()]


def test_time_and_cost_follow_from_operations() -> None:
    found = values(LARGE, "--gpus", "512", "--mfu", "0.5", "--price", "3")
    seconds = 1.8e12 * found["flops_per_token"] / (512 * 0.5 * 989e12)
    assert found["days"] == pytest.approx(seconds / 86400, rel=1e-3)
    assert found["cost"] == pytest.approx(512 * 3 * seconds / 3600, rel=1e-3)
    assert found["fits"]
    assert found["tokens_per_step"] == 3840 * 4096  # Table 2
    assert found["law"]["learning_rate"] == pytest.approx(3.5e-4, rel=0.01)


@pytest.mark.parametrize(
    ("name", "gpus"),
    [("1.3b", 8), ("6.7b", 128), ("33b", 512), ("v2-lite", 64), ("v2-236b", 1024)],
)
def test_the_papers_models_fit_where_their_recipes_say(name: str, gpus: int) -> None:
    recipe = RECIPES / f"deepseek-coder-{name}.toml"
    found = values(recipe, "--gpus", str(gpus), "--gpu", "h100")
    assert found["fits"]
    assert found["tokens"] >= (6e12 if name.startswith("v2") else 1.8e12)


@pytest.mark.parametrize("length", [32, 128])
def test_v2_lite_is_extended_on_64_gpus(tmp_path: Path, length: int) -> None:
    shape = ModelSettings(preset="deepseek-coder-v2-lite", rope_scaling={"factor": 1.0})
    config = shape.config(vocab_size=102400).to_hf("bfloat16")
    (tmp_path / "config.json").write_text(json.dumps(config))
    recipe = RECIPES / f"extend-v2-lite-{length}k.toml"
    found = values(recipe, "--gpus", "64", *overrides(model__from_pretrained=tmp_path))
    assert found["fits"]
    sequences = {32: 1152, 128: 288}[length]  # V2 §3.4
    assert found["tokens_per_step"] == sequences * length * 1024


def test_the_table_has_every_part() -> None:
    table = planned(LARGE, "--gpus", "512")
    for row in ("weights", "gradients", "averages", "activations", "logits", "FLOPs", "by the law"):
        assert row in table


def test_a_length_in_minutes_is_what_they_hold() -> None:
    found = values(TINY, "--gpu", "rtx-4090")  # three minutes
    assert found["days"] * 24 * 60 == pytest.approx(3.0, rel=0.01)
    shorter = values(TINY, "--gpu", "rtx-4090", *overrides(training__steps=10))
    assert shorter["tokens"] == 10 * found["tokens_per_step"]


def test_without_a_length_there_is_no_time_and_no_law() -> None:
    changes = overrides(training__max_minutes=0)
    found = values(TINY, *changes)
    assert (found["tokens"], found["days"], found["law"]) == (0, 0, None)
    assert "set training.tokens" in planned(TINY, *changes)


def test_batches_that_grow_read_fewer_tokens_in_as_many_steps() -> None:
    changes = {"training__max_minutes": 0, "training__steps": 40}
    changes["training__gradient_accumulation"] = 4
    whole = values(TINY, *overrides(**changes))
    # 6 micro-batches at each size: 6 steps of 1, 3 of 2, 2 of 3, and the other 29 of 4
    growing = overrides(**changes, optimizer__batch_warmup_tokens=18 * 8 * 512)
    assert whole["tokens"] == 40 * 4 * 8 * 512
    assert values(TINY, *growing)["tokens"] == (6 + 6 + 6 + 29 * 4) * 8 * 512


def test_additions_need_less_of_everything() -> None:
    whole, narrow = values(TINY), values(TINY, *overrides(lora__rank=4, lora__embeddings="false"))
    assert narrow["learning_parameters"] < 0.05 * whole["parameters"]
    assert narrow["flops_per_token"] < 0.8 * whole["flops_per_token"]
    for part in ("gradients", "averages", "total"):
        assert narrow["memory_bytes"][part] < whole["memory_bytes"][part]


def test_checkpointing_is_told_both_ways() -> None:
    kept = values(TINY)
    again = values(TINY, *overrides(parallel__activation_checkpointing="layer"))
    assert kept["otherwise_memory_bytes"] == again["memory_bytes"]
    assert again["otherwise_memory_bytes"] == kept["memory_bytes"]


def test_a_pipeline_waits_for_its_ends() -> None:
    changes = {"parallel__pipeline": 2, "training__gradient_accumulation": 4}
    changes["model__tie_word_embeddings"] = "false"
    one = values(TINY, "--gpus", "2", *overrides(**changes))
    assert one["bubble"] == pytest.approx((1 / 4) / (1 + 1 / 4))  # (p - 1) / m of the work
    more = overrides(**changes, parallel__pipeline_schedule="interleaved")
    assert values(TINY, "--gpus", "2", *more)["bubble"] == pytest.approx((1 / 8) / (1 + 1 / 8))


@pytest.mark.parametrize(
    ("gpus", "changes", "message"),
    [
        (3, {}, "training.batch_size, which is 8"),
        (2, {"parallel__expert": 2}, "no routed experts"),
        (1, {"model__max_position_embeddings": 256}, "tokens.sequence_length, which is 512"),
        (2, {"parallel__tensor": 2, "lora__rank": 4}, r"parallel.tensor = 1 with \[lora\]"),
        (
            2,
            {
                "parallel__pipeline": 2,
                "training__gradient_accumulation": 4,
                "model__tie_word_embeddings": "false",
                "optimizer__batch_warmup_tokens": 1000,
            },
            "0 with parallel.pipeline above 1",
        ),
    ],
)
def test_what_training_refuses_is_refused(
    gpus: int, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        planned(TINY, "--gpus", str(gpus), *overrides(**changes))


def test_an_unknown_gpu_is_named() -> None:
    with pytest.raises(UserError, match="did you mean 'h100'"):
        planned(TINY, "--gpu", "h10")
