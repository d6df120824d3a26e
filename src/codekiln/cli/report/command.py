"""`codekiln report`: one run as a page, or several held against each other."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument(
    "runs", nargs=-1, required=True, type=click.Path(path_type=Path, file_okay=False, exists=True)
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page; by default report.html in the run's folder, of several in this one.",
)
def report(runs: tuple[Path, ...], out: Path | None) -> None:
    """Write a static page about RUNS: figures, plots, and what differs between them.

    A run may still go on. With several, curves lie over each other, and the settings that are not
    the same in all are listed.

    \b
    Example:
      codekiln report runs/pretrain-tiny
      codekiln report runs/experiments/fim-rate/half/seed-0 runs/experiments/fim-rate/none/seed-0 \\
        --out half-against-none.html
    """
    from codekiln.cli.report.page import REPORT, write_report

    target = out or (runs[0] / REPORT if len(runs) == 1 else Path(REPORT))
    click.echo(f"a page about {len(runs)} run{'s' * (len(runs) > 1)}: {write_report(runs, target)}")
