"""A repository at one revision, read from git's object store without a checkout.

`git ls-tree` names the files, one `git cat-file --batch-check` process gives their sizes and one
`git cat-file --batch` process their contents. The repository is not trusted: nothing that it
configures may run a program, reach the network or answer in a file's place (see `_SAFE`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from codekiln.corpus.intake import FOREIGN, LINK, MISSING, SUBMODULE, Intake, foreign_folder
from codekiln.errors import MissingToolError, SourceError

_SAFE = (
    "--no-pager",
    "--no-replace-objects",
    "--no-optional-locks",
    "--literal-pathspecs",
    "-c", "safe.directory=*",  # the owner does not matter: nothing of it is run
    "-c", "core.hooksPath=/dev/null",
    "-c", "core.fsmonitor=false",
    "-c", "protocol.allow=never",
)  # fmt: skip
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",  # git 2.45 and later; before, no protocol is allowed (next line)
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_BLOCK = 1 << 18


def is_git_folder(path: Path) -> bool:
    """Whether a folder is git's own: a bare repository, or the `.git` of a working tree."""
    return (
        (path / "HEAD").is_file()
        and (path / "objects").is_dir()
        and ((path / "refs").is_dir() or (path / "packed-refs").is_file())
    )


class GitSource:
    """The files of one commit.

    Args:
        path: working tree or bare repository.
        revision: anything that git takes for a commit: branch, tag, id, "HEAD~3".

    Raises:
        SourceError: not a git repository, or no such revision.
        MissingToolError: git is not installed.
    """

    def __init__(self, path: Path, revision: str) -> None:
        self._where = f"{path}@{revision}"
        self._folder = self._git_folder(path)
        self.name = _name(path)
        self.revision = self._commit(revision)

    def _git_folder(self, path: Path) -> Path:
        if shutil.which("git") is None:
            raise MissingToolError(
                self._where, got="git is not installed", remedy="install git, or read a folder"
            )
        inner = path / ".git"
        if not is_git_folder(path) and not inner.exists():
            raise SourceError(
                self._where, got=f"{path} is not a git repository", wanted="PATH@REVISION"
            )
        return (inner if inner.exists() else path).resolve()

    def _commit(self, revision: str) -> str:
        """The commit id of `revision`, which may be anything that a user wrote."""
        problem = SourceError(
            self._where, got="no such revision", wanted="a branch, tag or commit of the repository"
        )
        if revision.startswith("-") or not revision.isprintable() or not revision:
            raise problem
        answer = self._run(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
        )
        commit = answer.stdout.decode("ascii", "replace").strip().rpartition("\n")[2]
        if answer.returncode or not _COMMIT.fullmatch(commit):
            message = answer.stderr.decode("utf-8", "replace").strip()
            raise problem if not message else self._failed(message)
        return commit

    def _command(self, *arguments: str) -> list[str]:
        return ["git", f"--git-dir={self._folder}", *_SAFE, *arguments]

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self._command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_environment(),
            check=False,
        )

    def _failed(self, message: str) -> SourceError:
        return SourceError(
            self._where,
            got=f"git cannot read it ({message.splitlines()[-1] if message else 'no message'})",
            wanted="a whole git repository",
            remedy="run 'git fsck' there",
        )

    def blobs(self, intake: Intake) -> Iterator[tuple[str, bytes]]:
        """Paths and contents, in git's order, of the files that `intake` admits.

        Raises:
            SourceError: a tree is missing, or git stops before the end.
        """
        files = list(self._files(intake))
        absent = self._absent()
        for _, blob in files:
            if blob in absent:
                intake.tally.drop(MISSING)
        files = [(path, blob) for path, blob in files if blob not in absent]
        wanted = []
        for (path, blob), size in zip(files, self._sizes([b for _, b in files]), strict=True):
            if size is None:
                intake.tally.drop(MISSING)
            elif intake.admit(path, size):
                wanted.append((path, blob))
        with self._batch("--batch", (blob for _, blob in wanted)) as answers:
            for path, blob in wanted:
                data = self._content(answers, blob)
                if data is None:
                    intake.tally.drop(MISSING)
                else:
                    yield path, data

    def _files(self, intake: Intake) -> Iterator[tuple[str, str]]:
        """(path, blob id) of the regular files of the commit; counts what else is there."""
        answer = self._run("ls-tree", "-r", "-z", "--full-tree", self.revision)
        if answer.returncode:
            raise self._failed(answer.stderr.decode("utf-8", "replace").strip())
        rows = answer.stdout.split(b"\0")[:-1]
        if not rows:
            raise SourceError(self._where, got="a commit without files", wanted="source files")
        for row in rows:
            facts, _, name = row.partition(b"\t")
            mode, kind, blob = facts.split(b" ")
            path = os.fsdecode(name)
            if kind != b"blob":
                intake.tally.drop(SUBMODULE)
            elif mode == b"120000":
                intake.tally.drop(LINK)
            elif foreign_folder(path):
                intake.tally.drop(FOREIGN)
            else:
                yield path, blob.decode("ascii")

    def _absent(self) -> set[str]:
        """Blobs that a partial clone never fetched; asking for them would start a fetch each."""
        if not any(self._common().glob("objects/pack/*.promisor")):
            return set()
        answer = self._run(
            "rev-list", "--objects", "--missing=print", "--no-walk", self.revision, "--"
        )
        lines = answer.stdout.decode("utf-8", "replace").splitlines()
        return {line[1:] for line in lines if line.startswith("?")}

    def _common(self) -> Path:
        answer = self._run("rev-parse", "--git-common-dir")
        return self._folder / os.fsdecode(answer.stdout.rstrip(b"\n"))

    def _sizes(self, blobs: Iterable[str]) -> Iterator[int | None]:
        """Size of each blob in bytes; None where the blob is missing."""
        blobs = list(blobs)
        if not blobs:
            return
        with self._batch("--batch-check", blobs) as answers:
            for _ in blobs:
                yield _size(answers.readline(), self._failed)

    def _content(self, answers: IO[bytes], blob: str) -> bytes | None:
        size = _size(answers.readline(), self._failed)
        if size is None:
            return None
        data = answers.read(size)
        if len(data) < size or answers.read(1) != b"\n":
            raise self._failed(f"the content of {blob} ends early")
        return data

    @contextmanager
    def _batch(self, mode: str, blobs: Iterable[str]) -> Iterator[IO[bytes]]:
        """The answers of one `git cat-file` process about all `blobs`, in their order."""
        with tempfile.TemporaryFile() as questions:  # a pipe could block both sides
            questions.write("".join(f"{blob}\n" for blob in blobs).encode("ascii"))
            questions.seek(0)
            process = subprocess.Popen(
                self._command("cat-file", mode, "--buffer"),
                stdin=questions,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                bufsize=_BLOCK,
            )
        assert process.stdout is not None
        try:
            yield process.stdout
        finally:
            process.stdout.close()
            process.kill()
            process.wait()


def _size(answer: bytes, failed: object) -> int | None:
    """The size in a line "<id> blob <size>" of `git cat-file`; None for "<id> missing"."""
    fields = answer.split()
    if len(fields) == 3 and fields[1] == b"blob":
        return int(fields[2])
    if len(fields) == 2 and fields[1] == b"missing":
        return None
    assert callable(failed)
    raise failed("an object is damaged")


def _name(path: Path) -> str:
    real = path.resolve()
    if real.name == ".git":
        real = real.parent
    return real.name.removesuffix(".git") or "root"


def _environment() -> dict[str, str]:
    """This process's environment without git's variables, which could point elsewhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return {**kept, **_ENVIRONMENT}
