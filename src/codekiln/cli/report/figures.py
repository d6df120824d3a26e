"""A run in numbers and curves: what the page shows of training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from codekiln.cli.report.plots import line_plot
from codekiln.cli.report.run import TAIL, Curve, Run
from codekiln.log import human_count, human_seconds

POINTS = 300  # of a curve; more would not be seen
LANGUAGES = 6  # of which the held-out curve is drawn
X = "tokens trained on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A plot with its title, `svg` inline."""

    title: str
    svg: str


def training(run: Run) -> dict[str, Any]:
    """The run's totals, None where nothing tells."""
    steps = [row for row in run.rows if "step_seconds" in row]
    seconds = sum(row["step_seconds"] for row in steps)
    bits = run.curve("held_out_bits_per_byte")[1]
    losses = run.curve("loss_nats_per_token")[1]
    stalls = run.curve("checkpoint_stall_seconds")[1]
    rates = run.curve("tokens_per_second")[1]
    done = max((row["step"] for row in run.rows), default=0)
    seconds_in_all = seconds * (done / len(steps) if steps else 0.0)  # training.log_every
    return {
        "steps": done,
        "total_steps": run.plan.get("total_steps"),
        "tokens": max((row.get("tokens", 0) for row in run.rows), default=0),
        "seconds": seconds_in_all,
        "tokens_per_second": median(rates) if rates else 0.0,
        "mfu": _median(run.curve("mfu")[1]),
        "loader_share": _share(sum(row["loader_seconds"] for row in steps), seconds),
        "stall_share": _share(sum(stalls), seconds_in_all),
        "memory_bytes": max((row["memory_peak_bytes"] for row in steps), default=0),
        "loss": fmean(losses[-max(1, len(losses) // TAIL) :]) if losses else None,
        "first_bits": bits[0] if bits else None,
        "last_bits": bits[-1] if bits else None,
        "middle_bits": _last(run.curve("held_out_by_kind", "fim_middle", "bits_per_byte")[1]),
        "skipped": steps[-1]["skipped_steps"] if steps else 0,
        "spiked": steps[-1].get("spiked_steps", 0) if steps else 0,
        "dtype": run.plan.get("dtype"),
    }


def lead(run: Run) -> list[str]:
    """The run in a few words."""
    found, words = training(run), []
    if run.corpus:
        count = run.corpus["repositories"]["built"]
        words.append("1 repository" if count == 1 else f"{count} repositories")
    if run.model:
        words.append(f"a model of {run.model['num_hidden_layers']} layers")
    ended = found["total_steps"] in (None, found["steps"])
    time = human_seconds(found["seconds"])
    words.append(f"{time} of training" + ("" if ended else f" so far, {_steps(found)} steps"))
    return words


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def summary(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """(figure, its value in each run), as text."""
    found = [training(run) for run in runs]
    lines: list[tuple[str, list[str]]] = [
        ("steps", [_steps(one) for one in found]),
        ("tokens", [human_count(one["tokens"]) for one in found]),
        ("time in steps", [human_seconds(one["seconds"]) for one in found]),
        ("tokens a second", [human_count(one["tokens_per_second"]) for one in found]),
        ("MFU", [_number(one["mfu"], "{:.1%}") for one in found]),
        ("loss, nats a token, last tenth", [_number(one["loss"], "{:.4f}") for one in found]),
        ("held-out bits per byte", [_number(one["last_bits"], "{:.4f}") for one in found]),
        ("of FIM middles", [_number(one["middle_bits"], "{:.4f}") for one in found]),
        ("largest memory", [f"{human_count(one['memory_bytes'])}B" for one in found]),
        ("loader, share of a step", [_number(one["loader_share"], "{:.2%}") for one in found]),
        ("checkpoints, share of time", [_number(one["stall_share"], "{:.2%}") for one in found]),
        ("spikes; steps skipped", [f"{one['spiked']}; {one['skipped']}" for one in found]),
    ]
    lines += [
        (key, [_number(_last(run.curve(key)[1]), "{:.3f}") for run in runs])
        for key in _scores(runs)
    ]
    return [(name, values) for name, values in lines if any(value != "—" for value in values)]


def figures(runs: Sequence[Run]) -> list[Figure]:
    """Of one run its parts side by side, of several the whole of each."""
    alone = runs[0] if len(runs) == 1 else None
    made = [
        _figure(runs, "Loss on the training batches", "nats per token", "loss_nats_per_token"),
        _held_out(alone)
        if alone
        else _figure(runs, "Held-out text", "bits per byte", "held_out_bits_per_byte"),
        _languages(alone)
        if alone
        else _figure(
            runs,
            "Middles of held-out files, to be infilled",
            "bits per byte",
            *("held_out_by_kind", "fim_middle", "bits_per_byte"),
        ),
        *[_figure(runs, key.replace("_", " "), "score", key) for key in _scores(runs)],
        _figure(runs, "Norm of the gradient", "before clipping", "gradient_norm"),
        _figure(runs, "Learning rate", "learning rate", "learning_rate"),
        _figure(runs, "Throughput", "tokens per second", "tokens_per_second"),
        _figure(runs, "Model FLOPs utilisation", "share of the peak", "mfu"),
        _figure(runs, "Load of experts", "largest over mean", "expert_load_max_over_mean"),
    ]
    return [figure for figure in made if figure]


def _scores(runs: Sequence[Run]) -> list[str]:
    return sorted({key for run in runs for key in run.scores()})


def _figure(runs: Sequence[Run], title: str, y: str, *keys: str) -> Figure | None:
    return _drawn(title, y, {run.name: run.curve(*keys) for run in runs})


def _held_out(run: Run) -> Figure | None:
    series = {
        kind: run.curve("held_out_by_kind", kind, "bits_per_byte")
        for kind in run.names("held_out_by_kind")
    }
    # rows of older runs know no kinds
    whole = {} if len(series) == 1 else {"all": run.curve("held_out_bits_per_byte")}
    return _drawn("Held-out text by kind", "bits per byte", whole | series)


def _languages(run: Run) -> Figure | None:
    names = run.names("held_out_by_language")[:LANGUAGES]
    if len(names) < 2:
        return None  # it is the curve of code
    series = {name: run.curve("held_out_by_language", name, "bits_per_byte") for name in names}
    return _drawn("Held-out code by language", "bits per byte", series)


def _drawn(title: str, y: str, series: Mapping[str, Curve]) -> Figure | None:
    thinned = {name: _thinned(*curve) for name, curve in series.items() if curve[0]}
    return Figure(title=title, svg=line_plot(thinned, x=X, y=y)) if thinned else None


def _thinned(xs: Sequence[float], ys: Sequence[float]) -> Curve:
    """Each point the mean of its neighbours where there are too many."""
    width = max(1, -(-len(xs) // POINTS))
    starts = range(0, len(xs), width)
    return (
        [xs[min(start + width, len(xs)) - 1] for start in starts],
        [fmean(ys[start : start + width]) for start in starts],
    )


def _steps(one: Mapping[str, Any]) -> str:
    total = one["total_steps"]
    return str(one["steps"]) if total in (None, one["steps"]) else f"{one['steps']} of {total}"


def _number(value: float | None, form: str) -> str:
    return "—" if value is None or not math.isfinite(value) else form.format(value)


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _last(values: Sequence[float]) -> float | None:
    return values[-1] if values else None
