"""What is found out about each file on its own, while a repository is read.

In this order: is its language wanted; do the rules (§2.1) keep it; what is its licence; which
secrets and personal data are in it, redacted from here on; how well is it made (§2.4). What is
dropped here has no text in `files.parquet`; what later settings may drop keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import pyarrow as arrow

from codekiln.corpus.filters import rules
from codekiln.corpus.licences.detect import Licences
from codekiln.corpus.plan import Source
from codekiln.corpus.privacy.redact import Hit, redact
from codekiln.corpus.quality.judge import schema as signals_schema
from codekiln.corpus.quality.screen import Screen
from codekiln.corpus.sources.read import Reading
from codekiln.corpus.steps.context import Context
from codekiln.corpus.steps.files import schema
from codekiln.languages.table import select
from codekiln.types import SourceFile

OTHER_LANGUAGE = "language not chosen"
SIGNALS = signals_schema()
NO_SIGNALS = (None,) * len(SIGNALS)


@dataclass(slots=True, kw_only=True)
class Inspected:
    """One decoded file, and what is known of it; `reason` is why it is dropped, if it is."""

    file: SourceFile
    size: int  # bytes of the text as read
    reason: str | None = None
    detail: str | None = None
    digest: bytes | None = None
    licence: str | None = None
    redactions: tuple[Hit, ...] = ()
    signals: tuple[float | str | None, ...] = ()

    def row(self, repository: int) -> tuple[Any, ...]:
        """The values of `files.parquet`, but for the text."""
        return (
            repository,
            self.file.path,
            self.file.language,
            self.size,
            self.digest,
            self.licence,
            len(self.redactions),
            self.reason,
            self.detail,
            *(self.signals or NO_SIGNALS),
        )


def byte_count(text: str) -> int:
    """Bytes of `text` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Inspector:
    """Looks at the files of one repository after the other; made once a batch, and closed."""

    def __init__(self, context: Context) -> None:
        settings = context.settings
        self._languages = select(settings.languages)
        self._privacy = settings.privacy
        self._screen = Screen(settings.quality) if settings.quality.enabled else None

    @staticmethod
    def schema() -> arrow.Schema:
        """Columns of what is written."""
        return schema(list(zip(SIGNALS.names, SIGNALS.types, strict=True)))

    def inspect(self, reading: Reading, source: Source) -> list[Inspected]:
        """All decoded files of a repository, in path order."""
        rows = [self._inspect(file) for file in reading]
        rows.sort(key=lambda row: row.file.path)
        kept = [row for row in rows if row.reason is None]
        stated = source.metadata.or_else(reading.metadata).licence
        licences = Licences(reading.tally.evidence, stated)
        for row in kept:
            row.licence = licences.of(row.file.path, row.file.text).expression
            self._redact(row)
        self._measure(kept)
        return rows

    def _redact(self, row: Inspected) -> None:
        if self._privacy.redacts:
            found = redact(row.file.text, self._privacy, language=row.file.language)
            if found.hits:
                row.file = replace(row.file, text=found.text)
                row.redactions = tuple(found.hits)

    def _inspect(self, file: SourceFile) -> Inspected:
        found = Inspected(file=file, size=byte_count(file.text))
        if self._languages and file.language not in self._languages:
            found.reason = OTHER_LANGUAGE
        else:
            found.reason = rules.reason(file)
        if found.reason is not None:  # a dropped text need not be held until all are read
            found.file = replace(file, text="")
        return found

    def _measure(self, rows: Sequence[Inspected]) -> None:
        """Store the signals of quality, by which `compose` judges."""
        if self._screen is None:
            return
        found = self._screen.assess_files([row.file for row in rows])
        for row, assessment in zip(rows, found, strict=True):
            row.signals = assessment.row()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._screen is not None:
            self._screen.close()
