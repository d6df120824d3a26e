"""The HTTP interface: /v1/completions, /v1/models, /health.

Source of the protocol: OpenAI's completions API, as OpenAI's, DeepSeek's and vLLM's clients
speak it; `suffix` is filled in through the one prompt builder.
"""

from __future__ import annotations

import hmac
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from codekiln import __version__
from codekiln.generation.engine import Engine
from codekiln.log import logger
from codekiln.serving import completions
from codekiln.serving.body import read_json
from codekiln.serving.logprobs import joined
from codekiln.serving.protocol import (
    ApiError,
    CompletionRequest,
    choice_body,
    completion_body,
    model_body,
    parse_request,
    usage_body,
)
from codekiln.serving.work import BusyError, ClientGoneError, Job, TimeUpError, Workers

CLIENT_GONE = 499  # nobody reads it; it is for the log


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one server takes on.

    Args:
        threads: requests that generate at once.
        queue_length: requests that may wait; one more is answered 429.
        request_seconds: from arrival to the last token, waiting included.
        body_bytes: of one request.
    """

    threads: int = 4
    queue_length: int = 64
    request_seconds: float = 600.0
    body_bytes: int = 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    """What the routes share."""

    engine: Engine
    name: str
    created: int
    api_key: str | None
    limits: Limits
    workers: Workers


def create_app(
    engine: Engine, *, name: str, api_key: str | None = None, limits: Limits | None = None
) -> FastAPI:
    """The application.

    Args:
        engine: the model to serve.
        name: its id for clients.
        api_key: what clients must send as bearer token; None lets everybody in.
        limits: see there.
    """
    limits = limits or Limits()
    server = _Server(
        engine=engine,
        name=name,
        created=int(time.time()),
        api_key=api_key,
        limits=limits,
        workers=Workers(limits.threads, limits.queue_length),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        server.workers.close()

    app = FastAPI(title="codekiln", version=__version__, lifespan=lifespan)
    _add_errors(app)
    _add_routes(app, server)
    return app


def _add_errors(app: FastAPI) -> None:
    async def api_error(_: Request, error: Exception) -> Response:
        return _error_response(_as_api_error(error))

    for kind in (ApiError, BusyError, TimeUpError, HTTPException, Exception):
        app.add_exception_handler(kind, api_error)

    async def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=CLIENT_GONE)

    app.add_exception_handler(ClientGoneError, gone)


def _as_api_error(error: Exception) -> ApiError:
    """Every error in OpenAI's form; our own faults say nothing of the inside."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HTTPException):
        return ApiError(error.status_code, f"{error.detail}.", code=None)
    if isinstance(error, BusyError):
        message = "The server is busy: all its places and its queue are taken. Try again later."
        return ApiError(429, message, kind="rate_limit_error", code="queue_full")
    if isinstance(error, TimeUpError):
        message = "The request was not done within the server's time limit."
        return ApiError(504, message, kind="timeout", code="request_timeout")
    logger.error("request failed", exc_info=error)
    return ApiError(500, "The server failed on this request.", kind="server_error")


def _error_response(error: ApiError) -> JSONResponse:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}}
    return JSONResponse(error.body(), error.status, headers=headers.get(error.status))


def _add_routes(app: FastAPI, server: _Server) -> None:
    allowed = [Depends(_key_check(server.api_key))]

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Answers while models generate; needs no key."""
        workers = server.workers
        busy = {"running": workers.running, "waiting": workers.waiting}
        return {"status": "ok", "model": server.name, "version": __version__, **busy}

    @app.get("/v1/models", dependencies=allowed)
    async def models() -> dict[str, Any]:
        """The model that is served."""
        return {"object": "list", "data": [model_body(server.name, server.created)]}

    @app.get("/v1/models/{name:path}", dependencies=allowed)
    async def model(name: str) -> dict[str, Any]:
        """One model by id."""
        _check_model(server, name)
        return model_body(server.name, server.created)

    schema = CompletionRequest.model_json_schema()
    described = {"requestBody": {"content": {"application/json": {"schema": schema}}}}

    @app.post("/v1/completions", dependencies=allowed, openapi_extra=described)
    async def complete(request: Request) -> Response:
        """Continue a prompt, or with `suffix` fill in what stands between the two."""
        parsed = parse_request(await read_json(request, server.limits.body_bytes))
        _check_model(server, parsed.model)
        return await _answer(server, parsed, request.receive)


def _key_check(api_key: str | None) -> Callable[[Request], Awaitable[None]]:
    async def check(request: Request) -> None:
        if api_key is None:
            return
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), api_key.encode())
        if scheme.lower() != "bearer" or not right:
            message = "Incorrect API key provided." if given else "An API key is needed."
            raise ApiError(401, message, code="invalid_api_key")

    return check


def _check_model(server: _Server, name: str) -> None:
    if name != server.name:
        message = f"The model '{name[:200]}' does not exist here; this server has '{server.name}'."
        raise ApiError(404, message, param="model", code="model_not_found")


Receive = Callable[[], Awaitable[Any]]


async def _answer(server: _Server, request: CompletionRequest, receive: Receive) -> Response:
    job = server.workers.submit(
        lambda: completions.run(server.engine, request), seconds=server.limits.request_seconds
    )
    head = (f"cmpl-{uuid.uuid4().hex}", int(time.time()), server.name)
    watch = job.watch(receive)
    if not request.stream:
        try:
            return JSONResponse(await _whole(job, head, request))
        finally:
            job.cancel()
            watch.cancel()
    deltas = job.items()
    try:
        first = await anext(deltas)  # errors in the prompt are answered with their status
    except BaseException:
        watch.cancel()
        raise
    events = _events(first, deltas, head, request, watch)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


Head = tuple[str, int, str]  # id, created, model


async def _whole(
    job: Job[completions.Delta], head: Head, request: CompletionRequest
) -> dict[str, Any]:
    """The answer in one piece."""
    count = len(request.prompts()) * request.n
    texts: list[list[str]] = [[] for _ in range(count)]
    parts: list[list[dict[str, Any]]] = [[] for _ in range(count)]
    reasons: list[str | None] = [None] * count
    prompt_tokens = tokens = 0
    async for delta in job.items():
        texts[delta.index].append(delta.text)
        if delta.logprobs is not None:
            parts[delta.index].append(delta.logprobs)
        reasons[delta.index] = delta.finish_reason or reasons[delta.index]
        prompt_tokens += delta.prompt_tokens
        tokens += delta.tokens
    wanted = request.logprobs is not None
    choices = [
        choice_body(i, "".join(texts[i]), joined(parts[i]) if wanted else None, reasons[i])
        for i in range(count)
    ]
    return {**completion_body(*head, choices), "usage": usage_body(prompt_tokens, tokens)}


async def _events(
    first: completions.Delta,
    rest: AsyncIterator[completions.Delta],
    head: Head,
    request: CompletionRequest,
    watch: Any,
) -> AsyncIterator[str]:
    """The answer as server-sent events; after the headers an error is an event, too."""
    with_usage = request.stream_options is not None and request.stream_options.include_usage
    prompt_tokens = tokens = 0
    usage: dict[str, Any] = {"usage": None} if with_usage else {}
    try:
        async for delta in _chained(first, rest):
            prompt_tokens += delta.prompt_tokens
            tokens += delta.tokens
            entries = delta.logprobs and delta.logprobs["tokens"]
            if delta.text or entries or delta.finish_reason:
                choice = choice_body(delta.index, delta.text, delta.logprobs, delta.finish_reason)
                yield _event({**completion_body(*head, [choice]), **usage})
        if with_usage:
            total = {"usage": usage_body(prompt_tokens, tokens)}
            yield _event({**completion_body(*head, []), **total})
        yield "data: [DONE]\n\n"
    except ClientGoneError:
        return
    except Exception as error:
        yield _event(_as_api_error(error).body())
    finally:
        watch.cancel()
        await rest.aclose()  # type: ignore[attr-defined]


async def _chained(
    first: completions.Delta, rest: AsyncIterator[completions.Delta]
) -> AsyncIterator[completions.Delta]:
    yield first
    async for delta in rest:
        yield delta


def _event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"
