"""Which columns of a collection hold what; drops counted by reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from codekiln.corpus.sources.metadata import CANDIDATES
from codekiln.errors import SourceError

_CANDIDATES: dict[str, tuple[str, ...]] = {
    "content": ("content", "text", "code", "file_content", "source_code"),
    "path": ("path", "max_stars_repo_path", "file_path", "filepath", "file_name", "filename"),
    **CANDIDATES,
    "repository": tuple(name for name in CANDIDATES["repository"] if name != "name"),
}
_IDS = {"blob_id", "content_id"}  # The Stack v2 names contents without holding them
EXAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RowColumns:
    """The names of a collection's columns; None means: find it by the names in common use.

    Known are the names of The Stack v1 and v2, StarCoderData, GitHub-code and their kin.

    Args:
        content: a file's text or bytes.
        path: its path in the repository.
        repository: the repository's name.
        stars: the repository's stars, a number.
        updated: its last change: a date, or seconds.
        licence: its licence, or a list of these.
        fork_of: the repository that it was forked from.
    """

    content: str | None = None
    path: str | None = None
    repository: str | None = None
    stars: str | None = None
    updated: str | None = None
    licence: str | None = None
    fork_of: str | None = None

    def among(self, names: Iterable[str], where: object) -> dict[str, str]:
        """Column by role, for the roles that a column of `names` has.

        Raises:
            SourceError: a column named here is absent, or there is no content, path or name.
        """
        present = list(names)
        chosen = {role: name for role, name in asdict(self).items() if name}
        if absent := sorted(set(chosen.values()) - set(present)):
            raise _unfit(where, present, f"the columns {', '.join(absent)}")
        for role, candidates in _CANDIDATES.items():
            found = next((name for name in candidates if name in present), None)
            if found and role not in chosen:
                chosen[role] = found
        needed = {"path", "repository"} | (set() if _IDS & set(present) else {"content"})
        if lacking := sorted(needed - set(chosen)):
            raise _unfit(where, present, f"a column each for {', '.join(lacking)}")
        return chosen


def _unfit(where: object, present: list[str], wanted: str) -> SourceError:
    return SourceError(
        where,
        got=f"the columns {', '.join(present[:30]) or '(none)'}",
        wanted=wanted,
        remedy="name the columns in the settings",
    )


@dataclass(slots=True)
class RowDrops:
    """Rows that were dropped, by reason: how many, and the first of them."""

    rows: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, example: str, count: int = 1) -> None:
        """Count rows; of each reason a few are named."""
        self.rows[reason] = self.rows.get(reason, 0) + count
        shown = self.examples.setdefault(reason, [])
        if len(shown) < EXAMPLES:
            shown.append(ascii(example)[1:-1][:300])

    def merge(self, other: RowDrops) -> None:
        """Add another's counts."""
        for reason, count in other.rows.items():
            self.rows[reason] = self.rows.get(reason, 0) + count
            shown = self.examples.setdefault(reason, [])
            shown.extend(other.examples.get(reason, [])[: EXAMPLES - len(shown)])

    def to_json(self) -> dict[str, Any]:
        """By reason: rows and examples."""
        return {
            reason: {"rows": count, "examples": self.examples.get(reason, [])}
            for reason, count in sorted(self.rows.items())
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> RowDrops:
        """The inverse of `to_json`."""
        return cls(
            {reason: facts["rows"] for reason, facts in value.items()},
            {reason: list(facts["examples"]) for reason, facts in value.items()},
        )
