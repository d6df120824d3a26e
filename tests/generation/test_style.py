"""What a model folder says of the prompts that it was trained on."""

import json
from pathlib import Path

import pytest

from codekiln.errors import CheckpointError
from codekiln.generation.engine import Engine
from codekiln.generation.style import PromptStyle
from codekiln.models.weights import export_hf, import_hf, save_model


def test_it_travels_with_the_weights(tiny_model, tiny_model_folder, tmp_path: Path) -> None:
    style = PromptStyle(fim_order="spm", file_order="paper")
    one, two, three = tmp_path / "one", tmp_path / "two", tmp_path / "three"
    save_model(tiny_model, tiny_model_folder, one, style=style.to_json())
    export_hf(one, two)
    import_hf(two, three)
    for folder in (one, two, three):
        engine = Engine.load(folder, device="cpu")
        assert (engine.fim_order, engine.file_order) == ("spm", "paper")
    save_model(tiny_model, tiny_model_folder, one, style=style.to_json())  # may be replaced


def test_without_a_word_it_is_that_of_the_released_models(tiny_model_folder) -> None:
    engine = Engine.load(tiny_model_folder, device="cpu")
    assert (engine.fim_order, engine.file_order) == ("psm", "scc")


@pytest.mark.parametrize(
    "text", ["{", "[]", json.dumps({"fim_order": "mixed"}), json.dumps({"file_order": ["scc"]})]
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "codekiln.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"codekiln\.json"):
        PromptStyle.read(tmp_path)
