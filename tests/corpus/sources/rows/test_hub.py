"""Data sets in the hub's forms, streamed from local folders."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codekiln.corpus.sources.collection import prepare
from codekiln.corpus.sources.read import open_repository
from codekiln.corpus.sources.rows.columns import RowColumns
from codekiln.corpus.sources.rows.hub import HubInput
from codekiln.errors import MissingToolError, SourceError

ROWS = [
    {"repo_name": f"o/r{n % 7}", "path": f"src/m{n}.py", "content": f"x = {n}\n", "stars": n % 5}
    for n in range(2500)
]
WANTED = {
    name: {row["path"]: row["content"] for row in ROWS if row["repo_name"] == name}
    for name in {row["repo_name"] for row in ROWS}
}


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and the library's cache here."""
    pytest.importorskip("datasets", reason="needs the library datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def contents(location: str, work: Path) -> dict[str, dict[str, str]]:
    grouped = prepare([location], work).grouped
    assert grouped is not None and not grouped.failures
    return {
        each.name: {file.path: file.text for file in open_repository(each.location)}
        for each in grouped.repositories()
    }


def parquet(folder: Path) -> None:
    for number in range(3):
        rows = pa.Table.from_pylist(ROWS[number::3])
        pq.write_table(rows, folder / f"train-{number:05d}-of-00003.parquet", row_group_size=100)


def jsonl(folder: Path) -> None:
    for split, rows in (("train", ROWS[:2000]), ("test", ROWS[2000:])):
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text)


def saved(folder: Path) -> None:
    import datasets

    datasets.Dataset.from_list(ROWS).save_to_disk(folder)


def saved_splits(folder: Path) -> None:
    import datasets

    splits = {"b": datasets.Dataset.from_list(ROWS[:9]), "a": datasets.Dataset.from_list(ROWS[9:])}
    datasets.DatasetDict(splits).save_to_disk(folder)


@pytest.mark.parametrize("make", [parquet, jsonl, saved, saved_splits])
def test_local_folders(tmp_path: Path, make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    make(folder)
    assert contents(f"hf:{folder}", tmp_path / "work") == WANTED
    monkeypatch.chdir(tmp_path)
    assert contents("hf:./set", tmp_path / "work2") == WANTED


@pytest.mark.parametrize("make", [jsonl, saved_splits])
def test_reading_starts_anywhere(tmp_path: Path, make) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    make(folder)
    source = HubInput(f"hf:{folder}")
    every = [p for raw in source.batches(RowColumns(), 0) for p in raw.values["path"]]
    assert sorted(every) == sorted(row["path"] for row in ROWS)
    for start in (1, 8, 499, 500, 501, 1000, 1499, 2499, 2500):
        rest = [p for raw in source.batches(RowColumns(), start) for p in raw.values["path"]]
        assert rest == every[start:], start


def test_one_split(tmp_path: Path) -> None:
    jsonl(tmp_path)
    found = contents(f"hf:{tmp_path}::test", tmp_path / "work")
    assert sum(map(len, found.values())) == 500
    with pytest.raises(SourceError, match="no split 'dev'"):
        prepare([f"hf:{tmp_path}::dev"], tmp_path / "work2")


@pytest.mark.parametrize("location", ["hf:", "hf:./nowhere", "hf:o/n:a:b:c"])
def test_malformed(location: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        prepare([location], tmp_path / "work")


def test_the_hub_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def info(*_: object) -> None:
        raise huggingface_hub.errors.OfflineModeIsEnabled("offline")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    with pytest.raises(SourceError, match="cannot be reached"):
        prepare(["hf:owner/name"], tmp_path / "work")


def test_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingToolError, match=r"codekiln\[hub\]"):
        prepare(["hf:owner/name"], tmp_path / "work")
