"""What a run reports: statuses, output, files, input, and who may build a box."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from codekiln.errors import SandboxError
from codekiln.sandbox import box as boxes
from codekiln.sandbox import privileges
from codekiln.sandbox.host import Bind
from codekiln.sandbox.limits import Limits
from codekiln.sandbox.run import PYTHON, run

SOURCE = Path(__file__).resolve().parents[2] / "src"

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bwrap (bubblewrap)")


def python(program: str, **options):
    return run([PYTHON, "-s", "-S", "-c", program], **options)


def test_a_good_program_passes_with_its_output():
    verdict = python("import sys; print('out'); print('err', file=sys.stderr)")
    assert (verdict.status, verdict.stdout, verdict.stderr) == ("passed", "out\n", "err\n")


def test_files_and_input_arrive_byte_for_byte():
    files = {"a/b.txt": "grüße\n", "raw.bin": b"\xff\x00\xfe"}
    program = (
        "import sys; sys.stdout.buffer.write(open('a/b.txt','rb').read()"
        " + open('raw.bin','rb').read().hex().encode() + sys.stdin.buffer.read())"
    )
    assert python(program, files=files, stdin="eingabe").stdout == "grüße\nff00feeingabe"


def test_without_input_reading_ends_at_once():
    assert python("import sys; print(repr(sys.stdin.read()))").stdout == "''\n"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "", "a/../../x", "a\0b"])
def test_a_file_outside_the_work_folder_is_refused(name):
    with pytest.raises(ValueError, match="work folder"):
        run(["true"], files={name: "x"})


def test_the_statuses_are_kept_apart():
    short = Limits(cpu_seconds=1, wall_seconds=20)
    assert python("raise SystemExit(3)").notes == ("exit code 3",)
    assert python("raise SystemExit(3)").status == "runtime_error"
    crashed = python("import os; os.kill(os.getpid(), 11)")
    assert (crashed.status, crashed.notes) == ("runtime_error", ("exit code 139",))
    killed = python("import os; os.kill(os.getpid(), 9)")
    assert (killed.status, killed.notes) == ("runtime_error", ("exit code 137",))
    burning = python("while True: pass", limits=short)
    assert (burning.status, burning.notes) == ("timeout", ("cpu",))
    missing = run(["no-such-program"])
    assert missing.status == "infrastructure"


def test_the_interpreter_cannot_claim_to_be_missing():
    said = "prlimit: failed to execute python3: No such file or directory"
    verdict = python(f"import os; os.write(2, b'{said}'); os._exit(127)")
    assert (verdict.status, verdict.notes) == ("runtime_error", ("exit code 127",))


def test_processor_time_of_children_counts_together():
    program = """if True:
        import os, time
        for _ in range(4):
            if os.fork() == 0:
                while True: pass
        time.sleep(60)
    """
    verdict = python(program, limits=Limits(cpu_seconds=1, wall_seconds=30))
    assert (verdict.status, verdict.notes) == ("timeout", ("cpu",))
    assert verdict.cpu_seconds < 3


def test_sleeping_is_not_processor_time_and_ends_at_the_wall():
    verdict = python("import time; time.sleep(60)", limits=Limits(cpu_seconds=5, wall_seconds=0.5))
    assert (verdict.status, verdict.notes) == ("timeout", ("wall",))
    assert verdict.cpu_seconds < 0.4
    assert 0.5 <= verdict.wall_seconds < 5


def test_a_program_that_closes_its_output_is_still_waited_for():
    program = "import os, time; os.close(1); os.close(2); time.sleep(0.4); os._exit(5)"
    verdict = python(program)
    assert verdict.notes == ("exit code 5",)
    assert verdict.wall_seconds >= 0.4


def test_environment_is_the_boxs_own():
    os.environ["CODEKILN_SECRET"] = "token"
    try:
        printed = python("import os; print(sorted(os.environ))", environment={"EXTRA": "1"}).stdout
    finally:
        del os.environ["CODEKILN_SECRET"]
    assert "CODEKILN_SECRET" not in printed
    assert "'EXTRA'" in printed and "'HOME'" in printed


def test_no_descriptor_of_ours_is_open_in_the_box():
    printed = python("import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))").stdout
    assert printed == "[0, 1, 2, 3]\n"  # 3 is the listing itself


def test_without_bubblewrap_it_refuses_unless_told(monkeypatch, tmp_path):
    (tmp_path / "prlimit").symlink_to(shutil.which("prlimit"))
    monkeypatch.setenv("PATH", str(tmp_path))
    boxes._find.cache_clear()
    try:
        with pytest.raises(SandboxError, match="bubblewrap"):
            run(["true"])
        unsafe = run([PYTHON, "-c", "print(open('x').read())"], files={"x": "in"}, unsafe=True)
        assert (unsafe.status, unsafe.stdout) == ("passed", "in\n")
    finally:
        boxes._find.cache_clear()


def test_without_user_namespaces_it_refuses(monkeypatch):
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to the unused user
    fake = folder / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2; exit 1\n")
    fake.chmod(0o755)
    folder.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    boxes._find.cache_clear()
    try:
        with pytest.raises(SandboxError, match="No permissions to create"):
            run(["true"])
    finally:
        shutil.rmtree(folder)
        boxes._find.cache_clear()


def test_unsafe_limits_time_and_leaves_no_process():
    verdict = run(
        ["sh", "-c", "sleep 4242.42 & sleep 60"], limits=Limits(wall_seconds=0.5), unsafe=True
    )
    assert verdict.notes == ("wall",)
    assert b"4242.42" not in _command_lines()


def test_an_ordinary_user_gets_a_box_too():
    system = shutil.which("python3", path="/usr/bin")
    if os.geteuid() != 0 or system is None or not shutil.which("setpriv"):
        pytest.skip("needs root, setpriv and /usr/bin/python3 to become another user")
    program = (
        "from codekiln.sandbox.run import run, PYTHON\n"
        "print(run([PYTHON, '-c', 'print(6*7)']))\n"
        "print(run([PYTHON, '-c', 'import os\\nwhile True: os.fork()']).status)\n"
    )
    user = ["setpriv", "--reuid", "4711", "--regid", "4711", "--clear-groups"]
    environment = {"PYTHONPATH": str(SOURCE), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [*user, system, "-B", "-c", program], env=environment, capture_output=True, text=True
    )
    if "ModuleNotFoundError" in done.stderr or "PermissionError" in done.stderr:
        pytest.skip("other users cannot read this checkout")
    assert "status='passed', stdout='42\\n'" in done.stdout, done.stderr
    assert "runtime_error" in done.stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_stage_shows_what_others_cannot_reach(tmp_path):
    closed = tmp_path / "closed"
    (closed / "inner").mkdir(parents=True)
    (closed / "inner" / "file").write_text("seen")
    closed.chmod(0o700)
    binds = [Bind(str(closed / "inner"), "/shown")]
    assert privileges.needs_stage(binds)
    try:
        stage = privileges.Stage(binds)
    except SandboxError:
        pytest.skip("needs CAP_SYS_ADMIN")
    source = stage.binds[0].source
    staged = [*stage.enter(), "cat", f"{source}/file"]
    assert subprocess.run(staged, capture_output=True, text=True).stdout == "seen"
    identity = subprocess.run([*stage.enter(), "id"], capture_output=True, text=True).stdout
    assert "uid=0" not in identity and "groups=0" not in identity
    assert not Path(source).exists(), "the stage must not show outside its namespace"


def test_a_machine_without_a_folder_for_the_stage_is_told(monkeypatch):
    monkeypatch.setattr(privileges, "STAGES", ("/no-such-folder",))
    with pytest.raises(SandboxError, match="mkdir /mnt"):
        privileges.Stage([Bind("/usr", "/usr")])
    monkeypatch.setattr(boxes.host, "running_python", lambda: ("/x/python", ()))
    monkeypatch.setattr(boxes.host, "system_python", lambda: None)
    monkeypatch.setattr(boxes.privileges, "needs_stage", lambda binds: True)
    monkeypatch.setattr(boxes.os, "geteuid", lambda: 0)
    boxes._find.cache_clear()
    try:
        with pytest.raises(SandboxError, match="none is there and free"):
            boxes.find()
    finally:
        boxes._find.cache_clear()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_needs_no_stage_for_a_python_that_all_may_read():
    system = boxes.host.system_python()
    if system is None or not shutil.which("setpriv"):
        pytest.skip("needs /usr/bin/python3 and setpriv")
    box = boxes.Box(python=system)
    program = "import os, time; print(os.getuid(), os.getgroups(), flush=True); time.sleep(30)"
    command = box.wrap([system, "-s", "-S", "-c", program], Limits(), [])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "1000 []\n"
            outside = Path(f"/proc/{process.pid}/status").read_text()
        finally:
            process.kill()
    (uids,) = [line.split()[1:] for line in outside.splitlines() if line.startswith("Uid:")]
    (groups,) = [line.split()[1:] for line in outside.splitlines() if line.startswith("Groups:")]
    assert len(set(uids)) == 1
    assert privileges.FIRST_UID <= int(uids[0]) < privileges.FIRST_UID + privileges.UIDS
    assert groups == []


def test_limits_refuse_zero():
    with pytest.raises(ValueError, match="memory_bytes"):
        Limits(memory_bytes=0)


def test_running_python_is_not_the_virtual_environments():
    printed = python(
        "import sys; print(sys.version_info[:3], sys.prefix == sys.base_prefix)"
    ).stdout
    if boxes.find().python != boxes.host.SYSTEM_PYTHON:
        assert printed == f"{sys.version_info[:3]} True\n"


def _command_lines() -> bytes:
    lines = b""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines += entry.read_bytes()
        except OSError:
            continue
    return lines
