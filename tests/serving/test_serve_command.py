from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from codekiln.cli.serve import default_name
from codekiln.serving.server import is_loopback


def test_the_command_serves_until_interrupted_and_warns_of_an_open_door(tiny_model_folder):
    pytest.importorskip("fastapi", reason="needs the extra `serve`")
    command = [sys.executable, "-m", "codekiln.cli.main", "serve", str(tiny_model_folder.parent)]
    command += ["--host", "0.0.0.0", "--port", "0", "--name", "mine"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        line = process.stdout.readline()
        port = re.search(r"serving mine at http://0\.0\.0\.0:(\d+)/v1", line)[1]
        body = json.dumps({"model": "mine", "prompt": "x", "max_tokens": 2}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/completions", body)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["object"] == "text_completion"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
    assert "anybody who reaches 0.0.0.0 may use it" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("example.org", False),
    ],
)
def test_is_loopback(host, local):
    assert is_loopback(host) is local


def test_a_runs_model_goes_by_the_name_of_the_run(tmp_path):
    assert default_name(tmp_path / "my-run" / "model") == "my-run"
    assert default_name(tmp_path / "coder-1b") == "coder-1b"
