"""What a build works on: which repositories, under which names, in which batches, which held out.

Nothing here depends on the number of processes or on the order in which work is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codekiln.corpus.ordering.documents import seed_of
from codekiln.corpus.settings import CorpusSettings
from codekiln.corpus.sources.collection import is_collection, prepare
from codekiln.corpus.sources.intake import usable_name
from codekiln.corpus.sources.metadata import UNKNOWN, Metadata, load_metadata
from codekiln.corpus.sources.read import expand_locations, open_repository
from codekiln.errors import CodekilnError, RecipeError, SourceError
from codekiln.log import Progress
from codekiln.storage import fingerprint

if TYPE_CHECKING:
    from codekiln.corpus.sources.rows.group import GroupedRows

MOST_PIECES_WHOLE = 64  # up to this many repositories, each is a piece of work of its own
LARGEST_BATCH = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One repository to build: `name` is unique in the build, `revision` tells its content.

    `family` is the name without the number that sets namesakes apart, or the name of what it is
    known to be a fork of: these are likely versions of one project, so they are held out together.
    """

    location: str
    name: str
    family: str
    revision: str
    metadata: Metadata = UNKNOWN  # of the side file, which has the first word


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A repository that could not be built, and why."""

    location: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that is to be built, and what cannot be; `row_drops` are rows of files by reason."""

    sources: tuple[Source, ...]
    failures: tuple[Failure, ...]
    row_drops: dict[str, dict[str, Any]] = field(default_factory=dict)

    def batches(self) -> dict[str, tuple[Source, ...]]:
        """Pieces of work by key; a key follows from names and revisions, so it fits only them."""
        size = min(max(len(self.sources) // MOST_PIECES_WHOLE, 1), LARGEST_BATCH)
        parts = [self.sources[i : i + size] for i in range(0, len(self.sources), size)]
        return {fingerprint([_made_from(s) for s in part])[:20]: part for part in parts}


def _made_from(source: Source) -> list[Any]:
    """What a repository's files and facts follow from."""
    return [source.name, source.revision, asdict(source.metadata)]


def make_plan(settings: CorpusSettings, work: Path) -> Plan:
    """Open every repository that the settings name; those that cannot be are named.

    Args:
        work: folder for what has to be grouped first; used only for rows of files.

    Raises:
        RecipeError: no repositories are named.
        SourceError: a pattern matches nothing, or no repository can be opened.
    """
    if not settings.repositories:
        raise RecipeError(
            "[corpus] repositories",
            got="empty",
            wanted="folders, git repositories or archives",
            remedy='for example repositories = ["~/src/*"]',
        )
    side = load_metadata(Path(settings.metadata_file)) if settings.metadata_file else {}
    locations, grouped = _prepared(settings, work)
    opened: list[tuple[str, str, str]] = []
    failures: list[Failure] = []
    with Progress("finding repositories", total=len(locations), unit="repositories") as shown:
        for location in locations:
            try:
                reading = open_repository(location, max_file_bytes=settings.max_file_bytes)
                if not usable_name(reading.name) or not usable_name(location):
                    raise SourceError(
                        ascii(location)[1:-1],
                        got="a name that is not UTF-8, or holds control characters",
                        wanted="a name that can stand in a document",
                        remedy="rename it",
                    )
                opened.append((reading.name, location, reading.revision))
            except (CodekilnError, OSError) as error:
                if len(locations) == 1 and not grouped and isinstance(error, CodekilnError):
                    raise
                shown_as = location if usable_name(location) else ascii(location)[1:-1]
                failures.append(Failure(location=shown_as, problem=str(error)))
            shown.advance()
    drops: dict[str, dict[str, Any]] = {}
    if grouped is not None:
        for row in grouped.repositories():
            opened.append((row.name, row.location, row.revision))
            side[row.name] = side.get(row.name, UNKNOWN).or_else(row.metadata)
        failures += [Failure(location=place, problem=why) for place, why in grouped.failures]
        drops = dict(grouped.dropped)
    if not opened:
        raise none_left(failures)
    return Plan(sources=tuple(_named(opened, side)), failures=tuple(failures), row_drops=drops)


def _prepared(settings: CorpusSettings, work: Path) -> tuple[Sequence[str], GroupedRows | None]:
    """Locations of single repositories, and those that had to be grouped from rows of files."""
    if not any(map(is_collection, settings.repositories)):
        return expand_locations(settings.repositories), None
    from codekiln.corpus.sources.rows.columns import RowColumns

    with Progress("grouping rows", unit="rows") as shown:
        found = prepare(
            settings.repositories,
            work,
            columns=RowColumns(**settings.row_columns),
            memory_bytes=settings.row_memory_bytes,
            advance=shown.advance,
        )
    return found.locations, found.grouped


class NothingLeftError(SourceError):
    """Of all that was to be built nothing is left."""


def none_left(failures: Sequence[Failure]) -> NothingLeftError:
    """The error for a build of which every repository failed."""
    shown = "; ".join(failure.problem.partition("\n")[0] for failure in failures[:3])
    return NothingLeftError(
        "[corpus] repositories",
        got=f"none of {len(failures)} can be read: {shown}",
        wanted="at least one repository with source files",
    )


def _named(opened: Iterable[tuple[str, str, str]], side: Mapping[str, Metadata]) -> list[Source]:
    """Sources in order of name; namesakes become name, name#2, … in order of location."""
    given = sorted(opened)
    used: set[str] = set()
    plain = {name for name, _, _ in given}
    sources = []
    for name, location, revision in given:
        unique, number = name, 1
        while unique in used or (number > 1 and unique in plain):
            number += 1
            unique = f"{name}#{number}"
        used.add(unique)
        sources.append(
            Source(
                location=location,
                name=unique,
                family=side.get(name, UNKNOWN).fork_of or name,
                revision=revision,
                metadata=side.get(name, UNKNOWN),
            )
        )
    return sources


def chance(seed: int, name: str) -> float:
    """A number in [0, 1) that follows from the seed and the name alone."""
    return seed_of(seed, f"held out: {name}") / 2**64


def held_out(families: dict[str, str], rate: float, seed: int) -> set[str]:
    """Which repositories are kept out of training: those whose family's chance is below `rate`.

    Where that would leave one side empty, the family of the smallest chance is held out, or that
    of the largest is not; a single family is never held out, rate 0 holds out nothing.

    Args:
        families: family by repository name.
    """
    chances = sorted((chance(seed, family), family) for family in set(families.values()))
    if rate == 0 or len(chances) < 2:
        return set()
    chosen = {family for value, family in chances if value < rate} or {chances[0][1]}
    if len(chosen) == len(chances):
        chosen.remove(chances[-1][1])
    return {name for name, family in families.items() if family in chosen}
