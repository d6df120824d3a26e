"""The corpus build on the Python packages installed here: rate a core, memory.

    python -m benchmarks corpus

Input: each package beside this environment's libraries is a repository, and so is the standard
library. Builds run in processes of their own, so that peak memory is theirs alone. Rates are
megabytes of source text (decoded, before any rule) by CPU second of the whole build.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.rows import Row

TARGET = "at least 20"


def repositories() -> list[str]:
    """Folders of the installed packages, and of the standard library."""
    paths = sysconfig.get_paths()
    packages = [
        folder
        for folder in sorted(Path(paths["purelib"]).iterdir())
        if folder.is_dir() and folder.suffix != ".dist-info" and any(folder.rglob("*.py"))
    ]
    return [paths["stdlib"], *map(str, packages)]


def measure(places: list[str], **settings: object) -> dict[str, Any]:
    """One build from nothing, in one process: what it read, cost and held at most."""
    with tempfile.TemporaryDirectory() as folder:
        values = json.dumps({"repositories": places, **settings})
        command = [sys.executable, "-m", "benchmarks.corpus", values, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def child(values: str, folder: str) -> None:
    """In the child: build, and print the figures."""
    from codekiln.corpus.build import build
    from codekiln.corpus.settings import CorpusSettings
    from codekiln.processes import peak_memory_bytes

    out = Path(folder) / "corpus"
    before, started = peak_memory_bytes(), time.monotonic()
    spent = time.process_time()
    report = build(CorpusSettings(**json.loads(values)), out, processes=1)
    facts = {
        "cpu_seconds": time.process_time() - spent,
        "seconds": time.monotonic() - started,
        "megabytes": report.bytes["read"] / 1e6,
        "kept": report.bytes["kept"] / 1e6,
        "repositories": report.repositories["built"],
        "peak": peak_memory_bytes() / 1e6,
        "start": before / 1e6,
        "sizes": {
            repository["location"]: repository["bytes_read"]
            for path in out.glob("stages/*/facts.json")
            for repository in json.loads(path.read_text())["repositories"]
            if "failed" not in repository
        },
    }
    print(json.dumps(facts))


def half(sizes: dict[str, int]) -> list[str]:
    """The two largest repositories, and others, smallest first, up to half of all bytes."""
    ordered = sorted(sizes, key=lambda place: sizes[place])
    chosen = [ordered.pop(), ordered.pop()]
    total = sum(sizes[place] for place in chosen)
    for place in ordered:
        total += sizes[place]
        if total > sum(sizes.values()) / 2:
            break
        chosen.append(place)
    return chosen


def build_rows() -> list[Row]:
    """Rate and memory of the whole build; memory of half of it, and of its largest part."""
    whole = measure(repositories())
    part, largest = measure(half(whole["sizes"])), measure(half(whole["sizes"])[:2])
    return [
        Row(
            what="corpus build",
            ours=whole["megabytes"] / whole["cpu_seconds"],
            unit="MB per CPU second",
            target=TARGET,
            note=f"{whole['repositories']} repositories, {whole['megabytes']:.0f} MB read, "
            f"{whole['kept']:.0f} MB kept; wall {whole['megabytes'] / whole['seconds']:.1f} MB/s",
        ),
        Row(
            what="corpus build, peak memory",
            ours=whole["peak"],
            unit="MB",
            target="not growing",
            note=f"{part['megabytes']:.0f} MB of sources: {part['peak']:.0f}; the two "
            f"largest repositories alone ({largest['megabytes']:.0f} MB): {largest['peak']:.0f}; "
            f"at start: {whole['start']:.0f}",
        ),
    ]


def run() -> list[Row]:
    """Rows of the table."""
    return build_rows()


if __name__ == "__main__":
    child(*sys.argv[1:])
