"""The first step: a batch of repositories is read, filtered and compared; nothing is decided yet.

    stages/<key>/files.parquet       every decoded file (`files`), dropped ones without text
    stages/<key>/edges.parquet       which file needs which
    stages/<key>/units.parquet       what may be a duplicate: repositories, subgraphs or files
    stages/<key>/signatures.bin      uint8 [units, bins]
    stages/<key>/facts.json          what was read and dropped, repository by repository

A repository is read and written before the next is opened: memory is that of the largest one.
Only what needs no knowledge of other repositories happens here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from codekiln.corpus.contamination.by_problem import hits_by_problem
from codekiln.corpus.contamination.decontaminate import Hit
from codekiln.corpus.duplicates.grams import blocks
from codekiln.corpus.duplicates.sketch import Sketches
from codekiln.corpus.duplicates.units import UnitWriter, units_of
from codekiln.corpus.ordering.documents import digest
from codekiln.corpus.ordering.graph import Graph, build_graph
from codekiln.corpus.plan import Source
from codekiln.corpus.sources.intake import Limits
from codekiln.corpus.sources.read import Reading, open_repository
from codekiln.corpus.steps.context import Batch, Context, Drops, Facts, store_facts
from codekiln.corpus.steps.files import EDGES, FILES, FileWriter, write_edges
from codekiln.corpus.steps.inspect import Inspected, Inspector
from codekiln.errors import CodekilnError, SourceError
from codekiln.log import logger
from codekiln.processes import cpu_seconds
from codekiln.storage import atomic_path

TEST_DATA = "test data"
EXAMPLE_HITS = 20


@dataclass(slots=True, kw_only=True)
class _Output:
    """Where the pieces of a batch go."""

    files: FileWriter
    units: UnitWriter
    edges: list[tuple[int, int, int, str]] = field(default_factory=list)


def read_batch(
    context: Context, batch: Batch, each: Callable[[Facts], None] | None = None
) -> Facts:
    """Read one batch; its folder is in place when this returns its facts.

    Args:
        each: called with a repository's facts when it is done.
    """
    started = cpu_seconds()
    facts: list[Facts] = []
    with atomic_path(context.stages / batch.key) as folder:
        folder.mkdir()
        out = _Output(
            files=FileWriter(folder / FILES, Inspector.schema()),
            units=UnitWriter(folder, context.settings.dedup_permutations),
        )
        with Inspector(context) as inspector:
            for number, source in enumerate(batch.sources):
                facts.append(_read_one(context, inspector, source, number, out))
                if each:
                    each(facts[-1])
        out.files.close()
        out.units.close()
        write_edges(folder / EDGES, out.edges)
        return store_facts(folder, batch.key, facts, started)


def _read_one(
    context: Context, inspector: Inspector, source: Source, number: int, out: _Output
) -> Facts:
    if context.opted_out.repository(source.name, source.family, source.location):
        return _opted_out(source)
    try:
        read = _Repository(context, inspector, source)
    except (CodekilnError, OSError) as error:
        return _failed(source, str(error))
    except Exception as error:  # one bad repository must not cost the others
        logger.debug("%s", source.location, exc_info=True)
        return _failed(source, f"{source.location}: {type(error).__name__}: {error}")
    read.write(number, out)
    return read.facts()


def _opted_out(source: Source) -> Facts:
    """Facts of a repository whose owner wants it left out: it is not even opened again."""
    tables = ("dropped", "problems", "exact", "by_problem", "redacted", "redacted_by")
    return {
        "name": source.name,
        "family": source.family,
        "location": source.location,
        "revision": source.revision,
        **dict.fromkeys(("stars", "updated", "fork_of")),
        **dict.fromkeys(("files_seen", "bytes_read", "kept", "unscanned"), 0),
        **{name: {} for name in tables},
        "hits": [],
        "redactions": [],
        "opted_out": True,
    }


def _failed(source: Source, problem: str) -> Facts:
    return {"name": source.name, "location": source.location, "failed": problem}


class _Repository:
    """One repository, read whole, with all that is found out about it."""

    def __init__(self, context: Context, inspector: Inspector, source: Source) -> None:
        settings = context.settings
        limits = Limits(
            max_file_bytes=settings.max_file_bytes,
            max_repository_bytes=settings.max_repository_bytes,
            refuse=context.opted_out.content if context.opted_out.by_content else None,
        )
        self.context, self.source = context, source
        self.reading = open_repository(source.location, limits=limits)
        if self.reading.revision != source.revision:
            raise SourceError(
                source.location,
                got="it changed since this build began",
                wanted="repositories that stay as they are while they are read",
                remedy="run again",
            )
        self.rows = inspector.inspect(self.reading, source)
        self.metadata = source.metadata.or_else(self.reading.metadata)
        self.hits: list[tuple[str, Hit]] = []
        self.sketches = self._compare()
        self.graph = self._graph()

    @property
    def kept(self) -> list[Inspected]:
        """What has no reason to be dropped so far."""
        return [row for row in self.rows if row.reason is None]

    def _compare(self) -> Sketches:
        """Look for test data, and sketch what is left; words are hashed once for both."""
        settings, kept = self.context.settings, self.kept
        sketches = Sketches(
            settings.dedup_permutations, settings.dedup_shingle, each=settings.dedup != "repository"
        )
        encoded = (self._encoded(row) for row in kept)
        if settings.dedup == "none" and not settings.decontaminate:
            for _ in encoded:
                pass
            return sketches
        for numbers, found in blocks(encoded):
            hits = self.context.test_data.check([kept[n].file.text for n in numbers], found)
            for hit in hits:
                row = kept[numbers[hit.text]]
                row.reason, row.detail = TEST_DATA, f"{hit.problem}: {hit.shared}"
                self.hits.append((row.file.path, hit))
            names = [kept[n].file.path for n in numbers]
            sketches.add(names, found, drop=[hit.text for hit in hits])
        return sketches

    @staticmethod
    def _encoded(row: Inspected) -> bytes:
        data = row.file.text.encode()
        row.digest = digest(data)
        return data

    def _graph(self) -> Graph:
        kept = [row.file for row in self.kept]
        nodes = {file.path for file in kept}
        others = [row.file.path for row in self.rows if row.file.path not in nodes]
        tally = self.reading.tally
        return build_graph(
            kept, other_paths=[*others, *tally.empty_paths], build_files=tally.build_files
        )

    def write(self, number: int, out: _Output) -> None:
        """Write rows, edges and units."""
        place = {row.file.path: at for at, row in enumerate(self.rows)}
        for row in self.rows:
            text = None if row.reason else row.file.text.encode()
            out.files.add(row.row(number), text)
        out.edges += [
            (number, place[edge.source], place[edge.target], edge.kind) for edge in self.graph.edges
        ]
        settings = self.context.settings
        if settings.dedup != "none":
            kept = {row.file.path: row for row in self.kept}
            digests = {path: row.digest for path, row in kept.items() if row.digest is not None}
            sizes = {path: row.size for path, row in kept.items()}
            for unit in units_of(settings.dedup, self.source.name, digests, sizes, self.graph):
                out.units.add(number, unit, self.sketches.signature(unit.paths))

    def facts(self) -> Facts:
        """What the report wants to know of it."""
        kept, tally = self.kept, self.reading.tally
        source = self.source
        return {
            "name": source.name,
            "family": source.family,
            "location": source.location,
            "revision": self.reading.revision,
            "stars": self.metadata.stars,
            "updated": self.metadata.updated,
            "fork_of": self.metadata.fork_of,
            "files_seen": tally.seen,
            "bytes_read": tally.kept_bytes,
            "kept": len(kept),
            "dropped": _read_drops(self.reading) | _drops(self.rows),
            "unscanned": len(self.graph.failed),
            **_redactions(self.rows),
            **_contamination(self.hits),
        }


def _read_drops(reading: Reading) -> dict[str, Facts]:
    """What was dropped before or while it was read."""
    tally = reading.tally
    return {
        reason: {
            "files": count,
            "bytes": tally.dropped_bytes[reason],
            "languages": {},
            "examples": tally.examples[reason],
        }
        for reason, count in sorted(tally.dropped.items())
    }


def _drops(rows: Iterable[Inspected]) -> dict[str, Facts]:
    drops = Drops()
    for row in rows:
        if row.reason is not None:
            drops.add(row.reason, row.file.path, row.size, row.file.language)
    return drops.rows()


def _redactions(rows: Iterable[Inspected]) -> dict[str, Any]:
    """What was redacted, by placeholder and by rule, with masked examples."""
    kinds: Counter[str] = Counter()
    found_by: Counter[str] = Counter()
    examples: list[dict[str, str]] = []
    for row in rows:
        for hit in row.redactions:
            kinds[hit.kind] += 1
            found_by[hit.rule] += 1
            if len(examples) < EXAMPLE_HITS:
                examples.append({"path": row.file.path, "rule": hit.rule, "preview": hit.preview})
    return {"redacted": dict(kinds), "redacted_by": dict(found_by), "redactions": examples}


def _contamination(hits: Iterable[tuple[str, Hit]]) -> dict[str, Any]:
    problems: Counter[str] = Counter()
    exact: Counter[str] = Counter()
    examples: list[dict[str, str]] = []
    pairs = list(hits)
    for path, hit in pairs:
        problems[hit.problem] += 1
        exact[hit.shared] += hit.rule == "exact"
        if len(examples) < EXAMPLE_HITS:
            examples.append(
                {"path": path, "problem": hit.problem, "rule": hit.rule, "shared": hit.shared}
            )
    return {
        "hits": examples,
        "problems": dict(problems),
        "exact": dict(+exact),
        "by_problem": hits_by_problem(pairs),
    }
