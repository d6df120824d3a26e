"""What is known about a repository besides its files: stars, last change, licence, fork of what.

Near-deduplication keeps the copy with the most stars, then the newest, then the first name; the
licence decides whether a repository may be used. Whatever is not known is None: nothing is
guessed. Sources tell what they hold (git the commit's date, rows their columns, archives their
members' dates and the licence their package file names); a side file tells the rest.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from codekiln.errors import SourceError


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# The names which fields have in data sets and in GitHub's own answers, the likelier first.
CANDIDATES: dict[str, tuple[str, ...]] = {
    "repository": _words(
        "repo_name max_stars_repo_name repository_name repository repo full_name nameWithOwner "
        "repo_full_name project name"
    ),
    "stars": _words(
        "max_stars_count star_events_count stars stargazers_count stargazerCount stargazers "
        "num_stars star_count repo_stars"
    ),
    "updated": _words(
        "committer_date revision_date max_stars_repo_stars_event_max_datetime pushed_at pushedAt "
        "updated_at updatedAt updated last_commit_date commit_date"
    ),
    "licence": _words(
        "licenses license licence max_stars_repo_licenses detected_licenses repo_license "
        "gha_license_id spdx_id"
    ),
    "fork_of": _words("fork_of forked_from parent fork_parent"),
}
_MILLISECONDS = 1e11  # seconds reach this in the year 5138: larger numbers count milliseconds
_OLDEST = 631152000.0  # 1990: earlier dates in archives are those of reproducible builds
_LONGEST = 1000  # characters of a licence or a name that can be meant


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Facts about a repository; None where unknown.

    Args:
        stars: how many people marked it.
        updated: when it was last changed, in seconds since 1970 (UTC).
        licence: an SPDX expression as far as the source has one, else its own word.
        fork_of: name of the repository that it was forked from.
    """

    stars: int | None = None
    updated: float | None = None
    licence: str | None = None
    fork_of: str | None = None

    def or_else(self, other: Metadata) -> Metadata:
        """These facts, and those of `other` where these are unknown."""
        gaps = {f.name: getattr(other, f.name) for f in fields(self) if _lacks(self, f.name)}
        return replace(self, **gaps)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Metadata:
        """From raw values under "stars", "updated", "licence" and "fork_of"."""
        return cls(
            stars=stars_of(values.get("stars")),
            updated=seconds_of(values.get("updated")),
            licence=licence_of(values.get("licence")),
            fork_of=name_of(values.get("fork_of")),
        )


UNKNOWN = Metadata()


def _lacks(metadata: Metadata, name: str) -> bool:
    return getattr(metadata, name) is None


def stars_of(value: Any) -> int | None:
    """A count; None for what is no number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if math.isfinite(number) and 0 <= number < 2**62 else None


def seconds_of(value: Any) -> float | None:
    """Seconds since 1970 of a date, an ISO 8601 text, or a number of seconds or milliseconds."""
    if isinstance(value, str):
        return _parsed(value)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    if not math.isfinite(number) or number <= 0:
        return None
    return number / 1000 if number > _MILLISECONDS else number


@lru_cache(maxsize=1 << 14)
def _parsed(text: str) -> float | None:
    try:
        return seconds_of(float(text))
    except ValueError:
        pass
    try:
        return seconds_of(datetime.fromisoformat(text.strip()))
    except (ValueError, OverflowError):
        return None


def archive_date(seconds: float) -> float | None:
    """A member's date; None for the placeholders of reproducible builds (1970, 1980, 1985)."""
    return float(seconds) if seconds >= _OLDEST else None


def licence_of(value: Any) -> str | None:
    """A licence: a text, an object as GitHub or npm writes it, or a list of either.

    Of several, all apply to some part of the repository: they are joined by AND, which keeps
    nothing that one of them forbids.
    """
    if isinstance(value, list | tuple):
        return joined(licence_of(item) for item in value if not isinstance(item, list | tuple))
    if isinstance(value, dict):
        keys = ("spdx_id", "spdxId", "type", "key", "name")
        return next((text for key in keys if (text := name_of(value.get(key)))), None)
    return name_of(value)


def joined(licences: Iterable[str | None]) -> str | None:
    """Several licences as one expression: each once, sorted, joined by AND."""
    every = sorted({licence for licence in licences if licence})
    if len(every) < 2:
        return every[0] if every else None
    parts = (f"({text})" if re.search(r" OR ", text) else text for text in every)
    return " AND ".join(parts)[:_LONGEST]


def name_of(value: Any) -> str | None:
    """A short printable text; None for anything else."""
    if isinstance(value, dict):  # GitHub's "parent"
        value = value.get("full_name") or value.get("nameWithOwner")
    if not isinstance(value, str) or not 0 < len(text := value.strip()) <= _LONGEST:
        return None
    return text if (text.isprintable() and text.isascii()) or _encodable(text) else None


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return min(text) >= " "


def pick(names: Iterable[str], role: str) -> str | None:
    """The first of a role's known names that is among `names`."""
    present = set(names)
    return next((name for name in CANDIDATES[role] if name in present), None)


def load_metadata(path: Path) -> dict[str, Metadata]:
    """Facts about repositories by name, from a JSONL (.gz, .zst …), CSV or Parquet file.

    The columns are found by name: `repo_name`, `full_name`, `name` …; `stars`,
    `stargazers_count` …; `updated`, `pushed_at` …; `license`, `licence` …; `fork_of`, `parent` ….
    Of several rows of one name the later fill the gaps of the first.

    Raises:
        SourceError: unreadable, no column of names, or a value that is no number or date.
    """
    found: dict[str, Metadata] = {}
    for number, row in enumerate(_rows(path), 1):
        name, facts = _row(row, f"{path}, row {number}")
        found[name] = found[name].or_else(facts) if name in found else facts
    return found


def _row(row: Any, where: str) -> tuple[str, Metadata]:
    if not isinstance(row, dict):
        raise SourceError(where, got=f"{str(row)[:80]!r}", wanted="an object")
    columns = {role: column for role in CANDIDATES if (column := pick(row, role))}
    name = name_of(row.get(columns.get("repository", "")))
    if name is None:
        raise SourceError(
            where,
            got="no repository's name",
            wanted="a column " + ", ".join(CANDIDATES["repository"][:4]) + " …",
        )
    values = {role: row[column] for role, column in columns.items()}
    facts = Metadata.of(values)
    for role in ("stars", "updated"):
        if values.get(role) not in (None, "") and getattr(facts, role) is None:
            raise SourceError(
                where,
                got=f"{columns[role]} = {str(values[role])[:80]!r}",
                wanted="a number" if role == "stars" else "a date such as 2023-09-01T12:00:00Z",
            )
    return name, facts


def _rows(path: Path) -> Iterator[Any]:
    import csv

    import pyarrow as pa
    import pyarrow.parquet as pq

    from codekiln.corpus.sources.compressed import DAMAGE, open_expanded

    try:
        if path.name.endswith(".parquet"):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches():
                    yield from batch.to_pylist()
            return
        with open_expanded(path.open("rb"), path.name) as stream:
            lines = (line.decode("utf-8") for line in stream)
            if ".csv" in path.suffixes:
                yield from csv.DictReader(lines)
            else:
                yield from (json.loads(line) for line in lines if line.strip())
    except (pa.ArrowException, csv.Error, *DAMAGE) as error:
        raise SourceError(
            path,
            got=f"cannot be read ({error})",
            wanted="JSONL, CSV or Parquet, a repository a row",
        ) from error
