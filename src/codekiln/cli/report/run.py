"""What a run's folder tells of it; every part may be missing but the metrics."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codekiln.errors import UserError
from codekiln.log import MetricsFile
from codekiln.storage import read_json

METRICS, RECIPE = "metrics.jsonl", "recipe.toml"
TAIL = 10  # a last value is the mean of a tenth of the steps: one batch says little

Curve = tuple[list[float], list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run as it is read.

    Args:
        rows: of metrics.jsonl, in order.
        settings: "table.key" -> value, of the recipe with its defaults.
        plan: of the training loop; {} before the first step.
        corpus, tokens, model, infilling: reports and config where they lie there.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    plan: Mapping[str, Any] = field(default_factory=dict)
    corpus: Mapping[str, Any] | None = None
    tokens: Mapping[str, Any] | None = None
    model: Mapping[str, Any] | None = None
    infilling: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, folder: Path, name: str = "") -> Run:
        """Of a run that has ended or goes on.

        Raises:
            UserError: no run lies there.
        """
        from codekiln.tokens.pack import REPORT_FILE

        if not (folder / METRICS).is_file():
            raise UserError(
                folder,
                got=f"no {METRICS}",
                wanted="the folder of a run that has begun",
                remedy="name what `codekiln train` wrote into: run.directory, or its --out",
            )
        recipe = folder / RECIPE
        values = tomllib.loads(recipe.read_text(encoding="utf-8")) if recipe.is_file() else {}
        return cls(
            name=name or folder.resolve().name,
            rows=list(MetricsFile(folder / METRICS).rows()),
            settings=dict(_flat(values)),
            plan=(_read(folder / "checkpoints" / "plan.json") or {}).get("plan", {}),
            corpus=_read(folder / "corpus" / "report.json"),
            tokens=_read(folder / "tokens" / REPORT_FILE),
            model=_read(folder / "model" / "config.json"),
            infilling=_read(folder / "evaluation" / "infilling.json"),
        )

    def curve(self, *keys: str) -> Curve:
        """(tokens trained on, values) of what stands in the rows under a key, or nested keys."""
        points = [(row["tokens"], _at(row, keys)) for row in self.rows if "tokens" in row]
        kept = [(x, y) for x, y in points if isinstance(y, int | float)]
        return [x for x, _ in kept], [y for _, y in kept]

    def names(self, key: str) -> list[str]:
        """Of a table in the rows (bits by language): its keys, those with most text first."""
        tables = [row[key] for row in self.rows if row.get(key)]
        return list(tables[-1]) if tables else []

    def scores(self) -> list[str]:
        """Keys of benchmarks that ran on the way: those of rates, not of counts and seconds."""
        counted = {k[: -len("_problems")] for r in self.rows for k in r if k.endswith("_problems")}
        keys = {k for r in self.rows for k in r for name in counted if k.startswith(f"{name}_")}
        return sorted(k for k in keys if not k.endswith(("_problems", "_seconds")))


def labels(folders: Sequence[Path]) -> list[str]:
    """Short names of folders that tell them apart: the ends of their paths that differ."""
    parts = [folder.resolve().parts for folder in folders]
    longest = max(map(len, parts))
    for length in range(1, longest + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{folder} ({number})" for number, folder in enumerate(folders, 1)]


def differing(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """(setting, its value in each run) of what is not the same in all."""
    keys = sorted({key for run in runs for key in run.settings})
    table = [(key, [_shown(run.settings.get(key)) for run in runs]) for key in keys]
    return [(key, values) for key, values in table if len(set(values)) > 1]


def _shown(value: Any) -> str:
    return "—" if value is None else str(value)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _at(row: Any, keys: Sequence[str]) -> Any:
    for key in keys:
        row = row.get(key) if isinstance(row, Mapping) else None
    return row


def _read(path: Path) -> dict[str, Any] | None:
    return dict(read_json(path)) if path.is_file() else None
