"""`codekiln tokenizer report`: tokenizers side by side on the same text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from codekiln.tokenizer.report import TokenizerReport
    from codekiln.tokenizer.tokenizer import Tokenizer

PER_LANGUAGE_BYTES = 200_000
SHOWN = 12  # languages of a short table


@click.command("report")
@click.argument(
    "tokenizers", nargs=-1, required=True, metavar="TOKENIZER…", type=click.Path(path_type=Path)
)
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    help="Run folder whose held-out documents are measured.",
)
@click.option(
    "--files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="File or folder to measure instead; may be given several times.",
)
@click.option(
    "--per-language-bytes",
    default=PER_LANGUAGE_BYTES,
    show_default=True,
    type=click.IntRange(min=1),
    help="Text measured of each language at most.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def report(
    tokenizers: tuple[Path, ...],
    corpus: Path | None,
    files: tuple[Path, ...],
    per_language_bytes: int,
    as_json: bool,
) -> None:
    """Compare tokenizers: bytes a token by language; more is better.

    A TOKENIZER is a Hugging Face folder (ours, a released model's) or a run's folder. The
    others are compared with the first.

    \b
    Example:
      codekiln tokenizer report runs/tiny ~/models/deepseek-coder-1.3b-base --corpus runs/tiny
      codekiln tokenizer report runs/tiny --files src --json
    """
    from codekiln.tokenizer.report import measure

    if (corpus is None) == (not files):
        raise click.UsageError("give either --corpus RUN or --files PATH")
    loaded = _load(tokenizers)
    if corpus is not None:
        texts, weights = _held_out_texts(corpus / "corpus", per_language_bytes)
        found = measure(loaded, texts, weights)
    else:
        found = measure(loaded, _file_texts(files, per_language_bytes))
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        show(found)


def _held_out_texts(
    corpus: Path, per_language_bytes: int
) -> tuple[dict[str, list[str]], dict[str, int]]:
    """A sample of a corpus's held-out text by language, and how much there is of each.

    Raises:
        SourceError: when the corpus is missing, damaged or holds nothing out.
    """
    from codekiln.corpus.draw import survey
    from codekiln.corpus.store import shards
    from codekiln.corpus.tokenizer_sample import draw_texts
    from codekiln.errors import SourceError

    found = survey(shards(corpus), 1)
    weights = found.bytes("held_out")
    if not weights:
        raise SourceError(
            corpus,
            got="no held-out documents",
            wanted="documents that no tokenizer was trained on",
            remedy="build with corpus.held_out_share above 0, or measure --files",
        )
    return draw_texts(found, "held_out", per_language_bytes), weights


def show(report: TokenizerReport, languages: int | None = None) -> None:
    """Print the report; of so many languages, those with most text, where given."""
    from rich.console import Console

    Console().print(_table(report, languages))
    for found, facts in zip(report.tokenizers, report.to_json()["tokenizers"], strict=True):
        line = f"{found.name}: {found.used:,} of {found.usable:,} ids used"
        line += f" ({facts['used_share']:.0%})"
        for key, words in (
            ("tokens_per_english_word", "tokens an English word"),
            ("tokens_per_ideograph", "tokens a Chinese character"),
        ):
            line += f", {facts[key]:.2f} {words}" if key in facts else ""
        if found.failed_texts:
            line += f"; {found.failed_texts:,} texts ({found.failed_bytes:,} bytes) don't come back"
        if found.missing_bytes:
            line += f"; {found.missing_bytes} byte values have no token"
        click.echo(line)


def _table(report: TokenizerReport, languages: int | None) -> object:
    from rich.markup import escape
    from rich.table import Table

    from codekiln.log import human_count

    several = len(report.tokenizers) > 1
    table = Table(title="bytes a token" + " (ratio to the first)" * several)
    table.add_column("language")
    table.add_column("bytes", justify="right")
    for tokenizer in report.tokenizers:
        table.add_column(escape(tokenizer.name), justify="right", overflow="fold")
    order = sorted(report.texts, key=lambda name: (-report.texts[name].weight, name))
    names = [None, *order[:languages]]
    for name in names:
        values = [report.bytes_per_token(t, name) for t in report.tokenizers]
        cells = [f"{v:.3f}" for v in values]
        if several and values[0]:
            cells = [f"{c} ({v / values[0]:.2f})" for c, v in zip(cells, values, strict=True)]
        best = max(values)
        cells = [f"[bold]{c}[/]" if v == best else c for c, v in zip(cells, values, strict=True)]
        size = (
            sum(t.bytes for t in report.texts.values())
            if name is None
            else (report.texts[name].bytes)
        )
        table.add_row(escape(name or "all"), human_count(size), *cells)
    if len(order) >= len(names):
        table.add_row(f"… {len(order) - len(names) + 1} more")
    return table


def _load(paths: Sequence[Path]) -> dict[str, Tokenizer]:
    """The tokenizers by their folders, each named as it was given."""
    from codekiln.tokenizer.tokenizer import MODEL_FILE, Tokenizer

    loaded = {}
    for path in paths:
        inner = path / "tokenizer"
        run = not (path / MODEL_FILE).exists() and (inner / MODEL_FILE).exists()
        loaded[str(path)] = Tokenizer.load(inner if run else path)
    return loaded


def _file_texts(paths: Sequence[Path], limit: int) -> dict[str, list[str]]:
    """Texts of files by family of language; files that are no text are passed over.

    Raises:
        SourceError: a path that is missing, or nothing to measure.
    """
    from codekiln.errors import SourceError
    from codekiln.languages.table import detect, family, may_detect

    texts: dict[str, list[str]] = {}
    held: dict[str, int] = {}
    for path in paths:
        if not path.exists():
            raise SourceError(path, got="no such file or folder", wanted="text to measure")
        inside = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in inside:
            if path.is_dir() and not may_detect(file.as_posix()):
                continue
            try:
                text = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            language = detect(file.as_posix(), text)
            name = family(language.name) if language else "other"
            if text and held.get(name, 0) < limit:
                texts.setdefault(name, []).append(text)
                held[name] = held.get(name, 0) + len(text.encode())
    if not texts:
        raise SourceError(
            ", ".join(map(str, paths)), got="no text in UTF-8", wanted="text to measure"
        )
    return dict(sorted(texts.items()))
