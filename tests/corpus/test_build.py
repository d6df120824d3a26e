"""The build: resumable, the same in one process and two, every drop counted."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from codekiln import storage
from codekiln.corpus.build import build
from codekiln.corpus.reports.report import BuildReport
from codekiln.corpus.reports.tables import tables
from codekiln.corpus.settings import CorpusSettings
from codekiln.corpus.store import read_documents
from codekiln.errors import SourceError, UserError

SECRET = "one two three four five six seven eight nine ten eleven twelve"


def module(name: str, number: int, needs: str = "") -> str:
    """A file of its own words, long enough for a signature."""
    lines = [f"from {name} import {needs}\n"] if needs else []
    lines += [
        f"def {name}_work_{number}_{n}(value_{n}):\n    return value_{n} + {name}_{number * n}\n"
        for n in range(60)
    ]
    return "\n".join(lines)


def make(folder: Path, name: str, files: int = 4) -> Path:
    package = folder / name / name
    package.mkdir(parents=True)
    for number in range(files):
        needs = f"m{number + 1}" if number + 1 < files else ""
        (package / f"m{number}.py").write_text(module(name, number, needs))
    return folder / name


def digest(out: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((out / "documents").iterdir())
    }


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "sources"
    for name in ("alpha", "beta", "gamma", "delta", "epsilon"):
        make(folder, name)
    copy = folder / "zeta"  # a near-duplicate of alpha, under other paths
    shutil.copytree(folder / "alpha", copy)
    (copy / "extra.py").write_text(module("zeta", 0)[:1500])
    (folder / "beta" / "wide.py").write_text("x = 1\n" * 50 + "y" * 2000 + "\n")
    (folder / "beta" / "leak.py").write_text(f"# {SECRET}\n")
    (folder / "gamma" / "picture.png").write_bytes(b"\x89PNG")
    (folder / "gamma" / "notes.md").write_text("# Notes\n\nSome plain prose about nothing.\n")
    (tmp_path / "tests.txt").write_text(SECRET.upper().replace(" ", ", "))
    return folder


def settings_of(sources: Path, **more: Any) -> CorpusSettings:
    values = {
        "repositories": [str(sources / "*")],
        "decontaminate": [str(sources.parent / "tests.txt")],
        "held_out_rate": 0.2,
        **more,
    }
    return CorpusSettings(**values)


def test_every_file_is_accounted_for(sources: Path, tmp_path: Path) -> None:
    report = build(settings_of(sources), tmp_path / "out", processes=1)
    seen = sum(len(files) for _, _, files in os.walk(sources))
    assert report.files["seen"] == seen
    assert report.files["kept"] + report.files["dropped"] == seen
    dropped = {reason: row["files"] for reason, row in report.dropped.items()}
    assert dropped == {
        "near-duplicate repository": 5,
        "line too long": 1,
        "test data": 1,
        "unknown language": 1,
    }
    assert report.dropped["line too long"]["examples"] == ["beta/wide.py"]
    assert [(d["name"], d["kept"], d["exact"]) for d in report.near_duplicates] == [
        ("zeta", "alpha", False)
    ]
    assert report.contamination["files"] == 1
    example = report.contamination["examples"][0]
    assert (example["repository"], example["path"]) == ("beta", "leak.py")
    assert (example["problem"], example["rule"]) == ("tests.txt", "10-gram")
    assert report.languages["python"]["files"] == 20
    assert report.languages["markdown"]["files"] == 1
    assert report.order == {
        "kind": "scc",
        "edges": 15,
        "violations": 0.0,
        "cut_edges": 0,
        "unscanned": 0,
        "documents": 6,
        "single_file": 1,
    }


def test_documents_agree_with_the_report(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = build(settings_of(sources), out, processes=1)
    made = list(read_documents(out))
    assert {d.source for d in made} == {"alpha", "beta", "gamma", "delta", "epsilon"}
    assert SECRET not in "".join(d.text for d in made)
    for split in ("train", "held_out"):
        of_split = list(read_documents(out, split))
        row = report.documents[split]
        assert row["documents"] == len(of_split) > 0
        assert row["bytes"] == sum(len(d.text.encode()) for d in of_split)
    assert {d.source for d in read_documents(out, "held_out")} == set(report.held_out)
    assert not {d.source for d in read_documents(out, "train")} & set(report.held_out)
    for document in made:
        for span in document.spans:
            path = sources / document.source / span.path
            assert document.text[span.body : span.end] == path.read_text()
    assert BuildReport.load(out) == report


@pytest.mark.parametrize("seed", range(6))
def test_one_is_held_out_whatever_the_chances(sources: Path, tmp_path: Path, seed: int) -> None:
    # a rate so small that no name's own chance is below it, and one so large that all are
    for rate, expected in ((1e-9, 1), (0.999999, 4)):
        out = tmp_path / f"out{rate}"
        report = build(settings_of(sources, held_out_rate=rate), out, seed=seed, processes=1)
        assert len(report.held_out) == expected
        assert {d.source for d in read_documents(out, "held_out")} == set(report.held_out)
        assert "zeta" not in report.held_out  # dropped as a copy: it can't stand for the split


def test_one_repository_can_hold_out_samples(tmp_path: Path) -> None:
    place = make(tmp_path, "only", files=2)
    for number in range(6):
        (place / f"alone{number}.py").write_text(f"alone_{number} = {number}\n")
    chosen = CorpusSettings(repositories=[str(place)], held_out_rate=1e-9)
    report = build(chosen, tmp_path / "a", processes=1)
    assert report.documents["held_out"]["documents"] == 0
    report = build(
        chosen.model_copy(update={"held_out_unit": "sample"}), tmp_path / "b", processes=1
    )
    assert report.documents["held_out"]["documents"] == 1
    assert report.documents["train"]["documents"] == 6


def test_a_second_run_has_nothing_to_do(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = build(settings_of(sources), out, processes=1)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.name != ".lock"}
    second = build(settings_of(sources), out, processes=1)
    assert second.nothing_to_do
    assert not first.nothing_to_do
    assert second.files == first.files
    assert before == {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.name != ".lock"}


@pytest.mark.parametrize("lost", ["documents/00001.parquet", "documents", "report.json", "stages"])
def test_what_was_lost_is_made_again(sources: Path, tmp_path: Path, lost: str) -> None:
    out = tmp_path / "out"
    build(settings_of(sources), out, processes=1)
    before = digest(out)
    path = out / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    report = build(settings_of(sources), out, processes=1)
    assert report.nothing_to_do == (lost == "stages")  # that folder only saves work
    assert digest(out) == before


def test_changes_are_seen_and_only_they_are_read_again(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(settings_of(sources), out, processes=1)
    old = {path.name: path.stat().st_ino for path in (out / "stages").iterdir()}
    (sources / "delta" / "new.py").write_text("new_file = 'added later'\n")
    report = build(settings_of(sources), out, processes=1)
    assert not report.nothing_to_do
    assert any("new_file" in d.text for d in read_documents(out))
    new = {path.name: path.stat().st_ino for path in (out / "stages").iterdir()}
    assert len(new) == len(old)  # nothing stale is left
    assert len(set(old.items()) & set(new.items())) == len(old) - 2  # read, and composed
    fresh = tmp_path / "fresh"
    build(settings_of(sources), fresh, processes=1)
    assert digest(fresh) == digest(out)


def test_another_threshold_reads_nothing_again(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(settings_of(sources), out, processes=1)
    old = {path: path.stat().st_ino for path in (out / "stages").glob("*/files.parquet")}
    report = build(settings_of(sources, dedup_threshold=1.0), out, processes=1)
    assert report.near_duplicates == []
    assert old == {path: path.stat().st_ino for path in (out / "stages").glob("*/files.parquet")}
    report = build(settings_of(sources, dedup="none"), out, processes=1)
    assert report.near_duplicates == []
    assert report.repositories["built"] == 6


def test_two_processes_give_the_same_bytes(sources: Path, tmp_path: Path) -> None:
    one = build(settings_of(sources), tmp_path / "one", processes=1)
    two = build(settings_of(sources), tmp_path / "two", processes=2)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    for field in ("files", "bytes", "dropped", "documents", "held_out", "near_duplicates"):
        assert getattr(one, field) == getattr(two, field)


def test_the_order_of_the_locations_does_not_matter(sources: Path, tmp_path: Path) -> None:
    places = sorted(str(path) for path in sources.iterdir())
    build(settings_of(sources, repositories=places), tmp_path / "a", processes=1)
    build(settings_of(sources, repositories=places[::-1]), tmp_path / "b", processes=1)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_failing_repositories_are_named_and_the_others_go_on(sources: Path, tmp_path: Path) -> None:
    (sources / "hollow").mkdir()
    archive = sources / "broken.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(sources / "alpha", "alpha")
    archive.write_bytes(archive.read_bytes()[:-200])
    report = build(settings_of(sources), tmp_path / "out", processes=1)
    assert report.repositories["failed"] == 2
    assert report.repositories["built"] == 6
    assert report.repositories["given"] == 8
    problems = " ".join(row["problem"] for row in report.failures)
    assert "hollow" in problems
    assert "broken.tar.gz" in problems


def test_a_fault_in_one_repository_does_not_cost_the_others(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codekiln.corpus.steps import read

    real = read.build_graph

    def faulty(files: Any, **more: Any) -> Any:
        if any("gamma" in file.text for file in files):
            raise RecursionError("too deep")
        return real(files, **more)

    monkeypatch.setattr(read, "build_graph", faulty)
    report = build(settings_of(sources), tmp_path / "out", processes=1)
    assert [row["problem"] for row in report.failures] == [
        f"{sources / 'gamma'}: RecursionError: too deep"
    ]
    assert report.repositories["built"] == 5


def test_if_all_fail_or_nothing_is_kept_it_is_an_error(tmp_path: Path) -> None:
    archive = tmp_path / "broken.tar.gz"
    archive.write_bytes(b"\x1f\x8b but no more")
    with pytest.raises(SourceError, match="none of 1 can be read"):
        build(CorpusSettings(repositories=[str(archive)]), tmp_path / "out", processes=1)
    place = tmp_path / "place"
    place.mkdir()
    (place / "a.py").write_text("x" * 5000)
    with pytest.raises(SourceError, match=r"no file of 1 repositories was kept.*line too long: 1"):
        build(CorpusSettings(repositories=[str(place)]), tmp_path / "out", processes=1)
    assert not (tmp_path / "out" / "documents").exists()


def test_names_that_no_document_can_have_are_failures(sources: Path, tmp_path: Path) -> None:
    bad = os.fsencode(sources) + b"/bad\xff"
    shutil.copytree(os.fsencode(sources / "delta"), bad)
    report = build(settings_of(sources), tmp_path / "out", processes=1)
    assert report.repositories["failed"] == 1
    assert "not UTF-8" in report.failures[0]["problem"]
    assert BuildReport.load(tmp_path / "out") == report


def test_a_numbered_name_is_no_other_ones(tmp_path: Path) -> None:
    for parent, name in (("a", "foo"), ("b", "foo"), ("a", "foo#2")):
        make(tmp_path / parent, name)
        (tmp_path / parent / name / "own.py").write_text(module(f"own_{parent}", 1))
    chosen = CorpusSettings(
        repositories=[str(tmp_path / "[ab]" / "*")], held_out_rate=0, dedup="none"
    )
    build(chosen, tmp_path / "out", processes=1)
    assert {d.source for d in read_documents(tmp_path / "out")} == {"foo", "foo#2", "foo#3"}


def test_what_a_failing_composition_left_is_made_again(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codekiln.corpus.steps import compose

    real, out = compose.arrange, tmp_path / "out"

    def failing(graph: Any, settings: Any, **more: Any) -> Any:
        if more["name"] == "gamma":
            raise MemoryError
        return real(graph, settings, **more)

    with monkeypatch.context() as patch:
        patch.setattr(compose, "arrange", failing)
        report = build(settings_of(sources, held_out_rate=1e-9), out, processes=1)
    assert report.repositories["failed"] == 1
    assert report.repositories["given"] == 6
    build(settings_of(sources, held_out_rate=1e-9), out, processes=1)
    build(settings_of(sources, held_out_rate=1e-9), tmp_path / "fresh", processes=1)
    assert digest(out) == digest(tmp_path / "fresh")


def test_a_repository_that_changes_meanwhile_fails(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codekiln.corpus.steps import read

    real = read.open_repository

    def changing(location: str, **more: Any) -> Any:
        if location.endswith("delta"):
            (sources / "delta" / "more.py").write_text("changed = True\n")
        return real(location, **more)

    monkeypatch.setattr(read, "open_repository", changing)
    report = build(settings_of(sources), tmp_path / "out", processes=1)
    assert "changed since this build began" in report.failures[0]["problem"]


def test_languages_can_be_chosen(sources: Path, tmp_path: Path) -> None:
    report = build(settings_of(sources, languages=["markdown"]), tmp_path / "out", processes=1)
    assert list(report.languages) == ["markdown"]
    assert report.dropped["language not chosen"]["files"] == 27


def test_a_second_build_is_kept_out(sources: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with storage.only_one(out), pytest.raises(UserError, match="another process") as caught:
        build(settings_of(sources), out, processes=1)
    assert caught.value.where == str(out)


def test_a_full_disk_is_a_clear_stop_and_the_build_goes_on_afterwards(
    sources: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        with pytest.raises(UserError, match="the disk is full"):
            build(settings_of(sources), disk / "out", processes=1)
        with pytest.raises(UserError, match="the disk is full"):
            build(settings_of(sources), disk / "out", processes=2)
        grow = ["mount", "-o", "remount,size=64m", str(disk)]
        subprocess.run(grow, check=True)
        build(settings_of(sources), disk / "out", processes=1)
        build(settings_of(sources), tmp_path / "fresh", processes=1)
        assert digest(disk / "out") == digest(tmp_path / "fresh")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


# ---- killed at any moment ----


class Stopped(BaseException):
    pass


def test_stopped_at_every_commit_point(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each renaming into place is a commit; stop before and after every single one of them."""
    for name in ("gamma", "delta", "epsilon"):
        shutil.rmtree(sources / name)
    whole = tmp_path / "whole"
    real = storage._replace
    count = 0

    def counting(*arguments: Any, **more: Any) -> None:
        nonlocal count
        count += 1
        real(*arguments, **more)

    monkeypatch.setattr(storage, "_replace", counting)
    build(settings_of(sources), whole, processes=1)
    commits, expected = count, digest(whole)
    assert commits >= 3 * 2 + 6  # of 3 repositories, of 1 changed shard, of the whole
    for stop in range(2 * commits):
        number = 0

        def stopping(*arguments: Any, stop: int = stop, **more: Any) -> None:
            nonlocal number
            if number == stop // 2 and stop % 2 == 0:
                raise Stopped
            real(*arguments, **more)
            if number == stop // 2:
                raise Stopped
            number += 1

        out = tmp_path / f"out{stop}"
        monkeypatch.setattr(storage, "_replace", stopping)
        with pytest.raises(Stopped):
            build(settings_of(sources), out, processes=1)
        monkeypatch.setattr(storage, "_replace", real)
        build(settings_of(sources), out, processes=1)
        assert digest(out) == expected
        shutil.rmtree(out)


def stop_after(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    """Stop right behind the moment when `name` (or anything, for "") takes its place there."""
    real = storage._replace

    def stopping(piece: Path, target: Path, **more: Any) -> None:
        real(piece, target, **more)
        if target.parent == folder and name in target.name:
            raise Stopped

    monkeypatch.setattr(storage, "_replace", stopping)


@pytest.mark.parametrize("other", [{"dedup_threshold": 1.0}, {"order": "random"}])
def test_back_to_old_settings_after_a_run_cut_off(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: Any
) -> None:
    """Cut off when the other corpus is in place, before it is recorded."""
    out = tmp_path / "out"
    build(settings_of(sources), out, processes=1)
    before = digest(out)
    with monkeypatch.context() as patch:
        stop_after(patch, out, "documents")
        with pytest.raises(Stopped):
            build(settings_of(sources, **other), out, processes=1)
    assert digest(out) != before
    build(settings_of(sources), out, processes=1)
    assert digest(out) == before


def test_a_piece_of_other_settings_is_not_taken_for_an_old_one(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off when the first piece is in place, before it is recorded."""
    out = tmp_path / "out"
    build(settings_of(sources), out, processes=1)
    before, pieces = digest(out), (out / "stages").glob("*/files.parquet")
    old = {path: path.read_bytes() for path in pieces}
    with monkeypatch.context() as patch:
        stop_after(patch, out / "stages", "")
        with pytest.raises(Stopped):
            build(settings_of(sources, max_file_bytes=100), out, processes=1)
    assert sum(path.read_bytes() != data for path, data in old.items()) == 1
    shutil.rmtree(out / "documents")  # so that the pieces are asked for again
    build(settings_of(sources), out, processes=1)
    assert digest(out) == before


def test_what_failed_once_is_read_again(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, so also what was made from the failed piece."""
    from codekiln.corpus.steps import read

    real, out = read.open_repository, tmp_path / "out"

    def unplugged(location: str, **more: Any) -> Any:
        if location.endswith("beta"):
            raise OSError("input/output error")
        return real(location, **more)

    with monkeypatch.context() as patch:
        patch.setattr(read, "open_repository", unplugged)
        assert build(settings_of(sources), out, processes=1).repositories["failed"] == 1
    report = build(settings_of(sources), out, processes=1)
    assert report.repositories["failed"] == 0
    assert not report.nothing_to_do
    build(settings_of(sources), tmp_path / "fresh", processes=1)
    assert digest(out) == digest(tmp_path / "fresh")
    assert build(settings_of(sources), out, processes=1).nothing_to_do


def test_an_empty_init_makes_a_package(tmp_path: Path) -> None:
    package = tmp_path / "project" / "inner" / "pack"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "a.py").write_text("import pack.b\n" + module("a", 1))
    (package / "b.py").write_text(module("b", 1))
    chosen = CorpusSettings(repositories=[str(tmp_path / "project")], held_out_rate=0)
    report = build(chosen, tmp_path / "out", processes=1)
    assert report.dropped["empty"]["files"] == 1
    assert report.order["edges"] == 1


SCRIPT = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from codekiln.corpus.build import build
    from codekiln.corpus.settings import CorpusSettings

    if __name__ == "__main__":
        print("ready", flush=True)
        settings = CorpusSettings(repositories=[sys.argv[1]], held_out_rate=0.2)
        build(settings, Path(sys.argv[2]), processes=int(sys.argv[3]))
    """
)


@pytest.mark.slow
def test_ray_gives_the_same_bytes_though_a_worker_is_killed(tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    sources = tmp_path / "sources"
    for number in range(6):
        make(sources, f"package{number:02d}", files=60)
    shutil.copytree(sources / "package03", sources / "package99")
    chosen = CorpusSettings(repositories=[str(sources / "*")], held_out_rate=0.2)
    one = build(chosen, tmp_path / "one", processes=1)
    killed: list[int] = []
    done = threading.Event()

    def kill_one() -> None:
        while not killed and not done.wait(0.005):
            for folder in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    if (folder / "cmdline").read_bytes().startswith(b"ray::_call"):
                        os.kill(int(folder.name), signal.SIGKILL)
                        killed.append(int(folder.name))
                        return

    killer = threading.Thread(target=kill_one)
    killer.start()
    try:
        other = build(chosen, tmp_path / "ray", engine="ray", processes=2)
    finally:
        done.set()
        killer.join()
        ray.shutdown()
    assert killed
    assert digest(tmp_path / "one") == digest(tmp_path / "ray")
    for field in ("files", "bytes", "dropped", "documents", "held_out", "near_duplicates"):
        assert getattr(one, field) == getattr(other, field)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_killed_at_random_moments(tmp_path: Path, processes: int) -> None:
    sources = tmp_path / "sources"
    for number in range(14):
        make(sources, f"package{number:02d}", files=40)
    shutil.copytree(sources / "package03", sources / "package99")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)

    def start(out: Path) -> subprocess.Popen[str]:
        command = [sys.executable, str(script), str(sources / "*"), str(out), str(processes)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    assert start(tmp_path / "whole").wait() == 0
    out = tmp_path / "out"
    manifest = out / "manifest.json"
    random_ = random.Random(processes)
    kills = 0
    for _ in range(3):
        before = manifest.read_text() if manifest.exists() else ""
        process = start(out)
        # once it got further than the one before, at a random moment
        while process.poll() is None and before == (
            manifest.read_text() if manifest.exists() else ""
        ):
            time.sleep(0.01)
        time.sleep(random_.uniform(0, 0.05))
        os.kill(process.pid, signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL  # a fast machine may be done by the third
    assert kills
    assert start(out).wait() == 0
    assert digest(out) == digest(tmp_path / "whole")


def test_workers_die_with_their_parent(tmp_path: Path) -> None:
    """A killed build leaves no worker behind."""
    sources = tmp_path / "sources"
    for number in range(6):
        make(sources, f"package{number:02d}", files=60)
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(sources / "*"), str(tmp_path / "out"), "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    children: set[int] = set()
    listing = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not listing.exists():
        process.kill()
        pytest.skip("this kernel does not list children")
    while process.poll() is None and len(children) < 3:  # a resource tracker and two workers
        children |= {int(pid) for pid in listing.read_text().split()}
    process.kill()
    process.wait()
    assert len(children) == 3
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in children):
        assert time.monotonic() < deadline, "workers outlive the build"
        time.sleep(0.1)


@pytest.mark.parametrize("name", ["documents/00000.parquet", "documents/index.json", "report.json"])
def test_a_damaged_corpus_is_made_again(sources: Path, tmp_path: Path, name: str) -> None:
    settings = CorpusSettings(repositories=[f"{sources}/*"])
    out = tmp_path / "out"
    build(settings, out, processes=1)
    whole = digest(out)
    with (out / name).open("r+b") as file:
        file.truncate(20)  # in place, so a hard link below stages/ is damaged with it
    assert not build(settings, out, processes=1).nothing_to_do
    assert digest(out) == whole
    assert build(settings, out, processes=1).nothing_to_do


def test_a_refused_build_leaves_no_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "a.py").write_bytes(b"")
    settings = CorpusSettings(repositories=[str(tmp_path / "empty")])
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for out in (tmp_path / "out", theirs):
        with pytest.raises(SourceError, match="no file of 1"):  # said after reading
            build(settings, out, processes=1)
    assert not (tmp_path / "out").exists()
    assert theirs.exists()


def test_drops_while_reading_come_with_paths(sources: Path, tmp_path: Path) -> None:
    for number in range(4):
        (sources / "alpha" / f"b{number}.py").write_bytes(b"\0\1\2")
    (sources / "alpha" / "link.py").symlink_to("b0.py")
    settings = CorpusSettings(repositories=[f"{sources}/*"])
    report = build(settings, tmp_path / "out", processes=1)
    assert report.dropped["binary"]["files"] == 4
    assert report.dropped["binary"]["examples"] == [f"alpha/b{n}.py" for n in range(3)]
    (link,) = (row for reason, row in report.dropped.items() if "link" in reason)
    assert link["examples"] == ["alpha/link.py"]


def test_the_overview_counts_empty_ones_as_built_and_says_what_is_held_out(
    sources: Path, tmp_path: Path
) -> None:
    (sources / "void").mkdir()
    (sources / "void" / "a.py").write_bytes(b"")
    settings = CorpusSettings(
        repositories=[f"{sources}/*"], held_out_unit="sample", held_out_rate=0.5
    )
    report = build(settings, tmp_path / "out", processes=1)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(tables(report))
    text = console.export_text()
    assert "7 built (1 of them empty)" in text
    assert "samples of the repositories" in text
