"""Programs that want to pass without being right."""

from __future__ import annotations

import shutil

import pytest

from codekiln.evaluation.score import judge
from codekiln.sandbox.limits import MEBIBYTE, Limits

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bwrap (bubblewrap)")
LIMITS = Limits(cpu_seconds=2, wall_seconds=10, memory_bytes=128 * MEBIBYTE)
TESTS = "\ndef check(candidate):\n    assert candidate(2) == 4\n\ncheck(square)"
RIGHT = "def square(x):\n    return x * x\n"
WRONG = "def square(x):\n    return x + 1\n"


def status(program: str) -> str:
    return judge(program + TESTS, limits=LIMITS).status


def test_right_and_wrong():
    assert status(RIGHT) == "passed"
    assert status(WRONG) == "wrong"


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("def square(x:\n", "compile_error"),
        ("def square(x):\nreturn 1\n", "compile_error"),
        ("x = '\0'\n", "compile_error"),
        ("x = '\ud800'\n", "compile_error"),
        ("return 4\n", "compile_error"),
        ("def square(x):\n    return y\n", "runtime_error"),
        ("", "runtime_error"),
        ("def square(x):\n    return square(x)\n", "runtime_error"),
        ("def square(x):\n    while True: pass\n", "timeout"),
        ("def square(x):\n    return len(bytearray(1 << 40))\n", "out_of_memory"),
        ("def square(x):\n    a = []\n    while True: a.append('x' * 999999)\n", "out_of_memory"),
        ("def square(x):\n    return int(input())\n", "runtime_error"),
        ("import ctypes\ndef square(x):\n    ctypes.string_at(0)\n", "runtime_error"),
        ("def square(x):\n    while True: print('4' * 9999)\n", "runtime_error"),
    ],
)
def test_classes_are_kept_apart(program, expected):
    assert status(program) == expected


FAKES = {
    "exit": "import sys; sys.exit(0)",
    "exit in the call": "import sys\ndef square(x):\n    sys.exit(0)",
    "hard exit": "import os; os._exit(0)",
    "hard exit in the call": "import os\ndef square(x):\n    os._exit(0)",
    "success printed": "print('passed'); import os; os._exit(0)",
    "guessed report": "import os; os.write(1, b'\\n' + b'0' * 32 + b' passed\\n'); os._exit(0)",
    "exit handler": "import atexit, os\natexit.register(lambda: os._exit(0))\n" + WRONG,
    "killed itself": "import os\ndef square(x):\n    os.kill(os.getpid(), 9)",
    "raised exit": "def square(x):\n    raise SystemExit",
    "raised interrupt": "def square(x):\n    raise KeyboardInterrupt",
    "output closed": "import sys\nsys.stdout.close()\n" + WRONG,
    "check defined first": "def check(candidate):\n    pass\n" + WRONG,
    "exit replaced": "import os\nos._exit = lambda code: None\n" + WRONG,
    "new process": "import os\ndef square(x):\n    os.execv('/bin/true', ['true'])",
    "stack read": (
        "import sys\nframe = sys._getframe()\nwhile frame:\n"
        "    for value in list(frame.f_locals.values()):\n"
        "        if isinstance(value, bytes) and len(value) == 32:\n"
        "            import os; os.write(1, b'\\n' + value + b' passed\\n'); os._exit(0)\n"
        "    frame = frame.f_back\n" + WRONG
    ),
    **{
        f"input read again from {path}": (
            f"import os\ntry:\n    word = open({path!r}, 'rb').read(32)\n"
            "except OSError:\n    word = b''\n"
            "os.write(1, b'\\n' + word + b' passed\\n')\nos._exit(0)\n"
        )
        for path in ("/proc/self/fd/0", "/proc/1/fd/0", "/proc/2/fd/0", "/dev/stdin")
    },
    "input written anew": (
        "import os\nopen('/proc/1/fd/0', 'wb').write(b'w' * 32)\n"
        "os.write(1, b'\\n' + b'w' * 32 + b' passed\\n')\nos._exit(0)\n"
    ),
    "failure of the box played": (
        "import os\nos.write(2, b'prlimit: failed to execute python: No such file\\n')\n"
        "os._exit(127)\n"
    ),
    "forked child": "import os\nif os.fork() == 0:\n    os._exit(0)\nos.wait()\n" + WRONG,
    "thread exits": (
        "import threading, os, time\n"
        "threading.Thread(target=lambda: os._exit(0)).start()\ntime.sleep(1)\n" + WRONG
    ),
}


@pytest.mark.parametrize("name", FAKES)
def test_a_fake_never_passes(name):
    verdict = judge(FAKES[name] + "\n" + TESTS, limits=LIMITS)
    assert verdict.status in ("wrong", "runtime_error"), verdict


def test_no_process_of_the_box_still_holds_the_word_or_the_tests():
    look = (
        "import os\nfor pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "    for name in ('fd/0', 'environ', 'cmdline'):\n"
        "        with open(f'/proc/{pid}/{name}', 'rb') as file:\n"
        "            print(pid, name, b'needle-in' + b'-the-tests' in file.read())\n"
    )
    verdict = judge(RIGHT + look + TESTS + "  # needle-in-the-tests", limits=LIMITS)
    assert verdict.status == "passed", verdict
    lines = verdict.stdout.splitlines()
    assert "1 fd/0 False" in lines and "1 cmdline False" in lines
    assert not [line for line in lines if line.endswith("True")]


def test_early_leaving_is_said():
    verdict = judge(FAKES["hard exit"] + TESTS, limits=LIMITS)
    assert verdict.notes == ("left before its tests ended",)


def test_a_loud_right_program_passes_and_its_words_are_kept():
    program = RIGHT + "print('hello'); import sys; print('there', file=sys.stderr)"
    verdict = judge(program + TESTS, limits=LIMITS)
    assert (verdict.status, verdict.stdout, verdict.stderr) == ("passed", "hello\n", "there\n")


def test_what_went_wrong_is_shown():
    assert "NameError: name 'y'" in judge("y" + TESTS, limits=LIMITS).stderr
    assert "SyntaxError" in judge("(" + TESTS, limits=LIMITS).stderr


def test_sets_have_the_same_order_every_time():
    program = RIGHT + "print(list({'a', 'b', 'c', 'd', 'e'}))"
    assert len({judge(program + TESTS, limits=LIMITS).stdout for _ in range(3)}) == 1
