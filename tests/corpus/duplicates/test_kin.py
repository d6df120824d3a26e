"""Kinship by files against a plain count over sets, and what the kinds are called."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict

import numpy as np
import pyarrow as arrow
import pytest

from codekiln.corpus.duplicates import kin as module
from codekiln.corpus.duplicates.decide import Candidates, Duplicates
from codekiln.corpus.duplicates.find import Pairs, Signatures
from codekiln.corpus.duplicates.kin import (
    COMMON,
    Holdings,
    Kin,
    kin,
    kinds,
    project,
    relations,
)

Repositories = dict[str, dict[int, int]]  # name -> digest -> bytes


def kin_of(repositories: Repositories) -> Kin:
    rows = [
        (digest, number, size)
        for number, files in enumerate(repositories.values())
        for digest, size in files.items()
    ]
    random.Random(0).shuffle(rows)
    digests, numbers, sizes = (list(column) for column in zip(*rows, strict=True))
    return kin(
        np.array(digests, np.uint64),
        np.array(numbers, np.int32),
        np.array(sizes, np.int64),
        len(repositories),
    )


def files(start: int, count: int, size: int = 100) -> dict[int, int]:
    return dict.fromkeys(range(start, start + count), size)


@pytest.mark.parametrize("seed", range(6))
def test_shared_bytes_are_those_of_the_sets(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMON", 5)
    monkeypatch.setattr(module, "MERGE", 7)
    random_ = random.Random(seed)
    size = {digest: random_.randrange(1, 10**6) for digest in range(60)}
    rows = [(random_.randrange(60), random_.randrange(12)) for _ in range(250)]  # some repeat
    found = kin(
        np.array([digest for digest, _ in rows], np.uint64),
        np.array([number for _, number in rows], np.int32),
        np.array([size[digest] for digest, _ in rows], np.int64),
        12,
    )
    holders = defaultdict(set)
    for digest, number in rows:
        holders[digest].add(number)
    shared: Counter[tuple[int, int]] = Counter()
    own, common = [0] * 12, [0] * 12
    for digest, numbers in holders.items():
        for number in numbers:
            (own if len(numbers) <= 5 else common)[number] += size[digest]
        if len(numbers) <= 5:
            for pair in itertools.combinations(sorted(numbers), 2):
                shared[pair] += size[digest]
    assert any(common)
    got = zip(found.left.tolist(), found.right.tolist(), found.shared.tolist(), strict=True)
    assert {(left, right): both for left, right, both in got} == dict(shared)
    assert (found.own.tolist(), found.common.tolist()) == (own, common)
    for one, other in itertools.permutations(range(12), 2):
        both = shared[min(one, other), max(one, other)]
        wanted = both / max(own[one], 1), both / max(own[other], 1)
        assert found.between(one, other) == wanted


REPOSITORIES: Repositories = {
    "app": files(0, 40) | files(100, 9),  # holds nearly all of tool
    "big": files(1000, 60) | files(100, 4),
    "fork-of-app": files(0, 30) | files(500, 9),
    "lib-1.2.0": files(2000, 10),
    "lib-1.3.0rc1": files(2002, 10),
    "strange": files(3000, 5),
    "tool": files(100, 10),
}


def test_forks_versions_and_vendored_copies_are_named() -> None:
    rows = [
        (r.name, r.other, r.kind, round(r.share, 2), r.others)
        for r in relations(kin_of(REPOSITORIES), list(REPOSITORIES))
    ]
    assert rows == [
        ("fork-of-app", "app", "fork", 0.77, 0),
        ("lib-1.3.0rc1", "lib-1.2.0", "version", 0.8, 0),
        ("tool", "app", "vendored", 0.9, 0),
    ]


def test_what_stands_nearly_everywhere_is_no_kinship() -> None:
    licence = {7: 10_000}
    many: Repositories = {f"r{n:03d}": {10 + n: 500, **licence, 5: 9} for n in range(COMMON + 1)}
    found = kin_of(many)
    assert len(found.left) == 0
    assert {row.kind for row in relations(found, list(many))} == {"widespread"}
    fewer = dict(itertools.islice(many.items(), COMMON))
    assert len(kin_of(fewer).left) == COMMON * (COMMON - 1) // 2


def test_holdings_are_collected_batch_by_batch() -> None:
    def batch(rows: list[tuple[int, int, int, str | None]]) -> arrow.Table:
        return arrow.table(
            {
                "repository": arrow.array([row[0] for row in rows], arrow.int32()),
                "digest": arrow.array(
                    [None if row[3] else bytes([row[1]]) * 16 for row in rows], arrow.binary(16)
                ),
                "bytes": arrow.array([row[2] for row in rows], arrow.int64()),
                "reason": arrow.array([row[3] for row in rows], arrow.string()),
            }
        )

    holdings = Holdings()
    holdings.add(0, batch([(0, 9, 9, "binary"), (0, 1, 50, None), (1, 2, 70, None)]))
    holdings.add(2, batch([(0, 1, 50, None), (1, 9, 9, "binary"), (1, 2, 70, None)]).slice(0))
    holdings.add(4, batch([]))
    found = holdings.kin(4)
    assert list(zip(found.left, found.right, found.shared, strict=True)) == [(0, 2, 50), (1, 3, 70)]
    assert found.own.tolist() == [50, 70, 50, 70]
    assert len(Holdings().kin(0).left) == 0


def test_what_kind_of_copy_a_dropped_unit_is() -> None:
    names = [*REPOSITORIES, "plain"]
    units = [*names, "tool/a", "app/a", "big/a", "big/b", "fork-of-app/a", "strange#2"]
    names.append("strange#2")
    owners = [*range(8), 6, 0, 1, 1, 2, 8]
    at = {unit: number for number, unit in enumerate(units)}
    cases = [
        ("lib-1.3.0rc1", "lib-1.2.0", False, "version"),
        ("fork-of-app", "app", False, "fork"),
        ("plain", "app", False, "near-duplicate"),
        ("plain", "app", True, "exact copy"),
        ("strange#2", "strange", False, "version"),
        ("tool/a", "app/a", True, "vendored"),
        ("tool/a", "strange", False, "near-duplicate"),
        ("big/a", "big/b", True, "repeated"),
        ("fork-of-app/a", "app/a", True, "fork"),
    ]
    candidates = Candidates(
        names=units,
        digests=np.zeros(len(units), "V16"),
        signed=np.ones(len(units), np.bool_),
        stars=np.zeros(len(units), np.int64),
        updated=np.zeros(len(units)),
        signatures=Signatures([]),
    )
    none = np.empty(0, np.int64)
    found = Duplicates(
        dropped=np.array([at[dropped] for dropped, *_ in cases]),
        kept=np.array([at[kept] for _, kept, *_ in cases]),
        similarity=np.ones(len(cases), np.float32),
        exact=np.array([exact for _, _, exact, _ in cases]),
        compared=Pairs(left=none, right=none, similarity=np.empty(0, np.float32)),
    )
    known = kin_of(REPOSITORIES | {"plain": files(9000, 3), "strange#2": files(9500, 3)})
    got = kinds(found, candidates, np.array(owners), names, known)
    assert got == [kind for *_, kind in cases]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("ajv-8.20.0", "ajv"),
        ("boost1.81_1.81.0.orig", "boost"),
        ("Tool-v2", "tool"),
        ("lib_1.0rc1", "lib"),
        ("strange#2", "strange"),
        ("core-21.2.26-beta.3", "core"),
        ("plain", "plain"),
        ("7", "7"),
    ],
)
def test_versions_are_left_out_of_names(name: str, wanted: str) -> None:
    assert project(name) == wanted
