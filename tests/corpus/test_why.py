"""What `corpus why` says of everything that a build kept or dropped."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from codekiln.corpus.build import build
from codekiln.corpus.settings import CorpusSettings
from codekiln.corpus.store import read_documents
from codekiln.corpus.why import why
from codekiln.errors import SourceError, UserError

LEAK = "one two three four five six seven eight nine ten eleven twelve"


def module(name: str) -> str:
    return "".join(f"def {name}_{n}(a):\n    return a + {name}{n} * {n}\n" for n in range(80))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("why")
    for name in ("alpha", "beta"):
        (folder / "sources" / name).mkdir(parents=True)
        (folder / "sources" / name / "a.py").write_text(module(name))
    beta = folder / "sources" / "beta"
    (beta / "leak.py").write_text(f"# {LEAK}\n")
    (beta / "wide.py").write_text("x" * 2000)
    (beta / "copy.py").write_text(module("alpha") + module("more")[:200])
    (beta / "image.png").write_bytes(b"png")
    shutil.copytree(folder / "sources" / "alpha", folder / "sources" / "gamma")
    (folder / "tests.txt").write_text(LEAK)
    for dedup in ("repository", "file"):
        chosen = CorpusSettings(
            repositories=[str(folder / "sources" / "*")],
            decontaminate=[str(folder / "tests.txt")],
            dedup=dedup,
            held_out_rate=0,
        )
        build(chosen, folder / dedup, processes=1)
    return folder


def test_files(corpus: Path) -> None:
    out = corpus / "repository"
    assert why(out, "beta/leak.py").reason == "test data"
    assert "tests.txt" in why(out, "beta/leak.py").facts["detail"]
    assert why(out, "beta/wide.py").reason == "average line too long"
    assert why(out, "gamma/a.py").reason == "an exact copy of alpha"
    kept = why(out, "beta/a.py")
    assert kept.kept
    document = kept.reason.removeprefix("in document ")
    found = why(out, document)
    assert found.facts["files"] == ["a.py"]
    assert {d.id for d in read_documents(out)} >= {document}


def test_repositories_and_pairs(corpus: Path) -> None:
    out = corpus / "repository"
    assert why(out, "alpha").reason == "in 1 documents"
    assert why(out, "gamma").reason == "an exact copy of alpha"
    assert not why(out, "gamma").kept


def test_near_duplicates_of_files(corpus: Path) -> None:
    out = corpus / "file"
    answer = why(out, "beta/copy.py")
    assert answer.reason.startswith("a near-duplicate (Jaccard 0.9")
    assert answer.reason.endswith("of alpha/a.py")
    assert answer.facts["compared_with"]["alpha/a.py"] > 0.9
    assert why(out, "gamma/a.py").reason == "an exact copy of alpha/a.py"
    assert why(out, "beta/a.py").kept


def test_unknown_things_are_errors(corpus: Path) -> None:
    for subject in ("beta/image.png", "nothing", ""):
        with pytest.raises(UserError, match="neither a document"):
            why(corpus / "repository", subject)
    with pytest.raises(SourceError):
        why(corpus, "alpha")
