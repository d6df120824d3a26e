"""The mixture: exact within a document, blind to order and batches, nested as rates change."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.mixture.mix import Columns, Mixture, id_keys, mix
from codekiln.corpus.mixture.settings import PRESETS, MixtureSettings
from codekiln.errors import UserError

COMPONENTS = ("code", "english", "chinese")
LANGUAGES = ("c", "python")

Row = tuple[str, str, int, int]  # component, language ("" none), size, key


def columns(rows: list[Row]) -> Columns:
    return Columns(
        component=np.array([COMPONENTS.index(row[0]) for row in rows], np.int64),
        language=np.array([LANGUAGES.index(r[1]) if r[1] else -1 for r in rows], np.int64),
        size=np.array([row[2] for row in rows], np.int64),
        key=np.array([row[3] for row in rows], np.uint64),
        components=COMPONENTS,
        languages=LANGUAGES,
    )


def copies(rows: list[Row], **keys: object) -> list[int]:
    return mix(columns(rows), MixtureSettings(**keys)).copies.tolist()


@st.composite
def corpora(draw: st.DrawFn) -> list[Row]:
    sizes = st.integers(1, 1000) | st.integers(1, 5)
    rows = []
    for component in COMPONENTS:  # at least one of each
        for _ in range(draw(st.integers(1, 25))):
            language = draw(st.sampled_from(LANGUAGES)) if component == "code" else ""
            rows.append((component, language, draw(sizes)))
    keys = draw(
        st.lists(st.integers(0, 2**64 - 1), min_size=len(rows), max_size=len(rows), unique=True)
    )
    return [(*row, key) for row, key in zip(rows, keys, strict=True)]


SHARES = st.fixed_dictionaries({name: st.integers(1, 20) for name in COMPONENTS})


def totals(rows: list[Row], times: list[int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for row, count in zip(rows, times, strict=True):
        found[row[0]] += row[2] * count
    return found


def brute_rates(
    supply: dict[str, int], shares: dict[str, int], repeats: int
) -> dict[str, Fraction]:
    """What each component's rate should be, by trying every component as the one that limits."""
    total_share = sum(shares.values())
    wanted = {name: Fraction(share, total_share) for name, share in shares.items()}
    largest = max(wanted, key=lambda name: (wanted[name], name))
    best = None
    for limit, share in wanted.items():
        most = 1 if limit == largest else repeats
        total = Fraction(supply[limit] * most) / share
        rates = {name: wanted[name] * total / supply[name] for name in wanted}
        allowed = all(rate <= (1 if n == largest else repeats) for n, rate in rates.items())
        if allowed and (best is None or total > best[0]):
            best = total, rates
    assert best is not None
    return best[1]


@settings(max_examples=300, deadline=None)
@given(corpora(), SHARES, st.integers(1, 6))
def test_shares_are_reached_within_one_document(
    rows: list[Row], shares: dict[str, int], repeats: int
) -> None:
    times = copies(rows, shares=shares, max_repeats=repeats)
    supply = totals(rows, [1] * len(rows))
    rates = brute_rates(supply, shares, repeats)
    reached = totals(rows, times)
    for name in COMPONENTS:
        wanted = rates[name] * supply[name]
        largest = max(row[2] for row in rows if row[0] == name)
        assert wanted - largest <= reached[name] <= wanted + 1  # bytes are whole numbers
        counts = {t for row, t in zip(rows, times, strict=True) if row[0] == name}
        assert max(counts) - min(counts) <= 1
        assert max(counts) <= max(int(rates[name]) + 1, 1)


@settings(max_examples=150, deadline=None)
@given(corpora(), SHARES, st.integers(0, 3000), st.randoms(use_true_random=False))
def test_order_does_not_matter(rows, shares, cap, random) -> None:
    keys = {"shares": shares, "language_cap_bytes": cap, "long_document_bytes": 50}
    try:
        first = copies(rows, long_repeats=3, **keys)
    except UserError:
        return
    by_key = dict(zip((row[3] for row in rows), first, strict=True))
    shuffled = rows.copy()
    random.shuffle(shuffled)
    assert copies(shuffled, long_repeats=3, **keys) == [by_key[row[3]] for row in shuffled]


@settings(max_examples=150, deadline=None)
@given(corpora(), st.integers(1, 4000), st.integers(0, 4000))
def test_caps_hold_exactly_and_are_nested(rows: list[Row], cap: int, more: int) -> None:
    small, large = (
        copies(rows, language_cap_bytes=cap),
        copies(rows, language_cap_bytes=cap + more),
    )
    assert all(one <= other for one, other in zip(small, large, strict=True))
    for language in LANGUAGES:
        mine = [(r, t) for r, t in zip(rows, small, strict=True) if r[1] == language]
        total = sum(row[2] for row, _ in mine)
        kept = sum(row[2] * count for row, count in mine)
        if total <= cap:
            assert kept == total
        else:
            assert cap - max(row[2] for row, _ in mine) < kept <= cap
    assert all(t == 1 for r, t in zip(rows, small, strict=True) if r[0] != "code")


@settings(max_examples=150, deadline=None)
@given(corpora(), SHARES, st.integers(1, 1000), st.integers(0, 2**64 - 1))
def test_another_document_changes_how_many_go_in_but_not_which_first(
    rows: list[Row], shares: dict[str, int], size: int, key: int
) -> None:
    if key in {row[3] for row in rows}:
        return
    before = copies(rows, shares=shares)
    after = copies([*rows, ("english", "", size, key)], shares=shares)[:-1]
    for name in COMPONENTS:
        pairs = [
            pair
            for row, pair in zip(rows, zip(before, after, strict=True), strict=True)
            if row[0] == name
        ]
        changes = {new - old for old, new in pairs}
        # all that change do so in one direction: what goes in is always a prefix of one order
        assert not (min(changes) < 0 < max(changes))


def test_two_components_as_one_document_a_side() -> None:
    rows = [("code", "c", 80, 1), ("english", "", 40, 2), ("chinese", "", 1, 3)]
    mixed = mix(columns(rows), MixtureSettings(shares={"code": 0.8, "english": 0.2}))
    assert mixed.copies.tolist() == [1, 0, 0]  # 20 of 40 bytes are wanted: half a document
    assert mixed.unwanted == {"chinese": 1}
    assert mixed.limited_by == ""


def test_scarce_components_are_repeated_and_then_limit() -> None:
    rows = [("code", "c", 10, n) for n in range(100)]
    rows += [("english", "", 10, 1000 + n) for n in range(5)]
    mixed = mix(columns(rows), MixtureSettings(shares={"code": 8, "english": 2}, max_repeats=10))
    english = mixed.copies[100:]
    assert sum(english) == 25  # 250 of 1,000 bytes of code's fourth part
    assert set(english.tolist()) == {5}
    assert mixed.limited_by == ""
    mixed = mix(columns(rows), MixtureSettings(shares={"code": 8, "english": 2}, max_repeats=2))
    assert set(mixed.copies[100:].tolist()) == {2}
    assert mixed.copies[:100].sum() == 40  # four times 100 bytes
    assert mixed.limited_by == "english"
    facts = {facts.name: facts for facts in mixed.components}
    assert facts["english"].reached == pytest.approx(0.2)
    assert facts["english"].repeats == 2
    assert facts["code"].repeats == pytest.approx(0.4)


def test_long_documents_are_repeated_before_caps_and_shares() -> None:
    rows = [("code", "c", 100, 5), ("code", "c", 10, 6), ("english", "", 100, 7)]
    assert copies(rows, long_document_bytes=100, long_repeats=3) == [3, 1, 3]
    settings = MixtureSettings(long_document_bytes=100, long_repeats=3, language_cap_bytes=310)
    mixed = mix(columns(rows), settings)
    assert mixed.caps == ()
    mixed = mix(columns(rows), settings.model_copy(update={"language_cap_bytes": 300}))
    assert mixed.caps[0].bytes == 310
    assert mixed.caps[0].kept_bytes in (10, 300)


def test_caps_do_not_favour_a_language_among_the_shares() -> None:
    """With one hash for both, what a cap left would be all below the threshold of the shares."""
    keys = id_keys(f"document {n}" for n in range(40_000))
    rows = [("code", "c" if n % 2 else "python", 10, int(key)) for n, key in enumerate(keys)]
    rows.append(("english", "", 1000, 1))
    mixed = mix(
        columns(rows),
        MixtureSettings(
            shares={"code": 1, "english": 0.04}, max_repeats=4, language_caps={"c": 50_000}
        ),
    )
    kept = mixed.copies[:-1] > 0
    c = np.arange(40_000) % 2 == 1
    share = (kept & c).sum() / kept.sum()
    assert share == pytest.approx(0.2, abs=0.02)  # 50 of 250 kilobytes, as before the shares


def test_nothing_is_changed_without_settings() -> None:
    rows = [("code", "c", 7, 1), ("english", "", 3, 2)]
    assert copies(rows) == [1, 1]
    assert not MixtureSettings().active
    mixed = mix(columns([]), MixtureSettings())
    assert mixed.copies.tolist() == []


def test_presets_count_kinds_for_their_components() -> None:
    rows = [("code", "c", 60, 1), ("english", "", 60, 2), ("chinese", "", 60, 3)]
    with pytest.raises(UserError, match="no documents of component 'math'"):
        copies(rows, preset="deepseek-coder-v2")
    mixed = mix(
        columns(rows), MixtureSettings(preset="deepseek-coder-v2", count_as={"chinese": "math"})
    )
    assert {facts.name: facts.wanted for facts in mixed.components} == {
        "code": 0.6,
        "math": 0.1,
        "natural-language": 0.3,
    }


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_add_up(name: str) -> None:
    shares = MixtureSettings(preset=name).wanted()
    assert sum(shares.values()) == pytest.approx(1) if name != "none" else shares == {}


def test_documents_with_equal_keys_go_together() -> None:
    rows = [("english", "", 10, 7)] * 3 + [("code", "c", 100, n) for n in range(9)]
    times = copies(rows, shares={"code": 0.98, "english": 0.02})
    assert times[:3] == [0, 0, 0]


def test_keys_are_the_hash_of_the_id() -> None:
    assert id_keys(["a", "b"]).tolist() == id_keys(["a"]).tolist() + id_keys(["b"]).tolist()
    assert len(set(id_keys(map(str, range(1000))).tolist())) == 1000
    assert id_keys([]).dtype == np.uint64


def test_types_and_bounds() -> None:
    mixed: Mixture = mix(columns([("code", "c", 1, 1)]), MixtureSettings())
    assert mixed.copies.dtype == np.int16
    for keys in (
        {"shares": {"code": -1}},
        {"shares": {"code": 0}},
        {"shares": {"code": float("nan")}},
        {"long_repeats": 2},
        {"language_caps": {"c": -1}},
        {"max_repeats": 0.5},
    ):
        with pytest.raises(ValueError, match="MixtureSettings"):
            MixtureSettings(**keys)


def test_caps_concern_code_alone() -> None:
    rows = [("code", "c", 100, 1), ("code", "c", 100, 2), ("english", "c", 500, 3)]
    mixed = mix(columns(rows), MixtureSettings(language_caps={"c": 100}))
    assert sorted(mixed.copies[:2].tolist()) == [0, 1]
    assert mixed.copies[2] == 1
    assert [facts.language for facts in mixed.caps] == ["c"]
    assert (
        mix(columns(rows), MixtureSettings(language_cap_bytes=1, language_caps={"c": 0})).caps == ()
    )
