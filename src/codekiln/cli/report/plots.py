"""Line plots as inline SVG, readable on light and dark pages."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import cycle, product
from typing import Any

from codekiln.log import human_count

# Colour-blind safe (Okabe and Ito); grey text reads on white and on near-black.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
LINES = ("-", "--", ":")  # for more series than colours
INK = "#808080"


def line_plot(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x: str, y: str
) -> str:
    """Plot named (x values, y values) pairs.

    Args:
        series: name -> (xs, ys); a name is shown in the legend when there are several.
        x: label of the horizontal axis, with its unit.
        y: label of the vertical axis, with its unit.

    Returns:
        An `<svg>` element as text, without the XML prologue.
    """
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "codekiln"}):
        from matplotlib.figure import Figure  # not pyplot: no global state, no display

        figure = Figure(figsize=(6.4, 2.8), layout="constrained")
        axes = figure.subplots()
        styles = cycle(product(LINES, COLOURS))
        for (xs, ys), (line, colour) in zip(series.values(), styles, strict=False):
            marker = "o" if len(xs) < 15 else None
            looks: Any = {"color": colour, "linestyle": line, "marker": marker, "markersize": 4}
            axes.plot(xs, ys, linewidth=1.6, **looks)
        _style(axes, x, y, legend=list(series) if len(series) > 1 else [])
        page = io.StringIO()
        figure.savefig(page, format="svg", transparent=True, metadata={"Date": None})
    text = page.getvalue()
    return text[text.index("<svg") :]


def _style(axes: Any, x: str, y: str, *, legend: Sequence[str]) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: human_count(value)))
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.tick_params(colors=INK, labelcolor=INK)
    axes.grid(color=INK, alpha=0.25, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in {"left", "bottom"})
        spine.set_color(INK)
    if legend:
        for text in axes.legend(axes.lines, legend, frameon=False, labelcolor=INK).get_texts():
            text.set_parse_math(False)  # a folder may be called $x$
