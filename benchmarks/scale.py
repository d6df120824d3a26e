"""How a corpus build scales: processes, Ray, and memory as the corpus grows.

    CODEKILN_REAL_CORPUS=DIR python -m benchmarks scale

Repositories: the archives below CODEKILN_REAL_CORPUS (see `benchmarks.fetch`), up to
CODEKILN_SCALE_BYTES packed (400 MB unless said otherwise). Each build is a process of its own,
from nothing; its figures are those of its report.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.rows import Row

PACKED = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
BYTES = 400_000_000


def run() -> list[Row]:
    """Rows of the table."""
    root = os.environ.get("CODEKILN_REAL_CORPUS")
    if not root:
        note = "set CODEKILN_REAL_CORPUS to a folder of archives"
        return [Row(what="corpus at scale", ours=0.0, unit="MB/s", note=note)]
    places = archives(Path(root), int(os.environ.get("CODEKILN_SCALE_BYTES", BYTES)))
    return [*_engines(places), _memory(places)]


def archives(root: Path, limit: int) -> list[str]:
    """Archives of all registries in turn, smallest first, up to `limit` bytes together."""
    queues = [
        sorted(
            (p for p in folder.iterdir() if p.name.endswith(PACKED) and ".debian." not in p.name),
            key=lambda path: path.stat().st_size,
        )
        for folder in sorted(root.iterdir())
        if folder.is_dir()
    ]
    chosen: list[str] = []
    total = 0
    while any(queues):
        for queue in filter(None, queues):
            path = queue.pop(0)
            total += path.stat().st_size
            if total > limit:
                return chosen
            chosen.append(str(path))
    return chosen


def build(places: list[str], processes: int, engine: str) -> dict[str, Any]:
    """One build from nothing: its report's costs, and the wall time of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.toml"
        recipe.write_text(
            f"[run]\ndirectory = {json.dumps(folder)}\nprocesses = {processes}\n"
            f"engine = {json.dumps(engine)}\n[corpus]\nrepositories = {json.dumps(places)}\n"
        )
        command = [sys.executable, "-m", "codekiln.cli.main", "corpus", "build", str(recipe)]
        started = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.monotonic() - started
        report = json.loads((Path(folder) / "corpus" / "report.json").read_text())
        return {"wall": seconds, "read": report["bytes"]["read"], **report["run"]}


def _engines(places: list[str]) -> list[Row]:
    one, two = build(places, 1, "processes"), build(places, 2, "processes")
    ray = build(places, 2, "ray")
    megabytes = one["read"] / 1e6
    note = f"{len(places)} repositories, {megabytes:.0f} MB of text"
    rates = {name: megabytes / run["wall"] for name, run in (("1", one), ("2", two), ("ray", ray))}
    return [
        Row(
            what="corpus build, two processes",
            ours=rates["2"],
            unit="MB/s",
            peer=rates["1"],
            peer_name="one process",
            target=">= 1.8x",
            note=note,
        ),
        Row(
            what="corpus build, Ray with two workers",
            ours=ray["wall"],
            unit="s, less is better",
            peer=two["wall"],
            peer_name="two processes",
            target="<= 1.3x",
            note=note,
        ),
        Row(
            what="corpus build, one process",
            ours=one["megabytes_per_cpu_second"],
            unit="MB per CPU second",
            target=">= 15",
            note=note,
        ),
    ]


def _memory(places: list[str]) -> Row:
    """Peak memory of a worker for a quarter, a half and all of the same repositories."""
    peaks = []
    for divisor in (4, 2, 1):
        part = sorted(places)[::divisor]
        found = build(part, 1, "processes")
        peaks.append((found["read"] / 1e6, found["peak_memory_bytes"] / 1e6))
    shown = "; ".join(f"{size:.0f} MB of text: {peak:.0f} MB" for size, peak in peaks)
    return Row(
        what="corpus build, peak memory",
        ours=peaks[-1][1],
        unit="MB",
        target="< 2000, not growing",
        note=shown,
    )
