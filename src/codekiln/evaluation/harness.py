"""Runs inside the box: one untrusted Python program, then one line about how it ended.

This file's text is handed to the box's interpreter, which has no codekiln. On standard input come
a random word and the program. The word is needed to report anything, and it is put away until the
program has run.

Standard input is a memory file that the box's first process (bubblewrap, of the same user) holds
too, so that /proc/1/fd/0 would give it again. Hence it is emptied once it has been read.

What a program cannot do: pass by leaving early (`sys.exit`, `os._exit`, a crash, a closed
output), by printing what success looks like, or by reading word or tests from a file, from
standard input or from another process of the box. What it can do, as under every scorer that
tests a function by calling it: the tests run in the program's own process, so a program written
against this very harness can reach into it (the word waits in a pipe, the tests in its own code
object), and an answer whose `==` lies is believed. Python has no walls inside a process.
"""

import os
import sys


def _main() -> None:
    read, write, leave, flush = os.read, os.write, os._exit, sys.stdout.flush
    word, _, program = sys.stdin.buffer.read().partition(b"\n")
    os.ftruncate(0, 0)  # no second reading, by /proc/1/fd/0 either; an error here ends the run
    kept, pipe = os.pipe()  # not in a variable, where a look at the stack would find it
    write(pipe, word)
    os.close(pipe)
    del word
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)

    def report(status: bytes) -> None:
        try:
            flush()
        except BaseException:  # the program may have closed it
            status = status if status != b"passed" else b"runtime_error"
        write(1, b"\n" + read(kept, 64) + b" " + status + b"\n")
        leave(0)

    def explain() -> None:
        import traceback

        lines = traceback.format_exception_only(*sys.exc_info()[:2])
        write(2, "".join(lines).encode("utf-8", "replace")[-2000:])

    try:
        code = compile(program.decode(), "program.py", "exec", dont_inherit=True)
    except MemoryError:
        report(b"out_of_memory")
    except BaseException:
        explain()
        report(b"compile_error")
    del program
    try:
        exec(code, {})
    except AssertionError:
        explain()
        report(b"wrong")
    except MemoryError:
        report(b"out_of_memory")
    except BaseException:
        explain()
        report(b"runtime_error")
    report(b"passed")


if __name__ == "__main__":
    _main()
