"""The process in which files are parsed, so that a fault in a grammar ends it and not the build.

Reads frames from standard input and answers each on standard output, in turn:

    question   uint32 bytes of the file, uint8 bytes of the grammar's name; the name; the file
    ready      one byte, before the first question: who ends without it, never started
    answer     float64 share of errors (NaN where nothing can be said), uint8 index into NOTES

Ends when its input does, which the kernel sees to even when the build was killed.
"""

from __future__ import annotations

import os
import resource
import struct
from typing import BinaryIO

from codekiln.corpus.quality.parse import NOTES, parse

QUESTION = struct.Struct("<IB")
ANSWER = struct.Struct("<dB")
READY = b"R"
READ_AHEAD = 1 << 16  # bytes; one read brings several files
# No tree of a real file of up to 1 MiB took over 120 MiB; a grammar gone astray takes all it gets.
MEMORY_BYTES = 384 << 20


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the questions end."""
    answers.write(READY)
    answers.flush()
    while len(head := questions.read(QUESTION.size)) == QUESTION.size:
        size, name_size = QUESTION.unpack(head)
        name = questions.read(name_size).decode()
        found = parse(questions.read(size), name)
        errors = float("nan") if found.errors is None else found.errors
        answers.write(ANSWER.pack(errors, NOTES.index(found.note)))
        answers.flush()


def main() -> None:
    """Serve on the standard streams, apart from anything that prints."""
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    most = MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(MEMORY_BYTES, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with open(0, "rb", buffering=READ_AHEAD, closefd=False) as questions:
        serve(questions, answers)


if __name__ == "__main__":
    main()
