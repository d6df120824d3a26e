"""Natural language beside code, and the mixture of both: built, resumed, counted."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from codekiln.corpus.build import build
from codekiln.corpus.reports.page import page
from codekiln.corpus.reports.tables import tables
from codekiln.corpus.settings import CorpusSettings
from codekiln.corpus.store import read_documents
from codekiln.corpus.why import why
from codekiln.errors import SourceError, UserError

WORDS = [
    *("the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by"),
    *("on", "not", "he", "his", "but", "at", "are", "this", "have", "from", "or", "had", "an"),
    *("river", "stone", "light", "music", "garden", "winter", "letter", "window", "captain"),
]
LEAK = "one two three four five six seven eight nine ten eleven twelve"


def prose(seed: int) -> str:
    random_ = random.Random(seed)
    sentences = [" ".join(random_.choices(WORDS, k=14)).capitalize() + "." for _ in range(12)]
    return " ".join(sentences)


def han(seed: int) -> str:
    random_ = random.Random(seed)
    clauses = ["".join(chr(random_.randrange(0x4E00, 0x5E00)) for _ in range(9)) for _ in range(30)]
    return "，".join(clauses) + "。"


@pytest.fixture
def places(tmp_path: Path) -> Path:
    for name in ("alpha", "beta", "gamma"):
        place = tmp_path / "sources" / name
        place.mkdir(parents=True)
        for number in range(8):
            lines = [f"def {name}_{number}_{n}(a):\n    return a * {n}\n" for n in range(30)]
            (place / f"m{number}.py").write_text("".join(lines))
    texts = [prose(seed) for seed in range(60)]
    texts += [texts[0], f"{prose(99)} {LEAK}."]
    rows = [{"text": text} for text in texts]
    (tmp_path / "english.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    chinese = [{"text": han(seed)} for seed in range(20)]
    (tmp_path / "chinese.jsonl").write_text("".join(json.dumps(row) + "\n" for row in chinese))
    (tmp_path / "tests.txt").write_text(LEAK)
    return tmp_path


def settings(places: Path, **more: Any) -> CorpusSettings:
    text = [
        {"location": str(places / f"{kind}.jsonl"), "kind": kind} for kind in ("english", "chinese")
    ]
    values = {
        "repositories": [str(places / "sources" / "*")],
        "decontaminate": [str(places / "tests.txt")],
        "held_out_rate": 0.1,
        "text": text,
        **more,
    }
    return CorpusSettings(**values)


def test_texts_become_documents_once(places: Path) -> None:
    report = build(settings(places), places / "out", processes=1)
    made = list(read_documents(places / "out"))
    english = [d for d in made if d.kind == "english"]
    assert len({d.text for d in english}) == len(english) == 60  # without copy and test data
    assert LEAK not in "".join(d.text for d in made)
    assert report.texts["test_data"] == {"tests.txt": 1}
    assert report.texts["near_duplicates"] >= 1
    assert report.texts["dropped"]["test data"]["files"] == 1
    assert report.mixture == {}
    held_out = list(read_documents(places / "out", "held_out"))
    assert any(d.kind == "english" for d in held_out)
    assert build(settings(places), places / "out", processes=1).nothing_to_do


def test_the_mixture_is_what_is_read(places: Path) -> None:
    shares = {"code": 0.5, "english": 0.3, "chinese": 0.2}
    chosen = settings(places, mixture={"shares": shares, "max_repeats": 50}, dedup="none")
    report = build(chosen, places / "out", processes=1)
    sizes: Counter[str] = Counter()
    for document in read_documents(places / "out", "train"):
        sizes[document.kind] += len(document.text.encode())
    total = sum(sizes.values())
    for name, share in shares.items():
        assert abs(sizes[name] / total - share) < 0.03
    made = page("mixed", report)
    assert "Mixture" in made
    assert "Natural language" in made
    with (console := Console(width=200)).capture() as shown:
        console.print(tables(report))
    assert "natural language" in shown.get()
    reached = {c["name"]: c["bytes"] for c in report.mixture["components"]}
    assert reached == dict(sizes)


def test_another_mixture_reads_nothing_again(places: Path) -> None:
    out = places / "out"
    build(settings(places), out, processes=1)
    old = {path: path.stat().st_ino for path in (out / "stages").iterdir() if path.is_dir()}
    shares = {"code": 0.9, "english": 0.1}
    report = build(settings(places, mixture={"shares": shares}), out, processes=1)
    assert report.mixture["unwanted"]["chinese"] > 0
    assert not any(d.kind == "chinese" for d in read_documents(out, "train"))
    assert old == {p: p.stat().st_ino for p in (out / "stages").iterdir() if p.is_dir()}
    build(settings(places, mixture={"shares": shares}), places / "fresh", processes=2)
    for path in (places / "fresh" / "documents").iterdir():
        assert path.read_bytes() == (out / "documents" / path.name).read_bytes()


def test_a_share_without_documents_and_a_missing_place_are_errors(places: Path) -> None:
    with pytest.raises(UserError, match="no documents of component 'math'"):
        build(
            settings(places, mixture={"shares": {"code": 0.9, "math": 0.1}}),
            places / "out",
            processes=1,
        )
    with pytest.raises(SourceError, match="matches nothing"):
        build(settings(places, text=[{"location": str(places / "no.jsonl")}]), places / "out")


def texts_only(places: Path, rows: list[dict[str, str]], **more: Any) -> CorpusSettings:
    place = places / "rows.jsonl"
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = {"location": str(place), "kind": "english", "id_field": "id"}
    return settings(places, text=[text], **more)


def english(out: Path, split: str | None = None) -> list[str]:
    return [d.text for d in read_documents(out, split) if d.kind == "english"]


def test_no_copy_of_a_text_comes_back_in_the_other_split(places: Path) -> None:
    rows = [{"id": f"{n}-{half}", "text": prose(n)} for half in "ab" for n in range(40)]
    build(texts_only(places, rows, held_out_rate=0.3), places / "out", processes=1)
    train, held_out = english(places / "out", "train"), english(places / "out", "held_out")
    assert len(train) + len(held_out) == 40
    assert len({*train, *held_out}) == 40
    assert len(held_out) > 3


def test_texts_of_one_name_are_told_apart(places: Path) -> None:
    rows = [{"id": i, "text": prose(n)} for i, n in (("x", 1), ("x", 1), ("y", 2), ("z", 3),
                                                     ("z", 4), ("w", 4))]  # fmt: skip
    report = build(texts_only(places, rows, held_out_rate=0), places / "out", processes=1)
    assert {text.strip() for text in english(places / "out")} == {prose(n) for n in (1, 2, 3, 4)}
    assert report.texts["near_duplicates"] == 2


def test_another_share_held_out_is_heeded(places: Path) -> None:
    rows = [{"id": str(n), "text": prose(n)} for n in range(60)]
    build(texts_only(places, rows, held_out_rate=0.3), places / "out", processes=1)
    assert len(english(places / "out", "held_out")) > 5
    build(texts_only(places, rows, held_out_rate=0), places / "out", processes=1)
    assert english(places / "out", "held_out") == []


def test_files_of_one_name_and_size_are_all_read(places: Path) -> None:
    for number, folder in enumerate(("a", "b")):
        (places / folder).mkdir()
        rows = [{"text": prose(10 * number + n)} for n in range(5)]
        path = places / folder / "part.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    size = max((places / f / "part.jsonl").stat().st_size for f in "ab")
    for folder in ("a", "b"):
        path = places / folder / "part.jsonl"
        path.write_text(path.read_text() + " " * (size - path.stat().st_size))
        os.utime(path, (1e9, 1e9))
    text = {"location": str(places / "[ab]" / "part.jsonl"), "kind": "english"}
    build(settings(places, text=[text], held_out_rate=0), places / "out", processes=1)
    made = [d for d in read_documents(places / "out") if d.kind == "english"]
    assert len({d.id for d in made}) == len({d.text for d in made}) == 10


def test_a_repository_moved_to_the_other_split_moves_no_text_of_its_name(places: Path) -> None:
    (places / "gamma").mkdir()
    for n in range(8):
        (places / "gamma" / f"{n}.txt").write_text(prose(n))
    for rate in (1e-9, 0.999999):  # one repository is moved, whichever
        chosen = settings(
            places,
            text=[{"location": str(places / name), "kind": "english"} for name in ("gamma",)],
            held_out_rate=rate,
            mixture={"shares": {"code": 0.5, "english": 0.5}, "max_repeats": 100},
        )
        if rate < 0.5:
            report = build(chosen, places / "out", processes=1)
            assert report.mixture["components"][1]["bytes"] > 0
            for split in ("train", "held_out"):
                made = list(read_documents(places / "out", split))
                assert report.documents[split]["documents"] == len(made)
                assert report.documents[split]["bytes"] == sum(len(d.text.encode()) for d in made)


def test_old_copies_of_shards_do_not_pile_up(places: Path) -> None:
    counts = []
    for cap in (3000, 4000, 5000):
        build(settings(places, mixture={"language_cap_bytes": cap}), places / "out", processes=1)
        counts.append(len(list((places / "out" / "stages").iterdir())))
    assert len(set(counts)) == 1


def test_why_of_a_text(places: Path) -> None:
    rows = [{"id": i, "text": prose(n)} for i, n in (("x", 1), ("y", 2), ("z", 1))]
    build(texts_only(places, rows, held_out_rate=0), places / "out", processes=1)
    assert why(places / "out", "rows:x").kept
    assert why(places / "out", "rows:z").reason == "an exact copy of rows:x"
    with pytest.raises(UserError):
        why(places / "out", "rows")
