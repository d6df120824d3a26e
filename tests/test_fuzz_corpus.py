"""A few seconds of the fuzz runner, so that it works when it is needed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from . import fuzz_corpus
from .fuzz_corpus import TARGETS, Target, attempt, chosen, mutate, run_target


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_a_target(name: str) -> None:
    tried, failure = run_target(name, 0.5, seed=1)
    assert failure is None, failure.problem
    assert tried or not TARGETS[name].seeds


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_accepted(name: str, tmp_path: Path) -> None:
    seeds = TARGETS[name].seeds(tmp_path)
    assert seeds or name == "readers/git"
    for seed in seeds[:3]:
        assert attempt(TARGETS[name], seed, tmp_path) == ""


def _breaks(data: bytes, folder: Path) -> None:
    if b"!" in data:
        raise KeyError("!")


def _never_ends(data: bytes, folder: Path) -> None:
    while True:
        pass


def test_what_breaks_a_target_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target(seeds=lambda _: [b"good"], check=_breaks, words=[b"!"])
    assert attempt(target, b"good", tmp_path) == ""
    assert "KeyError" in attempt(target, b"bad!", tmp_path)
    rng = random.Random(1)
    assert any(attempt(target, mutate(rng, [b"good"], [b"!"]), tmp_path) for _ in range(200))
    monkeypatch.setattr(fuzz_corpus, "SECONDS_EACH", 0.1)
    endless = Target(seeds=lambda _: [b""], check=_never_ends)
    assert "TooSlow" in attempt(endless, b"", tmp_path)


def test_groups_of_targets() -> None:
    assert "readers/tar" in chosen("readers") and "readers/tar" in chosen("readers/tar")
    assert "readers/tar" not in chosen("resolvers") and not chosen("nothing")
