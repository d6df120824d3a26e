"""Natural language from files: every way of cutting gives the same records, nothing is lost."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import json
import lzma
import tarfile
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codekiln.corpus.filters import prose
from codekiln.corpus.sources import text, text_files, text_rows
from codekiln.corpus.sources.decode import NOT_UTF8
from codekiln.corpus.sources.intake import Tally
from codekiln.corpus.sources.text import (
    TextRecord,
    expand_text,
    read_documents,
    read_text,
    split_batches,
    text_format,
)
from codekiln.corpus.sources.text_settings import TextSource
from codekiln.errors import SourceError

ENGLISH = (
    "This is a text of some length, and it is here so that the rules for English have something "
    "to look at: number {}, in which the words of the language are as common as they are.\n"
)


def source(location: Path, **keys: object) -> TextSource:
    return TextSource(location=str(location), **keys)


def records(location: Path, size: int = 1 << 30, **keys: object) -> tuple[list[TextRecord], Tally]:
    one, tally = source(location, **keys), Tally()
    batches = split_batches(one, str(location), size)
    assert len({batch.key for batch in batches}) == len(batches)
    return [record for batch in batches for record in read_text(one, batch, tally)], tally


def texts(location: Path, size: int = 1 << 30, **keys: object) -> list[str]:
    return [record.text for record in records(location, size, **keys)[0]]


# ---- JSON lines ----


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)),
    st.integers(1, 200),
    st.booleans(),
)  # fmt: skip
def test_lines_are_read_once_however_they_are_cut(
    tmp_path: Path, values: list[str], size: int, end: bool
) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": value}, ensure_ascii=len(value) % 2 == 0) for value in values]
    path.write_text("\n".join(lines) + "\n" * end, encoding="utf-8", newline="")
    wanted = [value for value in values if value.strip()]
    assert texts(path) == wanted
    whole = records(path)[0]
    assert records(path, size)[0] == whole
    assert len({record.id for record in whole}) == len(whole)


def test_fields(tmp_path: Path) -> None:
    path = tmp_path / "web.jsonl"
    rows = [
        {"content": "one", "url": "u1", "day": "2020-01-01"},
        {"content": "中文的内容", "url": 7},
        {"content": "three", "url": None},
    ]
    path.write_text("\n".join(map(json.dumps, rows)))
    found, _ = records(path, text_field="content", id_field="url", date_field="day")
    assert [(r.id, r.text, r.kind, r.date) for r in found[:2]] == [
        ("web:u1", "one", "english", "2020-01-01"),
        ("web:7", "中文的内容", "chinese", ""),
    ]
    assert found[2].id.startswith("web:")
    assert [r.kind for r in records(path, text_field="content", kind="chinese")[0]] == [
        "chinese"
    ] * 3


def test_bad_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [
        b'{"text": "good"}',
        b"{not json",
        b"[1, 2]",
        b'{"other": "field"}',
        b'{"text": 5}',
        b'{"text": "half \\ud800 a pair"}',
        b'{"text": "null \\u0000"}',
        b'{"text": "  "}',
        b"\xff\xfe",
        b"[" * 100_000,
        b"",
        b'{"text": "' + b"x" * 5000 + b'"}',
        b'{"text": "' + b"y" * 1500 + b'"}',
        b'{"text": "last"}',
    ]
    path.write_bytes(b"\n".join(lines))
    for size in (1 << 30, 700):
        found, tally = records(path, size, max_record_bytes=1000)
        assert [record.text for record in found] == ["good", "last"]
        assert tally.dropped == {
            text_rows.NOT_JSON: 2,
            text_rows.NO_TEXT_FIELD: 3,
            text_rows.UNUSABLE: 2,
            text.NO_TEXT: 1,
            text_rows.TOO_LARGE: 3,
        }
        assert tally.kept == 2


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", "zst"])
def test_compressed_lines(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.jsonl.{suffix}"
    data = b"".join(json.dumps({"text": f"text {n}"}).encode() + b"\n" for n in range(5000))
    pack = {
        "gz": gzip.compress,
        "bz2": bz2.compress,
        "xz": lzma.compress,
        "zst": lambda plain: arrow.compress(plain, "zstd", asbytes=True),
    }[suffix]
    path.write_bytes(pack(data))
    assert texts(path, 100) == [f"text {n}" for n in range(5000)]
    path.write_bytes(pack(data)[:-50])
    with pytest.raises(SourceError):
        texts(path)


# ---- Parquet ----


def table(values: list[object]) -> arrow.Table:
    return arrow.table({"text": values, "n": list(range(len(values)))})


def test_row_groups_are_read_once_however_they_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    values = [f"text {n} " + "word " * (n % 40) for n in range(1000)]
    parquet.write_table(table(values), path, row_group_size=90)
    whole, _ = records(path)
    assert [record.text for record in whole] == values
    for size in (1, 2000, 10_000):
        one = source(path)
        assert len(split_batches(one, str(path), size)) > 1
        assert records(path, size)[0] == whole
    found, _ = records(path, id_field="n")
    assert found[3].id == "a:3"


def test_bad_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(table(["a", None, "b"]), path)
    found, tally = records(path)
    assert [record.text for record in found] == ["a", "b"]
    assert tally.dropped == {text_rows.NO_TEXT_FIELD: 1}
    with pytest.raises(SourceError, match="no column 'body'"):
        records(path, text_field="body")
    data = path.read_bytes()
    for damaged in (data[:-5], data[:20], b"", b"PAR1" + b"x" * 50 + b"PAR1"):
        path.write_bytes(damaged)
        with pytest.raises(SourceError):
            records(path)
    parquet.write_table(table([f"{n}" * 500 for n in range(2000)]), path, compression="none")
    data = bytearray(path.read_bytes())
    data[200:5000] = b"\xff" * 4800
    path.write_bytes(data)
    with contextlib.suppress(SourceError):  # some damage is told, some reads as other text
        records(path)


# ---- files ----


def folder_of(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    (folder / "sub").mkdir(parents=True)
    for number in range(9):
        (folder / f"{number}.md").write_text(f"text {number}")
    (folder / "sub" / "a.TXT").write_text("sub a")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / "bad.txt").write_bytes(b"caf\xe9 au lait")
    (folder / "empty.rst").write_text("")
    (folder / "large.txt").write_text("x" * 2000)
    (folder / "link.txt").symlink_to("/etc/passwd")
    return folder


def test_folders_are_read_once_however_they_are_cut(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    whole, tally = records(folder, max_record_bytes=1000)
    wanted = [f"text {n}" for n in range(9)] + ["sub a"]
    assert sorted(record.text for record in whole) == sorted(wanted)
    assert whole[0].id == "notes:0.md"
    assert tally.dropped == {
        NOT_UTF8: 1,
        text_files.EMPTY: 1,
        text_files.TOO_LARGE: 1,
        "link": 1,
    }
    for size in (1, 13, 100):
        assert records(folder, size, max_record_bytes=1000)[0] == whole


def test_archives_and_single_files(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "link.txt").unlink()
    with tarfile.open(tmp_path / "notes.tar.gz", "w:gz") as archive:
        archive.add(folder, "notes")
    inside = sorted(texts(tmp_path / "notes.tar.gz", max_record_bytes=1000))
    assert inside == sorted(texts(folder, max_record_bytes=1000))
    assert texts(folder / "3.md") == ["text 3"]
    found, tally = records(folder / "large.txt", max_record_bytes=1000)
    assert found == []
    assert tally.dropped == {text_files.TOO_LARGE: 1}


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    with pytest.raises(SourceError, match="no text files"):
        records(tmp_path)


# ---- the whole ----


def test_formats_go_by_name(tmp_path: Path) -> None:
    def at(name: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        return text_format(path)

    assert at("a.jsonl") == at("b.ndjson.zst") == at("c.json.gz") == "jsonl"
    assert at("a.parquet") == "parquet"
    assert (
        at("site.7z") == at("Posts.xml") == at("stackoverflow.com-Posts.xml.gz") == "stackexchange"
    )
    assert at("a.txt") == at("a.md") == at("a.tar.gz") == at("a.zip") == "files"
    assert text_format(tmp_path) == "stackexchange"  # it has a Posts.xml
    at("other/a.txt")
    assert text_format(tmp_path / "other") == "files"
    for name in ("a.bin", "noname"):
        with pytest.raises(SourceError, match="does not tell"):
            at(name)
    with pytest.raises(SourceError, match="no such file"):
        text_format(tmp_path / "absent.txt")


def test_places_are_expanded(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        (tmp_path / name).touch()
    found = expand_text(source(tmp_path / "*.jsonl"))
    assert [Path(place).name for place in found] == ["a.jsonl", "b.jsonl"]
    with pytest.raises(SourceError, match="matches nothing"):
        expand_text(source(tmp_path / "*.parquet"))


def test_documents_pass_the_rules_and_end_with_a_newline(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    values = [ENGLISH.format(1).rstrip(), "short", "12345 67890 " * 20, ENGLISH.format(2)]
    path.write_text("\n".join(json.dumps({"text": value}) for value in values))
    one, tally = source(path), Tally()
    (batch,) = split_batches(one, str(path))
    documents = list(read_documents(one, batch, tally))
    assert [document.text for document in documents] == [ENGLISH.format(1), ENGLISH.format(2)]
    assert {document.kind for document in documents} == {"english"}
    assert documents[0].source == "a"
    assert documents[0].spans == ()
    assert tally.dropped == {prose.TOO_SHORT: 1, prose.FEW_LETTERS: 1}
    assert tally.kept == 2
    assert tally.kept_bytes == sum(len(values[n].encode()) for n in (0, 3))


def test_a_batch_is_made_anew_when_its_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n')
    one = source(path)
    (before,) = split_batches(one, str(path))
    assert split_batches(one, str(path)) == [before]
    path.write_text('{"text": "ab"}\n')
    (after,) = split_batches(one, str(path))
    assert after.key != before.key


def test_names_say_where_a_text_is_from(tmp_path: Path) -> None:
    folder = tmp_path / "python.stackexchange.com"
    folder.mkdir()
    assert text_files.name_of(folder / "Posts.xml") == "python.stackexchange.com"
    assert text_files.name_of(tmp_path / "a.jsonl.gz") == "a"
    assert text_files.name_of(tmp_path / "x.stackexchange.com.7z") == "x.stackexchange.com"
