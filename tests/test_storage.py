"""Atomic writes leave all or nothing; fingerprints and manifests decide what is done."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codekiln.errors import UserError
from codekiln.storage import (
    Manifest,
    atomic_path,
    fingerprint,
    fingerprint_file,
    read_json,
    write_json,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_json(target, {"old": True})
    with pytest.raises(RuntimeError), atomic_path(target) as path:
        path.write_text("half")
        raise RuntimeError("disk on fire")
    assert read_json(target) == {"old": True}
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_folder_replaces_a_full_folder(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for content in ("first", "second"):
        with atomic_path(target) as path:
            path.mkdir()
            (path / content).write_text(content)
    assert [p.name for p in target.iterdir()] == ["second"]
    assert os.listdir(tmp_path) == ["model"]


def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "value.json"
    write_json(target, 1)
    program = (
        "import os, signal\nfrom pathlib import Path\n"
        "from codekiln.storage import atomic_path\n"
        f"with atomic_path(Path({str(target)!r})) as path:\n"
        "    path.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert read_json(target) == 1


def test_fingerprints_follow_the_value_not_its_spelling() -> None:
    assert fingerprint({"a": 1, "b": [2]}) == fingerprint({"b": [2], "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert len(fingerprint("\udc80")) == 64  # lone surrogates occur in file names


def test_fingerprint_file_is_sha256(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.write_bytes(b"")
    assert fingerprint_file(path).startswith("e3b0c44298fc1c14")


def test_manifest_forgets_when_settings_change(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    Manifest(path, "v1").add("shard-0", documents=3)
    assert Manifest(path, "v1")["shard-0"] == {"documents": 3}
    assert "shard-0" not in Manifest(path, "v2")


def test_read_json_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        read_json(path)
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "absent.json")
    path.write_text(json.dumps({"fingerprint": "x"}))
    assert read_json(path) == {"fingerprint": "x"}
