"""Logger, progress with rates and time left, and metrics.jsonl."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

logger = logging.getLogger("codekiln")

PLAIN_INTERVAL_SECONDS = 5.0


def setup(*, verbose: bool = False) -> None:
    """Send codekiln's messages to standard error, once."""
    if logger.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)


@contextmanager
def quiet_unless(speaks: bool) -> Iterator[None]:
    """Without messages and progress, unless this process speaks for all; errors are still shown."""
    before, level = Progress.silent, logger.level
    Progress.silent = before or not speaks
    if not speaks:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        Progress.silent = before
        logger.setLevel(level)


def human_count(value: float) -> str:
    """A number for people: 950, 12.3k, 4.56M, 7.89G, 1.8T."""
    rounded = float(f"{value:.3g}")  # first: 999.6k are 1M
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(rounded) >= limit:
            return f"{rounded / limit:.3g}{unit}"
    return f"{value:.3g}" if value % 1 else f"{value:.0f}"


def human_seconds(seconds: float) -> str:
    """A duration for people: 4s, 3m12s, 2h05m."""
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"


class Progress:
    """Progress of one task on standard error: share, rate, time left, and a note.

    On a terminal one line that redraws itself; elsewhere a plain line every five seconds, so
    that logs stay readable. `advance` is cheap enough to call for every item.
    """

    silent: ClassVar[bool] = False

    def __init__(self, title: str, *, total: float | None = None, unit: str = "items") -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done, self.note = 0.0, ""
        self._started = self._shown = time.monotonic()
        self._terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

    def advance(self, amount: float = 1.0, note: str = "") -> None:
        """Count `amount` more as done; `note` is shown behind the rate."""
        self.done += amount
        self.note = note or self.note
        now = time.monotonic()
        if now - self._shown >= (0.2 if self._terminal else PLAIN_INTERVAL_SECONDS):
            self._shown = now
            self._show(end="" if self._terminal else "\n")

    def line(self) -> str:
        """The line as shown now."""
        elapsed = max(time.monotonic() - self._started, 1e-9)
        rate = self.done / elapsed
        parts = [f"{self.title}: {human_count(self.done)}"]
        if self.total:
            parts[0] += f"/{human_count(self.total)} ({self.done / self.total:.0%})"
        parts[0] += f" {self.unit}"
        parts.append(f"{human_count(rate)} {self.unit}/s")
        if self.total and rate:
            parts.append(f"{human_seconds(max(self.total - self.done, 0) / rate)} left")
        else:
            parts.append(human_seconds(elapsed))
        return ", ".join(parts + ([self.note] if self.note else []))

    def _show(self, end: str) -> None:
        if self.silent:
            return
        start = "\r\x1b[2K" if self._terminal else ""
        sys.stderr.write(f"{start}{self.line()}{end}")
        sys.stderr.flush()

    def close(self) -> None:
        """Print the last line, with the time taken."""
        elapsed = time.monotonic() - self._started
        self.total = None
        start = "\r\x1b[2K" if self._terminal else ""
        if (self._terminal or elapsed >= 2) and not self.silent:
            sys.stderr.write(f"{start}{self.line()}\n")
            sys.stderr.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class MetricsFile:
    """Append-only metrics.jsonl: one JSON object a line, units in the names.

    `_seconds`, `_bytes`, `_per_second`, `_rate` name the unit; losses are in nats a token.
    A resumed run cuts the file back to its checkpoint's step first (`truncate_after`), so that
    no step stands twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, **values: Any) -> None:
        """Append one row, flushed to the operating system; what is not finite becomes null."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_json_line(values))

    def rows(self) -> Iterator[dict[str, Any]]:
        """All whole rows; a last line cut short by a kill is passed over."""
        if not self.path.exists():
            return
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):
                    yield json.loads(line)

    def truncate_after(self, step: int) -> None:
        """Drop rows of steps beyond `step`."""
        from codekiln.storage import write_text

        kept = [row for row in self.rows() if row.get("step", 0) <= step]
        write_text(self.path, "".join(map(_json_line, kept)))


def _json_line(row: dict[str, Any]) -> str:
    return json.dumps(_plain(row), allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """The same with null for NaN and the infinities, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Announce a stage and the time that it took."""
    started = time.monotonic()
    logger.info("▸ %s", title)
    yield
    logger.info("  %s done in %s", title, human_seconds(time.monotonic() - started))
