"""Git repositories at a revision: no checkout, no trust."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from codekiln.corpus.sources import intake
from codekiln.corpus.sources.read import open_repository
from codekiln.errors import SourceError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(where: Path, *arguments: str) -> str:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
    }
    done = subprocess.run(
        ["git", "-C", str(where), *arguments], env=environment, capture_output=True, check=True
    )
    return done.stdout.decode().strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two commits: "first" holds a.py alone."""
    root = tmp_path / "project"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "a.py").write_text("version = 1\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    git(root, "tag", "first")
    (root / "a.py").write_text("version = 2\n")
    (root / "sub").mkdir()
    (root / "sub/ünï code.py").write_text("x = 'é'\n")
    (root / "sub/large.py").write_text("x" * 300)
    (root / "link.py").symlink_to("/etc/passwd")
    (root / "empty.py").write_text("")
    (root / "photo.png").write_bytes(b"\x89PNG\0")
    (root / "binary.py").write_bytes(b"\0")
    (root / "node_modules").mkdir()
    (root / "node_modules/x.js").write_text("x")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "two")
    return root


def contents(location: object) -> dict[str, str]:
    return {file.path: file.text for file in open_repository(str(location), max_file_bytes=200)}


def test_any_revision_is_read_without_a_checkout(project: Path) -> None:
    before = sorted(project.rglob("*"))
    (project / "a.py").write_text("uncommitted = 1\n")
    assert contents(f"{project}@first") == {"a.py": "version = 1\n"}
    assert contents(f"{project}@HEAD~1") == {"a.py": "version = 1\n"}
    assert contents(f"{project}@main") == {"a.py": "version = 2\n", "sub/ünï code.py": "x = 'é'\n"}
    assert contents(f"{project}@HEAD@{{0}}") == contents(f"{project}@main")
    assert contents(project)["a.py"] == "uncommitted = 1\n"
    assert sorted(project.rglob("*")) == before


def test_dropped_files_are_counted(project: Path) -> None:
    reading = open_repository(f"{project}@main", max_file_bytes=200)
    files = list(reading)
    assert reading.tally.kept == len(files) == 2
    assert reading.tally.dropped == {
        intake.LINK: 1,
        intake.TOO_LARGE: 1,
        intake.EMPTY: 1,
        intake.UNKNOWN: 1,
        "binary": 1,
        intake.FOREIGN: 1,
    }
    assert reading.name == "project"
    assert reading.revision == git(project, "rev-parse", "main")


def test_bare_repositories_and_worktrees(project: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(project), "bare.git")
    wanted = contents(f"{project}@HEAD")
    assert contents(tmp_path / "bare.git") == wanted
    assert contents(f"{tmp_path}/bare.git@first") == {"a.py": "version = 1\n"}
    assert open_repository(tmp_path / "bare.git").name == "bare"
    assert contents(project / ".git") == wanted
    assert open_repository(project / ".git").name == "project"
    git(project, "worktree", "add", "-q", str(tmp_path / "tree"), "first")
    assert contents(f"{tmp_path}/tree@first") == {"a.py": "version = 1\n"}


def test_packed_objects(project: Path) -> None:
    wanted = contents(f"{project}@HEAD")
    git(project, "gc", "-q")
    assert contents(f"{project}@HEAD") == wanted


def test_submodules_are_counted(project: Path, tmp_path: Path) -> None:
    commit = git(project, "rev-parse", "HEAD")
    git(project, "update-index", "--add", "--cacheinfo", f"160000,{commit},module")
    git(project, "commit", "-qm", "three")
    reading = open_repository(f"{project}@HEAD")
    list(reading)
    assert reading.tally.dropped[intake.SUBMODULE] == 1


@pytest.mark.parametrize(
    "revision",
    [
        "nothing",
        "",
        "--help",
        "-n1",
        "--all",
        "--output=/tmp/x",
        "HEAD:a.py",
        "HEAD^{tree}",
        "main\nfirst",
        "main first",
        "first..main",
        "^main",
    ],
)
def test_a_revision_is_a_revision_and_nothing_else(project: Path, revision: str) -> None:
    with pytest.raises(SourceError, match=r"no such revision|cannot read it"):
        open_repository(f"{project}@{revision}")


def test_not_a_git_repository(tmp_path: Path, project: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(SourceError, match="not a git repository"):
        open_repository(f"{tmp_path}/plain@main")
    with pytest.raises(SourceError, match="not a git repository"):
        open_repository(f"{project}/sub@main")  # not the folder around it either


def test_folders_whose_names_are_odd(project: Path, tmp_path: Path) -> None:
    for name in ("-v", "with@at", "a b$(touch x)"):
        odd = tmp_path / name
        git(tmp_path, "clone", "-q", "--", str(project), str(odd))
        assert contents(f"{odd}@first") == {"a.py": "version = 1\n"}
    assert not (tmp_path / "x").exists()


def test_nothing_that_the_repository_configures_is_run(project: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {mark}\n")
    trap.chmod(0o755)
    for key in (
        "core.fsmonitor",
        "core.pager",
        "pager.ls-tree",
        "core.sshCommand",
        "core.editor",
        "core.alternateRefsCommand",
        "filter.trap.smudge",
        "filter.trap.process",
        "diff.trap.textconv",
        "alias.ls-tree",
        "alias.cat-file",
        "credential.helper",
        "trace2.normalTarget",
    ):
        git(project, "config", key, str(trap))
    hooks = project / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for hook in ("post-checkout", "reference-transaction", "post-index-change", "fsmonitor"):
        shutil.copy(trap, hooks / hook)
    (project / ".git/info").mkdir(exist_ok=True)
    (project / ".git/info/attributes").write_text("* filter=trap diff=trap\n")
    assert contents(f"{project}@first") == {"a.py": "version = 1\n"}
    assert not mark.exists()


def test_the_callers_git_variables_do_not_lead_elsewhere(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "nonsense")
    assert contents(f"{project}@first") == {"a.py": "version = 1\n"}


def test_replaced_objects_do_not_answer_for_the_real_ones(project: Path) -> None:
    git(project, "replace", git(project, "rev-parse", "first"), git(project, "rev-parse", "main"))
    assert contents(f"{project}@first") == {"a.py": "version = 1\n"}


def test_missing_blobs_are_counted(project: Path) -> None:
    blob = git(project, "rev-parse", "main:a.py")
    (project / ".git/objects" / blob[:2] / blob[2:]).unlink()
    reading = open_repository(f"{project}@main", max_file_bytes=200)
    assert [file.path for file in reading] == ["sub/ünï code.py"]
    assert reading.tally.dropped[intake.MISSING] == 1


def test_a_partial_clone_is_not_completed_over_the_network(project: Path, tmp_path: Path) -> None:
    git(project, "config", "uploadpack.allowFilter", "true")
    url = project.as_uri()
    git(tmp_path, "clone", "-q", "--no-checkout", "--filter=blob:none", url, "partial")
    reading = open_repository(f"{tmp_path}/partial@first")
    assert list(reading) == []
    assert reading.tally.dropped == {intake.MISSING: 1}
    assert "?" in git(
        tmp_path / "partial", "rev-list", "--objects", "--missing=print", "first"
    )  # nothing was fetched


def test_a_missing_tree_is_an_error(project: Path) -> None:
    tree = git(project, "rev-parse", "main:sub")
    (project / ".git/objects" / tree[:2] / tree[2:]).unlink()
    with pytest.raises(SourceError, match="git cannot read it"):
        list(open_repository(f"{project}@main"))


def test_a_damaged_blob_is_an_error(project: Path) -> None:
    blob = git(project, "rev-parse", "main:a.py")
    path = project / ".git/objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(SourceError, match="git cannot read it"):
        list(open_repository(f"{project}@main"))


def test_trees_that_name_each_other_a_billion_times(tmp_path: Path) -> None:
    root = tmp_path / "bomb"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    (root / "f").write_text("#!/bin/sh\n")
    thing, kind, mode = git(root, "hash-object", "-w", "f"), "blob", "100644"
    for _ in range(9):
        rows = "".join(f"{mode} {kind} {thing}\tf{n}\n" for n in range(10))
        (root / "rows").write_text(rows)
        with (root / "rows").open() as listing:
            done = subprocess.run(
                ["git", "-C", str(root), "mktree"], stdin=listing, capture_output=True, check=True
            )
        thing, kind, mode = done.stdout.decode().strip(), "tree", "040000"
    git(root, "update-ref", "refs/heads/main", git(root, "commit-tree", "-m", "x", thing))
    limits = intake.Limits(max_files=20_000)
    with pytest.raises(SourceError, match="more than 20,000 files"):
        list(open_repository(f"{root}@main", limits=limits))


def test_a_commit_without_files(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    with pytest.raises(SourceError, match="no such revision"):
        open_repository(f"{tmp_path}@HEAD")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "nothing")
    with pytest.raises(SourceError, match="without files"):
        list(open_repository(f"{tmp_path}@HEAD"))


def test_half_a_reading_leaves_no_process(project: Path) -> None:
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if not children.exists():
        pytest.skip("needs /proc")
    before = children.read_text()  # other tests may have started Python's resource tracker
    files = iter(open_repository(f"{project}@main"))
    next(files)
    assert children.read_text() != before
    files.close()  # type: ignore[attr-defined]
    assert children.read_text() == before


def test_shallow_clones(project: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--bare", "--depth=1", f"file://{project}", str(shallow))
    assert (shallow / "shallow").exists()
    assert contents(shallow) == contents(f"{project}@main")
    with pytest.raises(SourceError, match="no such revision"):
        open_repository(f"{shallow}@HEAD~1")


def test_objects_borrowed_from_another_repository(project: Path, tmp_path: Path) -> None:
    borrower = tmp_path / "borrower"
    git(tmp_path, "clone", "-q", "--bare", "--shared", str(project), str(borrower))
    assert (borrower / "objects/info/alternates").exists()
    assert contents(borrower) == contents(f"{project}@main")
    project.rename(tmp_path / "moved")
    with pytest.raises(SourceError, match=r"git cannot read it|no such revision"):
        contents(borrower)


def test_packed_references(project: Path) -> None:
    git(project, "pack-refs", "--all")
    assert not (project / ".git/refs/heads/main").exists()
    assert contents(f"{project}@first") == {"a.py": "version = 1\n"}


def test_sha256_repositories(tmp_path: Path) -> None:
    root = tmp_path / "wide"
    root.mkdir()
    try:
        git(root, "init", "-q", "--object-format=sha256")
    except subprocess.CalledProcessError:
        pytest.skip("this git knows no sha256")
    (root / "a.py").write_text("x = 1\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    reading = open_repository(f"{root}@HEAD")
    assert [file.path for file in reading] == ["a.py"]
    assert len(reading.revision) == 64


def test_pointers_to_large_files_are_counted(project: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 12345\n"
    (project / "model.py").write_text(pointer)
    git(project, "add", "-A")
    git(project, "commit", "-qm", "three")
    for location in (f"{project}@HEAD", str(project)):
        reading = open_repository(location)
        assert "model.py" not in [file.path for file in reading]
        assert reading.tally.dropped[intake.LFS_POINTER] == 1


def test_the_date_is_the_commits(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_UNRELATED", "1")
    wanted = int(git(project, "log", "-1", "--format=%ct"))
    assert open_repository(f"{project}@main").metadata.updated == wanted
    assert open_repository(project).metadata.updated == wanted
    first = int(git(project, "log", "-1", "--format=%ct", "first"))
    assert open_repository(f"{project}@first").metadata.updated == first


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_repositories_of_somebody_else(project: Path) -> None:
    for path in [project, *project.rglob("*")]:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    assert contents(f"{project}@first") == {"a.py": "version = 1\n"}
