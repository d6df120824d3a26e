"""A small model from code to conversations: it follows the template, stops, and still infills."""

import itertools
import json
import random
import shutil
from pathlib import Path

import pytest

from codekiln.cli.main import main
from codekiln.evaluation.run import evaluate, identity
from codekiln.generation.chat import chat_prompt
from codekiln.generation.engine import Engine
from codekiln.generation.sample import Sampling

VERBS = ("add", "count", "draw", "find")
NOUNS = ("apple", "bridge", "cloud", "desk")
BASE = """
[run]
directory = "{base}"
[corpus]
repositories = ["{code}"]
held_out_unit = "sample"
held_out_rate = 0.1
dedup = "none"
[tokenizer]
vocab_size = 400
[tokens]
sequence_length = 128
packing = "best_fit"
[model]
preset = "tiny-1m"
hidden_size = 96
intermediate_size = 256
num_hidden_layers = 3
num_attention_heads = 4
num_key_value_heads = 4
max_position_embeddings = 512
[optimizer]
learning_rate = 3e-3
schedule = "warmup_stable_decay"
warmup_steps = 10
decay_share = 0.4
minimum_ratio = 0.0
[training]
steps = 500
batch_size = 12
dtype = "float32"
evaluate_every = 1000
"""
INSTRUCT = """
[run]
stage = "instruct"
directory = "{out}"
[instruct]
conversations = ["{rows}"]
held_out_rate = 0.1
[model]
from_pretrained = "{base}"
[tokens]
sequence_length = 128
packing = "best_fit"
shares = {{ conversation = 0.4 }}
[optimizer]
learning_rate = 1.5e-3
schedule = "cosine"
warmup_steps = 10
[training]
steps = 320
batch_size = 12
dtype = "float32"
evaluate_every = 1000
"""


def function(verb: str, noun: str) -> str:
    """What stands in it follows from its name."""
    step, factor = 2 + VERBS.index(verb), 11 + NOUNS.index(noun)
    return f"def {verb}_{noun}(x):\n    y = x + {step}\n    return y * {factor}\n"


def write_code(folder: Path) -> None:
    folder.mkdir()
    draw = random.Random(0)
    for number in range(1500):
        functions = (
            function(draw.choice(VERBS), draw.choice(NOUNS)) for _ in range(draw.randint(1, 2))
        )
        (folder / f"file_{number}.py").write_text("\n".join(functions))


def conversations() -> list[dict[str, str]]:
    ways = (
        *("Write {} of {}.", "Please {} the {}.", "How do I {} a {}?", "Function: {} {}."),
        *("{} {}, now!", "I want to {} my {}.", "{} every {}."),
    )
    pairs = list(itertools.product(VERBS, NOUNS, ways))
    random.Random(1).shuffle(pairs)
    return [
        {
            "instruction": way.format(verb, noun),
            "output": function(verb, noun).rstrip("\n"),
        }
        for verb, noun, way in pairs
    ]


def infilling(run: Path, corpus: Path) -> float:
    engine = Engine.load(run / "model")
    found = evaluate(
        engine, "infilling", corpus, run / "evaluation", model=identity(run / "model"), limit=60
    )
    return found.scores["edit_similarity"]


@pytest.mark.slow
def test_a_tuned_model_answers_stops_and_still_infills(tmp_path: Path) -> None:
    code, base, out = tmp_path / "code", tmp_path / "base", tmp_path / "out"
    write_code(code)
    rows = conversations()
    told, asked = rows[:96], rows[96:]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in told))
    (tmp_path / "base.toml").write_text(BASE.format(base=base, code=code))
    (tmp_path / "out.toml").write_text(
        INSTRUCT.format(base=base, out=out, rows=tmp_path / "rows.jsonl")
    )
    for command in (["corpus", "build"], ["tokenizer", "train"], ["tokens", "pack"], ["train"]):
        main([*command, str(tmp_path / "base.toml")])
    shutil.copytree(base / "corpus", out / "corpus")
    for command in (["tokenizer", "train"], ["tokens", "pack"], ["train"]):
        main([*command, str(tmp_path / "out.toml")])

    engine = Engine.load(out / "model")
    end = engine.tokenizer.special.end_of_turn()
    right = stopped = 0
    for row in asked:
        prompt = chat_prompt([{"role": "user", "content": row["instruction"]}], engine.tokenizer)
        answer = engine.complete(prompt, Sampling(max_new_tokens=80, temperature=0.0))
        stopped += answer.finish_reason == "stop" and answer.choices[-1].token == end
        right += answer.text == row["output"] + "\n"
    before, after = infilling(base, base / "corpus"), infilling(out, base / "corpus")
    print(f"right {right}, stopped {stopped} of {len(asked)}; infilling {before} -> {after}")
    assert stopped == len(asked)
    assert right >= 0.8 * len(asked)
    assert before > 0.4
    assert after >= 0.9 * before
