"""`codekiln list`: names, without importing torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from codekiln.cli.listing import listing


def lines(what: str) -> list[str]:
    result = CliRunner().invoke(listing, [what], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output.splitlines()


def test_languages() -> None:
    rows = {line.split()[0]: line for line in lines("languages")}
    assert "imports" in rows["python"]
    assert ".py " in rows["python"]
    assert "imports" not in rows["zig"]


def test_benchmarks() -> None:
    assert {"humaneval", "infilling"} <= set(lines("benchmarks"))


def test_models() -> None:
    rows = {line.split()[0]: line.split() for line in lines("models")}
    # Source: DeepSeek-Coder §3.3, Table 2
    assert rows["deepseek-coder-33b"][3:8] == ["7168", "19200", "62", "56", "8"]
    assert rows["deepseek-coder-v2-lite"][1:3] == ["15.7G", "2.45G"]
    assert " 2 + 6/160 " in " ".join(rows["deepseek-coder-v2"])


@pytest.mark.parametrize("what", ["languages", "benchmarks", "models"])
def test_no_torch(what: str) -> None:
    program = (
        "import sys; from codekiln.cli.listing import listing; "
        f"listing([{what!r}], standalone_mode=False); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
