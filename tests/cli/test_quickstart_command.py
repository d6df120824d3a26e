"""The quick start's own messages; the whole path is a journey of its own."""

from pathlib import Path

import pytest

from codekiln.cli import quickstart
from codekiln.errors import CheckpointError
from codekiln.training import loop


@pytest.mark.parametrize(
    ("key", "remedy"), [("training.max_minutes", "--out runs/a-2"), ("run.seed", "as it came")]
)
def test_other_minutes_ask_for_another_folder(
    monkeypatch: pytest.MonkeyPatch, key: str, remedy: str
) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        got = f"a checkpoint of another run: {key} = 3 there, 1 here"
        raise CheckpointError("folder", got=got, remedy="as it came")

    monkeypatch.setattr(loop, "train", refuse)
    out = Path("runs/a")
    recipe = quickstart.quickstart_recipe(("x",), out, 1.0, ())
    with pytest.raises(CheckpointError) as caught:
        quickstart._train(recipe, out)
    assert remedy in caught.value.remedy
    assert f"{key} = 3 there, 1 here" in caught.value.got
