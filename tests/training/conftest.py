"""A small run folder: a tokenizer and packed tokens of made-up code, ready to train on."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
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


# A process that has imported torch and run nothing, and that forks for each command: a run of
# its own pid, to be killed like any other, without seconds of imports before its first step.
NURSERY = """
import json, os, sys
import torch._dynamo  # imported by every optimiser, for seconds
import codekiln.training.loop
from codekiln.cli.main import main
while line := sys.stdin.readline():
    job = json.loads(line)
    pid = os.fork()
    if not pid:
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        code = 1
        try:
            main(job["arguments"])
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        finally:
            sys.stdout.flush()
            os._exit(code)
    print(pid, flush=True)
    sys.stdin.readline()  # until then the pid is the run's, even if it has ended
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Nursery:
    """Runs `codekiln train` in processes of their own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def start(self, folder: Path, *arguments: str) -> int:
        """Begin a run in `folder`; its pid."""
        recipe = str(folder.parent / "recipe.toml")
        job = {
            "arguments": ["train", recipe, "--out", str(folder), *arguments],
            "log": str(folder / "log.txt"),
        }
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self, folder: Path) -> tuple[int, str]:
        """Exit status (below 0: the signal) and output of the run begun last."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write("wait\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return status, (folder / "log.txt").read_text()

    def run(self, folder: Path, *arguments: str) -> tuple[int, str]:
        """Run to the end."""
        self.start(folder, *arguments)
        return self.wait(folder)

    def interrupt(
        self,
        folder: Path,
        step: int,
        number: signal.Signals,
        *arguments: str,
        delay_seconds: float = 0.0,
    ) -> tuple[int, str]:
        """Begin a run; send it a signal `delay_seconds` after metrics.jsonl has a row of `step`."""
        pid = self.start(folder, *arguments)
        deadline = time.monotonic() + 60
        while steps_done(folder) < step and time.monotonic() < deadline:
            time.sleep(0.0005)
        time.sleep(delay_seconds)
        os.kill(pid, number)
        return self.wait(folder)


def steps_done(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_text().count("gradient_norm") if path.exists() else 0


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    with subprocess.Popen(
        [sys.executable, "-c", NURSERY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        yield Nursery(process)
        assert process.stdin
        process.stdin.close()
