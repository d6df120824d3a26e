"""Pages about runs: one file each, no network, readable in the light and in the dark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codekiln import __version__
from codekiln.cli.report.figures import figures, lead, summary, training
from codekiln.cli.report.infillings import chosen, cut
from codekiln.cli.report.run import Run, differing, labels
from codekiln.log import human_count, human_seconds
from codekiln.storage import write_text

REPORT = "report.html"


def write_report(folders: Sequence[Path], target: Path | None = None) -> Path:
    """Write a page about a run, or one that holds several runs against each other.

    Args:
        folders: of the runs; they may still go on.
        target: RUN/report.html without it; with several runs it has to be given.

    Raises:
        UserError: no run lies in a folder.
    """
    runs = [Run.read(folder, name) for folder, name in zip(folders, labels(folders), strict=True)]
    target = target or folders[0] / REPORT
    write_text(target, _page(runs))
    return target


def _page(runs: Sequence[Run]) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters.update(count=human_count, cut=cut, seconds=human_seconds)
    first = runs[0]
    infilling = first.infilling if len(runs) == 1 else None
    return environment.get_template("page.html.j2").render(
        runs=runs,
        run=first if len(runs) == 1 else None,
        version=__version__,
        training=training(first),
        lead=lead(first),
        summary=summary(runs),
        differing=differing(runs),
        figures=figures(runs),
        infilling=infilling,
        examples=chosen(infilling["problems"]) if infilling else (),
    )
