"""What is known about repositories besides their files."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codekiln.corpus.sources.metadata import (
    Metadata,
    licence_of,
    load_metadata,
    name_of,
    seconds_of,
    stars_of,
)
from codekiln.errors import SourceError

WANTED = {
    "o/a": Metadata(stars=5, updated=1577836800.0, licence="MIT", fork_of="p/a"),
    "o/b": Metadata(),
}


def test_forms_of_the_side_file(tmp_path: Path) -> None:
    rows = [
        {"repo_name": "o/a", "stars": 5, "updated": "2020-01-01T00:00:00Z", "license": "MIT",
         "fork_of": "p/a"},
        {"repo_name": "o/b", "stars": None, "updated": None, "license": None, "fork_of": None},
    ]  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(text + "\n")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    head = "repo_name,stars,updated,license,fork_of\n"
    (tmp_path / "a.csv").write_text(head + "o/a,5,2020-01-01,MIT,p/a\no/b,,,,\n")
    for name in ("a.jsonl", "a.jsonl.gz", "a.parquet", "a.csv"):
        assert load_metadata(tmp_path / name) == WANTED, name


def test_answers_of_github(tmp_path: Path) -> None:
    row = {
        "name": "a", "full_name": "o/a", "stargazers_count": 5, "pushed_at": "2020-01-01T00:00:00Z",
        "license": {"key": "mit", "spdx_id": "MIT"}, "parent": {"full_name": "p/a"},
    }  # fmt: skip
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    assert load_metadata(tmp_path / "a.jsonl") == {"o/a": WANTED["o/a"]}


def test_later_rows_fill_gaps(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,stars,licence\nx,,MIT\nx,4,ISC\n")
    assert load_metadata(tmp_path / "a.csv") == {"x": Metadata(stars=4, licence="MIT")}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"stars": 1}', "no repository's name"),
        ('{"name": "a", "stars": "many"}', "row 1: stars = 'many'"),
        ('{"name": "a", "updated": "soon"}', "updated = 'soon'"),
        ("{", "cannot be read"),
        ("[1]", "wanted: an object"),
        ("\xff", "cannot be read"),
    ],
)
def test_side_files_that_are_wrong(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(text.encode("latin-1"))
    with pytest.raises(SourceError, match=problem):
        load_metadata(tmp_path / "a.jsonl")


def test_side_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"name": "a"}\n' * 1000)[:20])
    for name in ("none.jsonl", "a.parquet", "a.jsonl.gz"):
        with pytest.raises(SourceError, match="cannot be read"):
            load_metadata(tmp_path / name)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1583020800, 1583020800.0), (1583020800000, 1583020800.0), ("1583020800", 1583020800.0),
        ("2020-03-01T01:00:00+01:00", 1583020800.0), ("2020-03-01", 1583020800.0),
        (date(2020, 3, 1), 1583020800.0), (datetime(2020, 3, 1), 1583020800.0),
        (datetime(2020, 3, 1, tzinfo=UTC), 1583020800.0),
        ("", None), ("soon", None), (None, None), (True, None), (-5, None), (float("nan"), None),
        (10**400, None), ([], None),
    ],
)  # fmt: skip
def test_dates(value: Any, wanted: float | None) -> None:
    assert seconds_of(value) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("MIT", "MIT"), (["MIT"], "MIT"), (["b", "a", "b"], "a AND b"), ([], None), ("", None),
        ({"spdx_id": "MIT"}, "MIT"), ([{"type": "MIT"}, None, 3, ["x"]], "MIT"), (3, None),
        ("a\nb", None), ("x" * 2000, None),
    ],
)  # fmt: skip
def test_licences(value: Any, wanted: str | None) -> None:
    assert licence_of(value) == wanted


def test_what_is_unknown_is_filled() -> None:
    one, other = Metadata(stars=0, licence="MIT"), Metadata(stars=3, updated=1.0, licence="ISC")
    assert one.or_else(other) == Metadata(stars=0, updated=1.0, licence="MIT")
    assert Metadata().or_else(other) == other
    assert other.or_else(Metadata()) == other


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(ANYTHING)
def test_any_value_is_a_fact_or_unknown(value: Any) -> None:
    facts = Metadata.of(dict.fromkeys(("stars", "updated", "licence", "fork_of"), value))
    assert facts.stars is None or facts.stars >= 0
    assert facts == Metadata(
        stars=stars_of(value),
        updated=seconds_of(value),
        licence=licence_of(value),
        fork_of=name_of(value),
    )
    for text in (facts.licence, facts.fork_of):
        assert text is None or text.encode()
