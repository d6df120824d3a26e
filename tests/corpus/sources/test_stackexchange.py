"""Stack Exchange dumps: joined as a plain reading of the whole XML would join them."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.sources import stackexchange
from codekiln.corpus.sources.html_markdown import markdown_of
from codekiln.corpus.sources.intake import Tally
from codekiln.corpus.sources.stackexchange import Choice, Thread, read_threads
from codekiln.errors import SourceError


def dump(rows: list[dict[str, object]]) -> bytes:
    lines = [
        "  <row " + " ".join(f"{k}={quoteattr(str(v))}" for k, v in row.items()) + " />"
        for row in rows
    ]
    text = '\ufeff<?xml version="1.0" encoding="utf-8"?>\n<posts>\n' + "\n".join(lines)
    return (text + "\n</posts>").encode()


def question(number: int, **more: object) -> dict[str, object]:
    return {
        "Id": number,
        "PostTypeId": 1,
        "Score": 3,
        "Title": f"How {number}?",
        "Body": f"<p>question {number}</p>",
        "Tags": "<python><list>",
        "CreationDate": "2021-05-06T07:08:09.123",
        **more,
    }


def answer(number: int, parent: int, **more: object) -> dict[str, object]:
    body = f"<p>answer {number}</p>"
    return {"Id": number, "PostTypeId": 2, "ParentId": parent, "Score": 2, "Body": body, **more}


def read(path: Path, choice: Choice | None = None) -> tuple[list[Thread], Tally]:
    tally = Tally()
    return list(read_threads(path, choice or Choice(), tally)), tally


def written(tmp_path: Path, rows: list[dict[str, object]]) -> Path:
    path = tmp_path / "Posts.xml"
    path.write_bytes(dump(rows))
    return path


def test_a_question_with_its_answers(tmp_path: Path) -> None:
    rows = [
        question(1, AcceptedAnswerId=4, Body="<p>Why?</p>\n<pre><code>a &lt; b\n</code></pre>"),
        answer(2, 1, Score=9),
        answer(3, 1, Score=0),
        answer(4, 1, Score=-5),
        {"Id": 5, "PostTypeId": 4, "Body": "a tag's wiki"},
    ]
    (thread,), tally = read(written(tmp_path, rows))
    assert thread.number == 1
    assert thread.date == "2021-05-06"
    assert thread.text == (
        "# How 1?\n\nWhy?\n\n```\na < b\n```\n\nTags: python, list\n\n"
        "## Answer\n\nanswer 4\n\n## Answer\n\nanswer 2\n"
    )
    assert tally.dropped == {stackexchange.LOW_SCORE: 1}


def test_tags_in_the_newer_spelling(tmp_path: Path) -> None:
    (thread,), _ = read(written(tmp_path, [question(1, Tags="|c++|a-b|"), answer(2, 1)]))
    assert "Tags: c++, a-b\n" in thread.text


def test_what_is_dropped_is_counted(tmp_path: Path) -> None:
    rows = [
        question(1, Score=-1),
        answer(2, 1),
        question(3),
        question(4),
        answer(5, 4, Score=0),
        answer(6, 99),
        {"Id": "x", "PostTypeId": 1, "Body": "b"},
        question(7, Body=""),
        question(8, Body="b" * (stackexchange.MAX_BODY + 1)),
    ]
    threads, tally = read(written(tmp_path, rows))
    assert threads == []
    assert tally.dropped == {
        stackexchange.LOW_SCORE: 3,
        stackexchange.NO_ANSWER: 2,
        stackexchange.NO_QUESTION: 1,
        stackexchange.DAMAGED_ROW: 2,
        stackexchange.TOO_LARGE: 1,
    }
    path = tmp_path / "Posts.xml"
    threads, _ = read(path, Choice(answered_only=False, min_question_score=-9, max_answers=0))
    assert [thread.number for thread in threads] == [1, 3, 4]
    assert all("## Answer" not in thread.text for thread in threads)


@st.composite
def posts(draw: st.DrawFn) -> list[dict[str, object]]:
    rows = []
    for number in range(1, draw(st.integers(1, 30))):
        score = draw(st.integers(-3, 5))
        if draw(st.booleans()):
            accepted = draw(st.integers(1, 30))
            rows.append(question(number, Score=score, AcceptedAnswerId=accepted))
        else:
            rows.append(answer(number, draw(st.integers(1, 30)), Score=score))
    return draw(st.permutations(rows))


def plainly(data: bytes, choice: Choice) -> dict[int, str]:
    """The whole tree in memory, the question's list of answers by a scan for each."""
    rows = [row.attrib for row in ElementTree.fromstring(data)]
    made = {}
    for one in rows:
        if one["PostTypeId"] != "1" or int(one["Score"]) < choice.min_question_score:
            continue
        own = [r for r in rows if r.get("ParentId") == one["Id"] != r["Id"]]
        first = [r for r in own if r["Id"] == one["AcceptedAnswerId"]]
        rest = [r for r in own if r not in first and int(r["Score"]) >= choice.min_answer_score]
        rest.sort(key=lambda r: (-int(r["Score"]), int(r["Id"])))
        chosen = (first + rest)[: choice.max_answers]
        if chosen or not choice.answered_only:
            parts = [f"# {one['Title']}", markdown_of(one["Body"]), "Tags: python, list"]
            for row in chosen:
                parts += ["## Answer", markdown_of(row["Body"])]
            made[int(one["Id"])] = "\n\n".join(parts) + "\n"
    return made


@settings(max_examples=120, deadline=None)
@given(posts(), st.integers(-2, 2), st.integers(-2, 2), st.integers(0, 3), st.booleans())
def test_joined_as_a_plain_reading_would(tmp_path_factory, rows, least, good, most, only) -> None:
    choice = Choice(
        min_question_score=least, min_answer_score=good, max_answers=most, answered_only=only
    )
    path = written(tmp_path_factory.mktemp("dump"), rows)
    wanted = plainly(path.read_bytes(), choice)
    for size in (1 << 30, 100):  # one spill file, and many
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stackexchange, "PART_BYTES", size)
            threads, tally = read(path, choice)
        assert {thread.number: thread.text for thread in threads} == wanted
        used = sum(text.count("## Answer") + 1 for text in wanted.values())
        assert used + tally.dropped.total() == len(rows)


@pytest.mark.parametrize(
    ("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_compressed_dumps(tmp_path: Path, suffix: str, pack) -> None:
    data = dump([question(1), answer(2, 1)])
    path = tmp_path / f"Posts.xml.{suffix}"
    path.write_bytes(pack(data))
    assert [thread.number for thread in read(path)[0]] == [1]
    path.write_bytes(pack(data)[:-20])
    with pytest.raises(SourceError):
        read(path)


def test_7z_archives(tmp_path: Path) -> None:
    py7zr = pytest.importorskip("py7zr")
    path = tmp_path / "site.stackexchange.com.7z"
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writestr("<users></users>", "Users.xml")
        archive.writestr(dump([question(1), answer(2, 1)]), "Posts.xml")
    assert [thread.number for thread in read(path)[0]] == [1]
    whole = path.read_bytes()
    for damaged in (whole[:-30], whole[:60], whole[:40] + b"x" * 20 + whole[60:], b""):
        path.write_bytes(damaged)
        with pytest.raises(SourceError):
            read(path)
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writestr("<users></users>", "Users.xml")
    with pytest.raises(SourceError, match="0 members called"):
        read(path)
    with py7zr.SevenZipFile(path, "w") as archive:
        archive.writestr(b"<posts>" + b" " * (200 << 20), "Posts.xml")
    with pytest.raises(SourceError, match=r"times its size|without a row"):
        read(path)


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE posts [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
    )
    + "]><posts><row Id='1' PostTypeId='1' Body='&j;'/></posts>"
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "document type"),
        ('<!DOCTYPE posts SYSTEM "file:///etc/passwd"><posts/>', "document type"),
        ("<users><row Id='1'/></users>", "<users> at the top"),
        ("<posts><row Id='1'", "not well-formed"),
        ("<posts><row></posts>", "not well-formed"),
        ("", "not well-formed"),
        ("not XML", "not well-formed"),
        ("<posts><row Body='&undefined;'/></posts>", "not well-formed"),
    ],
)
def test_what_is_no_dump_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "Posts.xml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SourceError, match=message):
        read(path)


def test_a_row_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "Posts.xml.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"<posts><row Body='")
        for _ in range(100):
            file.write(bytes(range(97, 123)) * (1 << 15))
    with pytest.raises(SourceError, match=r"times its size|without a row"):
        read(path)


def test_an_expanding_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "Posts.xml.gz"
    row = "<row Id='1' PostTypeId='4' />" * 1000
    with gzip.open(path, "wt") as file:
        file.write("<posts>")
        for _ in range(2000):
            file.write(row)
    with pytest.raises(SourceError, match="times its size"):
        read(path)
