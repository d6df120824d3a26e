"""Run the benchmarks named on the command line, or all, and print one table."""

from __future__ import annotations

import importlib
import pkgutil
import sys

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.rows import Row

NOT_BENCHMARKS = {"__main__", "fetch", "rows"}


def main(names: list[str]) -> None:
    """Each module of this package has `run() -> list[Row]`."""
    known = [m.name for m in pkgutil.iter_modules(benchmarks.__path__)]
    rows: list[Row] = []
    for name in names or [n for n in known if n not in NOT_BENCHMARKS]:
        rows += importlib.import_module(f"benchmarks.{name}").run()
    Console(width=160).print(_table(rows))


def _table(rows: list[Row]) -> Table:
    table = Table("what", "ours", "peer", "ratio", "target", "note", title="benchmarks")
    for row in rows:
        peer = f"{row.peer:.4g} ({row.peer_name})" if row.peer is not None else "-"
        ratio = f"{row.ratio:.2f}x" if row.ratio is not None else "-"
        table.add_row(row.what, f"{row.ours:.4g} {row.unit}", peer, ratio, row.target, row.note)
    return table


if __name__ == "__main__":
    main(sys.argv[1:])
