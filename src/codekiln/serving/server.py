"""Running the application: the socket, the extra that it needs, what to tell the user."""

from __future__ import annotations

import importlib
import ipaddress
import socket
from typing import TYPE_CHECKING

from codekiln.errors import MissingToolError, UserError

if TYPE_CHECKING:
    from fastapi import FastAPI

SHUTDOWN_SECONDS = 5
KEEP_ALIVE_SECONDS = 10


def require_extra() -> None:
    """Check that the packages of the extra `serve` are installed.

    Raises:
        MissingToolError: one is not.
    """
    for name in ("fastapi", "uvicorn"):
        try:
            importlib.import_module(name)
        except ImportError:
            raise MissingToolError(
                "codekiln serve",
                got=f"the package {name} is not installed",
                wanted="the extra `serve`",
                remedy="pip install 'codekiln[serve]'",
            ) from None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        UserError: the port is taken, or the host is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"{host}:{port}",
            got=f"cannot listen there ({error})",
            wanted="a free port on an address of this machine",
            remedy="choose another with --port, or end the server that has it",
        ) from None


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Answer requests until interrupted; open ones get a few seconds to end."""
    import uvicorn

    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    uvicorn.Server(config).run(sockets=[listener])
