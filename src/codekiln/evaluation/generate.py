"""Prompts to completions, in a file between generation and scoring.

The file is an ordinary completions file, so `codekiln eval score` scores it again at any time.
A run that was cut off goes on after its last whole row, if the model, the problems and the
settings are the same; else it starts anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from codekiln.generation.sample import Sampling
from codekiln.log import Progress, logger
from codekiln.storage import fingerprint, read_json, write_json, write_text
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.types import Completion, FinishReason

ROWS_AT_ONCE = 32  # prompts between two writes; the engine makes batches of them


class Result(Protocol):
    """What an engine wrote."""

    @property
    def text(self) -> str:
        """After the prompt, up to a stop string."""
        ...

    @property
    def finish_reason(self) -> FinishReason:
        """Why it ended."""
        ...

    @property
    def tokens(self) -> int:
        """How many were generated."""
        ...


class Engine(Protocol):
    """What evaluation needs of an engine; `generation.engine.Engine` has it."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's own."""
        ...

    @property
    def context_length(self) -> int:
        """In tokens."""
        ...

    def complete_batch(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling
    ) -> Sequence[Result]:
        """Continue all prompts; results in their order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A problem's prompt, and what had to be left out of it."""

    problem_id: str
    ids: list[int]
    dropped: tuple[str, ...] = ()


def complete(
    engine: Engine, asks: Sequence[Ask], sampling: Sampling, path: Path, *, model: str
) -> list[Completion]:
    """One completion for each prompt, in their order, from `path` where it has them already.

    Args:
        engine: writes what is missing.
        asks: the prompts.
        sampling: the same for all.
        path: the completions file, JSON lines; its folder is made.
        model: identifies the model, so that another one's completions are not taken for its own.
    """
    made_from = fingerprint([model, [[a.problem_id, a.ids] for a in asks], asdict(sampling)])
    done = _resume(path, made_from)
    missing = [ask for ask in asks if ask.problem_id not in done]
    if done:
        logger.info("%s: %d of %d completions are there already", path, len(done), len(asks))
    short = sum(bool(ask.dropped) for ask in asks)
    if short:
        logger.info("%d of %d prompts were shortened to fit the model", short, len(asks))
    with (
        Progress("generating", total=len(missing), unit="completions") as progress,
        path.open("a", encoding="utf-8") as file,
    ):
        for start in range(0, len(missing), ROWS_AT_ONCE):
            group = missing[start : start + ROWS_AT_ONCE]
            for ask, result in zip(
                group, engine.complete_batch([ask.ids for ask in group], sampling), strict=True
            ):
                row = _row(ask, result)
                file.write(json.dumps(row) + "\n")
                done[ask.problem_id] = _completion(row)
                progress.advance()
            file.flush()
    return [done[ask.problem_id] for ask in asks]


def _row(ask: Ask, result: Result) -> dict[str, Any]:
    return {
        "task_id": ask.problem_id,
        "completion": result.text,
        "finish_reason": result.finish_reason,
        "tokens": result.tokens,
        "dropped": list(ask.dropped),
    }


def _completion(row: dict[str, Any]) -> Completion:
    return Completion(
        problem_id=row["task_id"],
        text=row["completion"],
        finish_reason=row["finish_reason"],
        tokens=row["tokens"],
    )


def _resume(path: Path, made_from: str) -> dict[str, Completion]:
    """Whole rows of the same making; whatever else is there is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    note = path.with_suffix(".json")
    if not path.exists() or not note.exists() or read_json(note) != {"fingerprint": made_from}:
        write_text(path, "")
        write_json(note, {"fingerprint": made_from})
        return {}
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    if len(whole) < len(lines):
        write_text(path, "".join(whole))
    rows = [json.loads(line) for line in whole]
    return {row["task_id"]: _completion(row) for row in rows}
