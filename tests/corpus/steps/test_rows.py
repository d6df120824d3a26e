"""Rows of files become repositories become documents; stars and dates say which copy stays."""

from __future__ import annotations

import json
from pathlib import Path

from codekiln.corpus.build import build
from codekiln.corpus.settings import CorpusSettings
from codekiln.corpus.store import read_documents


def code(name: str) -> str:
    return "".join(f"def {name}_{n}(a):\n    return a + {name}_{n} * {n}\n" for n in range(80))


def write(place: Path) -> None:
    rows = []
    given = (("x/one", "shared", 3), ("x/two", "shared", 9), ("y/b", "b", 1))
    for repository, words, stars in given:
        for number in range(4):
            content = f"import m{number + 1}\n" + code(f"{words}{number}")
            row = {"path": f"m{number}.py", "repo_name": repository, "content": content}
            rows.append(row | {"stars": stars})
    rows.append({"path": "extra.py", "repo_name": "x/one", "content": code("extra"), "stars": 3})
    rows.append({"path": None, "repo_name": "y/b", "content": "x = 1\n", "stars": 1})
    rows = rows[::2] + rows[1::2]  # no repository in one piece
    place.write_text("".join(json.dumps(row) + "\n" for row in rows))


def settings(tmp_path: Path, **more: object) -> CorpusSettings:
    values = {"repositories": [str(tmp_path / "rows.jsonl")], "held_out_rate": 0, **more}
    return CorpusSettings.model_validate(values)


def test_the_copy_with_the_most_stars_stays(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl")
    report = build(settings(tmp_path), tmp_path / "out", processes=1)
    assert [(d["name"], d["kept"]) for d in report.near_duplicates] == [("x/one", "x/two")]
    made = list(read_documents(tmp_path / "out"))
    assert {document.source for document in made} == {"x/two", "y/b"}
    assert [s.path for d in made if d.source == "y/b" for s in d.spans] == [
        "m3.py", "m2.py", "m1.py", "m0.py",
    ]  # fmt: skip
    assert sum(row["rows"] for row in report.row_drops.values()) == 1
    assert build(settings(tmp_path), tmp_path / "out", processes=1).nothing_to_do


def test_a_side_file_has_the_first_word(tmp_path: Path) -> None:
    write(tmp_path / "rows.jsonl")
    side = tmp_path / "side.jsonl"
    side.write_text('{"name": "x/one", "stars": 12}\n')
    report = build(settings(tmp_path, metadata_file=str(side)), tmp_path / "out", processes=1)
    assert [(d["name"], d["kept"]) for d in report.near_duplicates] == [("x/two", "x/one")]
