"""Mutates what the corpus stage reads, and accepts only results and codekiln's own errors.

    python tests/fuzz_corpus.py --minutes 10 --target readers
    python tests/fuzz_corpus.py --minutes 10 --target resolvers --seed 7
    python tests/fuzz_corpus.py --list

A failure is any other exception, a crash of the process, more than 4 GiB of memory, or an input
that takes longer than ten seconds. Its input is kept in --folder, and is run again by
`--target NAME --replay FILE`. The targets stand in `fuzz_targets.py`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codekiln.errors import CodekilnError

if __package__:
    from .fuzz_targets import TARGETS, Target
else:  # run as a script
    from fuzz_targets import TARGETS, Target

SECONDS_EACH = 10
MEMORY = 4 << 30
LARGEST = 1 << 20  # bytes of an input


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An input that broke a target, and how."""

    target: str
    problem: str
    data: bytes = field(repr=False)


# ---- mutation ----


def mutate(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """An input made from a seed by some random changes."""
    data = bytearray(rng.choice(seeds))
    for _ in range(1 << rng.randrange(6)):
        _change(rng, data, seeds, words)
    return bytes(data[:LARGEST])


def _change(
    rng: random.Random, data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes]
) -> None:
    at = rng.randrange(len(data) + 1)
    length = min(1 << rng.randrange(12), len(data) - at)
    kind = rng.randrange(9 if words else 8)
    if kind == 0:
        data[at : at + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1])
    elif kind == 1:
        data[at : at + 1] = bytes([rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))])
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at:at] = data[at : at + length] * rng.randrange(1, 5)
    elif kind == 4:
        data[at : at + length] = rng.randbytes(length)
    elif kind == 5:
        size = rng.choice((2, 4, 8))
        number = rng.choice(
            (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
        )
        data[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
    elif kind == 6:
        other = rng.choice(seeds)
        start = rng.randrange(len(other) + 1)
        data[at : at + length] = other[start : start + length]
    elif kind == 7:
        del data[rng.randrange(len(data) + 1) if rng.random() < 0.2 else len(data) :]
    else:
        data[at:at] = rng.choice(words) * (1 if rng.random() < 0.9 else rng.randrange(2000))


# ---- running ----


class TooSlow(Exception):
    """An input took too long."""


def _alarm(*_: object) -> None:
    raise TooSlow(f"longer than {SECONDS_EACH} s")


def attempt(target: Target, data: bytes, folder: Path) -> str:
    """How an input breaks a target; nothing if it does not."""
    signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_EACH)
    try:
        target.check(data, folder)
    except CodekilnError:
        pass
    except BaseException:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def _work(name: str, seconds: float, seed: int, folder: Path, counter: Any) -> None:
    """Try inputs until the time is over; stop at the first that breaks the target."""
    target = TARGETS[name]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.fsync = lambda _: None  # what is written here need not outlive the machine
    seeds = [seed for seed in target.seeds(folder) if seed]
    rng = random.Random(f"{name} {seed}")
    end = time.monotonic() + seconds
    while seeds and time.monotonic() < end:
        first = counter.value < len(seeds)
        data = seeds[counter.value] if first else mutate(rng, seeds, target.words)
        (folder / "current").write_bytes(data)
        if problem := attempt(target, data, folder):
            (folder / "problem").write_text(problem, encoding="utf-8", errors="replace")
            return
        counter.value += 1


def run_target(name: str, seconds: float, seed: int) -> tuple[int, Failure | None]:
    """Inputs tried in about `seconds`, in a process of its own; and the first failure."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        folder = Path(place)
        counter = context.Value("q", 0)
        process = context.Process(target=_work, args=(name, seconds, seed, folder, counter))
        process.start()
        process.join(seconds + 3 * SECONDS_EACH + 60)
        if process.is_alive():
            process.kill()
            process.join()
            problem = "endless"
        elif (folder / "problem").exists():
            problem = (folder / "problem").read_text(encoding="utf-8")
        else:
            problem = f"ended with {process.exitcode}" if process.exitcode else ""
        failure = None
        if problem:
            current = folder / "current"
            data = current.read_bytes() if current.exists() else b""
            failure = Failure(target=name, problem=problem, data=data)
        return counter.value, failure


def chosen(wanted: str) -> list[str]:
    """Names of the targets that are `wanted` or lie under it."""
    return [name for name in TARGETS if name == wanted or name.startswith(f"{wanted}/")]


def run(
    names: Sequence[str], seconds: float, seed: int
) -> Iterator[tuple[str, int, Failure | None]]:
    """Run targets one after the other, `seconds` in all."""
    for name in names:
        yield (name, *run_target(name, seconds / len(names), seed))


def main() -> int:
    """Run from the command line; 1 if anything broke."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--target", default="readers", help="a target, or a group of them")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--folder", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--replay", type=Path, help="an input to run again")
    parser.add_argument("--list", action="store_true", help="list the targets")
    options = parser.parse_args()
    names = chosen(options.target)
    if options.list or not names:
        print("\n".join(TARGETS))
        return 0 if options.list else 2
    if options.replay:
        return replay(names[0], options.replay)
    failed = 0
    for name, tried, failure in run(names, 60 * options.minutes, options.seed):
        print(f"{name}: {tried:,} inputs" + (", FAILED" if failure else ""), flush=True)
        if failure:
            failed += 1
            options.folder.mkdir(parents=True, exist_ok=True)
            kept = options.folder / f"{name.replace('/', '-')}-{options.seed}".replace(" ", "-")
            kept.write_bytes(failure.data)
            print(f"{failure.problem}\ninput: {kept}", flush=True)
    return 1 if failed else 0


def replay(name: str, path: Path) -> int:
    """Run one input again."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        TARGETS[name].seeds(Path(place))
        problem = attempt(TARGETS[name], path.read_bytes(), Path(place))
    print(problem or "no failure")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
