"""`codekiln doctor`: every line there, lacks with their cost, exit 0 whatever is missing."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from codekiln.cli.doctor import doctor
from codekiln.sandbox import box


@pytest.fixture
def fresh():
    """No box remembered from another PATH, before and after."""
    box._find.cache_clear()
    yield
    box._find.cache_clear()


def findings() -> dict[str, str]:
    done = CliRunner().invoke(doctor)
    assert done.exit_code == 0, done.output
    return {line.split()[1]: line for line in done.output.splitlines()}


def test_everything_is_named(fresh):
    found = findings()
    named = {"python", "cores", "torch", "cuda", "bf16", "bwrap", "sandbox", "git", "gcc", "java"}
    assert named <= found.keys()
    assert sys.version.split()[0] in found["python"]
    if shutil.which("bwrap"):
        assert "ms for an empty program" in found["sandbox"]


def test_lacks_are_named_with_their_cost_and_are_no_error(fresh, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    found = findings()
    for name in ("bwrap", "sandbox", "git", "gcc", "node"):
        assert found[name].startswith("✗"), found[name]
    assert "--unsafe" in found["sandbox"]


def test_a_tool_that_does_not_run_counts_as_missing(fresh, monkeypatch, tmp_path: Path):
    (tmp_path / "git").write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / "git").chmod(0o755)
    (tmp_path / "gcc").write_text("not a program")
    (tmp_path / "gcc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = findings()
    assert found["git"].startswith("✗") and "fails" in found["git"]
    assert found["gcc"].startswith("✗") and "does not run" in found["gcc"]
