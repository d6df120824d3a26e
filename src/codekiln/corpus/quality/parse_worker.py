"""The process in which files are parsed, so that a fault in a grammar ends it and not the build.

question   uint32 bytes of the file, uint8 bytes of the grammar's name; the name; the file
answer     float64 share of errors (NaN where nothing can be said), uint8 index into NOTES
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from codekiln.corpus.quality.parse import NOTES, parse
from codekiln.languages.parser_process import serve

QUESTION = struct.Struct("<IB")
ANSWER = struct.Struct("<dB")


def answer(questions: BinaryIO) -> bytes:
    """The answer to the next question; nothing at their end."""
    head = questions.read(QUESTION.size)
    if len(head) < QUESTION.size:
        return b""
    size, name_size = QUESTION.unpack(head)
    name = questions.read(name_size).decode()
    found = parse(questions.read(size), name)
    errors = float("nan") if found.errors is None else found.errors
    return ANSWER.pack(errors, NOTES.index(found.note))


def main() -> None:
    """Serve on the standard streams."""
    serve(answer)


if __name__ == "__main__":
    main()
