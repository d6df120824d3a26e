"""Archives and rows in object stores and behind URLs, through fsspec."""

from __future__ import annotations

import functools
import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codekiln.corpus.sources.collection import prepare
from codekiln.corpus.sources.read import expand_locations, open_repository
from codekiln.corpus.sources.remote import identity
from codekiln.errors import MissingToolError, SourceError

from .test_archive import FILES, TEXTS, make_tar, make_zip, under


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    """fsspec's store in memory, with archives and rows in it."""
    fsspec = pytest.importorskip("fsspec", reason="needs the library fsspec")
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    make_tar(tmp_path / "a-1.tar.gz", under("a-1", FILES))
    make_zip(tmp_path / "b-2.zip", under("b-2", FILES))
    for name in ("a-1.tar.gz", "b-2.zip"):
        memory.pipe(f"/bucket/{name}", (tmp_path / name).read_bytes())
    for number in range(2):
        rows = [{"repo_name": "o/n", "path": f"{number}.py", "content": f"x = {number}\n"}]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{number}.parquet")
        data = (tmp_path / f"{number}.parquet").read_bytes()
        memory.pipe(f"/rows/{number}.parquet", data)
    yield memory
    memory.store.clear()


def contents(location: str) -> dict[str, str]:
    return {file.path: file.text for file in open_repository(location)}


@pytest.mark.parametrize("name", ["a-1.tar.gz", "b-2.zip"])
def test_archives(store: Any, tmp_path: Path, name: str) -> None:
    wanted = name[:3]
    for location in (f"memory://bucket/{name}", f"file://{tmp_path}/{name}"):
        reading = open_repository(location)
        assert contents(location) == TEXTS
        assert reading.name == wanted
        assert reading.revision == open_repository(location).revision


def test_patterns_are_expanded_by_the_store(store: Any, tmp_path: Path) -> None:
    found = expand_locations(["memory://bucket/*.tar.gz", "memory://bucket/b*"])
    assert found == ["memory:///bucket/a-1.tar.gz", "memory:///bucket/b-2.zip"]
    assert all(contents(place) == TEXTS for place in found)
    with pytest.raises(SourceError, match="matches nothing"):
        expand_locations(["memory://bucket/*.rar"])


def test_the_revision_changes_with_the_file(store: Any, tmp_path: Path) -> None:
    location = "memory://bucket/a-1.tar.gz"
    before = open_repository(location).revision
    store.pipe("/bucket/a-1.tar.gz", (tmp_path / "b-2.zip").read_bytes())
    assert open_repository(location).revision != before


def test_rows(store: Any, tmp_path: Path) -> None:
    grouped = prepare(["memory://rows/*.parquet"], tmp_path / "work").grouped
    assert grouped is not None
    (found,) = grouped.repositories()
    assert contents(found.location) == {"0.py": "x = 0\n", "1.py": "x = 1\n"}


def test_damaged_and_missing(store: Any) -> None:
    data = store.cat("/bucket/a-1.tar.gz")
    store.pipe("/bucket/cut.tar.gz", data[: len(data) // 2])
    with pytest.raises(SourceError, match="truncated"):
        contents("memory://bucket/cut.tar.gz")
    with pytest.raises(SourceError, match="no such file"):
        open_repository("memory://bucket/none.tar.gz")
    with pytest.raises(SourceError, match="no such file"):
        identity("memory://bucket/none.parquet")
    with pytest.raises(SourceError, match="cannot be reached"):
        open_repository("nosuchstore://bucket/a.tar.gz")


def test_nothing_is_left_on_the_disk(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(cache))
    files = iter(open_repository("memory://bucket/b-2.zip"))
    next(files)
    assert list(cache.iterdir())
    files.close()  # type: ignore[attr-defined]
    assert not list(cache.iterdir())


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingToolError, match=r"codekiln\[hub\]"):
        open_repository("s3://bucket/a.tar.gz")


def test_a_stores_own_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec", reason="needs the library fsspec")
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingToolError, match="gcsfs"):
        open_repository("gs://bucket/a.tar.gz")


def test_http(store: Any, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp", reason="needs the library aiohttp")
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        place = f"http://127.0.0.1:{server.server_port}"
        reading = open_repository(f"{place}/a-1.tar.gz?token=x")
        assert {file.path: file.text for file in reading} == TEXTS
        assert reading.name == "a-1"
        assert reading.revision
        grouped = prepare([f"{place}/0.parquet"], tmp_path / "work").grouped
        assert grouped is not None and grouped.files == 1
        with pytest.raises(SourceError):
            open_repository(f"{place}/none.tar.gz")
    finally:
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""
