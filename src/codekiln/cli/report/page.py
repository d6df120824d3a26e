"""`report.html` of a run: one file, no network, readable in the light and in the dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codekiln import __version__
from codekiln.cli.report.infillings import chosen, cut
from codekiln.cli.report.plots import line_plot
from codekiln.log import MetricsFile, human_count, human_seconds
from codekiln.storage import read_json, write_text

TEMPLATE = Path(__file__).with_name("page.html.j2")
POINTS = 300  # of a curve; more would not be seen


def write_report(run: Path) -> Path:
    """Write RUN/report.html from what the run left: corpus, tokens, metrics, evaluation.

    Raises:
        UserError: a part of the run is missing.
    """
    from jinja2 import Environment, StrictUndefined

    from codekiln.tokens.pack import REPORT_FILE, SPLITS

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters.update(count=human_count, cut=cut, seconds=human_seconds)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    rows = list(MetricsFile(run / "metrics.jsonl").rows())
    evaluation = read_json(run / "evaluation" / "infilling.json")
    tokens = read_json(run / "tokens" / REPORT_FILE)
    page = template.render(
        name=run.name,
        version=__version__,
        corpus=read_json(run / "corpus" / "report.json"),
        tokens={split: tokens[split] for split in SPLITS},
        model=read_json(run / "model" / "config.json"),
        training=_training(rows),
        plots=_plots(rows),
        infilling=evaluation["scores"],
        problems=len(evaluation["problems"]),
        examples=chosen(evaluation["problems"]),
    )
    target = run / "report.html"
    write_text(target, page)
    return target


def _training(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    steps = [row for row in rows if "step_seconds" in row]
    held_out = [row for row in rows if "held_out_bits_per_byte" in row]
    seconds = sum(row["step_seconds"] for row in steps)
    tokens = steps[-1]["tokens"] if steps else 0
    return {
        "steps": steps[-1]["step"] if steps else 0,
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds if seconds else 0.0,
        "loader_share": sum(row["loader_seconds"] for row in steps) / max(seconds, 1e-9),
        "memory_bytes": max((row["memory_peak_bytes"] for row in steps), default=0),
        "first_bits": held_out[0]["held_out_bits_per_byte"] if held_out else None,
        "last_bits": held_out[-1]["held_out_bits_per_byte"] if held_out else None,
    }


def _plots(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    loss = _curve(rows, "loss_nats_per_token")
    bits = _curve(rows, "held_out_bits_per_byte")
    speed = _curve(rows, "tokens_per_second")
    x = "tokens trained on"
    return {
        "Loss on the training batches": line_plot({"loss": loss}, x=x, y="nats per token"),
        "Held-out repositories": line_plot({"held out": bits}, x=x, y="bits per byte"),
        "Throughput": line_plot({"speed": speed}, x=x, y="tokens per second"),
    }


def _curve(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    """(tokens, values), each point the mean of its neighbours where there are too many."""
    points = [(row["tokens"], row[key]) for row in rows if row.get(key) is not None]
    width = max(1, -(-len(points) // POINTS))
    xs, ys = [], []
    for start in range(0, len(points), width):
        part = points[start : start + width]
        xs.append(part[-1][0])
        ys.append(sum(value for _, value in part) / len(part))
    return xs, ys
