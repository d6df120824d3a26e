"""The small twins of the paper's stages run from their recipes, one after the other."""

import json
import shlex
from pathlib import Path

import pytest

from codekiln.cli.main import main

RECIPES = Path(__file__).parents[2] / "recipes"
STAGES = ("corpus build", "tokenizer train", "tokens pack", "train")
SHORT = "--set training.steps=4 --set training.max_minutes=0 --set training.evaluate_tokens=500"


@pytest.mark.slow
def test_each_stage_begins_where_the_one_before_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    _write_home(tmp_path)
    first = "--set tokenizer.vocab_size=400 --set tokens.sequence_length=128"
    first += " --set corpus.held_out_unit=sample --set corpus.held_out_rate=0.2"
    _run("pretrain-tiny", first + " --set model.preset=tiny-1m")
    _run("extend-tiny", "--set tokens.sequence_length=512")
    _run("instruct-tiny", "--set tokens.sequence_length=128")
    config = json.loads((tmp_path / "runs/extend-tiny/model/config.json").read_text())
    assert config["rope_scaling"]["factor"] == 4.0
    assert config["max_position_embeddings"] == 2048
    template = json.loads((tmp_path / "runs/instruct-tiny/model/tokenizer_config.json").read_text())
    assert "### Instruction:" in template["chat_template"]
    rows = (tmp_path / "runs/instruct-tiny/metrics.jsonl").read_text().splitlines()
    assert json.loads(rows[1])["step"] == 1


def _run(name: str, changes: str) -> None:
    for stage in STAGES:
        words = shlex.split(f"{stage} {RECIPES / name}.toml {SHORT} {changes}")
        main(words)


def _write_home(home: Path) -> None:
    code, rows = home / "src" / "project", home / "conversations"
    code.mkdir(parents=True)
    rows.mkdir()
    for number in range(20):
        body = "".join(f"def f{number}_{i}(value):\n    return value + {i}\n" for i in range(20))
        (code / f"file_{number}.py").write_text(body)
    lines = [
        json.dumps({"instruction": f"Add {i}.", "output": f"x + {i}"}) + "\n" for i in range(60)
    ]
    (rows / "some.jsonl").write_text("".join(lines))
