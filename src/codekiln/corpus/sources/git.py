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
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO

from codekiln.corpus.sources.intake import FOREIGN, LINK, MISSING, SUBMODULE, Intake, foreign_folder
from codekiln.corpus.sources.metadata import UNKNOWN, Metadata
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
_COMMITTER = re.compile(rb"^committer .*> (\d{1,12}) [-+]\d{4}$", re.MULTILINE)
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

    @cached_property
    def metadata(self) -> Metadata:
        """The commit's date: when it was committed, not when its author wrote it."""
        header = self._run("cat-file", "commit", self.revision).stdout.partition(b"\n\n")[0]
        date = _COMMITTER.search(header)
        return Metadata(updated=float(date[1])) if date else UNKNOWN

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
            SourceError: a tree is missing, an object is damaged, or there are too many files.
        """
        absent = self._absent()
        files = []
        for path, blob in self._files(intake):
            if blob in absent:
                intake.tally.drop(MISSING, path)
            else:
                files.append((path, blob))
        wanted = []
        sizes = self._sizes([blob for _, blob in files])
        for (path, blob), size in zip(files, sizes, strict=True):
            if size is None:
                intake.tally.drop(MISSING, path)
            elif intake.admit(path, size):
                wanted.append((path, blob))
        with self._ask("cat-file", "--batch", "--buffer", about=[b for _, b in wanted]) as answers:
            for path, blob in wanted:
                yield path, self._content(answers, blob)

    def _files(self, intake: Intake) -> Iterator[tuple[str, str]]:
        """(path, blob id) of the regular files of the commit; counts what else is there."""
        empty = True
        for row in self._rows(intake.limits.max_files):
            empty = False
            facts, _, name = row.partition(b"\t")
            mode, kind, blob = facts.split(b" ")
            path = os.fsdecode(name)
            if kind != b"blob":
                intake.tally.drop(SUBMODULE, path)
            elif mode == b"120000":
                intake.tally.drop(LINK, path)
            elif foreign_folder(path):
                intake.tally.drop(FOREIGN, path)
            else:
                yield path, blob.decode("ascii")
        if empty:
            raise SourceError(self._where, got="a commit without files", wanted="source files")

    def _rows(self, most: int) -> Iterator[bytes]:
        """The rows of `git ls-tree`: b"100644 blob <id>\\t<path>".

        Trees may name each other many times over, so that few objects stand for billions of
        files: hence the limit.
        """
        count, rest = 0, b""
        with self._ask("ls-tree", "-r", "-z", "--full-tree", self.revision) as answers:
            while block := answers.read(_BLOCK):
                *rows, rest = (rest + block).split(b"\0")
                count += len(rows)
                if count > most:
                    raise SourceError(
                        self._where,
                        got=f"more than {most:,} files",
                        wanted="a commit of one repository",
                    )
                yield from rows

    def _absent(self) -> set[str]:
        """Blobs that a partial clone never fetched; asking for them would start a fetch each."""
        common = self._folder / os.fsdecode(self._run("rev-parse", "--git-common-dir").stdout[:-1])
        if not any(common.glob("objects/pack/*.promisor")):
            return set()
        answer = self._run(
            "rev-list", "--objects", "--missing=print", "--no-walk", self.revision, "--"
        )
        lines = answer.stdout.decode("utf-8", "replace").splitlines()
        return {line[1:] for line in lines if line.startswith("?")}

    def _sizes(self, blobs: list[str]) -> Iterator[int | None]:
        """Size of each blob in bytes; None where the blob is missing."""
        with self._ask("cat-file", "--batch-check", "--buffer", about=blobs) as answers:
            for blob in blobs:
                yield self._size(answers, blob)

    def _size(self, answers: IO[bytes], blob: str) -> int | None:
        fields = answers.readline().split()
        if len(fields) == 3 and fields[1] == b"blob":
            return int(fields[2])
        if len(fields) == 2 and fields[1] == b"missing":
            return None
        raise self._failed(f"object {blob} is damaged")

    def _content(self, answers: IO[bytes], blob: str) -> bytes:
        size = self._size(answers, blob)
        data = answers.read(size or 0)
        if size is None or len(data) < size or answers.read(1) != b"\n":
            raise self._failed(f"object {blob} is damaged")
        return data

    @contextmanager
    def _ask(self, *arguments: str, about: list[str] | None = None) -> Iterator[IO[bytes]]:
        """The output of one git process which is given the ids `about` as its input.

        Raises:
            SourceError: git fails, and the caller has read all of its output.
        """
        with tempfile.TemporaryFile() as questions, tempfile.TemporaryFile() as complaints:
            questions.write("".join(f"{blob}\n" for blob in about or ()).encode("ascii"))
            questions.seek(0)  # a file: with two pipes, either side could wait for the other
            process = subprocess.Popen(
                self._command(*arguments),
                stdin=questions,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env=_environment(),
                bufsize=_BLOCK,
            )
            assert process.stdout is not None
            try:
                yield process.stdout
                if process.stdout.read(1) == b"" and process.wait():
                    complaints.seek(0)
                    raise self._failed(complaints.read(1 << 16).decode("utf-8", "replace").strip())
            finally:
                process.stdout.close()
                process.kill()
                process.wait()


def _name(path: Path) -> str:
    real = path.resolve()
    if real.name == ".git":
        real = real.parent
    return real.name.removesuffix(".git") or "root"


def _environment() -> dict[str, str]:
    """This process's environment without git's variables, which could point elsewhere."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return {**kept, **_ENVIRONMENT}
