"""A corpus's report as one self-contained page: what went in, what dropped and why, what is there.

No network, no script: tables, and bars drawn by the page itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from codekiln import __version__
from codekiln.corpus.reports.report import BuildReport
from codekiln.log import human_count, human_seconds

TEMPLATE = Path(__file__).with_name("page.html.j2")
LANGUAGES, REASONS, ROWS = 16, 8, 40  # shown of each; the rest is summed up or counted
OTHERS = "others"


def page(name: str, report: BuildReport) -> str:
    """The page of one corpus, as HTML.

    Args:
        name: of the corpus, for the title.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "count": human_count,
        "seconds": human_seconds,
        "percent": _percent,
        "bytes": lambda size: f"{human_count(size)}B",
    }
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        name=name,
        version=__version__,
        r=report,
        rows=ROWS,
        fates=_fates(report),
        languages=_languages(report),
        heat=_heat(report),
        lengths=_lengths(report.lengths),
        licences=_top({name: {"files": n} for name, n in report.licences.items()}, "files", 14),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g}%" if share else "0"


def _fates(report: BuildReport) -> list[dict[str, Any]]:
    """What became of the files: kept, and every reason, with shares of files and bytes."""
    rows = {"kept": {"files": report.files["kept"], "bytes": report.bytes["kept"]}}
    rows |= {
        reason: {"files": row["files"], "bytes": row["bytes"]}
        for reason, row in report.dropped.items()
    }
    return [
        {"name": name, **row, **_shares(row, rows)} for name, row in rows.items() if row["files"]
    ]


def _shares(row: dict[str, int], rows: dict[str, dict[str, int]]) -> dict[str, float]:
    return {
        f"{what}_share": row[what] / max(sum(other[what] for other in rows.values()), 1)
        for what in ("files", "bytes")
    }


def _top(rows: dict[str, dict[str, int]], by: str, most: int) -> list[dict[str, Any]]:
    """The largest rows, and the sum of the rest; `share` of all and `bar` of the largest."""
    ordered = sorted(rows.items(), key=lambda item: (-item[1][by], item[0]))
    shown: list[dict[str, Any]] = [{"name": name, **row} for name, row in ordered[:most]]
    if rest := ordered[most:]:
        summed = {key: sum(row[key] for _, row in rest) for key in rest[0][1]}
        shown.append({"name": f"{len(rest)} {OTHERS}", **summed})
    total = max(sum(row[by] for row in rows.values()), 1)
    largest = max((row[by] for row in shown), default=1) or 1
    return [{**row, "share": row[by] / total, "bar": row[by] / largest} for row in shown]


def _languages(report: BuildReport) -> list[dict[str, Any]]:
    return _top(report.languages, "bytes", LANGUAGES)


def _heat(report: BuildReport) -> dict[str, Any]:
    """Which share of each language's files each reason drops: the most frequent of both."""
    seen: dict[str, int] = {name: row["files"] for name, row in report.languages.items()}
    for row in report.dropped.values():
        for language, count in row["languages"].items():
            seen[language] = seen.get(language, 0) + count
    reasons = [reason for reason, row in report.dropped.items() if row["languages"]][:REASONS]
    names = sorted(seen, key=lambda name: (-seen[name], name))[:LANGUAGES]
    return {
        "reasons": reasons,
        "rows": [
            {
                "name": name,
                "files": seen[name],
                "shares": [
                    report.dropped[reason]["languages"].get(name, 0) / seen[name]
                    for reason in reasons
                ],
            }
            for name in names
        ],
    }


def _short(value: float) -> str:
    """Two digits and a unit: 16, 1k, 20k, 3.4M; a bar is narrow."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.995 * limit:
            size = value / limit
            return (f"{size:.0f}" if size >= 9.5 else f"{size:.1f}".removesuffix(".0")) + unit
    return f"{value:.0f}"


def _lengths(lengths: dict[str, int]) -> list[dict[str, Any]]:
    """Bars of the histogram of document lengths, every power of two between the ends."""
    if not lengths:
        return []
    counts = {int(bits): count for bits, count in lengths.items()}
    largest = max(counts.values())
    return [
        {
            "label": human_count(1 << max(bits - 1, 0)),
            "short": _short(1 << max(bits - 1, 0)),
            "count": counts.get(bits, 0),
            "short_count": _short(counts.get(bits, 0)),
            "bar": counts.get(bits, 0) / largest,
        }
        for bits in range(min(counts), max(counts) + 1)
    ]
