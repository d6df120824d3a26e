"""Locations: which places they stand for."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from codekiln.corpus.sources.read import expand_locations, open_repository
from codekiln.errors import SourceError


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two folders, an archive and a stray file, in the home folder and the current one."""
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.py").write_text("x = 1\n")
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("c/x.py", "x = 1\n")
    (tmp_path / "stray.txt").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_globs_and_home(places: Path) -> None:
    wanted = [str(places / name) for name in ("a", "b", "c.zip")]
    assert expand_locations([f"{places}/*"]) == wanted
    assert expand_locations(["~/*"]) == wanted
    assert expand_locations(["~/b", "~/a", "~/*.zip"]) == wanted
    assert expand_locations(["*"]) == ["a", "b", "c.zip"]
    assert open_repository("~/a").repository().files[0].path == "x.py"


def test_each_place_once(places: Path) -> None:
    (places / "alias").symlink_to("a")
    assert expand_locations(["a", "./a", str(places / "a"), "a/", "alias"]) == ["a"]


def test_no_locations_no_places() -> None:
    assert expand_locations([]) == []


@pytest.mark.parametrize("pattern", ["nothing", "no*thing", "", " ", "*.tar", "a*@main", "@main"])
def test_a_pattern_that_matches_nothing(places: Path, pattern: str) -> None:
    with pytest.raises(SourceError, match="matches nothing"):
        expand_locations(["a", pattern])


def test_a_name_with_wildcards_stands_for_itself_if_it_exists(places: Path) -> None:
    (places / "[a]").mkdir()
    (places / "[a]" / "y.py").write_text("y = 1\n")
    assert expand_locations(["[a]"]) == ["[a]"]


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_globs_with_a_revision_match_git_repositories(places: Path) -> None:
    for name in ("a", "b@1"):
        subprocess.run(["git", "init", "-q", str(places / name)], check=True)
    assert expand_locations(["*@HEAD"]) == ["a@HEAD", "b@1@HEAD"]
    assert expand_locations(["a@HEAD", "./a@HEAD", "a@main"]) == ["a@HEAD", "a@main"]


@pytest.mark.parametrize("location", ["nothing", "~/nothing", "nothing@main", "~nobody-here/x", ""])
def test_no_such_place(places: Path, location: str) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        open_repository(location)


def test_a_source_file_is_no_repository(places: Path) -> None:
    with pytest.raises(SourceError, match="not an archive"):
        open_repository("a/x.py")
