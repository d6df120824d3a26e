"""Fetch the real repositories of `real_corpus.toml` from PyPI, npm and Debian's sources.

    python -m benchmarks.fetch DIR

Needs pip, npm, and apt-get with source packages enabled. What cannot be had is named and passed
over; what is there already is kept. The figures in docs/benchmarks.md say what was at hand.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

LIST = Path(__file__).with_name("real_corpus.toml")
PACKED = (".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst", ".zip")
MOST_BYTES = 400_000_000  # of one source package; the largest would be most of the corpus


def fetch(folder: Path) -> dict[str, list[str]]:
    """Fetch all of the list; returns the archives by registry."""
    wanted: dict[str, list[str]] = tomllib.loads(LIST.read_text(encoding="utf-8"))
    for registry, names in wanted.items():
        place = folder / registry
        place.mkdir(parents=True, exist_ok=True)
        done = set((place / ".done").read_text().split()) if (place / ".done").exists() else set()
        for name in names:
            if name not in done:
                fine = _FETCH[registry](place, name)
                print(f"{registry} {name}: {'fetched' if fine else 'NOT FETCHED'}", flush=True)
                with (place / ".done").open("a") as file:
                    file.write(f"{name}\n")
    found = {r: sorted(p.name for p in (folder / r).iterdir() if _packed(p)) for r in wanted}
    (folder / "versions.json").write_text(json.dumps(found, indent=1))
    return found


def _packed(path: Path) -> bool:
    return path.name.endswith(PACKED) and ".debian.tar" not in path.name


def _debian(place: Path, name: str) -> bool:
    """Newest first; then the release's own version, where the newest one's source is not kept."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "stable")
    return any(_source(place, source) for source in (name, f"{name}/{release}"))


def _source(place: Path, name: str) -> bool:
    command = ["apt-get", "source", "--download-only", "-qq", name]
    listed = subprocess.run(
        [*command, "--print-uris"], cwd=place, capture_output=True, text=True, check=False
    )
    sizes = [int(line.split()[2]) for line in listed.stdout.splitlines() if len(line.split()) > 2]
    if listed.returncode or sum(sizes) > MOST_BYTES:
        return False
    return _run(command, place)


def _pypi(place: Path, name: str) -> bool:
    """With the build tools at hand, which is fast; then with those that the sdist asks for."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    to = ["--dest", str(place), name]
    return _run([*pip, "--no-build-isolation", *to], place) or _run([*pip, *to], place)


def _npm(place: Path, name: str) -> bool:
    return _run(["npm", "pack", "--silent", name], place)


_FETCH: dict[str, Callable[[Path, str], bool]] = {"debian": _debian, "pypi": _pypi, "npm": _npm}


def _run(command: Sequence[str], folder: Path) -> bool:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=600)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    fetch(Path(sys.argv[1]))
