"""A small model trained at 256 tokens and extended to 1024, as §3.6 extends 4K to 16K.

Files assign values to names and ask for them again, near and far. Measured before and after: the
loss by position, and a needle test: is the value right that a name was given so many tokens ago?
CODEKILN_EXTEND_STEPS are the steps of the first training; a quarter of them extend it.
CODEKILN_EXTEND_DIR keeps both.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rows import Row

SHORT, LONG, FACTOR = 256, 1024, 4
BANDS = ((0, 256), (256, 512), (512, 1024))
NEEDLES = 60
RECIPE = """
[run]
directory = "{out}"
{stage}
[corpus]
repositories = ["{files}"]
held_out_unit = "sample"
held_out_rate = 0.05
dedup = "none"
[tokenizer]
vocab_size = 320
[tokens]
sequence_length = {length}
packing = "best_fit"
fim_rate = 0.0
[model]
{model}
[optimizer]
name = "muon"
learning_rate = {rate}
schedule = "warmup_stable_decay"
warmup_steps = 20
decay_share = 0.4
minimum_ratio = 0.0
[training]
steps = {steps}
batch_size = {batch}
evaluate_tokens = 0
"""
SHAPE = f"""preset = "tiny-1m"
max_position_embeddings = {SHORT}
rope_theta = 10000.0"""
LONGER = """from_pretrained = "{base}"
max_position_embeddings = {long}
rope_theta = 100000.0
rope_scaling = {{ rope_type = "linear", factor = {factor}.0 }}"""


def run() -> list[Row]:
    kept = os.environ.get("CODEKILN_EXTEND_DIR")
    if kept:
        return _run(Path(kept))
    with tempfile.TemporaryDirectory() as name:
        return _run(Path(name))


def _run(folder: Path) -> list[Row]:
    steps = int(os.environ.get("CODEKILN_EXTEND_STEPS", "1200"))
    base, out = folder / "base", folder / "extended"
    common: dict[str, Any] = {"rate": 4e-3, "steps": steps, "batch": 16, "length": SHORT}
    folder.mkdir(parents=True, exist_ok=True)
    files = _write(folder / "short", 3000, SHORT)
    _train(folder, "base", out=base, files=files, stage="", model=SHAPE, **common)
    model = LONGER.format(base=base, long=LONG, factor=FACTOR)
    common |= {"rate": 1e-3, "steps": max(steps // 4, 1), "batch": 4, "length": LONG}
    stage = 'stage = "extend"'
    files = _write(folder / "long", 1500, LONG)
    _train(folder, "extended", out=out, files=files, stage=stage, model=model, **common)
    before, after = (_measure(run / "model") for run in (base, out))
    note = f"{steps} steps of {SHORT}, {common['steps']} of {LONG} tokens"
    return [
        Row(
            what=what,
            ours=after[what],
            unit="" if "right" in what else "nats",
            peer=before[what],
            peer_name="before",
            note=note,
        )
        for what in before
    ]


def _train(folder: Path, name: str, **values: Any) -> None:
    recipe = folder / f"{name}.toml"
    recipe.write_text(RECIPE.format(**values), encoding="utf-8")
    for command in (("corpus", "build"), ("tokenizer", "train"), ("tokens", "pack"), ("train",)):
        subprocess.run([sys.executable, "-m", "codekiln", *command, str(recipe)], check=True)


def _write(folder: Path, files: int, tokens: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(tokens)
    for number in range(files):
        text, _ = _file(draw, tokens)
        (folder / f"file_{number}.py").write_text(text, encoding="utf-8")
    return folder


def _file(draw: random.Random, tokens: int) -> tuple[str, list[tuple[str, str]]]:
    """Assignments, then questions in another order; about so many tokens, and what was assigned."""
    names = [f"{a}{b}" for a in "abcdefghijklmnop" for b in "qrstuvwxyz"]
    pairs = [(name, str(draw.randint(0, 9))) for name in draw.sample(names, tokens // 12)]
    asked = draw.sample(pairs, len(pairs))
    lines = [f"{name} = {value}" for name, value in pairs]
    lines += [f"{name} = {value}" for name, value in asked]
    return "\n".join(lines) + "\n", pairs


def _measure(model: Path) -> dict[str, float]:
    import torch

    from codekiln.models.weights import load_model
    from codekiln.tokenizer.tokenizer import Tokenizer

    tokenizer, network = Tokenizer.load(model), load_model(model).eval()
    draw = random.Random(7)
    nats, counts = torch.zeros(LONG), torch.zeros(LONG)
    right: dict[tuple[int, int], list[bool]] = {band: [] for band in BANDS}
    for _ in range(NEEDLES):
        text, _ = _file(draw, LONG)
        ids = [tokenizer.special.bos, *tokenizer.encode(text)][: LONG + 1]
        with torch.no_grad():
            scores = network(torch.tensor([ids[:-1]])).log_softmax(-1)[0]
        size = len(ids) - 1
        nats[:size] -= scores.gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        counts[:size] += 1
        _, pairs = _file(draw, LONG * 7 // 4)  # assignments alone fill most of the context
        _ask(network, tokenizer, pairs, draw, right)
    found = {}
    for low, high in BANDS:
        loss = nats[low:high].sum() / counts[low:high].sum()
        found[f"loss at positions {low} to {high}"] = float(loss)
    for (low, high), answers in right.items():
        name = f"needle {low} to {high} tokens away, right of {len(answers)}"
        found[name] = sum(answers) / max(len(answers), 1)
    return found


def _ask(
    network: Any,
    tokenizer: Any,
    pairs: list[tuple[str, str]],
    draw: random.Random,
    right: dict[tuple[int, int], list[bool]],
) -> None:
    """One question for each band: a name that stands so far before the end."""
    import torch

    lines = [f"{name} = {value}\n" for name, value in pairs]
    sizes = [len(tokenizer.encode(line)) for line in lines]
    for low, high in BANDS:
        count = min(high // max(sizes), len(lines))  # as many as reach so far back
        places = [i for i in range(count) if low <= sum(sizes[i:count]) < high]
        if not places:
            continue
        name, value = pairs[draw.choice(places)]
        prompt = tokenizer.encode("".join(lines[:count]) + f"{name} = ")
        ids = torch.tensor([[tokenizer.special.bos, *prompt]])
        with torch.no_grad():
            chosen = int(network(ids, last_only=True)[0, -1].argmax())
        right[low, high].append(tokenizer.decode([chosen]).strip() == value)
