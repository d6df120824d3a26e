"""`codekiln corpus graph`: who imports whom in a repository, and the order of its files.

All files that can be read as text in a known language are shown, before any rule of the corpus
drops one: this is about the repository. Empty files are not shown, but make packages.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import click

from codekiln.corpus.ordering.order import ORDERS

if TYPE_CHECKING:
    from codekiln.corpus.ordering.graph import Graph
    from codekiln.corpus.ordering.order import Order
    from codekiln.corpus.sources.read import Reading
    from codekiln.types import SourceFile

SHOWN = 20  # files, in the text


@click.command()
@click.argument("repository")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "html"]),
    default="text",
    show_default=True,
    help="A summary, all edges and sequences, or one page without network.",
)
@click.option(
    "--order",
    type=click.Choice(ORDERS),
    default="scc",
    show_default=True,
    help="paper: Algorithm 1 as printed. scc: cycles broken where it costs least.",
)
@click.option("--seed", default=0, show_default=True, help="Settles ties (paper) or all (random).")
def graph(repository: str, form: Literal["text", "json", "html"], order: Order, seed: int) -> None:
    """Show the import graph of REPOSITORY: a folder, PATH@REVISION of a git repository, a bare
    repository or an archive. An edge from A to B says that A needs B.

    \b
    Example:
      codekiln corpus graph ~/src/project
      codekiln corpus graph ~/src/project@v1.0 --format json > graph.json
      codekiln corpus graph project-1.0.tar.gz --order paper --format html > graph.html
    """
    from codekiln.corpus.ordering.order import sequences
    from codekiln.corpus.sources.read import open_repository

    reading = open_repository(repository)
    files, found = _read(reading)
    ordered = sequences(found, order, seed)
    if form == "json":
        click.echo(as_json(found, ordered))
    elif form == "html":
        from codekiln.corpus.reports.graph_page import graph_page

        click.echo(graph_page(reading.name, found, ordered, order))
    else:
        click.echo(as_text(reading, files, found, ordered, order))


def _read(reading: Reading) -> tuple[list[SourceFile], Graph]:
    from codekiln.corpus.ordering.graph import build_graph
    from codekiln.log import Progress

    files: list[SourceFile] = []
    with Progress(f"reading {reading.name}", unit="files") as progress:
        for file in reading:
            files.append(file)
            progress.advance()
    total = sum(len(file.text) for file in files)
    with Progress(f"imports of {reading.name}", total=total, unit="characters") as progress:
        empty = reading.tally.empty_paths
        return files, build_graph(
            files,
            other_paths=empty,
            build_files=reading.tally.build_files,
            advance=progress.advance,
        )


def as_json(graph: Graph, ordered: list[list[str]]) -> str:
    """Files, edges ("from" needs "to"), sequences, and the share of edges that run backwards."""
    from codekiln.corpus.ordering.order import violations

    edges = [{"from": e.source, "to": e.target, "kind": e.kind} for e in graph.edges]
    value = {
        "files": list(graph.files),
        "edges": edges,
        "sequences": ordered,
        "violations": violations(graph, ordered),
    }
    return json.dumps(value, indent=1, ensure_ascii=False)


def as_text(
    reading: Reading,
    files: list[SourceFile],
    graph: Graph,
    ordered: list[list[str]],
    order: Order,
) -> str:
    """Counts, cycles, and the start of the largest sequence."""
    from codekiln.corpus.ordering.order import cycles, violations

    rings = cycles(graph)
    longest = max(ordered, key=len, default=[])
    alone = sum(len(sequence) == 1 for sequence in ordered)
    late = violations(graph, ordered)
    lines = [
        f"{reading.name} at {reading.revision[:12]}",
        f"files       {len(files)}{_counted(file.language for file in files)}",
        f"not read    {reading.tally.dropped.total()}{_counted(reading.tally.dropped)}",
        f"edges       {len(graph.edges)}{_counted(edge.kind for edge in graph.edges)}",
        f"sequences   {len(ordered)}, {alone} of them single files; the longest has {len(longest)}",
        f"cycles      {len(rings)}" + (f", the largest of {len(rings[0])} files" if rings else ""),
    ]
    lines += [f"              {_some(ring, 4)}" for ring in rings[:3]]
    lines.append(f"backwards   {late:.2%} of the edges, in the order {order!r}")
    if len(longest) > 1:
        lines.append("the longest sequence starts with")
        lines += [f"  {path}" for path in longest[:SHOWN]]
        if len(longest) > SHOWN:
            lines.append(f"  … and {len(longest) - SHOWN} more")
    return "\n".join(lines)


def _counted(things: Iterable[str]) -> str:
    counts = Counter(things)
    named = [f"{name} {count}" for name, count in counts.most_common(6)]
    rest = len(counts) - len(named)
    return f" ({', '.join(named)}{f', {rest} more' if rest > 0 else ''})" if named else ""


def _some(paths: list[str], count: int) -> str:
    rest = len(paths) - count
    return ", ".join(paths[:count]) + (f" … and {rest} more" if rest > 0 else "")
