"""The third step: what is left of each repository is ordered and written as documents.

    stages/<key>-<fingerprint>/documents.parquet
    stages/<key>-<fingerprint>/dropped.parquet     file by file, what was dropped here and why
    stages/<key>-<fingerprint>/facts.json          what was dropped here, and what was written

Here act the settings that can change without reading again: which units are duplicates, the
order, the samples' limits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as arrow
import pyarrow.parquet as parquet

from codekiln.corpus.duplicates.units import components
from codekiln.corpus.licences.expression import NOASSERTION
from codekiln.corpus.licences.settings import reason as licence_reason
from codekiln.corpus.ordering.documents import Arrangement, arrange, drafts
from codekiln.corpus.ordering.graph import Edge, Graph
from codekiln.corpus.plan import Source, chance
from codekiln.corpus.quality.judge import judge_table
from codekiln.corpus.steps.context import Context, Drops, Facts, store_facts
from codekiln.corpus.steps.files import RepositoryTables, TextReader, repositories
from codekiln.corpus.steps.inspect import SIGNALS
from codekiln.corpus.store import DocumentWriter, Split
from codekiln.log import logger
from codekiln.processes import cpu_seconds
from codekiln.storage import atomic_path
from codekiln.types import Repository, SourceFile

DROPPED = "dropped.parquet"
DROPPED_SCHEMA = arrow.schema(
    [(name, arrow.string()) for name in ("repository", "path", "reason", "detail")]
)
DUPLICATE = {
    "repository": "near-duplicate repository",
    "subgraph": "near-duplicate subgraph",
    "file": "near-duplicate file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A batch to be composed into the folder `name`, without the units named in `duplicates`."""

    key: str
    name: str
    sources: tuple[Source, ...]
    duplicates: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One file of a repository as it was read: `row` is its number in the batch."""

    row: int
    path: str
    language: str
    size: int  # bytes
    digest: bytes
    licence: str | None


def compose_batch(
    context: Context, piece: Piece, each: Callable[[Facts], None] | None = None
) -> Facts:
    """Compose one batch; its folder is in place when this returns its facts."""
    started = cpu_seconds()
    facts: list[Facts] = []
    dropped: list[dict[str, str]] = []
    stored = context.stages / piece.key
    texts = TextReader(stored)
    with atomic_path(context.stages / piece.name) as folder:
        folder.mkdir()
        with DocumentWriter(folder / "documents.parquet") as writer:
            for tables in repositories(stored):
                source = piece.sources[tables.number]
                made = _compose_one(context, source, tables, piece, texts, writer)
                dropped += made.pop("files_dropped", [])
                facts.append(made)
                if each:
                    each(facts[-1])
        rows = arrow.Table.from_pylist(dropped, schema=DROPPED_SCHEMA)
        parquet.write_table(rows, folder / DROPPED, compression="zstd")
        return store_facts(folder, piece.name, facts, started)


def _compose_one(
    context: Context,
    source: Source,
    tables: RepositoryTables,
    piece: Piece,
    texts: TextReader,
    writer: DocumentWriter,
) -> Facts:
    try:
        made = _Composed(context, source, tables, piece.duplicates)
    except Exception as error:  # one bad repository must not cost the others
        logger.debug("%s", source.location, exc_info=True)
        return {"name": source.name, "failed": f"{type(error).__name__}: {error}"}
    made.write(texts, writer)
    return made.facts()


class _Composed:
    """One repository, from its stored tables to documents."""

    def __init__(
        self,
        context: Context,
        source: Source,
        tables: RepositoryTables,
        duplicates: frozenset[str],
    ) -> None:
        self.context, self.source = context, source
        self.drops = Drops()
        self.dropped: list[dict[str, str]] = []
        self.splits: dict[str, dict[str, int]] = {}
        self.lengths: Counter[int] = Counter()
        read, graph = _read(tables)
        allowed = self._drop(read, self._forbidden(read))
        judged = self._drop(allowed, self._poor(tables, allowed))
        self.files = self._without_duplicates(judged, graph, duplicates)
        self.arrangement = self._arrange(graph)

    def _forbidden(self, read: Mapping[str, Row]) -> dict[str, tuple[str, str]]:
        """Why files are dropped for their licences, by path."""
        settings = self.context.settings.licences
        given = {row.licence or NOASSERTION for row in read.values()}
        reasons = {licence: licence_reason(licence, settings) for licence in given}
        return {
            path: (reason, row.licence or "")
            for path, row in read.items()
            if (reason := reasons[row.licence or NOASSERTION]) is not None
        }

    def _poor(self, tables: RepositoryTables, read: Collection[str]) -> dict[str, tuple[str, str]]:
        """Why files are dropped for their quality, by path."""
        settings = self.context.settings.quality
        if not settings.enabled:
            return {}
        names = ["path", "language", *SIGNALS.names]
        columns = {name: tables.files.column(name).to_pylist() for name in names}
        kept = [at for at, path in enumerate(columns["path"]) if path in read]
        columns = {name: [values[at] for at in kept] for name, values in columns.items()}
        reasons = judge_table(columns, settings)
        pairs = zip(columns["path"], reasons, strict=True)
        return {path: (reason, "") for path, reason in pairs if reason is not None}

    def _without_duplicates(
        self, read: dict[str, Row], graph: Graph, duplicates: frozenset[str]
    ) -> dict[str, Row]:
        level = self.context.settings.dedup
        if level == "none" or not duplicates:
            return read
        gone: set[str] = set()
        for unit, paths in components(level, self.source.name, graph):
            if unit in duplicates:
                gone.update(paths)
        return self._drop(read, dict.fromkeys(gone & read.keys(), (DUPLICATE[level], "")))

    def _drop(self, rows: dict[str, Row], reasons: Mapping[str, tuple[str, str]]) -> dict[str, Row]:
        """What is left of `rows` without those that have a reason (and a detail), now counted."""
        for path in sorted(reasons):
            reason, detail = reasons[path]
            self.drops.add(reason, path, rows[path].size, rows[path].language)
            row = {"repository": self.source.name, "path": path, "reason": reason}
            self.dropped.append(row | {"detail": detail})
        return {path: row for path, row in rows.items() if path not in reasons}

    def _arrange(self, graph: Graph) -> Arrangement:
        left = self.files
        edges = tuple(e for e in graph.edges if e.source in left and e.target in left)
        sizes = {path: row.size for path, row in left.items()}
        return arrange(
            Graph(files=tuple(left), edges=edges),
            self.context.settings,
            name=self.source.name,
            sizes=sizes,
            seed=self.context.seed,
        )

    def write(self, texts: TextReader, writer: DocumentWriter) -> None:
        """Write the documents; counts how many, and how many bytes, are in which split."""
        files: list[SourceFile] = []
        for row in sorted(self.files.values(), key=lambda row: row.row):
            text = texts.text(row.row)
            assert text is not None, row.path  # only dropped files have none
            files.append(
                SourceFile(path=row.path, text=text, language=row.language, licence=row.licence)
            )
        repository = Repository(
            name=self.source.name, revision=self.source.revision, files=tuple(files)
        )
        samples = self.arrangement.samples
        apart = self._held_out(samples)
        digests = {path: row.digest for path, row in self.files.items()}
        for number, draft in enumerate(drafts(repository, samples, digests)):
            split: Split = "held_out" if number in apart else "train"
            size = writer.add_parts(
                draft.parts,
                id=draft.id,
                kind=draft.kind,
                source=draft.source,
                spans=draft.spans,
                split=split,
            )
            self._count(split, len(draft.spans), size)

    def _count(self, split: Split, files: int, size: int) -> None:
        row = self.splits.setdefault(split, {"documents": 0, "single_file": 0, "bytes": 0})
        row["documents"] += 1
        row["single_file"] += files == 1
        row["bytes"] += size
        self.lengths[size.bit_length()] += 1

    def _held_out(self, samples: Sequence[Sequence[str]]) -> set[int]:
        """Numbers of the samples that are kept out of training.

        Of whole repositories this is a first decision by name alone, which nearly always stands
        (see `build`); of single samples it is final: by the sample's first path.
        """
        settings, seed = self.context.settings, self.context.seed
        everything = range(len(samples))
        if settings.held_out_unit == "repository":
            chosen = chance(seed, self.source.family) < settings.held_out_rate
            return set(everything) if chosen else set()
        chances = [chance(seed, f"{self.source.family}\0{sample[0]}") for sample in samples]
        apart = {number for number in everything if chances[number] < settings.held_out_rate}
        if self.context.alone and settings.held_out_rate and len(samples) > 1:
            apart = apart or {chances.index(min(chances))}
            if len(apart) == len(samples):
                apart.discard(chances.index(max(chances)))
        return apart

    def facts(self) -> Facts:
        """What the report wants to know of it."""
        return {
            "name": self.source.name,
            "dropped": self.drops.rows(),
            "files_dropped": self.dropped,
            "languages": self._by_language(),
            "licences": dict(Counter(row.licence or NOASSERTION for row in self.files.values())),
            "edges": self.arrangement.edges,
            "violations": self.arrangement.violations,
            "cut_edges": self.arrangement.cut_edges,
            "splits": self.splits,
            "lengths": {str(bits): count for bits, count in sorted(self.lengths.items())},
        }

    def _by_language(self) -> dict[str, dict[str, int]]:
        total: dict[str, dict[str, int]] = {}
        for row in self.files.values():
            mine = total.setdefault(row.language, {"files": 0, "bytes": 0})
            mine["files"] += 1
            mine["bytes"] += row.size
        return dict(sorted(total.items()))


def _read(tables: RepositoryTables) -> tuple[dict[str, Row], Graph]:
    """What reading kept: its rows by path, and their graph."""
    names = ("path", "language", "bytes", "digest", "licence", "reason")
    columns = {name: tables.files.column(name).to_pylist() for name in names}
    paths = columns["path"]
    kept = {
        path: Row(
            row=tables.first_row + at,
            path=path,
            language=columns["language"][at],
            size=columns["bytes"][at],
            digest=columns["digest"][at],
            licence=columns["licence"][at],
        )
        for at, path in enumerate(paths)
        if columns["reason"][at] is None
    }
    source, target, kind = (
        tables.edges.column(name).to_pylist() for name in ("source", "target", "kind")
    )
    edges = sorted((paths[s], paths[t], k) for s, t, k in zip(source, target, kind, strict=True))
    return kept, Graph(
        files=tuple(sorted(kept)),
        edges=tuple(Edge(source=s, target=t, kind=k) for s, t, k in edges),
    )
