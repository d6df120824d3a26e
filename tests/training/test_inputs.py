"""What a run reads follows from its recipe, and a changed recipe is another run."""

import numpy as np
import pytest

from codekiln.errors import CheckpointError, RecipeError, ShardError
from codekiln.recipe import Recipe
from codekiln.tokens.cursor import Cursor
from codekiln.training import checkpoint
from codekiln.training.inputs import open_inputs

CHANGES = [
    "tokens.packing=best_fit",
    "tokens.weights={ python = 2.0 }",
    "tokens.shares={ python = 1.0 }",
    "tokens.long_documents={ min_tokens = 90, factor = 2.0 }",
]


def inputs_of(run_folder, *changes):
    recipe = Recipe.load(run_folder.parent / "recipe.toml", changes)
    return open_inputs(recipe, run_folder)


@pytest.mark.parametrize("change", CHANGES)
def test_another_packing_or_sampling_is_another_run(run_folder, change):
    before = inputs_of(run_folder).identity
    checkpoint.check_identity(run_folder, before, inputs_of(run_folder).identity)
    with pytest.raises(CheckpointError) as caught:
        checkpoint.check_identity(run_folder, before, inputs_of(run_folder, change).identity)
    assert change.split("=")[0] in str(caught.value)


def test_the_loader_is_the_one_the_recipe_asks_for(run_folder):
    plain = inputs_of(run_folder)
    whole = inputs_of(run_folder, "tokens.packing=best_fit", "tokens.sequence_length=64")
    twice = inputs_of(run_folder, "tokens.weights={ python = 2.0 }")
    assert twice.epoch_sequences == pytest.approx(2 * plain.epoch_sequences, abs=1)
    every = whole.loader.loaders[0].sequences_at(np.arange(whole.epoch_sequences), Cursor())
    padded = every.tokens == whole.tokenizer.special.pad
    assert padded.any() and (every.targets[padded] == -100).all()
    _, cursor = twice.loader.batch(Cursor())
    assert 0 < twice.loader.passes(cursor)["python"] < 1


@pytest.mark.parametrize(
    "change",
    [
        "tokens.fim_order=spm",
        "tokens.fim_rate=0.4",
        "tokens.fim_schedule=[[0.0, 0.5], [0.5, 0.9]]",
    ],
)
def test_tokens_that_other_settings_gave_are_refused(run_folder, change):
    with pytest.raises(ShardError, match="packed with " + change.split("=")[0]) as caught:
        inputs_of(run_folder, change)
    assert "--set" in caught.value.remedy


def test_what_is_chosen_in_reading_needs_no_packing(run_folder):
    inputs_of(run_folder, "tokens.fim_loss=middle", "tokens.sequence_length=16")


def test_a_name_that_no_document_bears_is_an_error(run_folder):
    with pytest.raises(RecipeError, match="did you mean 'python'"):
        inputs_of(run_folder, "tokens.weights={ pyhton = 2.0 }")


def test_shards_without_sources_are_to_be_packed_again(run_folder):
    (run_folder / "tokens" / "train-00000.sources.npy").unlink()
    with pytest.raises(ShardError, match="pack the tokens again"):
        inputs_of(run_folder)
