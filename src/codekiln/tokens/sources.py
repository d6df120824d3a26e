"""Where documents come from, as a recipe's weights and shares name them.

A document of code has a kind and the language of most of its text; a repository's name is left
out, there are too many of them. A text has a kind and the name of its location. A name in a
recipe stands for all documents that bear it; of several names that a document bears, the most
exact one counts: location, language, the family of a dialect, kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from codekiln.errors import ShardError
from codekiln.languages.table import family, main_language
from codekiln.types import Document


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Source:
    """What documents have in common: kind, language of code, location of a text."""

    kind: str
    language: str = ""
    location: str = ""

    @classmethod
    def of(cls, document: Document) -> Self:
        """The source of a document."""
        if document.kind == "code":
            return cls(kind="code", language=main_language(document.spans))
        return cls(kind=document.kind, location=document.source)

    @property
    def names(self) -> tuple[str, ...]:
        """What a recipe may call it, the most exact name first."""
        of_family = family(self.language) if self.language else ""
        names = (self.location, self.language, of_family, self.kind)
        return tuple(dict.fromkeys(name for name in names if name))

    @property
    def label(self) -> str:
        """What a report calls it; no two sources have the same."""
        return f"{self.kind}: {self.location}" if self.location else self.language or self.kind

    def to_json(self) -> list[str]:
        """Plain values."""
        return [self.kind, self.language, self.location]

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """From plain values.

        Raises:
            ShardError: when they are of another form.
        """
        if not isinstance(value, list) or [type(part) for part in value] != [str] * 3:
            raise ShardError(
                "a shard's sources",
                got=repr(value),
                wanted="[kind, language, location]",
                remedy="pack the tokens again",
            )
        kind, language, location = value
        return cls(kind=kind, language=language, location=location)


CODE = Source(kind="code")
