"""Who opted out, however the name is written."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.corpus.privacy.optout import OptOut, normal
from codekiln.errors import SourceError

LIST = """\
# people who asked
Ann/tools        # all hosts
bob/*
https://git.host.org/carl/Thing.git
git.host.org/dora/*
alone
"""


@pytest.fixture
def asked(tmp_path: Path) -> OptOut:
    content = hashlib.sha256(b"hers").hexdigest()
    blob = hashlib.sha1(b"blob 3\0his").hexdigest()
    path = tmp_path / "out.txt"
    path.write_text(f"{LIST}\nsha256:{content}\n{blob.upper()}\n", encoding="utf-8-sig")
    return OptOut.load(path)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("ann/tools", True),
        ("ANN/Tools.git", True),
        ("https://github.com/ann/tools/", True),
        ("git@gitlab.com:ann/tools.git", True),
        ("ssh://git@host.org:2222/ann/tools", True),
        ("https://user:pass@www.github.com/ann/tools?x=1#y", True),
        ("ann/tools2", False),
        ("xann/tools", False),
        ("bob/anything", True),
        ("github.com/Bob/a", True),
        ("bobby/anything", False),
        ("carl/thing", False),  # asked for on one host only
        ("https://git.host.org/carl/thing", True),
        ("http://other.org/carl/thing", False),
        ("git@git.host.org:dora/x.git", True),
        ("dora/x", False),
        ("alone", True),
        ("other/alone", False),
        ("", False),
    ],
)
def test_names(asked: OptOut, name: str, wanted: bool) -> None:
    assert asked.repository(name) == wanted
    assert asked.repository("someone/else", name) == wanted


def test_content(asked: OptOut) -> None:
    assert asked.content(b"hers")
    assert asked.content(b"his")  # by git's blob id
    assert not asked.content(b"ours")
    assert asked.file(hashlib.sha256(b"hers").digest())
    assert asked.file(hashlib.sha256(b"hers").hexdigest().upper())


def test_an_empty_list_leaves_out_nothing() -> None:
    nobody = OptOut(["", "   ", "https://"])
    assert not nobody
    assert not nobody.repository("a/b", "")
    assert not nobody.content(b"")


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"absent.*cannot be read"):
        OptOut.load(tmp_path / "absent")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match="binary"):
        OptOut.load(tmp_path / "binary")


@given(st.text(max_size=80))
def test_a_normal_name_is_normal(name: str) -> None:
    OptOut([name]).repository(name)
    assert normal(normal(name)) == normal(normal(normal(name)))
