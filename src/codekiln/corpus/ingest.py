"""One piece of a build: a batch of repositories becomes a shard, signatures and facts.

    stages/<key>/documents.parquet    their documents
    stages/<key>/signatures.npy       uint64 [repositories, bins]; a row of a repository without
                                      shingles is not used (its facts say so)
    stages/<key>/facts.json           what was read, kept and dropped, repository by repository

A repository is read, filtered, decontaminated, ordered and written before the next is opened:
memory is that of the largest one.
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from codekiln.corpus.contamination.decontaminate import Decontaminator
from codekiln.corpus.duplicates.dedup import Sketch
from codekiln.corpus.duplicates.grams import Hashes, blocks
from codekiln.corpus.filters import rules
from codekiln.corpus.ordering.documents import Arrangement, arrange, digest, drafts
from codekiln.corpus.plan import Source, chance
from codekiln.corpus.settings import CorpusSettings
from codekiln.corpus.sources.intake import Limits
from codekiln.corpus.sources.read import Reading, open_repository
from codekiln.corpus.store import DocumentWriter, Split
from codekiln.errors import CodekilnError
from codekiln.log import logger
from codekiln.processes import peak_memory_bytes
from codekiln.storage import atomic_path
from codekiln.types import Repository, SourceFile

TEST_DATA = "test data"
OTHER_LANGUAGE = "language not chosen"
EXAMPLES = 3
EXAMPLE_HITS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all batches of a build share."""

    settings: CorpusSettings
    seed: int
    stages: Path
    test_data: Decontaminator
    alone: bool  # the build has one repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A piece of work."""

    key: str
    sources: tuple[Source, ...]


@dataclass(slots=True, kw_only=True)
class Drops:
    """Files dropped, by reason: how many, how many bytes, and their paths."""

    files: Counter[str] = field(default_factory=Counter)
    size: Counter[str] = field(default_factory=Counter)
    paths: list[str] = field(default_factory=list)
    examples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, reason: str, file: SourceFile) -> None:
        """Count one file."""
        self.files[reason] += 1
        self.size[reason] += byte_count(file.text)
        self.paths.append(file.path)
        if len(self.examples[reason]) < EXAMPLES:
            self.examples[reason].append(file.path)

    def rows(self) -> dict[str, dict[str, Any]]:
        """By reason: files, bytes, examples."""
        return {
            reason: {
                "files": self.files[reason],
                "bytes": self.size[reason],
                "examples": self.examples[reason],
            }
            for reason in sorted(self.files)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A repository, ready to be written."""

    repository: Repository
    arrangement: Arrangement
    digests: dict[str, bytes]
    signature: Hashes | None
    facts: dict[str, Any]


def byte_count(text: str) -> int:
    """Bytes of `text` in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def ingest(
    context: Context, batch: Batch, each: Callable[[dict[str, Any]], None] | None = None
) -> dict[str, Any]:
    """Build one batch; its folder is in place when this returns its facts.

    Args:
        each: called with a repository's facts when it is done.
    """
    started = time.process_time()
    repositories: list[dict[str, Any]] = []
    signatures = np.zeros((len(batch.sources), context.settings.dedup_permutations), np.uint64)
    with atomic_path(context.stages / batch.key) as folder:
        folder.mkdir()
        with DocumentWriter(folder / "documents.parquet") as writer:
            for row, source in enumerate(batch.sources):
                facts = _ingest_one(context, source, writer, signatures[row])
                repositories.append(facts)
                if each:
                    each(facts)
        np.save(folder / "signatures.npy", signatures)
        facts = {
            "repositories": repositories,
            "cpu_seconds": time.process_time() - started,
            "peak_memory_bytes": peak_memory_bytes(),
        }
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    return {"key": batch.key, **facts}


def _ingest_one(
    context: Context, source: Source, writer: DocumentWriter, signature: Hashes
) -> dict[str, Any]:
    try:
        prepared = _prepare(context, source)
    except (CodekilnError, OSError) as error:
        return _failed(source, str(error))
    except Exception as error:  # one bad repository must not cost the others
        logger.debug("%s", source.location, exc_info=True)
        return _failed(source, f"{source.location}: {type(error).__name__}: {error}")
    facts = prepared.facts
    facts |= _write(context, source, prepared, writer)
    facts["has_signature"] = prepared.signature is not None
    if prepared.signature is not None:
        signature[:] = prepared.signature
    return facts


def _failed(source: Source, problem: str) -> dict[str, Any]:
    return {"name": source.name, "location": source.location, "failed": problem}


def _prepare(context: Context, source: Source) -> Prepared:
    """Read, filter, decontaminate and order one repository."""
    settings = context.settings
    limits = Limits(
        max_file_bytes=settings.max_file_bytes, max_repository_bytes=settings.max_repository_bytes
    )
    reading = open_repository(source.location, limits=limits)
    drops = Drops()
    files = _keep(reading, frozenset(settings.languages), drops)
    files, digests, signature, hits = _compare(context, files, drops)
    repository = Repository(name=source.name, revision=reading.revision, files=tuple(files))
    others = [*drops.paths, *reading.tally.empty_paths]
    arrangement = arrange(repository, settings, seed=context.seed, other_paths=others)
    return Prepared(
        repository=repository,
        arrangement=arrangement,
        digests=digests,
        signature=signature,
        facts={
            "name": source.name,
            "family": source.family,
            "location": source.location,
            "revision": reading.revision,
            "digest": digest(b"".join(sorted(digests.values()))).hex(),
            "files_seen": reading.tally.seen,
            "bytes_read": reading.tally.kept_bytes,
            "dropped": _read_drops(reading) | drops.rows(),
            "languages": _by_language(files),
            "edges": arrangement.edges,
            "violations": arrangement.violations,
            **hits,
        },
    )


def _keep(reading: Reading, chosen: frozenset[str], drops: Drops) -> list[SourceFile]:
    files = []
    for file in reading:
        if chosen and file.language not in chosen:
            drops.add(OTHER_LANGUAGE, file)
        elif reason := rules.reason(file):
            drops.add(reason, file)
        else:
            files.append(file)
    return sorted(files, key=lambda file: file.path)


def _read_drops(reading: Reading) -> dict[str, dict[str, Any]]:
    """What was dropped before or while it was read."""
    tally = reading.tally
    return {
        reason: {
            "files": count,
            "bytes": tally.dropped_bytes[reason],
            "examples": tally.examples[reason],
        }
        for reason, count in sorted(tally.dropped.items())
    }


def _compare(
    context: Context, files: list[SourceFile], drops: Drops
) -> tuple[list[SourceFile], dict[str, bytes], Hashes | None, dict[str, Any]]:
    """The files that hold no test data, their digests and signature, and what was hit.

    Each file is encoded once and its words are hashed once, for all of these.
    """
    settings = context.settings
    digests: dict[str, bytes] = {}

    def encoded() -> Iterator[bytes]:
        for file in files:
            data = file.text.encode()
            digests[file.path] = digest(data)
            yield data

    if settings.dedup == "none" and not settings.decontaminate:
        for _ in encoded():
            pass
        return files, digests, None, {}
    sketch = Sketch(settings.dedup_permutations, settings.dedup_shingle)
    problems: Counter[str] = Counter()
    exact: Counter[str] = Counter()
    examples: list[dict[str, str]] = []
    bad: set[int] = set()
    for numbers, found in blocks(encoded()):
        hits = context.test_data.check([files[n].text for n in numbers], found)
        for hit in hits:
            file = files[numbers[hit.text]]
            bad.add(numbers[hit.text])
            drops.add(TEST_DATA, file)
            del digests[file.path]
            problems[hit.problem] += 1
            exact[hit.shared] += hit.rule == "exact"
            if len(examples) < EXAMPLE_HITS:
                examples.append(
                    {
                        "path": file.path,
                        "problem": hit.problem,
                        "rule": hit.rule,
                        "shared": hit.shared,
                    }
                )
        sketch.add(found, drop=[hit.text for hit in hits])
    kept = [file for number, file in enumerate(files) if number not in bad]
    hit_facts = {"hits": examples, "problems": dict(problems), "exact": dict(+exact)}
    return kept, digests, sketch.signature(), hit_facts


def _by_language(files: Iterable[SourceFile]) -> dict[str, dict[str, int]]:
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for file in files:
        count[file.language] += 1
        size[file.language] += byte_count(file.text)
    return {name: {"files": count[name], "bytes": size[name]} for name in sorted(count)}


def _write(
    context: Context, source: Source, prepared: Prepared, writer: DocumentWriter
) -> dict[str, Any]:
    """Write the documents; says how many of them, and how many bytes, are in which split."""
    samples = prepared.arrangement.samples
    apart = _held_out_samples(context, source, samples)
    splits: dict[str, dict[str, int]] = {}
    for number, draft in enumerate(drafts(prepared.repository, samples, prepared.digests)):
        split: Split = "held_out" if number in apart else "train"
        row = splits.setdefault(split, {"documents": 0, "single_file": 0, "bytes": 0})
        row["documents"] += 1
        row["single_file"] += len(draft.spans) == 1
        row["bytes"] += writer.add_parts(
            draft.parts,
            id=draft.id,
            kind=draft.kind,
            source=draft.source,
            spans=draft.spans,
            split=split,
        )
    return {"splits": splits}


def _held_out_samples(
    context: Context, source: Source, samples: tuple[tuple[str, ...], ...]
) -> set[int]:
    """Numbers of the samples that are kept out of training.

    Of whole repositories this is a first decision by name alone, which nearly always stands
    (see `build`); of single samples it is final: by the sample's first path.
    """
    settings, everything = context.settings, range(len(samples))
    if settings.held_out_unit == "repository":
        chosen = chance(context.seed, source.family) < settings.held_out_rate
        return set(everything) if chosen else set()
    chances = [chance(context.seed, f"{source.name}\0{sample[0]}") for sample in samples]
    apart = {number for number in everything if chances[number] < settings.held_out_rate}
    if context.alone and settings.held_out_rate and len(samples) > 1:
        apart = apart or {chances.index(min(chances))}
        if len(apart) == len(samples):
            apart.discard(chances.index(max(chances)))
    return apart
