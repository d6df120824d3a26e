"""Near-duplicates against exact Jaccard similarities and against datasketch's decisions."""

from __future__ import annotations

import random

import numpy as np
import pytest

from codekiln.corpus.duplicates.grams import mix, words
from codekiln.corpus.duplicates.sketch import (
    EMPTY,
    Sketch,
    Sketches,
    _rounds,
    densify,
    similarity,
)


def hashes(numbers: range | list[int]) -> np.ndarray:
    return mix(np.array(list(numbers), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def signature_of(numbers: range | list[int], bins: int = 1024) -> np.ndarray:
    sketch = Sketch(bins)
    sketch.add_hashes(hashes(numbers))
    signature = sketch.signature()
    assert signature is not None
    return signature


def text_signature(text: str) -> np.ndarray:
    sketch = Sketch()
    sketch.add(words([text.encode()]))
    signature = sketch.signature()
    assert signature is not None
    return signature


def pair(size: int, jaccard: float, start: int) -> tuple[range, range, float]:
    shared = round(2 * size * jaccard / (1 + jaccard))
    left, right = (
        range(start, start + size),
        range(start + size - shared, start + 2 * size - shared),
    )
    return left, right, shared / (2 * size - shared)


# sizes below, near and far above the 1024 bins: nearly exact, half-empty and full signatures
@pytest.mark.parametrize("size", [20, 100, 700, 2000, 20_000])
@pytest.mark.parametrize("jaccard", [0.0, 0.3, 0.7, 0.9, 1.0])
def test_the_estimate_is_the_exact_jaccard_on_average(size: int, jaccard: float) -> None:
    rounds = 100
    estimates, exact = [], 0.0
    for round_ in range(rounds):
        left, right, exact = pair(size, jaccard, round_ * 100_000)
        estimates.append(float(similarity(signature_of(left), signature_of(right))))
    # a bin's spread is that of a coin, and of what agrees by chance; but sets of few are compared
    # whole, where no two of their members share a bin
    union = size * 2 / (1 + exact)
    bins = 1024 * (1 - (1 - 1 / 1024) ** union)
    crowded = 1 - bins / union
    spread = ((exact * (1 - exact) * crowded + (1 - exact) / 127) / bins) ** 0.5
    # no estimate is below 0, which lifts those of sets that share nothing
    lifted = spread / 2 if jaccard == 0 else 0
    assert abs(np.mean(estimates) - exact) <= lifted + 4 * spread / rounds**0.5 + 1e-6
    assert np.std(estimates) <= 1.5 * spread + 1e-6


def test_equal_sets_are_equal_and_others_are_not() -> None:
    for size in (1, 2, 30, 1000, 5000):
        one = signature_of(range(size))
        assert similarity(one, one) == 1.0
        assert similarity(one, signature_of(range(10**6, 10**6 + size))) < 0.15


@pytest.mark.parametrize("bins", [16, 64, 1024])
@pytest.mark.parametrize("full", [1, 2, 7, 15, 16])
def test_borrowed_bins_come_from_the_first_full_one_of_a_fixed_order(bins: int, full: int) -> None:
    """By the definition, bin by bin; the orders are read off signatures of single bins."""
    smallest = np.full(bins, EMPTY)
    own = random.Random(full).sample(range(bins), full)
    smallest[own] = [n * 97_003 + 5 for n in range(full)]
    made = densify(smallest)
    assert made is not None
    alone = {}
    for bin_ in own:
        one = np.full(bins, EMPTY)
        one[bin_] = smallest[bin_]
        lone = densify(one)
        assert lone is not None
        alone[bin_] = int(lone[bin_])
        assert set(lone.tolist()) <= {alone[bin_], alone[bin_] | 0x80}
    assert {b: int(made[b]) for b in own} == alone
    place, at, offsets = _rounds(bins)
    assert sorted(offsets.tolist()) == list(range(1, bins))
    for bin_ in set(range(bins)) - set(own):
        order = at[place[bin_] ^ offsets]
        lender = next(int(other) for other in order if other in alone)
        assert made[bin_] == alone[lender] | 0x80


def test_blocks_and_repeats_do_not_matter() -> None:
    text = " ".join(f"w{i % 900}" for i in range(5000))
    once, twice = Sketch(), Sketch()
    once.add(words([text.encode()]))
    twice.add(words([text.encode(), text.encode()]))
    twice.add(words([text.encode()]))
    assert np.array_equal(once.signature(), twice.signature())


def test_shingles_of_dropped_texts_are_left_out() -> None:
    kept, dropped = b"one two three four five six", b"a b c d e f g h"
    with_drop, alone = Sketch(), Sketch()
    with_drop.add(words([dropped, kept]), drop=[0])
    alone.add(words([kept]))
    assert np.array_equal(with_drop.signature(), alone.signature())


def test_nothing_to_compare() -> None:
    sketch = Sketch()
    sketch.add(words([b"too few words"]))
    assert sketch.signature() is None


def test_files_join_to_the_signature_of_all() -> None:
    texts = [" ".join(f"w{n * k % 97}" for n in range(60)).encode() for k in range(1, 9)]
    each = Sketches(64, 5, each=True)
    each.add(["a", "b", "c"], words(texts[:3]))
    each.add(["d", "e", "f", "g", "h"], words(texts[3:]), drop=[1])
    alone, whole = Sketch(64), Sketch(64)
    alone.add(words([texts[1]]))
    whole.add(words([*texts[:4], *texts[5:]]))
    assert np.array_equal(each.signature(["b"]), alone.signature())
    assert np.array_equal(each.signature("abcdefgh"), whole.signature())
    assert each.signature(["e"]) is None
    assert each.signature([]) is None


def variants(seed: int) -> dict[str, list[str]]:
    """Families of token lists; each member of a family changes a share of the words."""
    random_ = random.Random(seed)
    texts = {}
    for family in range(12):
        base = [f"f{family}w{random_.randrange(3000)}" for _ in range(2000)]
        for member, changed in enumerate((0.0, 0.01, 0.02, 0.2, 0.6)):
            parts = [w if random_.random() >= changed else f"x{random_.random()}" for w in base]
            texts[f"{family:02d}-{member}"] = parts
    return texts


def test_decisions_are_datasketchs_and_the_exact_ones() -> None:
    datasketch = pytest.importorskip("datasketch")
    texts = variants(1)
    shingles = {n: {tuple(t[i : i + 5]) for i in range(len(t) - 4)} for n, t in texts.items()}
    ours = {n: text_signature(" ".join(t)) for n, t in texts.items()}
    theirs = {}
    for name, gram_set in shingles.items():
        theirs[name] = datasketch.MinHash(num_perm=256)
        theirs[name].update_batch([" ".join(g).encode() for g in gram_set])
    names = sorted(texts)
    decided, agreed_with_exact, agreed_with_peer = 0, 0, 0
    for index, left in enumerate(names):
        for right in names[:index]:
            union = shingles[left] | shingles[right]
            exact = len(shingles[left] & shingles[right]) / len(union)
            estimate = float(similarity(ours[left], ours[right]))
            assert abs(estimate - exact) < 0.075
            if abs(exact - 0.7) < 0.1:
                continue  # too near the threshold for the estimate of 256 values
            decided += 1
            agreed_with_exact += (estimate >= 0.7) == (exact >= 0.7)
            agreed_with_peer += (estimate >= 0.7) == (theirs[left].jaccard(theirs[right]) >= 0.7)
    assert decided > 1500
    assert agreed_with_exact == agreed_with_peer == decided
