"""`codekiln serve`: a model behind HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0: any free one.",
)
@click.option(
    "--api-key",
    envvar="CODEKILN_API_KEY",
    help="What clients must send as bearer token. [env: CODEKILN_API_KEY]",
)
@click.option("--name", help="The model's id for clients. [default: the folder's name]")
@click.option(
    "--concurrency",
    type=click.IntRange(1),
    default=4,
    show_default=True,
    help="Requests that generate at once.",
)
@click.option(
    "--queue",
    type=click.IntRange(0),
    default=64,
    show_default=True,
    help="Requests that may wait; one more is answered 429.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=600.0,
    show_default=True,
    help="Seconds for a request, waiting included.",
)
@click.option(
    "--max-body",
    type=click.IntRange(1),
    default=4 * 2**20,
    show_default=True,
    help="Bytes of a request's body.",
)
def serve(model: Path, host: str, port: int, **options: Any) -> None:
    """Serve MODEL over HTTP in OpenAI's completions protocol, with a working suffix.

    MODEL is a model folder or a run folder. Only this machine can reach the server unless
    --host says otherwise.

    \b
    Example:
      codekiln serve run/
      codekiln serve run/ --host 0.0.0.0 --port 8080 --api-key "$CODEKILN_API_KEY"
    """
    from codekiln.generation.engine import Engine
    from codekiln.log import logger
    from codekiln.models.folder import find_model
    from codekiln.serving import server

    server.require_extra()
    from codekiln.serving.app import Limits, create_app

    name = options["name"] or default_name(find_model(model))
    api_key = options["api_key"] or None
    with server.bind(host, port) as listener:  # before the model, which takes longer to load
        limits = Limits(
            threads=options["concurrency"],
            queue_length=options["queue"],
            request_seconds=options["timeout"],
            body_bytes=options["max_body"],
        )
        app = create_app(Engine.load(model), name=name, api_key=api_key, limits=limits)
        if api_key is None and not server.is_loopback(host):
            logger.warning("warning: anybody who reaches %s may use it: give an --api-key", host)
        _announce(host, listener.getsockname()[1], name, with_key=api_key is not None)
        server.serve(app, listener)


def default_name(folder: Path) -> str:
    """The model folder's name; a run's `model` folder goes by the run's."""
    folder = folder.resolve()
    return folder.parent.name if folder.name == "model" and folder.parent.name else folder.name


def _announce(host: str, port: int, name: str, *, with_key: bool) -> None:
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    body = {"model": name, "prompt": "def add(a, b):\n    return ", "suffix": "\n"}
    key = "-H 'authorization: Bearer KEY' " if with_key else ""
    click.echo(f"serving {name} at {address}/v1 (Ctrl-C ends it)")
    click.echo(
        f"try: curl {address}/v1/completions {key}-H 'content-type: application/json' "
        f"-d '{json.dumps(body)}'"
    )
