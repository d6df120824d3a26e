"""A foreign tokenizer with the control tokens that it lacked: as transformers reads it."""

import json
from pathlib import Path

import pytest
import transformers

from codekiln.errors import TokenizerError
from codekiln.tokenizer.extend import extend, extend_into
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokenizer.train import train

TEXT = "def total(numbers):\n    return sum(numbers)\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Without tokens for infilling, as a general model's."""
    folder = tmp_path / "source"
    train([TEXT * 20], TokenizerSettings(vocab_size=300)).save(folder)
    model = json.loads((folder / "tokenizer.json").read_text())
    names = ("fim", "EOT")
    model["added_tokens"] = [
        token for token in model["added_tokens"] if not any(n in token["content"] for n in names)
    ]
    for place, token in enumerate(model["added_tokens"]):
        token["id"] = len(model["model"]["vocab"]) + place
    (folder / "tokenizer.json").write_text(json.dumps(model))
    return folder


def test_old_ids_stay_and_new_ones_follow(source: Path, tmp_path: Path) -> None:
    old = Tokenizer.load(source)
    new, added, now = extend_into(tmp_path / "out", source)
    assert now
    assert len(added) == 4
    assert new.encode(TEXT) == old.encode(TEXT)
    assert new.vocab_size == old.vocab_size + 4
    ids = [*new.special.fim(), new.special.end_of_turn()]
    assert sorted(ids) == list(range(old.vocab_size, new.vocab_size))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert theirs(TEXT, add_special_tokens=False)["input_ids"] == old.encode(TEXT)
    assert [theirs.convert_tokens_to_ids(spelling) for spelling in added] == sorted(ids)


def test_what_lacks_nothing_stays_as_it_is(source: Path, tmp_path: Path) -> None:
    new, _, _ = extend_into(tmp_path / "out", source)
    again, added = extend(new)
    assert added == ()
    assert again is new
    assert extend_into(tmp_path / "out", source)[2] is False  # nothing to do


def test_another_tokenizer_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    train([TEXT * 20], TokenizerSettings(vocab_size=290)).save(tmp_path / "out")
    with pytest.raises(TokenizerError, match="another tokenizer"):
        extend_into(tmp_path / "out", source)
