"""Runs in the sandbox: a compiler over files, one by one or all at once. Standard library only.

Reads job.json: command, files, seconds. Prints [[exit code or null, output], …].
"""

import json
import subprocess
import sys

MOST = 1 << 16  # characters of one answer; of a run over many files, MANY
MANY = 1 << 23


def answer(words, seconds, most):  # type: ignore[no-untyped-def]
    """Exit code (None when it took too long or is not there) and what was printed."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)[:200]
    return done.returncode, done.stdout[:most].decode("utf-8", "replace")


def main():  # type: ignore[no-untyped-def]
    """Read the job, run it, print the answers."""
    with open("job.json", encoding="utf-8") as file:  # noqa: PTH123
        job = json.load(file)
    command = [sys.executable if word == "{python}" else word for word in job["command"]]
    if "{files}" in command:
        place = command.index("{files}")
        words = command[:place] + job["files"] + command[place + 1 :]
        answers = [answer(words, None, MANY)]
    else:
        answers = [
            answer([name if w == "{file}" else w for w in command], job["seconds"], MOST)
            for name in job["files"]
        ]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
