"""Which units are dropped: against all pairs, whatever the order, and by rank."""

from __future__ import annotations

import hashlib
import itertools
import random
from typing import Any

import numpy as np
import pytest

from codekiln.corpus.duplicates import find
from codekiln.corpus.duplicates.decide import Candidates, decide, table
from codekiln.corpus.duplicates.find import SMALL, Groups, Signatures, band_rows, find_groups
from codekiln.corpus.duplicates.grams import mix
from codekiln.corpus.duplicates.sketch import Sketch, similarity


def signature_of(numbers: range | list[int], bins: int = 1024) -> np.ndarray:
    sketch = Sketch(bins)
    values = np.array(list(numbers), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    sketch.add_hashes(mix(values))
    signature = sketch.signature()
    assert signature is not None
    return signature


def candidates(units: dict[str, tuple[Any, range | list[int]]], **more: Any) -> Candidates:
    """From name -> (content, shingles)."""
    digests = [hashlib.md5(str(content).encode()).digest() for content, _ in units.values()]
    rows = [signature_of(shingles) if len(shingles) else None for _, shingles in units.values()]
    none = np.zeros(1024, np.uint8)
    parts = np.array([none if row is None else row for row in rows], np.uint8).reshape(-1, 1024)
    half = len(parts) // 2
    return Candidates(
        names=list(units),
        digests=np.frombuffer(b"".join(digests), "V16"),
        signed=np.array([row is not None for row in rows], np.bool_),
        stars=np.array([more.get("stars", {}).get(n, -1) for n in units], np.int64),
        updated=np.array([more.get("updated", {}).get(n, -np.inf) for n in units], np.float64),
        signatures=Signatures([parts[:half], parts[half:]]),
    )


UNITS: dict[str, tuple[Any, range | list[int]]] = {
    "b": (1, range(4000)),
    "a": (1, range(4000)),
    "c": (2, range(200, 4000)),
    "d": (3, range(50_000, 54_000)),
    "e": (2, range(200, 4000)),
    "f": (4, []),
    "g": (4, []),
}


def rows(found: Candidates, threshold: float = 0.7) -> list[tuple[str, str, bool]]:
    made = table(found, decide(found, threshold)).to_pylist()
    return [(row["name"], row["kept"], row["exact"]) for row in made]


def test_the_first_name_stays() -> None:
    wanted = [("b", "a", True), ("c", "a", False), ("e", "a", False), ("g", "f", True)]
    assert rows(candidates(UNITS)) == wanted
    for seed in range(5):
        order = random.Random(seed).sample(sorted(UNITS), len(UNITS))
        assert rows(candidates({name: UNITS[name] for name in order})) == wanted
    found = decide(candidates(UNITS), 0.7)
    assert 0.9 < found.similarity[found.dropped == 2][0] < 1
    assert rows(candidates(UNITS), 1.0) == [("b", "a", True), ("e", "c", True), ("g", "f", True)]


def test_stars_before_age_before_names() -> None:
    newest = candidates(UNITS, updated={"b": 5.0, "a": 4.0, "g": 1.0})
    assert rows(newest)[:2] == [("a", "b", True), ("c", "b", False)]
    assert rows(newest)[-1] == ("f", "g", True)
    starred = candidates(UNITS, updated={"b": 5.0}, stars={"e": 1, "c": 0})
    assert [kept for _, kept, _ in rows(starred)] == ["e", "e", "e", "f"]


def test_no_units_and_no_signatures() -> None:
    assert rows(candidates({})) == []
    assert rows(candidates({"a": (1, []), "b": (2, [])})) == []


def chain(seed: int) -> dict[str, tuple[Any, range | list[int]]]:
    """Families whose members are near their neighbours; strangers between."""
    random_ = random.Random(seed)
    units: dict[str, tuple[Any, range | list[int]]] = {}
    for family in range(10):
        start = family * 100_000
        for member in range(random_.randrange(1, 7)):
            first = start + member * random_.choice([20, 300, 900])
            name = f"{random_.randrange(10**9):09d}"
            units[name] = (name, range(first, first + 3000))
    return units


@pytest.mark.parametrize("seed", range(8))
def test_groups_are_those_of_all_pairs(seed: int) -> None:
    """Brute force over every pair; pairs so near the threshold that bands may miss them, aside."""
    made = candidates(chain(seed))
    signatures = made.signatures.rows(np.arange(len(made.names)))
    parent = {name: name for name in made.names}

    def root(name: str) -> str:
        return name if parent[name] == name else root(parent[name])

    doubtful = False
    for (one, left), (other, right) in itertools.combinations(
        zip(made.names, signatures, strict=True), 2
    ):
        near = similarity(left, right)
        doubtful |= 0.7 <= near < 0.75
        if near >= 0.7:
            low, high = sorted((root(one), root(other)))
            parent[high] = low
    wanted = sorted((n, root(n), False) for n in made.names if root(n) != n)
    if not doubtful:
        assert rows(made) == wanted
    else:
        assert {n for n, _, _ in rows(made)} <= {n for n, _, _ in wanted}


def random_signatures(count: int, seed: int = 0) -> np.ndarray:
    """Of sets that share nothing: 7 bits a bin, none borrowed."""
    return np.random.default_rng(seed).integers(0, 128, (count, 1024), dtype=np.uint8)


def test_more_than_a_few_that_share_every_id() -> None:
    """Pairs near each other are found among many that a band cannot tell apart."""
    count = 3 * SMALL
    parts = random_signatures(count)
    parts[:, : band_rows(1024, 0.7)] = 5
    parts[-1] = parts[0]  # far apart in the bucket, and all but its first band shared by no other
    signatures = Signatures([parts])
    groups, pairs = find_groups(signatures, np.arange(count), 0.7)
    roots = groups.roots(np.arange(count))
    assert roots[-1] == roots[0]
    assert len(set(roots.tolist())) == count - 1
    assert len(pairs.left) < count * count


def test_a_pair_is_listed_once_and_far_ones_up_to_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = random_signatures(40)
    parts[:, 512:] = parts[0, 512:]  # half of the bins agree: compared in many bands, never near
    parts[-1] = parts[0]
    signatures = Signatures([parts[:7], parts[7:]])
    _, pairs = find_groups(signatures, np.arange(40), 0.7)
    listed = list(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))
    assert listed == sorted(set(listed))
    assert all(left < right for left, right in listed)
    assert len(listed) > 39
    again = signatures.similarity(pairs.left, pairs.right)
    assert np.array_equal(again, pairs.similarity)
    monkeypatch.setattr(find, "MOST_FAR", 10)
    groups, fewer = find_groups(signatures, np.arange(40), 0.7)
    assert (fewer.similarity < 0.7).sum() <= 10
    assert (fewer.similarity >= 0.7).sum() == 1
    assert len(set(groups.roots(np.arange(40)).tolist())) == 39


def test_only_the_chosen_are_compared() -> None:
    parts = np.tile(random_signatures(1), (9, 1))
    groups, _ = find_groups(Signatures([parts[:4], parts[:0], parts[4:]]), np.array([1, 4, 8]), 0.7)
    roots = groups.roots(np.arange(9))
    assert len({int(roots[n]) for n in (1, 4, 8)}) == 1
    assert len(set(roots.tolist())) == 7


@pytest.mark.parametrize("order", ["rising", "falling", "shuffled"])
def test_long_chains_are_one_group_in_any_order(order: str) -> None:
    """A path as long as the chain would take minutes."""
    count = 100_000
    left = np.arange(count - 1)
    if order == "falling":
        left = left[::-1]
    elif order == "shuffled":
        left = np.random.default_rng(0).permutation(left)
    groups = Groups(count)
    groups.join(left, left + 1)
    steps, at = 0, int(count - 1)
    while groups._parent[at] != at:
        steps, at = steps + 1, int(groups._parent[at])
    assert steps <= 17
    assert len(set(groups.roots(np.arange(count)).tolist())) == 1


def test_many_identical_and_many_that_share_a_band() -> None:
    """Worst cases: what one band brings together is never compared all with all."""
    same = np.tile(random_signatures(1), (20_000, 1))
    groups, pairs = find_groups(Signatures([same]), np.arange(len(same)), 0.7)
    assert len(set(groups.roots(np.arange(len(same))).tolist())) == 1
    assert len(pairs.left) == len(same) - 1
    apart = random_signatures(5_000)
    apart[:, : band_rows(1024, 0.7)] = 5
    groups, pairs = find_groups(Signatures([apart]), np.arange(len(apart)), 0.7)
    assert len(set(groups.roots(np.arange(len(apart))).tolist())) == len(apart)
    assert len(pairs.left) <= (SMALL + find.ROUNDS) * len(apart)


@pytest.mark.parametrize("size", [100, 600, 3000])  # bins: most borrowed, some, none
def test_bands_meet_at_the_threshold(size: int) -> None:
    rows = band_rows(1024, 0.7)
    assert 1 - (1 - 0.7**rows) ** (1024 // rows) >= 0.99
    assert 1 - (1 - 0.7 ** (rows + 1)) ** (1024 // (rows + 1)) < 0.99
    shared = round(2 * size * 0.72 / 1.72)
    pairs = 200
    made = [
        signature_of(range(start, start + size))
        for pair in range(pairs)
        for start in (pair * 10_000, pair * 10_000 + size - shared)
    ]
    signatures = Signatures([np.array(made)])
    bands = 1024 // rows
    ids = signatures.bands(0, bands, rows, np.arange(2 * pairs)).reshape(bands, pairs, 2)
    met = (ids[:, :, 0] == ids[:, :, 1]).any(axis=0)
    assert met.sum() >= 194
    few = signatures.bands(3, 2, rows, np.array([5, 7]))
    assert np.array_equal(few, ids.reshape(bands, -1)[3:5][:, [5, 7]])
