"""`codekiln doctor`: what this machine can run, and what it lacks."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from codekiln.sandbox.pool import cores

State = Literal["ok", "missing", "note"]
MARKS: dict[State, str] = {"ok": "✓", "missing": "✗", "note": "·"}
TOOL_SECONDS = 20.0

# program, how it tells its version, what its absence costs
TOOLS = (
    ("git", ("--version",), "repositories of revisions and bare ones cannot be read"),
    ("gcc", ("--version",), "no C programs can be checked"),
    ("g++", ("--version",), "no C++ programs can be checked"),
    ("node", ("--version",), "no JavaScript programs can be checked"),
    ("java", ("-version",), "no Java programs can be checked"),
)
EXTRAS = (
    ("fastapi", "serve", "`codekiln serve` cannot start"),
    ("uvicorn", "serve", "`codekiln serve` cannot start"),
    ("transformers", "dev", "parity tests against transformers are skipped"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report: what is there, or what its absence costs."""

    what: str
    state: State
    text: str


@click.command()
def doctor() -> None:
    """Show what this machine can run, what it lacks, and what each lack costs.

    It always exits with 0: a lack is no error until a command needs the thing.

    \b
    Example:
      codekiln doctor
    """
    for finding in examine():
        click.echo(f"{MARKS[finding.state]} {finding.what:<14} {finding.text}")


def examine() -> Iterator[Finding]:
    """All findings, the quick ones first."""
    yield Finding("python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield Finding("cores", "ok", f"{cores()} usable, {_memory()} of memory")
    yield from _torch()
    yield from _sandbox()
    for name, question, cost in TOOLS:
        yield _tool(name, question, cost)
    for package, extra, cost in EXTRAS:
        yield _package(package, extra, cost)


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB"


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of another processor or system
        lack = f"cannot be imported ({error}): no training, completion or evaluation of models"
        yield Finding("torch", "missing", lack)
        return
    yield Finding("torch", "ok", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        count = torch.cuda.device_count()
        yield Finding("cuda", "ok", f"{count} x {card.name}, {card.total_memory / 1e9:.0f} GB")
        bf16 = torch.cuda.is_bf16_supported()
    else:
        cost = "no GPU: training is for small models (some thousand tokens a second)"
        yield Finding("cuda", "note", cost)
        bf16 = _processor_has("avx512_bf16", "amx_bf16", "bf16")
    lack = "no bf16 instructions: bf16 is emulated, fp32 is as fast or faster"
    yield Finding("bf16", "ok", "in hardware") if bf16 else Finding("bf16", "note", lack)


def _processor_has(*flags: str) -> bool:
    try:
        words = set(Path("/proc/cpuinfo").read_text("utf-8", "replace").split())
    except OSError:
        return False
    return not words.isdisjoint(flags)


def _sandbox() -> Iterator[Finding]:
    from codekiln.errors import SandboxError
    from codekiln.sandbox.box import find
    from codekiln.sandbox.run import PYTHON, run

    yield _tool("bwrap", ("--version",), "programs cannot be kept apart (apt install bubblewrap)")
    try:
        box = find()
        verdict = run([PYTHON, "-s", "-S", "-c", "print('alive')"])
    except SandboxError as error:
        cost = f"{error.got}; HumanEval needs --unsafe, which runs programs as you"
        yield Finding("sandbox", "missing", cost)
        return
    if verdict.stdout == "alive\n":
        took = f"{verdict.wall_seconds * 1000:.0f} ms for an empty program"
        yield Finding("sandbox", "ok", f"{box.describe()}; {took}")
    else:
        yield Finding("sandbox", "missing", f"self-test failed: {verdict.stderr.strip()[-200:]}")


def _tool(name: str, question: tuple[str, ...], cost: str) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding(name, "missing", f"not found: {cost}")
    try:
        done = subprocess.run(
            [path, *question], capture_output=True, text=True, check=False, timeout=TOOL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, "missing", f"{path} does not run ({error}): {cost}")
    lines = (done.stdout + done.stderr).strip().splitlines() or ["no version"]
    if done.returncode:
        return Finding(name, "missing", f"{path} fails ({lines[0]}): {cost}")
    return Finding(name, "ok", lines[0])


def _package(package: str, extra: str, cost: str) -> Finding:
    if importlib.util.find_spec(package) is None:
        return Finding(package, "missing", f"not installed: {cost} (pip install codekiln[{extra}])")
    return Finding(package, "ok", importlib.metadata.version(package))
