"""What is found out about each file on its own, while a repository is read.

In this order: is its language wanted, do the rules (§2.1) keep it. What is dropped here has no
text in `files.parquet`; what later settings may drop keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as arrow

from codekiln.corpus.filters import rules
from codekiln.corpus.plan import Source
from codekiln.corpus.sources.read import Reading
from codekiln.corpus.steps.context import Context
from codekiln.corpus.steps.files import schema
from codekiln.languages.table import select
from codekiln.types import SourceFile

OTHER_LANGUAGE = "language not chosen"


@dataclass(slots=True, kw_only=True)
class Inspected:
    """One decoded file, and what is known of it; `reason` is why it is dropped, if it is."""

    file: SourceFile
    size: int  # bytes of the text as read
    reason: str | None = None
    detail: str | None = None
    digest: bytes | None = None
    licence: str | None = None
    redacted: int = 0
    signals: dict[str, float | None] = field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """The row of `files.parquet`."""
        return {
            "path": self.file.path,
            "language": self.file.language,
            "bytes": self.size,
            "digest": self.digest,
            "licence": self.licence,
            "redacted": self.redacted,
            "reason": self.reason,
            "detail": self.detail,
            "text": None if self.reason else self.file.text.encode(),
            **self.signals,
        }


def byte_count(text: str) -> int:
    """Bytes of `text` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class Inspector:
    """Looks at files one by one; made once a batch."""

    def __init__(self, context: Context) -> None:
        self._languages = select(context.settings.languages)

    @property
    def schema(self) -> arrow.Schema:
        """Columns of what is written."""
        return schema([])

    def inspect(self, reading: Reading, source: Source) -> list[Inspected]:
        """All decoded files of a repository."""
        return [self._inspect(file) for file in reading]

    def _inspect(self, file: SourceFile) -> Inspected:
        found = Inspected(file=file, size=byte_count(file.text))
        if self._languages and file.language not in self._languages:
            found.reason = OTHER_LANGUAGE
        else:
            found.reason = rules.reason(file)
        if found.reason is not None:  # a dropped text need not be held until all are read
            found.file = replace(file, text="")
        return found
