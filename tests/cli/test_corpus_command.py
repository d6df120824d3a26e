"""`codekiln corpus` as a user runs it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from codekiln.cli.main import main
from codekiln.corpus.store import read_documents


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    for name in ("one", "two", "three"):
        folder = tmp_path / "sources" / name
        folder.mkdir(parents=True)
        (folder / "a.py").write_text(f"from b import {name}\n\nprint({name})\n")
        (folder / "b.py").write_text(f"{name} = '{name}'\n")
    path = tmp_path / "recipe.toml"
    path.write_text(
        f'[run]\ndirectory = "{tmp_path}/run"\nprocesses = 1\n'
        f'[corpus]\nrepositories = ["{tmp_path}/sources/*"]\n'
    )
    return path


def run(*arguments: str) -> int:
    try:
        main(list(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_build_and_report(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("corpus", "build", str(recipe)) == 0
    folder = recipe.parent / "run" / "corpus"
    shown = capsys.readouterr().out
    assert f"corpus in {folder}" in shown
    assert "python" in shown
    assert len(list(read_documents(folder))) == 3
    assert run("corpus", "build", str(recipe)) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert run("corpus", "report", str(folder)) == 0
    assert "single file" in capsys.readouterr().out
    assert run("corpus", "report", str(folder), "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["files"] == {"seen": 6, "kept": 6, "dropped": 0}
    assert len(values["held_out"]) == 1


def test_out_and_overrides(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere"
    arguments = ("--out", str(out), "--set", "corpus.held_out_rate=0")
    assert run("corpus", "build", str(recipe), *arguments) == 0
    assert not list(read_documents(out, "held_out"))
    assert len(list(read_documents(out, "train"))) == 3


def test_errors_say_what_to_do(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("corpus", "report", str(tmp_path)) == 2
    assert "codekiln corpus build RECIPE" in capsys.readouterr().err
    arguments = ("--set", f'corpus.repositories=["{tmp_path}/none*"]')
    assert run("corpus", "build", str(recipe), *arguments) == 2
    assert "matches nothing" in capsys.readouterr().err
    assert not (tmp_path / "run" / "corpus" / "documents").exists()
    recipe.write_text("[corpus]\nrepository = ['x']\n")
    assert run("corpus", "build", str(recipe)) == 2
    assert "repositories" in capsys.readouterr().err


def test_help_has_examples_and_lists_the_graph(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["corpus"], ["corpus", "build"], ["corpus", "report"]):
        assert run(*arguments, "--help") == 0
        assert "Example:" in capsys.readouterr().out
    sys.modules.pop("codekiln.cli.corpus_graph", None)
    assert run("corpus", "--help") == 0
    assert "graph" in capsys.readouterr().out
    assert "codekiln.cli.corpus_graph" not in sys.modules
