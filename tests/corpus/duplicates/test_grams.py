"""Grams against their definition, word by word."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.duplicates.grams import (
    BLOCK_BYTES,
    blocks,
    grams,
    grams_at,
    plain_gram,
    plain_words,
    words,
)

code = st.text(alphabet="aAbB_9é漢 \n\t(.=)\"'\x00", max_size=120)
long_words = st.integers(0, 200).map(lambda n: "x" * n + " Y" + "z" * (n % 17))


def definition(texts: list[str], n: int) -> list[int]:
    result = []
    for text in texts:
        parts = plain_words(text.encode())
        result += [plain_gram(parts[i : i + n]) for i in range(len(parts) - n + 1)]
    return result


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(code, long_words), max_size=6), st.integers(1, 12))
def test_grams_equal_the_definition(texts: list[str], n: int) -> None:
    values, first = grams(words([t.encode() for t in texts]), n)
    assert values.tolist() == definition(texts, n)
    assert len(first) == len(values)


@settings(max_examples=100, deadline=None)
@given(st.lists(code, max_size=6), st.integers(1, 9), st.integers(1, 4))
def test_grams_at_some_words_are_those_grams(texts: list[str], n: int, step: int) -> None:
    found = words([t.encode() for t in texts])
    values, first = grams(found, n)
    wanted = {int(f): int(v) for v, f in zip(values, first, strict=True) if f % step == 0}
    some, at = grams_at(found, np.arange(0, len(found.hashes), step), n)
    assert dict(zip(at.tolist(), some.tolist(), strict=True)) == wanted


@settings(max_examples=100, deadline=None)
@given(st.lists(code, max_size=6))
def test_places_give_back_the_words(texts: list[str]) -> None:
    encoded = [t.encode() for t in texts]
    found = words(encoded)
    joined = b"\0" + b"\0".join(encoded)
    got = [joined[s:e].lower() for s, e in zip(found.starts, found.ends, strict=True)]
    assert got == [w for t in encoded for w in plain_words(t)]
    counts = [len(plain_words(t)) for t in encoded]
    assert np.bincount(found.text, minlength=len(texts)).tolist()[: len(texts)] == counts


def test_layout_and_punctuation_do_not_count_but_words_do() -> None:
    def one(text: str) -> list[int]:
        return grams(words([text.encode()]), 3)[0].tolist()

    assert one("for  x in\n(Y):") == one("FOR x, in y")[:2]
    assert one("a_b c d") != one("a b c d")[:1]
    assert one("naïve café x") != one("naive cafe x")


def test_words_that_differ_in_late_bytes_do_not_cancel_out() -> None:
    # the last byte of two 8-byte words: a sum of unmixed hashes collides once in 256 pairs
    texts = [f"aaaaaaa{chr(97 + i)} bbbbbbb{chr(97 + j)}" for i in range(26) for j in range(26)]
    values, _ = grams(words([t.encode() for t in texts]), 2)
    assert len(set(values.tolist())) == len(texts)


def test_hashes_are_even() -> None:
    text = " ".join(f"name_{i}" for i in range(40_000)).encode()
    values, _ = grams(words([text]), 5)
    for shift in (0, 28, 56):
        counts = np.bincount((values >> np.uint64(shift)).astype(np.uint8), minlength=256)
        # chi-square with 255 degrees of freedom: beyond 370 once in 10^6
        assert ((counts - len(values) / 256) ** 2).sum() / (len(values) / 256) < 370


def test_blocks_change_nothing() -> None:
    texts = [f"word{i} " * (i * 700) + f"end{i}" for i in range(40)] + ["", "x y z"]
    assert sum(map(len, texts)) > 3 * BLOCK_BYTES
    whole = grams(words([t.encode() for t in texts]), 3)[0].tolist()
    pieces, numbers = [], []
    for numbered, found in blocks(t.encode() for t in texts):
        pieces += grams(found, 3)[0].tolist()
        numbers += numbered
    assert pieces == whole
    assert numbers == list(range(len(texts)))
