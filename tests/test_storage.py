"""Atomic writes leave all or nothing; fingerprints and manifests decide what is done."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codekiln import storage
from codekiln.errors import UserError
from codekiln.storage import (
    Manifest,
    atomic_path,
    fingerprint,
    fingerprint_file,
    only_one,
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
    assert "shard-0" not in Manifest(path, "v1")  # its files may be v2's by now


def test_what_a_manifest_discards_is_gone_from_disk(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    manifest = Manifest(path, "v1")
    for piece in ("a", "b", "c"):
        manifest.add(piece)
    manifest.discard("a", "c", "never there")
    assert Manifest(path, "v1").entries == {"b": {}}


def test_a_folder_is_replaced_without_a_moment_between(tmp_path: Path) -> None:
    """Killed where the old folder would be moved aside: there is no such moment."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir(), other.mkdir()
    if not storage._exchange(one, other):
        pytest.skip("needs renameat2 with RENAME_EXCHANGE")
    target = tmp_path / "model"
    target.mkdir()
    (target / "old").touch()
    program = (
        "import os, signal\nfrom pathlib import Path\n"
        "from codekiln.storage import atomic_path\n"
        "die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Path.rename = Path.replace = os.rename = os.replace = die\n"
        f"with atomic_path(Path({str(target)!r})) as path:\n"
        "    path.mkdir()\n    (path / 'new').touch()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert os.listdir(target) == ["new"]


def test_a_folder_is_replaced_without_an_exchange_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_exchange", lambda *_: False)
    test_a_folder_replaces_a_full_folder(tmp_path)


def test_a_folder_has_one_holder_and_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with only_one(tmp_path), pytest.raises(UserError, match="another process") as caught:
            only_one(tmp_path).__enter__()
        assert caught.value.where == str(tmp_path)


def test_read_json_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        read_json(path)
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "absent.json")
    path.write_text(json.dumps({"fingerprint": "x"}))
    assert read_json(path) == {"fingerprint": "x"}


def test_json_below_a_file_is_an_error_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    with pytest.raises(UserError, match="cannot be read"):
        read_json(tmp_path / "file" / "x.json")
