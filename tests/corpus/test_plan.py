"""The plan: unique names, stable batches, what is held out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.corpus.plan import Plan, Source, chance, held_out, make_plan
from codekiln.corpus.settings import CorpusSettings
from codekiln.errors import RecipeError, SourceError

names = st.dictionaries(st.text("abc", min_size=1, max_size=4), st.text("xyz", max_size=2))


@given(names, st.floats(0, 0.999), st.integers(0, 2**32 - 1))
def test_both_sides_have_a_family(families: dict[str, str], rate: float, seed: int) -> None:
    apart = held_out(families, rate, seed)
    assert apart <= set(families)
    if rate == 0 or len(set(families.values())) < 2:
        assert not apart
    else:
        assert 0 < len({families[n] for n in apart}) < len(set(families.values()))
    # a family is never split
    assert not {families[n] for n in apart} & {families[n] for n in set(families) - apart}


def test_the_rate_is_kept_and_newcomers_move_nobody() -> None:
    families = {f"repo{n}": f"repo{n}" for n in range(4000)}
    apart = held_out(families, 0.05, 7)
    assert 0.038 < len(apart) / 4000 < 0.062  # four standard deviations
    more = families | {f"new{n}": f"new{n}" for n in range(100)}
    assert held_out(more, 0.05, 7) & set(families) == apart
    assert held_out(families, 0.05, 8) != apart
    assert all(0 <= chance(0, name) < 1 for name in families)


def make(folder: Path, *paths: str) -> list[str]:
    for path in paths:
        file = folder / path / "a.py"
        file.parent.mkdir(parents=True)
        file.write_text(f"path = {path!r}\n")
    return [str(folder / path) for path in paths]


def test_namesakes_get_numbers_and_one_family(tmp_path: Path) -> None:
    places = make(tmp_path, "x/core", "y/core", "x/app")
    plan = make_plan(CorpusSettings(repositories=places), tmp_path)
    assert [(s.name, s.family) for s in plan.sources] == [
        ("app", "app"),
        ("core", "core"),
        ("core#2", "core"),
    ]


def test_a_changed_repository_changes_its_own_batch_only(tmp_path: Path) -> None:
    settings = CorpusSettings(repositories=[str(tmp_path / "*")])
    make(tmp_path, "a", "b", "c")
    before = make_plan(settings, tmp_path).batches()
    (tmp_path / "b" / "a.py").write_text("changed = True\n")
    after = make_plan(settings, tmp_path).batches()
    assert len(before) == len(after) == 3
    assert len(set(before) & set(after)) == 2


def test_batches_hold_every_source_once_in_order() -> None:
    for count in (1, 63, 64, 65, 200, 5000):
        sources = tuple(
            Source(location=f"/{n}", name=f"{n:05d}", family="f", revision=str(n))
            for n in range(count)
        )
        batches = Plan(sources=sources, failures=()).batches()
        assert [s for part in batches.values() for s in part] == list(sources)
        assert max(map(len, batches.values())) <= 64
        assert len(batches) >= min(count, 64)


def test_failures_are_named_and_all_failing_is_an_error(tmp_path: Path) -> None:
    (good,) = make(tmp_path, "good")
    (tmp_path / "hollow").mkdir()
    plan = make_plan(CorpusSettings(repositories=[good, str(tmp_path / "hollow")]), tmp_path)
    assert [s.name for s in plan.sources] == ["good"]
    assert "hollow" in plan.failures[0].problem
    with pytest.raises(SourceError, match=r"^.*hollow: an empty folder"):
        make_plan(CorpusSettings(repositories=[str(tmp_path / "hollow")]), tmp_path)
    with pytest.raises(RecipeError, match="empty"):
        make_plan(CorpusSettings(), tmp_path)
    with pytest.raises(SourceError, match="matches nothing"):
        make_plan(CorpusSettings(repositories=[str(tmp_path / "absent*")]), tmp_path)


def test_all_failing_shows_the_first_line_of_each(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with pytest.raises(SourceError) as caught:
        make_plan(CorpusSettings(repositories=[str(tmp_path / "*")]), tmp_path)
    one, two = (f"{tmp_path / name}: an empty folder" for name in ("one", "two"))
    assert caught.value.got == f"none of 2 can be read: {one}; {two}"


def test_forks_are_of_one_family(tmp_path: Path) -> None:
    places = make(tmp_path, "one", "two", "three")
    side = tmp_path / "side.jsonl"
    side.write_text('{"name": "two", "fork_of": "one"}\n{"name": "three", "stars": 4}\n')
    plan = make_plan(CorpusSettings(repositories=places, metadata_file=str(side)), tmp_path)
    assert {s.name: s.family for s in plan.sources} == {
        "one": "one",
        "two": "one",
        "three": "three",
    }
    assert {s.name: s.metadata.stars for s in plan.sources}["three"] == 4
