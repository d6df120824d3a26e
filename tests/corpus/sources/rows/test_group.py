"""Grouping of rows: against grouping in memory, killed, damaged, and with odd rows."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codekiln.corpus.sources import intake
from codekiln.corpus.sources.collection import is_collection, prepare
from codekiln.corpus.sources.metadata import Metadata
from codekiln.corpus.sources.read import open_repository
from codekiln.corpus.sources.rows import group as group_module
from codekiln.corpus.sources.rows import inputs as rows_inputs
from codekiln.corpus.sources.rows import merge as merge_module
from codekiln.corpus.sources.rows import tidy
from codekiln.corpus.sources.rows.columns import RowColumns
from codekiln.corpus.sources.rows.group import GroupedRows, group_rows
from codekiln.errors import CodekilnError, SourceError

Row = dict[str, Any]


def row(name: Any, path: Any, content: Any, **more: Any) -> Row:
    return {"repo_name": name, "path": path, "content": content, **more}


def write(path: Path, rows: Sequence[Row], group: int = 50) -> Path:
    """Rows as a file of the kind that its name says."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path, row_group_size=group)
        return path
    data = "".join(json.dumps(each) + "\n" for each in rows).encode()
    packers = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    if path.suffix == ".zst":
        data = pa.Codec("zstd").compress(data, asbytes=True)
    path.write_bytes(packers.get(path.suffix, lambda plain: plain)(data))
    return path


def group(where: Path, *patterns: str, **options: Any) -> GroupedRows:
    work = options.pop("work", where / "work")
    found = prepare(patterns or [f"{where}/*.parquet"], work, **options).grouped
    assert found is not None
    return found


def contents(grouped: GroupedRows) -> dict[str, dict[str, str]]:
    return {
        each.name: {file.path: file.text for file in open_repository(each.location)}
        for each in grouped.repositories()
    }


def by_hand(rows: Sequence[Row]) -> dict[str, dict[str, str]]:
    """The oracle: everything in memory."""
    found: dict[str, dict[str, str]] = {}
    for each in rows:
        found.setdefault(each["repo_name"], {}).setdefault(each["path"], each["content"])
    return found


def random_rows(seed: int, count: int, repositories: int = 40) -> list[Row]:
    rng = random.Random(seed)
    return [
        row(
            f"owner{rng.randrange(repositories)}/thing",
            f"src/m{rng.randrange(20)}.py",
            f"x = {rng.random()}\n" * rng.randrange(1, 30),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("memory", [1, 20_000, 1 << 30])
def test_scattered_rows_become_whole_repositories(tmp_path: Path, memory: int) -> None:
    rows = random_rows(1, 900)
    for number in range(6):
        write(tmp_path / f"{number}.parquet", rows[number * 150 :][:150])
    grouped = group(tmp_path, memory_bytes=memory)
    wanted = by_hand(rows)
    assert contents(grouped) == wanted
    assert grouped.count == len(wanted)
    assert grouped.files == sum(map(len, wanted.values()))
    assert grouped.bytes == sum(len(t) for files in wanted.values() for t in files.values())
    assert grouped.dropped[intake.DUPLICATE]["rows"] == len(rows) - grouped.files
    assert not list((tmp_path / "work").glob("*/spill-*"))


def test_memory_and_partitions_do_not_change_a_repository(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", random_rows(2, 600))
    revisions = [
        {
            (each.name, each.revision, each.files, each.bytes)
            for each in group(tmp_path, work=tmp_path / str(m), memory_bytes=m).repositories()
        }
        for m in (1, 1 << 30)
    ]
    assert revisions[0] == revisions[1]


def test_a_partition_that_does_not_fit_into_memory_is_read_in_several_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = random_rows(12, 600)
    source = rows_inputs.ParquetInput(str(write(tmp_path / "a.parquet", rows)))
    passes = []

    def merge(*arguments: Any, **options: Any) -> None:
        passes.append(options["passes"])
        merge_module.merge(*arguments, **options)

    monkeypatch.setattr(group_module, "merge", merge)
    grouped = group_rows([source], tmp_path / "out", partitions=1, memory_bytes=1)
    assert passes[0] > 5
    assert contents(grouped) == by_hand(rows)


@pytest.mark.parametrize("end", ["jsonl", "json", "ndjson.gz", "jsonl.gz", "jsonl.zst"])
def test_json_lines(tmp_path: Path, end: str) -> None:
    rows = random_rows(3, 300)
    write(tmp_path / f"a.{end}", rows)
    assert contents(group(tmp_path, f"{tmp_path}/*.{end}")) == by_hand(rows)


@pytest.mark.parametrize("end", ["jsonl.bz2", "jsonl.xz"])
def test_other_compressions_and_several_kinds_together(tmp_path: Path, end: str) -> None:
    rows = random_rows(4, 300)
    write(tmp_path / "a.parquet", rows[:150])
    write(tmp_path / f"b.{end}", rows[150:])
    found = group(tmp_path, str(tmp_path / "a.parquet"), str(tmp_path / f"b.{end}"))
    assert contents(found) == by_hand(rows)


SHAPES: dict[str, tuple[Row, Metadata]] = {
    "the stack v1": (
        {
            "hexsha": "0a", "size": 6, "ext": "py", "lang": "Python",
            "max_stars_repo_path": "a/b.py", "max_stars_repo_name": "o/n",
            "max_stars_repo_head_hexsha": "ff", "max_stars_repo_licenses": ["MIT", "Apache-2.0"],
            "max_stars_count": 12,
            "max_stars_repo_stars_event_max_datetime": "2020-03-01T00:00:00.000Z",
            "max_issues_repo_name": "other/fork", "content": "x = 1\n",
        },
        Metadata(stars=12, updated=1583020800.0, licence="Apache-2.0 AND MIT"),
    ),
    "starcoderdata": (
        {"max_stars_repo_path": "a/b.py", "max_stars_repo_name": "o/n", "max_stars_count": 3.0,
         "id": "7", "content": "x = 1\n"},
        Metadata(stars=3),
    ),
    "github-code": (
        {"code": "x = 1\n", "repo_name": "o/n", "path": "a/b.py", "language": "Python",
         "license": "mit", "size": 6},
        Metadata(licence="mit"),
    ),
    "the stack v2 with contents": (
        {"blob_id": "0a", "path": "/a/b.py", "content_id": "0b", "detected_licenses": ["MIT"],
         "repo_name": "o/n", "committer_date": 1583020800, "star_events_count": 4,
         "content": b"x = 1\n"},
        Metadata(stars=4, updated=1583020800.0, licence="MIT"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_columns_are_known_by_their_names(tmp_path: Path, shape: str) -> None:
    example, metadata = SHAPES[shape]
    write(tmp_path / "a.parquet", [example])
    grouped = group(tmp_path)
    assert contents(grouped) == {"o/n": {"a/b.py": "x = 1\n"}}
    (found,) = grouped.repositories()
    assert found.metadata == metadata
    reading = open_repository(found.location)
    assert (reading.name, reading.revision, reading.metadata) == ("o/n", found.revision, metadata)


def test_columns_may_be_named(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", [{"body": "x\n", "file": "a.py", "r": "o/n", "content": "no"}])
    named = RowColumns(content="body", path="file", repository="r")
    assert contents(group(tmp_path, f"{tmp_path}/a.jsonl", columns=named)) == {
        "o/n": {"a.py": "x\n"}
    }
    with pytest.raises(SourceError, match="body, content, file"):
        wrong = RowColumns(content="missing")
        write(tmp_path / "b.jsonl", [{"body": "x", "content": "", "file": "a.py"}])
        group(tmp_path, f"{tmp_path}/b.jsonl", columns=wrong, work=tmp_path / "w2")


def test_metadata_of_a_repository_comes_from_all_its_rows(tmp_path: Path) -> None:
    write(
        tmp_path / "a.jsonl",
        [
            row("o/n", "a.py", "a", stars=None, updated="2020-01-01", license="MIT"),
            row("o/n", "b.py", "b", stars=7, updated="2021-01-01", license=None),
            row("o/n", "c.py", "c", stars=5, updated="nonsense", license="MIT"),
            row("o/m", "c.py", "c", stars="many", fork_of="o/n"),
        ],
    )
    found = {e.name: e.metadata for e in group(tmp_path, f"{tmp_path}/a.jsonl").repositories()}
    assert found["o/n"] == Metadata(stars=7, updated=1609459200.0, licence="MIT")
    assert found["o/m"] == Metadata(fork_of="o/n")


def test_rows_that_cannot_be_used_are_counted_by_reason(tmp_path: Path) -> None:
    bad = {
        tidy.NO_REPOSITORY: [row(None, "a.py", "a"), row("  ", "a.py", "a"), row(3, "a.py", "a")],
        tidy.NO_PATH: [row("o/n", None, "a"), row("o/n", "", "a"), row("o/n", ["a"], "a")],
        tidy.NO_CONTENT: [row("o/n", "a.py", None), row("o/n", "b.py", 3)],
        intake.OUTSIDE: [
            row("o/n", "../a.py", "a"), row("o/n", "a/../../b.py", "a"),
            row("o/n", "C:\\a.py", "a"), row("o/n", "c:/a.py", "a"), row("o/n", "..\\a.py", "a"),
        ],
        tidy.ABSURD: [
            row("o/n", "a/" * 3000 + "a.py", "a"), row("o/n", "x" * 300 + ".py", "a"),
            row("o/n", "//", "a"), row("o/n", "./", "a"),
        ],
        intake.UNUSABLE_NAME: [
            row("o/n", "a\n.py", "a"), row("o\0n", "a.py", "a"), row("o/n", "\ud800.py", "a"),
            row("n" * 501, "a.py", "a"),
        ],
        intake.DUPLICATE: [row("o/n", "good.py", "again"), row("o/n", "./good.py", "again")],
    }  # fmt: skip
    lines = [json.dumps(row("o/n", "good.py", "good\n")), "{", "[1]", "", "nul", "[" * 100_000]
    lines += [json.dumps(each) for rows in bad.values() for each in rows]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    grouped = group(tmp_path, f"{tmp_path}/a.jsonl")
    assert contents(grouped) == {"o/n": {"good.py": "good\n"}}
    counts = {reason: facts["rows"] for reason, facts in grouped.dropped.items()}
    assert counts == {
        **{reason: len(rows) for reason, rows in bad.items()},
        rows_inputs.NOT_JSON: 4,
    }
    assert all(facts["examples"] for facts in grouped.dropped.values())


def test_windows_paths_and_paths_from_the_root(tmp_path: Path) -> None:
    paths = {"src\\a.py": "src/a.py", "/b.py": "b.py", ".\\c.py": "c.py", "d//e.py": "d/e.py"}
    paths["..f/a..b.py"] = "..f/a..b.py"
    write(tmp_path / "a.parquet", [row("o/n", path, "x\n") for path in paths])
    assert set(contents(group(tmp_path))["o/n"]) == set(paths.values())


def test_paths_that_differ_by_case_are_both_kept(tmp_path: Path) -> None:
    rows = [row("o/n", "Readme.py", "a\n"), row("o/n", "readme.py", "b\n"), row("O/n", "a.py", "c")]
    write(tmp_path / "a.parquet", rows)
    assert contents(group(tmp_path)) == by_hand(rows)


def test_contents_in_other_encodings_and_what_is_no_text(tmp_path: Path) -> None:
    rows = [
        row("o/n", "bom.py", "\ufeffx = 'é'\n".encode()),
        row("o/n", "wide.py", "x = 'é'\n".encode("utf-16")),
        row("o/n", "old.py", "# coding: latin-1\nx = 'é'\n".encode("latin-1")),
        row("o/n", "guess.py", "x = 'é'\n".encode("latin-1")),
        row("o/n", "null.py", b"a\0b"),
        row("o/n", "empty.py", b""),
        row("o/n", "node_modules/x.js", b"x"),
        row("o/n", "photo.png", b"x"),
        row("o/n", "large.py", b"x" * 2000),
    ]
    write(tmp_path / "a.parquet", rows)
    (found,) = group(tmp_path).repositories()
    reading = open_repository(found.location, max_file_bytes=1000)
    texts = {file.path: file.text for file in reading}
    assert texts == {
        "bom.py": "x = 'é'\n",
        "wide.py": "x = 'é'\n",
        "old.py": "# coding: latin-1\nx = 'é'\n",
    }
    assert reading.tally.dropped == {
        "not UTF-8": 1, "binary": 1, intake.EMPTY: 1, intake.FOREIGN: 1, intake.UNKNOWN: 1,
        intake.TOO_LARGE: 1,
    }  # fmt: skip


def test_a_collection_without_contents_is_refused_with_its_count(tmp_path: Path) -> None:
    ids = [{"blob_id": str(n), "path": "/a.py", "repo_name": "o/n"} for n in range(30)]
    write(tmp_path / "a.parquet", ids, group=7)
    with pytest.raises(SourceError, match="row without content: 30 rows"):
        group(tmp_path)
    write(tmp_path / "b.parquet", [row("o/n", "a.py", "x\n")])
    assert group(tmp_path).dropped[tidy.NO_CONTENT]["rows"] == 30


def test_what_is_no_collection_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [{"question": "?", "answer": "!"}])
    with pytest.raises(SourceError, match="question, answer"):
        group(tmp_path)
    write(tmp_path / "b.parquet", [row("o/n", "a.py", "x\n")])
    write(tmp_path / "c.parquet", [row("o/n", "b.py", 7)])
    grouped = group(tmp_path)
    assert contents(grouped) == {"o/n": {"a.py": "x\n"}}
    assert [Path(place).name for place, _ in grouped.failures] == ["a.parquet", "c.parquet"]
    assert "int64" in grouped.failures[1][1]


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl.gz", "a.jsonl.zst", "a.jsonl.xz"])
def test_a_damaged_file_is_named_and_the_rest_goes_on(tmp_path: Path, name: str) -> None:
    rows = random_rows(5, 4000, repositories=3)
    damaged = write(tmp_path / name, rows)
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size * 2 // 3])
    write(tmp_path / "b.parquet", [row("o/n", "a.py", "x\n")])
    grouped = group(tmp_path, f"{tmp_path}/*.parquet", *([f"{tmp_path}/{name}"]))
    ((place, problem),) = grouped.failures
    assert place.endswith(name)
    assert "truncated or damaged" in problem
    assert contents(grouped)["o/n"] == {"a.py": "x\n"}


def test_parquet_damaged_anywhere_is_an_error_or_a_reading_never_a_crash(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.parquet", random_rows(6, 200)).read_bytes()
    write(tmp_path / "b.parquet", [row("o/n", "a.py", "x\n")])
    rng = random.Random(7)
    failed = 0
    for number in range(60):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "a.parquet").write_bytes(data)
        try:
            grouped = group(tmp_path, work=tmp_path / f"w{number}", memory_bytes=1 << 20)
            failed += bool(grouped.failures)
            assert contents(grouped)["o/n"] == {"a.py": "x\n"}
        except CodekilnError:
            failed += 1
    assert failed > 10


def test_a_changed_input_starts_over(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [row("o/n", "a.py", "x\n")])
    assert set(contents(group(tmp_path))) == {"o/n"}
    write(tmp_path / "a.parquet", [row("o/other", "a.py", "x\n"), row("o/n", "b.py", "y\n")])
    assert contents(group(tmp_path)) == {"o/other": {"a.py": "x\n"}, "o/n": {"b.py": "y\n"}}
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "work").rglob("*.arrow")}
    group(tmp_path)
    assert before == {p: p.stat().st_mtime_ns for p in (tmp_path / "work").rglob("*.arrow")}


KILLED = """
import os, signal, sys
from pathlib import Path
from codekiln.corpus.sources.collection import prepare
left, fsync = int(sys.argv[4]), os.fsync
def count(handle):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(handle)
os.fsync = count
prepare([sys.argv[1] + "/*.parquet", sys.argv[1] + "/*.jsonl.gz"], Path(sys.argv[2]),
        memory_bytes=int(sys.argv[3]))
"""


@pytest.mark.slow
def test_killed_anywhere_it_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    rows = random_rows(8, 8_000, repositories=200)
    for number in range(3):
        write(tmp_path / f"{number}.parquet", rows[number * 2000 :][:2000], group=700)
    write(tmp_path / "3.jsonl.gz", rows[6000:])
    patterns = [f"{tmp_path}/*.parquet", f"{tmp_path}/*.jsonl.gz"]
    memory = 600_000
    whole = group(tmp_path, *patterns, work=tmp_path / "whole", memory_bytes=memory)
    rng = random.Random(9)
    for attempt in range(4):
        work = tmp_path / f"killed{attempt}"
        for _ in range(3):  # each thing that is written is made durable: kill at one of them
            at = str(rng.randrange(1, 40))
            command = [sys.executable, "-c", KILLED, str(tmp_path), str(work), str(memory), at]
            assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        again = group(tmp_path, *patterns, work=work, memory_bytes=memory)
        assert [each.revision for each in again.repositories()] == [
            each.revision for each in whole.repositories()
        ]
        assert again.dropped == whole.dropped
        assert not list(work.glob("*/.*"))


def test_one_repository_is_found_without_reading_the_others(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", random_rows(10, 500))
    found = list(group(tmp_path, memory_bytes=1 << 30).repositories())
    middle = found[len(found) // 2]
    part = Path(middle.location.removeprefix("rows:").partition("#")[0]) / "files.arrow"
    data = bytearray(part.read_bytes())
    for start in (64, len(data) - 3000):  # the first and the last batch
        data[start : start + 200] = bytes(200)
    part.write_bytes(data)
    assert len(list(open_repository(middle.location))) == middle.files


@pytest.mark.parametrize(
    "location", ["rows:nowhere/part-00000#o/n", "rows:", "rows:x/part-00000#", "rows:x#o/n"]
)
def test_no_such_repository(location: str) -> None:
    with pytest.raises(SourceError):
        open_repository(location)


def test_an_unknown_name_and_a_damaged_part(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", random_rows(11, 50))
    grouped = group(tmp_path)
    location = next(grouped.repositories()).location
    with pytest.raises(SourceError, match="no such repository"):
        open_repository(location + "x")
    part = Path(location.removeprefix("rows:").partition("#")[0]) / "files.arrow"
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(SourceError, match="damaged"):
        list(open_repository(location))
    index = part.with_name("index.arrow")
    index.write_bytes(b"nothing")
    with pytest.raises(SourceError, match="damaged"):
        open_repository(location)


def test_collections_beside_other_places(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [row("o/n", "a.py", "x\n")])
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.py").write_text("x")
    found = prepare([str(tmp_path / "folder"), f"{tmp_path}/*.parquet"], tmp_path / "work")
    assert found.locations == (str(tmp_path / "folder"),)
    assert found.grouped is not None and found.grouped.count == 1
    assert prepare([str(tmp_path / "folder")], tmp_path / "none").grouped is None
    assert not (tmp_path / "none").exists()
    with pytest.raises(SourceError, match="matches nothing"):
        prepare([f"{tmp_path}/*.jsonl"], tmp_path / "work")


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("data/*.parquet", True), ("a.jsonl.zst", True), ("s3://b/*.json.gz", True),
        ("hf:o/n", True), ("a.tar.gz", False), ("folder", False), ("https://h/a.tgz", False),
    ],
)  # fmt: skip
def test_what_is_a_collection(pattern: str, wanted: bool) -> None:
    assert is_collection(pattern) is wanted
