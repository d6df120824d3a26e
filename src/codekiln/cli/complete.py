"""`codekiln complete`: fill in code at a place in a file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from codekiln.generation.engine import Engine, Result
    from codekiln.generation.infill import Prompt
    from codekiln.generation.place import Place

NAMED_DROPS = 5


class LineColumn(click.ParamType):
    """LINE:COLUMN, both from 1."""

    name = "line:column"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Two numbers; whether the file has such a place is seen later."""
        line, _, column = str(value).partition(":")
        if not (line.isascii() and line.isdigit() and column.isascii() and column.isdigit()):
            self.fail(f"{value!r} is not LINE:COLUMN, such as 12:5", param, ctx)
        return int(line), int(column)


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--at",
    "place",
    type=LineColumn(),
    required=True,
    help="The place, both from 1; column 1 is before the first character.",
)
@click.option(
    "--context",
    "contexts",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A file, folder or archive of the same repository; may be given several times.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Root of the repository, for the path that the model is told. "
    "[default: nearest folder with .git, pyproject.toml or the like]",
)
@click.option("--max-tokens", type=click.IntRange(1), default=128, show_default=True)
@click.option("--temperature", type=click.FloatRange(0), default=0.0, show_default=True)
@click.option("--top-p", type=click.FloatRange(0, 1), default=1.0, show_default=True)
@click.option("--seed", type=int, help="Repeat a text drawn with a temperature.")
@click.option("--stop", multiple=True, help="A string before which the text ends.")
@click.option(
    "--order",
    type=click.Choice(["psm", "spm"]),
    help="Of prefix, suffix and middle. [default: as the model was trained]",
)
@click.option("--line", is_flag=True, help="Only the rest of the line.")
@click.option("--raw", is_flag=True, help="Keep what repeats the text after the place.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object with all facts.")
def complete(
    model: Path,
    file: Path,
    place: tuple[int, int],
    contexts: tuple[Path, ...],
    root: Path | None,
    order: Any,
    as_json: bool,
    **options: Any,
) -> None:
    """Print what MODEL writes at a place in FILE.

    MODEL is a model folder or a run folder. The text before and after the place is the prompt,
    with the context files in dependency order before it, as in training. What does not fit the
    model's context is left out, the farthest files first, and named on standard error.

    \b
    Example:
      codekiln complete run/ src/app.py --at 12:5
      codekiln complete run/ src/app.py --at 12:5 --context src/ --max-tokens 64 --json
    """
    from codekiln.generation.engine import Engine
    from codekiln.generation.infill import build_prompt
    from codekiln.generation.place import find_root, read_context, read_place

    started = time.monotonic()
    root = root or find_root(file, contexts)
    at = read_place(file, *place, root)
    context = read_context(contexts, root, leave_out=at.path)
    engine = Engine.load(model)
    infill = _can_infill(engine, at, file)
    new_tokens = min(options["max_tokens"], engine.context_length // 2)
    prompt = build_prompt(
        engine.tokenizer,
        prefix=at.prefix,
        suffix=at.suffix,
        path=at.path,
        language=at.language,
        context=context,
        max_tokens=engine.context_length - new_tokens,
        order=order or engine.fim_order,
        mode="infill" if infill else "complete",
        file_order=engine.file_order,
    )
    result = _generate(engine, prompt, new_tokens, options)
    text = _ended(result.text, at, line=options["line"], raw=options["raw"])
    _tell_drops(prompt.dropped)
    if as_json:
        facts = _facts(at, place, prompt, result, text)
        click.echo(json.dumps({**facts, "seconds": round(time.monotonic() - started, 3)}))
    else:
        click.echo(text, nl=not text.endswith("\n"))


def _can_infill(engine: Engine, at: Place, file: Path) -> bool:
    """Whether the model infills; one that does not can only write on at a file's end."""
    from codekiln.errors import PromptError

    if engine.tokenizer.special.fim_hole is not None:
        return True
    if at.suffix.strip():
        lines = (at.prefix + at.suffix).split("\n")
        end = f"{len(lines)}:{len(lines[-1].removesuffix(chr(13))) + 1}"
        raise PromptError(
            file,
            got="text after the place, and a model without fill-in-the-middle tokens",
            wanted="a model trained to infill, or a place at the end of the file",
            remedy=f"`--at {end}` is the end: there this model can write on",
        )
    return False


def _generate(engine: Engine, prompt: Prompt, new_tokens: int, options: dict[str, Any]) -> Result:
    from codekiln.generation.sample import Sampling

    sampling = Sampling(
        temperature=options["temperature"],
        top_p=options["top_p"],
        seed=options["seed"],
        stop=tuple(options["stop"]) + (("\n",) if options["line"] else ()),
        max_new_tokens=new_tokens,
    )
    return engine.complete(prompt.ids, sampling)


def _ended(text: str, at: Place, *, line: bool, raw: bool) -> str:
    from codekiln.generation.ending import first_line, trim_overlap

    if not raw:
        text = trim_overlap(text, at.suffix)
    return first_line(text) if line else text


def _tell_drops(dropped: tuple[str, ...]) -> None:
    if dropped:
        more = len(dropped) - NAMED_DROPS
        named = ", ".join(dropped[:NAMED_DROPS]) + (f" and {more} more" if more > 0 else "")
        click.echo(f"left out, because the prompt would be too long: {named}", err=True)


def _facts(
    at: Place, place: tuple[int, int], prompt: Prompt, result: Result, text: str
) -> dict[str, Any]:
    return {
        "path": at.path,
        "line": place[0],
        "column": place[1],
        "completion": text,
        "raw": result.text,
        "finish_reason": result.finish_reason,
        "prompt_tokens": result.prompt_tokens,
        "tokens": result.tokens,
        "dropped": list(prompt.dropped),
    }
