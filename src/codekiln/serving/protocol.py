"""The words of the HTTP interface: requests, answers and errors in OpenAI's form.

A field that is not listed here is refused by name; none is accepted and ignored, save `user`,
which by definition changes nothing. Four fields go beyond OpenAI's: `path`, `language` and
`context` give the prompt builder what a repository's training text had, and `truncate` allows
it to shorten a prompt that does not fit (otherwise that is an error).
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from codekiln.generation.sample import MAX_LOGPROBS, Sampling

MAX_CHOICES = 128  # prompts x n of one request
MAX_ID_DIGITS, SHOWN_KEY = 10, 40
MAX_STOPS = 16

Rate = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class ApiError(Exception):
    """An answer other than 200, as OpenAI's clients know it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.kind = status, message, kind
        self.param, self.code = param, code

    def body(self) -> dict[str, Any]:
        """The JSON body."""
        parts = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": parts}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_null(cls, values: Any) -> Any:
        """OpenAI's clients may send null for any optional field."""
        if isinstance(values, dict):
            return {name: value for name, value in values.items() if value is not None}
        return values


class StreamOptions(_Request):
    """What a stream holds besides the text."""

    include_usage: bool = False


class ContextFile(_Request):
    """Another file of the repository."""

    path: str = Field(min_length=1)
    text: str


class CompletionRequest(_Request):
    """Body of POST /v1/completions."""

    model: str
    prompt: str | list[str] | list[int] | list[list[int]]
    suffix: str = ""
    max_tokens: int = Field(16, ge=0)
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: Rate = 1.0
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    best_of: int | None = None
    stop: str | list[str] = Field(default_factory=list)
    stream: bool = False
    stream_options: StreamOptions | None = None
    echo: bool = False
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    logprobs: int | None = Field(None, ge=0, le=MAX_LOGPROBS)
    presence_penalty: Penalty = 0.0
    frequency_penalty: Penalty = 0.0
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] = Field(default_factory=dict)
    user: str | None = None
    path: str = ""
    language: str = ""
    context: list[ContextFile] = Field(default_factory=list)
    truncate: bool = False

    @field_validator("stop")
    @classmethod
    def _stops(cls, value: str | list[str]) -> list[str]:
        stops = [value] if isinstance(value, str) else value
        if len(stops) > MAX_STOPS:
            raise ValueError(f"at most {MAX_STOPS} stop strings, got {len(stops)}")
        if not all(stops):
            raise ValueError("a stop string must not be empty")
        return stops

    @field_validator("logit_bias")
    @classmethod
    def _ids(cls, value: dict[str, float]) -> dict[str, float]:
        for key in value:
            if not (key.isascii() and key.isdigit() and len(key) <= MAX_ID_DIGITS):
                raise ValueError(f"keys are token ids, got {key[:SHOWN_KEY]!r}")
        return value

    def prompts(self) -> list[str | list[int]]:
        """One or more prompts, each a text or a list of token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        ids = [item for item in self.prompt if isinstance(item, int)]
        return [ids] if ids else [item for item in self.prompt if not isinstance(item, int)]

    def sampling(self, choice: int) -> Sampling:
        """Settings of one choice; with a seed, choice i uses seed + i."""
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            max_new_tokens=self.max_tokens,
            seed=None if self.seed is None else self.seed + choice,
            stop=tuple(self.stop),
            presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty,
            logit_bias=tuple((int(key), amount) for key, amount in self.logit_bias.items()),
            logprobs=self.logprobs,
        )


def parse_request(values: object) -> CompletionRequest:
    """Validate a decoded JSON body.

    Raises:
        ApiError: 400, naming the field and what is wrong with it.
    """
    if not isinstance(values, dict):
        raise ApiError(400, f"The body must be a JSON object, not {type(values).__name__}.")
    try:
        request = CompletionRequest.model_validate(values)
    except ValidationError as error:
        raise _field_error(error) from None
    _check_together(request)
    return request


def _field_error(error: ValidationError) -> ApiError:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else None
    place = ".".join(str(part) for part in first["loc"]) or "body"
    if first["type"] == "extra_forbidden":
        known = list(CompletionRequest.model_fields)
        near = difflib.get_close_matches(place, known, n=1, cutoff=0.6)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        message = f"Unrecognized request argument supplied: {place}.{hint}"
        return ApiError(400, message, param=name, code="unknown_parameter")
    if first["type"] == "missing":
        message = f"Missing required parameter: '{place}'."
        return ApiError(400, message, param=name, code="missing_required_parameter")
    if name == "prompt":
        message = "'prompt' must be a string, a list of strings, token ids, or lists of token ids."
        return ApiError(400, message, param=name, code="invalid_type")
    reason = first["msg"].removeprefix("Value error, ")
    return ApiError(400, f"Invalid '{place}': {reason}.", param=name, code="invalid_value")


def _check_together(request: CompletionRequest) -> None:
    """Refuse what is right field by field and wrong together."""
    prompts = request.prompts()
    if not prompts or any(prompt == [] for prompt in prompts):
        raise _refused("prompt", "'prompt' must not be an empty list.")
    choices = len(prompts) * request.n
    if choices > MAX_CHOICES:
        raise _refused("n", f"{choices} choices asked for; at most {MAX_CHOICES} in one request.")
    if request.best_of is not None and request.best_of != request.n:
        raise _refused("best_of", "'best_of' must equal 'n': ranking of choices is not supported.")
    if request.stream_options is not None and not request.stream:
        raise _refused("stream_options", "'stream_options' is only allowed with 'stream': true.")
    if request.max_tokens == 0 and not request.echo:
        raise _refused("max_tokens", "'max_tokens' may be 0 only with 'echo': true.")
    if request.suffix and request.echo and request.logprobs is not None:
        raise _refused("echo", "'echo' with 'logprobs' is not supported with a 'suffix'.")
    placed = [name for name in ("suffix", "path", "language", "context") if getattr(request, name)]
    if placed and not isinstance(prompts[0], str):
        name = placed[0]
        raise _refused(name, f"'{name}' needs a prompt of text: token ids are used as they are.")


def _refused(param: str, message: str) -> ApiError:
    return ApiError(400, message, param=param, code="invalid_value")


def completion_body(
    answer_id: str, created: int, model: str, choices: list[dict[str, Any]]
) -> dict[str, Any]:
    """What a whole answer and a chunk of a stream have in common."""
    return {
        "id": answer_id,
        "object": "text_completion",
        "created": created,
        "model": model,
        "choices": choices,
    }


def choice_body(
    index: int, text: str, logprobs: dict[str, Any] | None, reason: str | None
) -> dict[str, Any]:
    """One choice, whole or as a chunk."""
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}


def usage_body(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Token counts: prompts once each, every chosen token once."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def model_body(name: str, created: int) -> dict[str, Any]:
    """One entry of GET /v1/models."""
    kind: Literal["model"] = "model"
    return {"id": name, "object": kind, "created": created, "owned_by": "codekiln"}
