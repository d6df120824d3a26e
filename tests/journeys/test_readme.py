"""Every command and program of the README runs, in its order, on two small repositories.

Only the length of training is changed: what the README trains for minutes, this does for a few
steps. Blocks marked `console` are not run here (make, data that the user has).
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```", re.M | re.S)
SHORT = [
    "--set", "training.steps=20", "--set", "training.max_minutes=0",
    "--set", "tokenizer.vocab_size=600", "--set", "training.evaluate_tokens=2000",
    "--set", "tokens.sequence_length=128", "--set", "model.preset=tiny-1m",
]  # fmt: skip
TRAINING = {("quickstart",): SHORT, ("tokenizer", "train"): SHORT, ("tokens", "pack"): SHORT,
            ("train",): SHORT, ("corpus", "build"): []}  # fmt: skip
FURTHER = [  # a run that goes on from a model has its shape and tokenizer
    "--set", "training.steps=5", "--set", "training.max_minutes=0",
    "--set", "training.evaluate_tokens=2000", "--set", "tokens.sequence_length=256",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two repositories in src/, one of them git, and the project's recipes."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "recipes", home / "recipes")
    for name in ("project-a", "project-b"):
        folder = home / "src" / name
        folder.mkdir(parents=True)
        (folder / "app.py").write_text(
            f'"""{name}."""\n\nimport os, sys\nfrom tools_{name[-1]} import total\n\n\n'
            "def main(arguments):\n    print(total(map(float, arguments)), os.name)\n\n\n"
            'if __name__ == "__main__":\n    main(sys.argv[1:])\n'
        )
        functions = "".join(
            f"def {name[-1]}_total_{i}(numbers):\n    result = {i}\n"
            f"    for number in numbers:\n        result += number * {i}\n    return result\n\n\n"
            for i in range(80)
        )
        (folder / f"tools_{name[-1]}.py").write_text(functions + "total = sum\n")
    repository = home / "src" / "project-b"
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    return home


def environment(home: Path) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "HOME": str(home), "PATH": path, "OMP_NUM_THREADS": "2"}


def commands() -> Iterator[tuple[str, str]]:
    for language, content in BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        if language == "python":
            yield "python", content
        else:
            yield from (("bash", line) for line in content.splitlines() if line.strip())


def shortened(line: str) -> str:
    words = shlex.split(line)
    for start, extra in TRAINING.items():
        if tuple(words[1 : 1 + len(start)]) == start:
            further = any(word.startswith("recipes/extend") for word in words)
            return line + " " + shlex.join(FURTHER if further else extra)
    return line


@contextmanager
def serving(line: str, home: Path) -> Iterator[None]:
    server = subprocess.Popen(shlex.split(line), cwd=home, env=environment(home))
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen("http://127.0.0.1:8000/health", timeout=1).close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert server.poll() is None, "the server ended"
                time.sleep(0.1)
        yield
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_examples_of_the_readme_run_in_their_order(place: Path) -> None:
    pytest.importorskip("openai")
    found = list(commands())
    server = next(line for language, line in found if line.startswith("codekiln serve"))
    ran = 0
    for language, text in found:
        if text == server:
            continue
        if language == "python":
            with serving(server, place):
                run([sys.executable, "-c", text], place, text)
        else:
            run(["bash", "-c", shortened(text)], place, text)
        ran += 1
    assert ran >= 14
    assert (place / "runs/mine/report.html").stat().st_size > 10_000
    assert (place / "imported/model.safetensors").exists()
    again = run(["bash", "-c", shortened(found[0][1])], place, found[0][1])
    assert "everything was done before: nothing to do" in again


def run(command: list[str], home: Path, shown: str) -> str:
    done = subprocess.run(
        command, cwd=home, env=environment(home), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{shown}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout + done.stderr
