"""The body of a request: read within limits, decoded strictly."""

from __future__ import annotations

import asyncio
import json

from starlette.requests import ClientDisconnect, Request

from codekiln.serving.protocol import ApiError
from codekiln.serving.work import ClientGoneError

BODY_SECONDS = 30.0


async def read_json(request: Request, most_bytes: int) -> object:
    """The decoded body.

    Raises:
        ApiError: 400 not JSON in UTF-8, 408 too slow, 413 over `most_bytes`.
        ClientGoneError: the client left while sending.
    """
    try:
        async with asyncio.timeout(BODY_SECONDS):
            data = await _read(request, most_bytes)
    except TimeoutError:
        message = f"The body did not arrive within {BODY_SECONDS:.0f} seconds."
        raise ApiError(408, message, kind="timeout", code="body_timeout") from None
    except ClientDisconnect:
        raise ClientGoneError from None
    try:
        value = json.loads(data.decode("utf-8"), parse_constant=_no_constant)
        if b"\\ud" in data.lower():  # an escape can spell half a surrogate pair
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        return value
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ApiError(400, f"The body is not JSON: {reason}.", code="invalid_json") from None


async def _read(request: Request, most_bytes: int) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most_bytes:
        raise _too_large(most_bytes)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most_bytes:
            raise _too_large(most_bytes)
        parts.append(part)
    return b"".join(parts)


def _too_large(most_bytes: int) -> ApiError:
    message = f"The body is larger than this server takes ({most_bytes} bytes)."
    return ApiError(413, message, code="body_too_large")


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON value")
