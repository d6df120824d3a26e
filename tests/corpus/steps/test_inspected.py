"""Licences, redaction and opt-outs in a build: recorded, replaced, left out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from codekiln.corpus.build import build
from codekiln.corpus.settings import CorpusSettings
from codekiln.corpus.store import read_documents
from codekiln.corpus.why import why

TOKEN = "ghp_" + "b7Kx2QmZ9rT4vWn8Yc3LpJ6sHd1FgA5eRu0o"


def code(name: str) -> str:
    return "".join(f"def {name}_{n}(a):\n    return a + {name}_{n} * {n}\n" for n in range(60))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("open", "closed", "private"):
        folder = tmp_path / "sources" / name
        folder.mkdir(parents=True)
        (folder / "a.py").write_text(code(name))
    sources = tmp_path / "sources"
    (sources / "open" / "pyproject.toml").write_text('[project]\nname = "open"\nlicense = "MIT"\n')
    (sources / "open" / "copied.py").write_text(
        "# SPDX-License-Identifier: GPL-3.0-or-later\n" + code("copied")
    )
    (sources / "open" / "keys.py").write_text(
        f'token = "{TOKEN}"\nmail = "jane.doe@somewhere-real.org"\n' + code("keys")
    )
    return tmp_path


def settings(place: Path, **more: Any) -> CorpusSettings:
    values = {"repositories": [str(place / "sources" / "*")], "held_out_rate": 0, **more}
    return CorpusSettings.model_validate(values)


def licences(out: Path) -> dict[str, str | None]:
    return {f"{d.source}/{s.path}": s.licence for d in read_documents(out) for s in d.spans}


def test_each_file_has_its_licence_and_only_permissive_ones_stay(place: Path) -> None:
    out = place / "out"
    report = build(settings(place), out, processes=1)
    found = licences(out)
    assert found["open/a.py"] == "MIT"
    assert found["open/copied.py"] == "GPL-3.0-or-later"
    assert found["closed/a.py"] == "NOASSERTION"
    assert report.licences["MIT"] >= 2
    files = {p: p.stat().st_ino for p in (out / "stages").glob("*/files.parquet")}
    report = build(settings(place, licences={"allow": "permissive"}), out, processes=1)
    assert {"open/a.py", "open/keys.py"} <= set(licences(out))
    assert not {"open/copied.py", "closed/a.py"} & set(licences(out))
    assert report.dropped["licence not allowed"]["files"] == 1
    assert why(out, "closed/a.py").reason == "licence unknown"
    assert files == {p: p.stat().st_ino for p in (out / "stages").glob("*/files.parquet")}


def test_secrets_are_redacted_and_counted(place: Path) -> None:
    report = build(settings(place), place / "out", processes=1)
    text = "".join(d.text for d in read_documents(place / "out"))
    assert TOKEN not in text
    assert "jane.doe" not in text
    assert 'token = "<KEY>"' in text
    assert report.privacy["redacted"] == {"KEY": 1, "EMAIL": 1}
    assert TOKEN not in (place / "out" / "report.json").read_text()
    for document in read_documents(place / "out"):
        assert document.spans[-1].end == len(document.text)
    plain = {"secrets": False, "emails": False, "ip_addresses": False}
    build(settings(place, privacy=plain), place / "out", processes=1)
    assert TOKEN in "".join(d.text for d in read_documents(place / "out"))


def test_who_opts_out_is_left_out(place: Path) -> None:
    data = (place / "sources" / "closed" / "a.py").read_bytes()
    listed = place / "out.txt"
    listed.write_text(f"private\n{hashlib.sha256(data).hexdigest()}\n")
    chosen = settings(place, privacy={"opt_out": str(listed)})
    report = build(chosen, place / "out", processes=1)
    assert {d.source for d in read_documents(place / "out")} == {"open"}
    assert report.privacy["opted_out"] == ["private"]
    assert report.dropped["opted out"]["files"] == 1
    assert build(chosen, place / "out", processes=1).nothing_to_do
    listed.write_text("nobody\n")
    report = build(chosen, place / "out", processes=1)
    assert {d.source for d in read_documents(place / "out")} == {"open", "private", "closed"}
