"""What a completion request makes the engine do: prompts, choices, deltas. No HTTP here.

Streamed and whole answers are made of the same deltas, so their texts cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from codekiln.errors import PromptError, UserError
from codekiln.generation.engine import Engine
from codekiln.generation.infill import build_prompt
from codekiln.generation.sample import Choice
from codekiln.serving.logprobs import LogprobsWriter
from codekiln.serving.protocol import ApiError, CompletionRequest
from codekiln.types import SourceFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """A piece of one choice. `tokens` counts chosen ids, `prompt_tokens` those that were read."""

    index: int
    text: str = ""
    logprobs: dict[str, Any] | None = None
    finish_reason: str | None = None
    tokens: int = 0
    prompt_tokens: int = 0


def run(engine: Engine, request: CompletionRequest) -> Iterator[Delta]:
    """Generate all choices, one after the other; for a worker thread.

    Every prompt is checked before the first is continued, so that a request fails as a whole
    and before anything of it is sent.

    Raises:
        ApiError: 400 for a prompt that does not fit, or ids that the tokenizer lacks.
    """
    prompts = request.prompts()
    try:
        ready = [_prompt_ids(engine, request, prompt) for prompt in prompts]
        for ids in ready:
            engine.check(ids, request.sampling(0))
    except PromptError as error:
        raise _prompt_error(error) from None
    except UserError as error:
        raise ApiError(400, str(error), code="invalid_value") from None
    for at, (prompt, ids) in enumerate(zip(prompts, ready, strict=True)):
        yield Delta(index=at * request.n, prompt_tokens=len(ids))
        for choice in range(request.n):
            yield from _choice(engine, request, prompt, ids, at * request.n + choice)


def _choice(
    engine: Engine, request: CompletionRequest, prompt: str | list[int], ids: list[int], index: int
) -> Iterator[Delta]:
    writer = None
    if request.logprobs is not None:
        writer = LogprobsWriter(engine.tokenizer, request.logprobs)
    length = 0
    if request.echo:
        text = prompt if isinstance(prompt, str) else engine.tokenizer.decode(prompt)
        length = len(text)
        yield Delta(index=index, text=text, logprobs=_echoed(engine, writer, prompt, ids))
    for piece in engine.generate(ids, request.sampling(index)):
        length += len(piece.text)
        logprobs = None
        if writer is not None:
            if piece.choice is not None:
                writer.add(piece.choice)
            logprobs = writer.take(length)
        yield Delta(
            index=index,
            text=piece.text,
            logprobs=logprobs,
            finish_reason=piece.finish_reason,
            tokens=piece.tokens,
        )


def _echoed(
    engine: Engine, writer: LogprobsWriter | None, prompt: str | list[int], ids: list[int]
) -> dict[str, Any] | None:
    """Entries of the prompt's own tokens; ids as given keep all, a text has none for `<bos>`."""
    if writer is None:
        return None
    scores = engine.score(ids, writer.count)
    if not isinstance(prompt, str):
        writer.add(Choice(token=ids[0]))
    for score in scores:
        writer.add(score)
    return writer.take_all()


def _prompt_ids(engine: Engine, request: CompletionRequest, prompt: str | list[int]) -> list[int]:
    if not isinstance(prompt, str):
        return prompt
    wanted = max(request.max_tokens, 1) if request.truncate else min(request.max_tokens, 1)
    room = min(wanted, engine.context_length // 2)  # a long answer never crowds out the prompt
    built = build_prompt(
        engine.tokenizer,
        prefix=prompt,
        suffix=request.suffix,
        path=request.path,
        language=request.language,
        context=_context(request),
        max_tokens=engine.context_length - room,
        order=engine.fim_order,
        file_order=engine.file_order,
    )
    if built.dropped and not request.truncate:
        raise PromptError(
            "prompt",
            got="it does not fit; it would lose " + ", ".join(built.dropped),
            wanted=f"at most {engine.context_length} tokens, the model's context",
            remedy='shorten it, or send "truncate": true',
        )
    return built.ids


def _context(request: CompletionRequest) -> list[SourceFile]:
    from codekiln.languages.table import detect

    files = []
    for file in request.context:
        language = detect(file.path)
        name = language.name if language else ""
        files.append(SourceFile(path=file.path, text=file.text, language=name))
    return files


def _prompt_error(error: PromptError) -> ApiError:
    too_long = "context" in error.wanted or "fit" in error.got
    code = "context_length_exceeded" if too_long else "invalid_value"
    return ApiError(400, str(error), param="prompt", code=code)
