"""A small run folder: a tokenizer and packed tokens of made-up code, ready to train on."""

import random
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from codekiln.recipe import Recipe
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.train import train as train_tokenizer
from codekiln.tokens.pack import pack
from codekiln.tokens.settings import TokensSettings
from codekiln.types import Document, Span

NAMES = ("count", "total", "value", "index", "result", "width", "name", "größe")
RECIPE = """
[run]
seed = 7
[tokens]
sequence_length = 32
[model]
preset = "tiny-1m"
hidden_size = 32
intermediate_size = 64
num_hidden_layers = 2
num_attention_heads = 4
num_key_value_heads = 2
max_position_embeddings = 64
[optimizer]
learning_rate = 1e-2
schedule = "warmup_stable_decay"
warmup_steps = 2
[training]
steps = 12
batch_size = 4
gradient_accumulation = 2
dtype = "float32"
device = "cpu"
threads = 1
checkpoint_every = 4
evaluate_every = 6
evaluate_tokens = 600
"""


def code(seed: int) -> str:
    draw = random.Random(seed)
    lines = []
    for _ in range(draw.randint(3, 9)):
        one, two, three = draw.sample(NAMES, 3)
        lines.append(f"def {one}({two}, {three}):\n    return {two} + {three}\n")
    return "\n".join(lines)


def read(path: Path, split: str) -> Iterable[Document]:
    seeds = range(60) if split == "train" else range(1000, 1012)
    for seed in seeds:
        header, body = f"#file_{seed}.py\n", code(seed)
        text = header + body
        span = Span(path=header[1:-1], language="python", start=0, body=len(header), end=len(text))
        yield Document(id=f"{split}-{seed}", text=text, source="made up", spans=(span,))


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    texts = (code(seed) for seed in range(60))
    tokenizer = train_tokenizer(texts, TokenizerSettings(vocab_size=320))
    tokenizer.save(folder / "tokenizer")
    source = folder / "source"
    source.write_text("made up")
    settings = TokensSettings(sequence_length=32, fim_rate=0.5)
    pack([source], read, folder / "tokenizer", settings, folder / "tokens", seed=0, processes=1)
    source.unlink()
    return folder


@pytest.fixture
def run_folder(packed: Path, tmp_path: Path) -> Path:
    """A run folder with its own copy of the data, and `recipe.toml` beside it."""
    folder = tmp_path / "run"
    shutil.copytree(packed, folder)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return folder


@pytest.fixture
def recipe(run_folder: Path) -> Recipe:
    return Recipe.load(run_folder.parent / "recipe.toml")
