"""`codekiln corpus quality`: every command on small files."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import pytest
from click.testing import CliRunner

from codekiln.cli.corpus_quality import quality
from codekiln.corpus.quality.signals import NAMES

pytest.importorskip("tree_sitter_python")

STDLIB = Path(sysconfig.get_paths()["stdlib"])


def run(*words: object):
    return CliRunner().invoke(quality, [str(word) for word in words], catch_exceptions=False)


def test_score_says_what_is_dropped(tmp_path):
    good, bad, odd = tmp_path / "good.py", tmp_path / "bad.py", tmp_path / "x.unknown"
    good.write_bytes((STDLIB / "textwrap.py").read_bytes())
    bad.write_text("def f(:\n")
    odd.write_text("x")
    done = run("score", good, bad, odd)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].endswith("good.py  kept") and lines[1].endswith("bad.py  syntax errors")
    assert "x.unknown: language not known" in done.stderr
    rows = [json.loads(line) for line in run("score", "--json", good, bad).stdout.splitlines()]
    assert rows[0]["score"] > 0.5 and rows[1]["syntax_errors"] > 0
    assert set(NAMES) <= set(rows[0])


def test_explain_lists_every_signal():
    done = run("explain", STDLIB / "textwrap.py")
    assert all(name in done.stdout for name in NAMES)
    assert "0.00% of the file in errors" in done.stdout and "kept" in done.stdout


def test_labels_then_train_then_score(tmp_path):
    for number, path in enumerate(sorted(STDLIB.glob("*.py"))[:80]):
        project = tmp_path / "src" / f"p{number % 10}"
        project.mkdir(parents=True, exist_ok=True)
        (project / path.name).write_bytes(path.read_bytes())
    labels, folder = tmp_path / "labels.jsonl", tmp_path / "model"
    done = run("labels", *sorted((tmp_path / "src").iterdir()), "--out", labels)
    assert "rows in" in done.stdout and labels.exists()
    done = run("train", "--labels", labels, "--out", folder)
    assert "AUC" in done.stdout and "python" in done.stdout
    done = run("score", STDLIB / "textwrap.py", "--model", folder)
    assert done.stdout.rstrip().endswith("kept")
