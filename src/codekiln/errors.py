"""One tree of errors.

    CodekilnError                 anything codekiln raises on purpose (exit 1)
    └── UserError                 the user can mend it: where, got, wanted, remedy (exit 2)
        ├── RecipeError           a recipe: unknown key, wrong type, impossible value
        ├── SourceError           a repository, archive or file that cannot be read
        ├── TokenizerError        a tokenizer folder that is damaged or does not fit
        ├── ShardError            token shards that are damaged or of another tokenizer
        ├── CheckpointError       weights or a training checkpoint: truncated, of another model
        ├── PromptError           a prompt that does not fit the model
        ├── BenchmarkError        benchmark data or completions that are missing or malformed
        ├── SandboxError          no safe way to run untrusted programs here
        └── MissingToolError      a program or an extra that is not installed

Errors that the user can mend carry four parts, so that one message answers: where did it
happen, what was found, what was wanted, what to do now.
"""

from __future__ import annotations


class CodekilnError(Exception):
    """Base of everything codekiln raises on purpose."""

    exit_code = 1


class UserError(CodekilnError):
    """An error that the user can mend; printed as one message, without a traceback.

    Args:
        where: the file, key, request or command concerned.
        got: what was found there.
        wanted: what would have been right.
        remedy: what to do now, as an instruction.
    """

    exit_code = 2

    def __init__(self, where: object, *, got: str, wanted: str = "", remedy: str = "") -> None:
        self.where = str(where)
        self.got = got
        self.wanted = wanted
        self.remedy = remedy
        super().__init__(self._message())

    def _message(self) -> str:
        lines = [f"{self.where}: {self.got}"]
        if self.wanted:
            lines.append(f"  wanted: {self.wanted}")
        if self.remedy:
            lines.append(f"  remedy: {self.remedy}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip between processes, keyword arguments included."""
        return _rebuild, (type(self), self.where, self.got, self.wanted, self.remedy)


def _rebuild(kind: type[UserError], where: str, got: str, wanted: str, remedy: str) -> UserError:
    return kind(where, got=got, wanted=wanted, remedy=remedy)


class RecipeError(UserError):
    """A recipe with an unknown key, a wrong type or an impossible value."""


class SourceError(UserError):
    """A repository, archive or file that cannot be read."""


class TokenizerError(UserError):
    """A tokenizer folder that is damaged or does not fit."""


class ShardError(UserError):
    """Token shards that are damaged or belong to another tokenizer."""


class CheckpointError(UserError):
    """Weights or a training checkpoint: missing, truncated or of another model."""


class PromptError(UserError):
    """A prompt that does not fit the model."""


class BenchmarkError(UserError):
    """Benchmark data or completions that are missing or malformed."""


class SandboxError(UserError):
    """No safe way to run untrusted programs on this machine."""


class MissingToolError(UserError):
    """A program or an optional dependency that is not installed."""
