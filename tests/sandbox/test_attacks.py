"""Programs that mean harm: each is stopped, and the machine does not notice."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from codekiln.sandbox.limits import MEBIBYTE, Limits
from codekiln.sandbox.run import PYTHON, run
from codekiln.types import Verdict

pytestmark = pytest.mark.skipif(not shutil.which("bwrap"), reason="needs bwrap (bubblewrap)")
SMALL = Limits(
    cpu_seconds=3,
    wall_seconds=20,
    memory_bytes=128 * MEBIBYTE,
    processes=24,
    file_bytes=8 * MEBIBYTE,
    output_bytes=100_000,
)


def attack(program: str, limits: Limits = SMALL):
    return run([PYTHON, "-s", "-S", "-c", program], limits=limits)


def test_a_fork_bomb_stops_at_the_limit_and_spares_its_neighbours():
    bomb = """if True:
        import os, time
        alive = 0
        while True:
            try:
                if os.fork() == 0:
                    time.sleep(60)
            except OSError:
                break
            alive += 1
        print(alive)
    """
    quiet = "import os\nfor _ in range(5):\n os.fork() or os._exit(0)\n os.wait()\nprint('fine')"
    verdicts = {}
    bombs = [
        threading.Thread(target=lambda n=n: verdicts.update({n: attack(bomb)})) for n in range(3)
    ]
    for thread in bombs:
        thread.start()
    time.sleep(0.1)
    assert attack(quiet).stdout == "fine\n"
    for thread in bombs:
        thread.join()
    for number in range(3):
        assert verdicts[number].status == "passed"
        assert 10 <= int(verdicts[number].stdout) < SMALL.processes


def test_an_endless_fork_bomb_is_stopped_and_gone():
    mark = "27182.81828"
    bomb = f"import os\nwhile True:\n os.fork() or os.execvp('sleep', ['sleep', '{mark}'])"
    verdict = attack(bomb, Limits(wall_seconds=1, processes=24))
    assert verdict.status in ("runtime_error", "timeout")
    assert not _running(mark)


def test_private_memory_is_capped():
    verdict = attack("held = []\nwhile True: held.append(bytearray(1 << 20))")
    assert verdict.status == "out_of_memory"


def test_shared_memory_which_no_rlimit_counts_is_capped():
    program = (
        "import mmap\nheld = []\n"
        "while True:\n m = mmap.mmap(-1, 1 << 24)\n m.write(b'1' * (1 << 24))\n held.append(m)"
    )
    verdict = attack(program)
    assert (verdict.status, verdict.notes[0][:4]) == ("out_of_memory", "over")


def test_memory_is_capped_over_all_processes_together():
    program = """if True:
        import os, time
        for _ in range(6):
            if os.fork() == 0:
                held = bytearray(os.urandom(1 << 16) * (16 * 48))
                time.sleep(60)
        time.sleep(60)
    """
    assert attack(program).status == "out_of_memory"


def test_pages_shared_by_many_processes_count_once():
    program = """if True:
        import os, time
        held = bytearray(os.urandom(1 << 16) * (16 * 40))  # 40 MiB, in six processes
        for _ in range(5):
            if os.fork() == 0:
                time.sleep(0.5); os._exit(0)
        for _ in range(5): os.wait()
    """
    assert attack(program).status == "passed"


def test_files_are_capped_and_nothing_else_is_writable():
    program = r"""if True:
        import os
        def fill(folder):
            total = 0
            try:
                for n in range(10_000):
                    with open(f"{folder}/{n}", "wb") as file:
                        total += file.write(b"1" * (1 << 20)); file.flush()
            except OSError:
                pass
            return total
        print([fill(f) for f in ("/tmp", "/dev/shm")])
        print([fill(f) for f in ("/", "/usr", "/dev", "/etc", "/bin", "/usr/lib/python3.11")])
    """
    lines = attack(program).stdout.splitlines()
    work, shared = eval(lines[0])
    assert 4 * MEBIBYTE < work <= 8 * MEBIBYTE
    assert 4 * MEBIBYTE < shared <= 8 * MEBIBYTE
    assert lines[1] == "[0, 0, 0, 0, 0, 0]"


def test_one_huge_file_is_capped():
    assert attack("open('x', 'wb').truncate(1 << 30)").status == "runtime_error"


def test_gigabytes_of_output_are_cut():
    for stream in (1, 2):
        verdict = attack(f"import os\nwhile True: os.write({stream}, b'x' * 65536)")
        assert (verdict.status, verdict.notes[0][:12]) == ("runtime_error", "printed over")
        assert len(verdict.stdout) + len(verdict.stderr) == SMALL.output_bytes
        assert verdict.wall_seconds < 5


def test_no_network_not_even_the_machines_own():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind("\0codekiln-test")
        local.listen()
        program = f"""if True:
            import socket
            for family, address in ((socket.AF_INET, ("127.0.0.1", {server.getsockname()[1]})),
                                    (socket.AF_INET, ("192.0.2.1", 80)),
                                    (socket.AF_UNIX, "\\0codekiln-test")):
                with socket.socket(family) as s:
                    s.settimeout(2)
                    try:
                        s.connect(address); print("connected")
                    except OSError as error:
                        print("refused")
        """
        assert attack(program).stdout == "refused\n" * 3


def test_files_of_root_and_of_the_user_are_out_of_sight():
    home, here = Path.home(), str(Path(__file__).resolve())
    paths = [
        "/etc/shadow",
        "/etc/passwd",
        str(home / ".bashrc"),
        str(home / ".ssh"),
        "/var",
        "/sys",
    ]
    paths += [here, "/home", "/proc/1/root/etc/shadow", f"/proc/1/root{here}"]
    program = f"""if True:
        import os
        for path in {paths!r}:
            try:
                os.listdir(path) if os.path.isdir(path) else open(path).read()
                print("read", path)
            except OSError:
                pass
    """
    verdict = attack(program)
    assert (verdict.status, verdict.stdout) == ("passed", "")


def test_the_hosts_environment_is_out_of_sight(monkeypatch):
    monkeypatch.setenv("CODEKILN_MARK", "3.14159-of-the-host")
    program = """if True:
        import os
        for pid in filter(str.isdigit, os.listdir("/proc")):
            print(pid, open(f"/proc/{pid}/environ", "rb").read().split(b"\\0"))
    """
    verdict = attack(program)
    assert verdict.status == "passed"
    assert verdict.stdout.startswith("1 [b'']\n")  # bubblewrap's own
    assert "HOME=/tmp" in verdict.stdout  # the program's
    assert "of-the-host" not in verdict.stdout


def test_programs_are_nobody_on_the_machine():
    seen: list[int] = []
    mark = "16180.33988"

    def look():
        until = time.monotonic() + 5
        while not seen and time.monotonic() < until:
            seen.extend(Path(f"/proc/{pid}").stat().st_uid for pid in _running(mark))

    watcher = threading.Thread(target=look)
    watcher.start()
    run(["sleep", mark], limits=Limits(wall_seconds=1))
    watcher.join()
    assert seen
    assert 0 not in seen or os.geteuid() != 0


def test_signals_reach_nobody_outside():
    mark = "17320.50807"
    neighbour: list[Verdict] = []
    beside = threading.Thread(target=lambda: neighbour.append(run(["sleep", "3"], limits=SMALL)))
    with subprocess.Popen(["sleep", mark]) as ours:
        try:
            beside.start()
            program = f"""if True:
                import os, signal, time
                child = os.fork() or time.sleep(60)
                print(len([e for e in os.listdir("/proc") if e.isdigit()]))
                for pid in ({ours.pid}, {os.getpid()}):
                    try:
                        os.kill(pid, signal.SIGKILL)
                        print("sent")
                    except OSError as error:
                        print(type(error).__name__)
                os.kill(1, signal.SIGKILL)  # the box's own first process does not heed it
                os.kill(-1, signal.SIGKILL)  # all that it can see, but for itself
                print(os.WTERMSIG(os.waitpid(child, 0)[1]))
            """
            verdict = attack(program)
            assert verdict.status == "passed", verdict
            assert verdict.stdout == "3\nProcessLookupError\nProcessLookupError\n9\n"
            assert ours.poll() is None
        finally:
            ours.kill()
            beside.join()
    assert [verdict.status for verdict in neighbour] == ["passed"]


def test_privileges_cannot_be_regained():
    program = """if True:
        import os, subprocess
        for action in (lambda: os.setuid(0), lambda: os.chroot("/tmp"),
                       lambda: os.mknod("/tmp/d", 0o60600, os.makedev(8, 0)),
                       lambda: os.sethostname("x") if hasattr(os, "sethostname") else os.setuid(0)):
            try:
                action(); print("allowed")
            except OSError:
                print("refused")
        unshare = ["unshare", "--user", "--map-root-user", "true"]
        nested = subprocess.run(unshare, capture_output=True)
        print("nested", nested.returncode == 0)
        print([l.split()[1] for l in open("/proc/self/status") if l.startswith("CapEff")])
    """
    lines = attack(program).stdout.splitlines()
    assert "allowed" not in lines
    assert "nested False" in lines
    assert lines[-1] == "['0000000000000000']"


def test_a_daemon_does_not_outlive_its_box():
    mark = "14142.13562"
    program = f"""if True:
        import os
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                for fd in range(3): os.close(fd)
                os.execvp("sleep", ["sleep", "{mark}"])
            os._exit(0)
        os.wait()
        print("left")
    """
    assert attack(program).stdout == "left\n"
    assert not _running(mark)


def test_ignoring_signals_does_not_help():
    program = """if True:
        import signal
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_IGN)
        while True: pass
    """
    started = time.monotonic()
    verdict = attack(program, Limits(cpu_seconds=1, wall_seconds=10))
    assert (verdict.status, verdict.notes) == ("timeout", ("cpu",))
    assert time.monotonic() - started < 9


def _running(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if arguments[:2] == [b"sleep", mark.encode()]:
            found.append(int(entry.name))
    return found
