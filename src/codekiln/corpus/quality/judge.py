"""From signals to decisions: one list of rules, for one file or for a table of them.

Each rule is an expression that holds for numbers and for arrays, so that a stored table is
judged as the files were. What could not be measured is NaN, which no comparison holds for: it
never drops a file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from codekiln.corpus.quality.parse import CRASHED, GIVEN_UP, NOTES, PYTHON_2, UNKNOWN, Syntax
from codekiln.corpus.quality.settings import QualitySettings
from codekiln.corpus.quality.signals import NAMES, Signals
from codekiln.corpus.quality.syntax import limit_of

if TYPE_CHECKING:
    import pyarrow as arrow

DEFAULT = QualitySettings()

SYNTAX = "syntax errors"
OLD_PYTHON = "Python 2"
UNPARSED = "parser stopped"
GENERATED = "generated"
VENDORED = "vendored"
FIXTURE = "test fixture"
MINIFIED = "minified"
ENCODED = "encoded data"
NUMBERS = "table of numbers"
STRINGS = "list of strings"
BINARY = "control characters"
REPEATED = "repeated lines"
CRYPTIC = "one-letter names"
BARE = "few comments"
COMMENTED = "only comments"
LOW_QUALITY = "low quality score"

# The files of these languages are data or prose by trade: rules about code do not apply.
NOT_CODE = frozenset(
    {"json", "yaml", "html", "css", "markdown", "restructuredtext", "xslt", "sql", "tex"}
)

_Rule = Callable[[Any, Any], Any]

# The first that holds names the reason. `v` has the signals, and what `Assessment` adds; `s` the
# settings.
RULES: tuple[tuple[str, _Rule], ...] = (
    (BINARY, lambda v, s: v.control > s.max_control),
    (OLD_PYTHON, lambda v, s: (v.note == NOTES.index(PYTHON_2)) & s.drop_python_2),
    (SYNTAX, lambda v, s: (v.syntax > v.syntax_limit) & (v.note != NOTES.index(PYTHON_2))),
    (
        UNPARSED,
        lambda v, s: (
            ((v.note == NOTES.index(GIVEN_UP)) | (v.note == NOTES.index(CRASHED))) & s.drop_unparsed
        ),
    ),
    (GENERATED, lambda v, s: (v.generated > 0) & s.drop_generated),
    (VENDORED, lambda v, s: (v.vendored > 0) & s.drop_vendored),
    (FIXTURE, lambda v, s: (v.fixture > 0) & s.drop_fixtures),
    (ENCODED, lambda v, s: v.encoded > s.max_encoded),
    (
        MINIFIED,
        lambda v, s: (
            (v.long_lines > s.minified_long_lines) & (v.white < s.minified_white) & s.drop_minified
        ),
    ),
    (
        NUMBERS,
        lambda v, s: v.code & (v.lines >= s.data_lines) & (v.number_lines > s.max_number_lines),
    ),
    (
        STRINGS,
        lambda v, s: v.code & (v.lines >= s.data_lines) & (v.string_lines > s.max_string_lines),
    ),
    (REPEATED, lambda v, s: v.code & (v.repeated_lines > s.max_repeated_lines)),
    (CRYPTIC, lambda v, s: v.code & (v.one_letter > s.max_one_letter)),
    (BARE, lambda v, s: v.code & (v.comments < s.min_comments)),
    (COMMENTED, lambda v, s: v.code & (v.comments > s.max_comments)),
    (LOW_QUALITY, lambda v, s: v.quality < s.min_quality),
)
REASONS = tuple(name for name, _ in RULES)


class Assessment(NamedTuple):
    """All that is known of one file's quality.

    Args:
        signals: as `measure` gives them.
        syntax: as the syntax check gives it.
        quality: score of the quality model, 0 to 1; NaN where none was asked for.
    """

    signals: Signals
    syntax: Syntax = UNKNOWN
    quality: float = math.nan

    def row(self) -> tuple[float | str | None, ...]:
        """The values of the columns of `schema`."""
        quality = None if math.isnan(self.quality) else self.quality
        return (*self.signals, self.syntax.errors, self.syntax.note, quality)


def schema() -> arrow.Schema:
    """Columns of a table of assessments: the signals, syntax_errors, syntax_note, quality.

    float32 but for the note; what could not be said is null. A table that is to be judged again
    also needs the columns language and path.
    """
    import pyarrow as arrow

    return arrow.schema(
        [
            *((name, arrow.float32()) for name in NAMES),
            ("syntax_errors", arrow.float32()),
            ("syntax_note", arrow.string()),
            ("quality", arrow.float32()),
        ]
    )


def judge(
    found: Assessment, language: str, path: str = "", settings: QualitySettings = DEFAULT
) -> str | None:
    """Why a file is dropped, one of REASONS; None if it is kept.

    Source: DeepSeek-Coder §2.4 (quality screening; all thresholds are ours).
    """
    errors, note = found.syntax
    values = SimpleNamespace(
        **found.signals._asdict(),
        syntax=math.nan if errors is None else _single(errors),
        syntax_limit=_limit(language, path, settings),
        note=NOTES.index(note),
        quality=_single(found.quality),
        code=language not in NOT_CODE,
    )
    limits = _limits(settings)
    return next((name for name, rule in RULES if rule(values, limits)), None)


def judge_table(
    columns: Mapping[str, Any], settings: QualitySettings = DEFAULT
) -> npt.NDArray[np.object_]:
    """`judge` of every row of a table.

    Args:
        columns: language, path and those of `schema`, by name: sequences or arrays of equal
            length; None or NaN where nothing could be said.

    Returns:
        A reason or None for each row.
    """
    languages, paths = list(columns["language"]), list(columns["path"])
    values = SimpleNamespace(
        **{name: _floats(columns[name]) for name in NAMES},
        syntax=_floats(columns["syntax_errors"]),
        syntax_limit=_floats(
            [_limit(*pair, settings) for pair in zip(languages, paths, strict=True)]
        ),
        note=np.array([NOTES.index(note) for note in columns["syntax_note"]], np.int64),
        quality=_floats(columns["quality"]),
        code=np.array([name not in NOT_CODE for name in languages], np.bool_),
    )
    limits = _limits(settings)
    reasons = np.full(len(languages), None, dtype=object)
    for name, rule in reversed(RULES):  # the first rule has the last word
        reasons[np.broadcast_to(rule(values, limits), len(languages))] = name
    return reasons


def _limit(language: str, path: str, settings: QualitySettings) -> float:
    given = settings.max_syntax_errors
    return _single(limit_of(language, path) if given is None else given)


@cache
def _limits(settings: QualitySettings) -> Any:
    """The settings with their numbers rounded as signals are: 0.2 is not above 0.2."""
    values = settings.model_dump()
    return SimpleNamespace(
        **{k: _single(v) if isinstance(v, float) else v for k, v in values.items()}
    )


def _single(value: float) -> float:
    """As it comes back from a float32 column."""
    return float(np.float32(value))


def _floats(values: Sequence[float | None] | npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    # by way of float32, so that values fresh from a file and values read back agree
    return np.asarray(values, dtype=np.float32).astype(np.float64)
