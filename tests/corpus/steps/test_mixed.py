"""Natural language beside code, and the mixture of both: built, resumed, counted."""

from __future__ import annotations

import json
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
