"""Documents to Parquet and back; damaged corpora are named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.store import (
    DOCUMENTS,
    DocumentWriter,
    copy_documents,
    read_documents,
    write_index,
)
from codekiln.errors import SourceError
from codekiln.types import Document, Span

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
spans = st.builds(
    Span,
    path=texts,
    language=texts,
    start=st.integers(0, 2**40),
    body=st.integers(0, 2**40),
    end=st.integers(0, 2**40),
)
documents = st.builds(
    Document,
    id=texts,
    text=texts,
    kind=st.sampled_from(["code", "english", "chinese"]),
    source=texts,
    spans=st.lists(spans, max_size=3).map(tuple),
)


def document(name: str, text: str = "text\n", source: str = "repo") -> Document:
    span = Span(path=name, language="python", start=0, body=0, end=len(text))
    return Document(id=name, text=text, source=source, spans=(span,))


def fill(folder: Path, parts: list[list[tuple[Document, str]]]) -> None:
    (folder / DOCUMENTS).mkdir(parents=True)
    for number, rows in enumerate(parts):
        with DocumentWriter(folder / DOCUMENTS / f"{number:05d}.parquet") as writer:
            for row, split in rows:
                writer.add(row, split)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(documents, st.sampled_from(["train", "held_out"])), max_size=8))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Document, str]]
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    fill(folder, [rows[:3], rows[3:]])
    assert list(read_documents(folder)) == [row for row, _ in rows]
    for split in ("train", "held_out"):
        assert list(read_documents(folder, split)) == [row for row, s in rows if s == split]


def test_row_groups_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with DocumentWriter(path, row_group_bytes=1000) as writer:
        for number in range(30):
            writer.add(document(str(number), "x" * 300))
        writer.add(document("large", "y" * 5000))
    facts = parquet.read_metadata(path)
    counts = [facts.row_group(i).num_rows for i in range(facts.num_row_groups)]
    assert sum(counts) == 31
    assert max(counts) == 3
    assert counts[-1] == 1


def test_reading_streams(tmp_path: Path) -> None:
    fill(tmp_path, [[(document("a"), "train")], [(document("b"), "train")]])
    (tmp_path / DOCUMENTS / "00001.parquet").write_bytes(b"PAR1 but not really")
    stream = read_documents(tmp_path)
    assert next(stream).id == "a"  # the damage in the second shard is not met yet
    with pytest.raises(SourceError, match=r"00001\.parquet"):
        next(stream)


@pytest.mark.parametrize("keep", [0, 3, 100, -20])
def test_a_truncated_shard_is_named(tmp_path: Path, keep: int) -> None:
    fill(tmp_path, [[(document("a", "long " * 400), "train")]])
    path = tmp_path / DOCUMENTS / "00000.parquet"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(SourceError, match=r"00000\.parquet.*cannot be read"):
        list(read_documents(tmp_path))


def test_damage_inside_a_shard_is_no_silent_change(tmp_path: Path) -> None:
    fill(tmp_path, [[(document("a", "long " * 400), "train")]])
    path = tmp_path / DOCUMENTS / "00000.parquet"
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(bytes(data))
    with pytest.raises(SourceError, match=r"00000\.parquet"):
        list(read_documents(tmp_path))


def test_what_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no folder documents/"):
        list(read_documents(tmp_path))
    (tmp_path / DOCUMENTS).mkdir()
    with pytest.raises(SourceError, match="no shards"):
        list(read_documents(tmp_path))
    parquet.write_table(arrow.table({"x": [1]}), tmp_path / DOCUMENTS / "0.parquet")
    with pytest.raises(SourceError, match="columns x"):
        list(read_documents(tmp_path))
    with pytest.raises(SourceError, match="no split 'test'"):
        list(read_documents(tmp_path, "test"))


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    fill(tmp_path, [[(document("a"), "train")], [(document("b"), "train")]])
    write_index(tmp_path / DOCUMENTS, {"00000.parquet": 1, "00001.parquet": 1})
    (tmp_path / DOCUMENTS / "00001.parquet").unlink()
    with pytest.raises(SourceError, match=r"00001\.parquet is missing"):
        list(read_documents(tmp_path))


def test_copy_moves_and_repeats(tmp_path: Path) -> None:
    rows = [(document(f"{n}-{s}", source=n), "train") for n in "abc" for s in range(3)]
    fill(tmp_path, [rows])
    copied = tmp_path / "copy" / DOCUMENTS / "0.parquet"
    copied.parent.mkdir(parents=True)
    count = copy_documents(
        tmp_path / DOCUMENTS / "00000.parquet",
        copied,
        splits={"b": "held_out"},
        copies=np.array([1, 0, 3, 2, 2, 2, 0, 0, 1], np.int16),
    )
    assert count == 6  # what has no copy is not written
    folder = tmp_path / "copy"
    assert [d.id for d in read_documents(folder, "train")] == ["a-0", "a-2", "a-2", "a-2", "c-2"]
    assert [d.id for d in read_documents(folder, "held_out")] == ["b-0", "b-1", "b-2"]


def test_after_an_error_nothing_claims_to_be_whole(tmp_path: Path) -> None:
    from codekiln.storage import atomic_path

    target = tmp_path / "x.parquet"
    with (
        pytest.raises(RuntimeError),
        atomic_path(target) as path,
        DocumentWriter(path) as writer,
    ):
        writer.add(document("a"))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
