"""Repositories in folders: what is read, what is counted, what cannot do harm."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from codekiln.corpus.sources import folder, intake
from codekiln.corpus.sources.read import open_repository
from codekiln.errors import SourceError


def fill(root: Path, files: dict[str, str | bytes]) -> Path:
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def test_files_come_decoded_in_path_order(tmp_path: Path) -> None:
    root = fill(
        tmp_path / "project",
        {
            "pkg/b.py": "b = 1\r\n",
            "pkg/a.py": "\ufeffa = 'é'\n",
            "pkg.py": "c = 1",
            "include/x.h": "class A {\n};\n",
            "run": "#!/bin/sh\necho\n",
        },
    )
    reading = open_repository(root)
    repository = reading.repository()
    assert (reading.name, repository.name) == ("project", "project")
    assert [(f.path, f.text, f.language) for f in repository.files] == [
        ("include/x.h", "class A {\n};\n", "cpp"),
        ("pkg.py", "c = 1", "python"),
        ("pkg/a.py", "a = 'é'\n", "python"),
        ("pkg/b.py", "b = 1\r\n", "python"),
        ("run", "#!/bin/sh\necho\n", "shell"),
    ]
    assert reading.tally.kept == 5
    assert reading.tally.kept_bytes == sum((root / f.path).stat().st_size for f in repository.files)
    assert not reading.tally.dropped
    assert [f.path for f in reading] == [f.path for f in repository.files]


def test_every_dropped_file_is_counted_by_reason(tmp_path: Path) -> None:
    root = fill(
        tmp_path,
        {
            "good.py": "x = 1\n",
            "empty.py": "",
            "binary.py": b"\x00\x01",
            "latin.py": b"caf\xe9\n",
            "photo.png": b"\x89PNG",
            "notes": "no shebang",
            "large.py": "x" * 101,
            "fits.py": "y" * 100,
            "bad\nname.py": "x = 1\n",
            "node_modules/lib/index.js": "x",
            "sub/__pycache__/a.pyc": "x",
            ".git/config": "x",
        },
    )
    (root / os.fsdecode(b"caf\xe9.py")).write_text("x = 1\n")
    reading = open_repository(root, max_file_bytes=100)
    assert [f.path for f in reading] == ["fits.py", "good.py"]
    assert reading.tally.dropped == {
        intake.EMPTY: 1,
        "binary": 1,
        "not UTF-8": 1,
        intake.UNKNOWN: 2,
        intake.TOO_LARGE: 1,
        intake.UNUSABLE_NAME: 2,
        intake.FOREIGN: 3,
    }
    assert reading.tally.dropped_bytes[intake.TOO_LARGE] == 101
    assert reading.tally.seen == 13


def test_links_are_never_followed(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", {"secret.py": "secret = 1\n"})
    root = fill(tmp_path / "root", {"a/b/good.py": "x = 1\n"})
    (root / "loop").symlink_to(root)
    (root / "a/b/up").symlink_to("..")
    (root / "self").symlink_to("self")
    (root / "away").symlink_to(outside)
    (root / "secret.py").symlink_to(outside / "secret.py")
    (root / "broken.py").symlink_to("nowhere.py")
    reading = open_repository(root)
    assert [f.path for f in reading] == ["a/b/good.py"]
    assert reading.tally.dropped == {intake.LINK: 6}


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    fill(tmp_path / "real", {"a.py": "x = 1\n"})
    (tmp_path / "alias").symlink_to("real")
    reading = open_repository(tmp_path / "alias")
    assert reading.name == "real"
    assert [f.path for f in reading] == ["a.py"]


def test_a_gigabyte_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(tmp_path, {"a.py": "x = 1\n"})
    with (root / "huge.py").open("wb") as file:
        file.truncate(1 << 30)
    opened: list[str] = []
    really_open = os.open

    def note(path: str, flags: int) -> int:
        opened.append(Path(path).name)
        return really_open(path, flags)

    reading = open_repository(root)
    monkeypatch.setattr(folder.os, "open", note)
    assert [f.path for f in reading] == ["a.py"]
    assert opened == ["a.py"]
    assert reading.tally.dropped == {intake.TOO_LARGE: 1}
    assert reading.tally.dropped_bytes[intake.TOO_LARGE] == 1 << 30


def test_pipes_and_sockets_do_not_block(tmp_path: Path) -> None:
    root = fill(tmp_path, {"a.py": "x = 1\n"})
    os.mkfifo(root / "pipe.py")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)  # the name of a socket must be short
        try:
            listener.bind("s.py")
        finally:
            os.chdir(here)
        reading = open_repository(root)
        assert [f.path for f in reading] == ["a.py"]
    assert reading.tally.dropped == {intake.NOT_REGULAR: 2}


def test_what_changes_after_the_listing_is_counted_and_does_no_harm(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", {"secret.py": "secret = 1\n"})
    names = ["gone.py", "pipe.py", "link.py", "grown.py"]
    root = fill(tmp_path / "root", dict.fromkeys(names, "x = 1\n") | {"ok.py": "x = 1\n"})
    reading = open_repository(root, max_file_bytes=100)
    for name in names[:3]:
        (root / name).unlink()
    os.mkfifo(root / "pipe.py")
    (root / "link.py").symlink_to(outside / "secret.py")
    (root / "grown.py").write_text("x" * 101)
    assert [f.path for f in reading] == ["ok.py"]
    assert reading.tally.dropped == {intake.UNREADABLE: 4}


def test_an_unreadable_folder_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = fill(tmp_path, {"a.py": "x = 1\n", "closed/b.py": "x = 1\n"})
    listing = os.scandir

    def refuse(path: Path) -> object:
        if str(path).endswith("closed"):
            raise PermissionError("closed")
        return listing(path)

    monkeypatch.setattr(folder.os, "scandir", refuse)  # root could read it all the same
    reading = open_repository(root)
    assert [f.path for f in reading] == ["a.py"]
    assert reading.tally.dropped == {intake.UNREADABLE: 1}


def test_memory_of_a_repository_is_bounded(tmp_path: Path) -> None:
    root = fill(tmp_path, {f"{n}.py": "x" * 40 for n in range(5)})
    limits = intake.Limits(max_repository_bytes=100)
    reading = open_repository(root, limits=limits)
    assert len(list(reading)) == 2
    assert reading.tally.dropped == {intake.FULL: 3}


def test_revision_tells_changes(tmp_path: Path) -> None:
    root = fill(tmp_path, {"a.py": "x = 1\n", "b.py": "x = 1\n"})
    first = open_repository(root).revision
    assert open_repository(root).revision == first
    (root / "b.py").write_text("x = 12\n")
    second = open_repository(root).revision
    (root / "c.py").write_text("x = 1\n")
    assert len({first, second, open_repository(root).revision}) == 3


@pytest.mark.parametrize("kind", ["empty", "only git", "missing", "loop", "no permission", "pipe"])
def test_not_a_repository(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "empty":
        place.mkdir()
    elif kind == "only git":
        (place / ".git").mkdir(parents=True)
    elif kind == "loop":
        place.symlink_to(place)
    elif kind == "no permission":
        place.mkdir(mode=0)
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
    elif kind == "pipe":
        os.mkfifo(place)
    with pytest.raises(SourceError, match="place"):
        open_repository(place)
