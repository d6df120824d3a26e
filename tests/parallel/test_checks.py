"""Layouts that cannot be are refused, with the reason, before anything starts."""

from typing import Any

import pytest

from codekiln.errors import RecipeError
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.presets import PRESETS
from codekiln.models.settings import ModelSettings
from codekiln.parallel.checks import Degrees, check_layout
from codekiln.parallel.settings import ParallelSettings

DENSE = LlamaConfig(
    vocab_size=97,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=6,
    num_attention_heads=8,
    num_key_value_heads=4,
    max_position_embeddings=64,
)
LITE = ModelSettings(preset="deepseek-coder-v2-lite").config()


def _check(ranks: int, config: Any = DENSE, batch: Any = None, **degrees: Any) -> Degrees:
    sizes = {"batch_size": 8, "gradient_accumulation": 4, "sequence_length": 64} | (batch or {})
    return check_layout(config, ParallelSettings(**degrees), ranks, **sizes)


def test_data_takes_what_the_others_leave() -> None:
    assert _check(8, tensor=2, pipeline=2) == Degrees(pipeline=2, data=2, tensor=2)
    assert _check(1) == Degrees()
    assert _check(16, LITE, data=4, context=2, tensor=2, expert=8).ranks == 16


@pytest.mark.parametrize(
    ("ranks", "degrees", "changes", "got", "wanted"),
    [
        (6, {"tensor": 4}, {}, "= 4", "6, the number of ranks"),
        (4, {"data": 2}, {}, "= 2", "4, the number of ranks"),
        (3, {}, {}, "3", "training.batch_size, which is 8"),
        (8, {"tensor": 8}, {}, "8", "num_key_value_heads, which is 4"),
        (4, {"context": 4}, {"sequence_length": 60}, "8", "tokens.sequence_length, which is 60"),
        (8, {"pipeline": 8}, {}, "8", "at most the model's 6 layers"),
        (4, {"pipeline": 4, "pipeline_schedule": "interleaved"}, {}, "8", "6 layers"),
        (2, {"pipeline": 2}, {"gradient_accumulation": 1}, "2 stages for 1", "micro-batches"),
        (
            2,
            {"pipeline": 2, "pipeline_schedule": "interleaved"},
            {"gradient_accumulation": 3},
            "2",
            "training.gradient_accumulation, which is 3",
        ),
        (2, {"expert": 2}, {}, "2", "no routed experts"),
    ],
)
def test_what_does_not_fit_is_named(
    ranks: int, degrees: dict[str, Any], changes: dict[str, Any], got: str, wanted: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        _check(ranks, batch=changes, **degrees)
    assert got in caught.value.got
    assert wanted in caught.value.wanted
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("tensor", "remedy"),
    [(3, "2 or 4, or another"), (8, "4, or another"), (5, "4, or another")],
)
def test_the_remedy_names_degrees_that_fit(tensor: int, remedy: str) -> None:
    with pytest.raises(RecipeError) as caught:
        _check(tensor, batch={"sequence_length": 120}, tensor=tensor)
    assert caught.value.remedy.startswith(remedy)


@pytest.mark.parametrize(
    ("ranks", "degrees", "wanted"),
    [(3, {"expert": 3}, "n_routed_experts, which is 64"), (2, {"expert": 4}, "context x tensor")],
)
def test_experts_divide_the_ranks_of_a_stage(
    ranks: int, degrees: dict[str, Any], wanted: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        _check(ranks, LITE, {"batch_size": 12}, **degrees)
    assert wanted in caught.value.wanted


def test_tied_embeddings_are_not_cut_in_two() -> None:
    assert "tiny-3m" in PRESETS
    tied = ModelSettings(preset="tiny-3m", tie_word_embeddings=True).config(vocab_size=97)
    with pytest.raises(RecipeError, match="the head is the embeddings"):
        _check(2, tied, pipeline=2)
