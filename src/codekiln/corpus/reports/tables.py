"""A corpus's report as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from codekiln.corpus.reports.report import TOP, BuildReport
from codekiln.log import human_count, human_seconds

NUMBERS = ("files", "bytes", "bytes read", "documents", "wanted", "reached", "times")


def tables(report: BuildReport) -> RenderableType:
    """The report as tables for a terminal."""
    return Group(*_tables(report))


def _tables(report: BuildReport) -> Iterator[RenderableType]:
    yield _overview(report)
    if report.dropped:
        yield _table(
            "dropped",
            ("reason", "files", "bytes", "for example"),
            [
                (reason, row["files"], row["bytes"], ", ".join(row["examples"][:2]))
                for reason, row in report.dropped.items()
            ],
        )
    rows = [(name, row["files"], row["bytes"]) for name, row in report.languages.items()]
    yield _table("languages", ("language", "files", "bytes"), _cut(rows))
    if report.near_duplicates:
        copies = [
            (d["name"], d["kept"], f"{d['similarity']:.2f}" + (" exact" if d["exact"] else ""))
            for d in report.near_duplicates
        ]
        yield _table("near-duplicates", ("dropped", "in favour of", "Jaccard"), _cut(copies))
    if report.mixture:
        parts = [
            (
                c["name"],
                c["documents"],
                c["available"],
                c["bytes"],
                f"{c['wanted']:.1%}",
                f"{c['reached']:.1%}",
                f"{c['repeats']:.2f}",
            )
            for c in report.mixture["components"]
        ]
        names = ("component", "documents", "bytes", "bytes read", "wanted", "reached", "times")
        yield _table("mixture", names, parts)
    if report.texts["documents"] or report.texts["dropped"]:
        dropped = report.texts["dropped"].items()
        texts = [
            *((name, "kept", count) for name, count in report.texts["sources"].items()),
            *((reason, "dropped", row["files"]) for reason, row in dropped),
        ]
        yield _table("natural language", ("source or reason", "", "documents"), texts)
    if report.contamination["files"]:
        hits = [
            (f"{e['repository']}/{e['path']}", e["problem"], e["rule"], e["shared"])
            for e in report.contamination["examples"]
        ]
        title = f"test data: {report.contamination['files']} files"
        yield _table(title, ("file", "problem", "rule", "shared"), _cut(hits))
    if report.contamination["exact"]:
        strings = list(report.contamination["exact"].items())
        yield _table("short test strings met", ("string", "files"), _cut(strings))
    if report.failures:
        failed = [(row["location"], row["problem"]) for row in report.failures]
        yield _table("failed", ("repository", "problem"), _cut(failed))


def _overview(report: BuildReport) -> Table:
    table = Table(title="corpus", show_header=False)
    repositories, files, order, run = report.repositories, report.files, report.order, report.run
    empty = repositories["empty"]
    size = {name: human_count(count) for name, count in report.bytes.items()}
    rows = {
        "repositories": ", ".join(
            f"{n} {what.replace('_', '-')}"
            + (f" ({empty} of them empty)" if what == "built" and empty else "")
            for what, n in repositories.items()
            if what != "empty"
        ),
        "files": f"{files['seen']} seen, {files['kept']} kept, {files['dropped']} dropped",
        "bytes": f"{size['read']} read, {size['kept']} kept",
        "documents": f"{order['documents']}, of these {order['single_file']} of a single file",
        **{
            split.replace(
                "_", " "
            ): f"{row['documents']} documents, {human_count(row['bytes'])} bytes"
            for split, row in report.documents.items()
        },
        "held out are": _held_out(report),
        "order": f"{order['kind']}: {order['edges']} dependencies, "
        f"{order['violations']:.1%} of them backwards",
        "redacted": ", ".join(f"{n} {kind}" for kind, n in report.privacy["redacted"].items())
        or "nothing",
        "took": f"{human_seconds(run['seconds'])}, {run['megabytes_per_cpu_second']} MB a CPU "
        f"second, at most {human_count(run['peak_memory_bytes'])} bytes of memory a process",
    }
    for name, text in rows.items():
        table.add_row(name, escape(text))
    return table


def _held_out(report: BuildReport) -> str:
    if report.held_out:
        return ", ".join(report.held_out[:8]) + (" …" if len(report.held_out) > 8 else "")
    by_samples = report.documents["held_out"]["documents"]
    return "samples of the repositories, not whole ones" if by_samples else "none"


def _table(title: str, names: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Table:
    table = Table(title=title)
    for name in names:
        table.add_column(name, justify="right" if name in NUMBERS else "left")
    for row in rows:
        table.add_row(*(human_count(v) if isinstance(v, int) else escape(str(v)) for v in row))
    return table


def _cut(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    if len(rows) <= TOP:
        return rows
    more = (f"… and {len(rows) - TOP} more", *("" for _ in rows[0][1:]))
    return [*rows[:TOP], more]
