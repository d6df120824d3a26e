"""The corpus build: read and order, find near-duplicates, finish; resumable at every step.

1. Each batch of repositories becomes `stages/<key>/` (`ingest`): in parallel, one folder at a
   time by atomic rename. The key follows from the repositories' names and revisions, so that a
   changed repository redoes its own batch only.
2. All signatures together say which repositories are near-duplicates; then it is settled which
   are held out.
3. A shard without dropped or moved repositories is taken as it is (a hard link); the others are
   copied without these. The folder `documents/` takes its name when it is whole.

A build killed at any moment and started again gives the same bytes in `documents/` as one that
was never stopped, and so does one with more processes.

Source: DeepSeek-Coder §2.1-2.4 (the order of the steps).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from codekiln.corpus.contamination import testdata
from codekiln.corpus.contamination.decontaminate import Decontaminator
from codekiln.corpus.duplicates.dedup import Candidate, Duplicate, find_duplicates
from codekiln.corpus.ingest import Batch, Context, ingest
from codekiln.corpus.plan import Failure, Plan, chance, held_out, make_plan, none_left
from codekiln.corpus.reports.report import BuildReport, summarise
from codekiln.corpus.settings import CorpusSettings
from codekiln.corpus.store import DOCUMENTS, INDEX, Split, copy_documents, row_count, write_index
from codekiln.errors import CodekilnError, SourceError, UserError
from codekiln.log import Progress, logger
from codekiln.processes import peak_memory_bytes, process_count, run_all
from codekiln.storage import (
    Manifest,
    atomic_path,
    fingerprint,
    fingerprint_file,
    only_one,
    read_json,
)

VERSION = 2  # raised when the same input and settings come to give other documents
STAGES = "stages"
FINISHED = "corpus"  # the manifest's entry of the whole
MANY_HITS = 0.05  # a larger share of files than this is hardly all leaked test data
LATER = {"repositories", "dedup_threshold"}  # settings that no piece of step 1 depends on


def build(settings: CorpusSettings, out: Path, *, seed: int = 0, processes: int = 0) -> BuildReport:
    """Build a corpus in `out`, or finish one that was begun there.

    Args:
        processes: worker processes; 0 means one a core, 1 works without any.

    Raises:
        RecipeError: no repositories are named.
        SourceError: no repository can be read.
        UserError: another process works in `out`.
        BenchmarkError: the test data for decontamination cannot be read.
    """
    started = time.monotonic()
    plan = make_plan(settings)
    test_files = [f for place in settings.decontaminate for f in testdata.files_of(place)]
    made_from = fingerprint(
        {
            "version": VERSION,
            "settings": settings.model_dump(mode="json", exclude=LATER),
            "seed": seed,
            "alone": len(plan.sources) == 1,
            "test data": [fingerprint_file(file) for file in test_files],
        }
    )
    whole = fingerprint([made_from, settings.dedup_threshold, asdict(plan)])
    created = not out.exists()
    with only_one(out), _nothing_left(out if created else None):
        manifest = Manifest(out / "manifest.json", made_from)
        if found := _finished(out, manifest, whole):
            return found
        _clear_remains(out)
        context = Context(
            settings=settings,
            seed=seed,
            stages=out / STAGES,
            test_data=Decontaminator.load(
                settings.decontaminate, shortest=settings.decontaminate_shortest
            ),
            alone=len(plan.sources) == 1,
        )
        return _Build(plan, context, out, manifest, process_count(processes)).run(whole, started)


@contextlib.contextmanager
def _nothing_left(out: Path | None) -> Iterator[None]:
    """Remove the folder, unless it is None or holds a corpus, when the build is refused."""
    try:
        yield
    except CodekilnError:
        if out is not None and not (out / DOCUMENTS).exists():
            shutil.rmtree(out, ignore_errors=True)
        raise


class _Build:
    """One run of the three steps."""

    def __init__(
        self, plan: Plan, context: Context, out: Path, manifest: Manifest, processes: int
    ) -> None:
        self.plan, self.context, self.out = plan, context, out
        self.manifest, self.processes = manifest, processes
        self.batches = plan.batches()
        self.stages = out / STAGES

    def run(self, whole: str, started: float) -> BuildReport:
        self._ingest_all()
        pieces = [read_json(self.stages / key / "facts.json") for key in self.batches]
        built = _built(pieces)
        if not built:
            raise none_left([*self.plan.failures, *_failures(pieces)])
        duplicates = self._duplicates(built)
        left = {n: f["family"] for n, f in built.items() if f["splits"]}
        for duplicate in duplicates:
            left.pop(duplicate.name, None)
        if not left:
            raise SourceError(
                "[corpus] repositories",
                got=f"no file of {len(built)} repositories was kept: {_reasons(built)}",
                wanted="source files that pass the rules",
            )
        apart, moved = self._split(left, built)
        self._finish(frozenset(d.name for d in duplicates), moved)
        report = summarise(
            pieces,
            failures=[asdict(failure) for failure in self.plan.failures],
            duplicates=duplicates,
            held_out=apart,
            order=self.context.settings.order,
            run=self._costs(pieces, started),
        )
        _warn_of_test_data(report)
        report.save(self.out)
        if not _failures(pieces):  # what failed may be readable the next time
            self.manifest.add(FINISHED, made_from=whole, sizes=_sizes(self.out / DOCUMENTS))
        self._drop_stale()
        return report

    # ---- step 1 ----

    def _ingest_all(self) -> None:
        tasks = [
            Batch(key=key, sources=sources)
            for key, sources in self.batches.items()
            if not self._whole(key, self.stages / key)
        ]
        again = tuple(f"{task.key}-" for task in tasks)  # and what was made from these
        self.manifest.discard(
            *(task.key for task in tasks),
            *(piece for piece in self.manifest.entries if piece.startswith(again)),
        )
        total = sum(len(task.sources) for task in tasks)
        with Progress("reading repositories", total=total, unit="repositories") as shown:
            meter = _Meter(shown)
            if min(self.processes, len(tasks)) <= 1:
                for task in tasks:
                    self._done(ingest(self.context, task, meter.count))
                return
            for facts in run_all(ingest, self.context, tasks, self.processes):
                self._done(facts)
                for repository in facts["repositories"]:
                    meter.count(repository)

    def _done(self, facts: dict[str, Any]) -> None:
        if not _failures([facts]):
            key = facts["key"]
            self.manifest.add(key, sizes=_sizes(self.stages / key))

    def _whole(self, piece: str, path: Path) -> bool:
        """Whether a piece is done, and its files have the sizes they had then."""
        return piece in self.manifest and self.manifest[piece].get("sizes") == _sizes(path)

    # ---- step 2 ----

    def _duplicates(self, built: dict[str, dict[str, Any]]) -> list[Duplicate]:
        settings = self.context.settings
        if settings.dedup == "none":
            return []
        candidates: dict[str, Candidate] = {}
        for key, sources in self.batches.items():
            signatures = np.load(self.stages / key / "signatures.npy")
            for source, signature in zip(sources, signatures, strict=True):
                facts = built.get(source.name)
                if facts is not None and facts["splits"]:
                    candidates[source.name] = Candidate(
                        digest=facts["digest"],
                        signature=signature if facts["has_signature"] else None,
                    )
        return find_duplicates(candidates, settings.dedup_threshold)

    def _split(
        self, left: dict[str, str], built: dict[str, dict[str, Any]]
    ) -> tuple[list[str], dict[str, Split]]:
        """(names held out, repositories that are not in the split they were written with)."""
        settings, seed = self.context.settings, self.context.seed
        if settings.held_out_unit == "sample":
            return [], {}
        apart = held_out(left, settings.held_out_rate, seed)
        moved: dict[str, Split] = {}
        for name, family in left.items():
            if (name in apart) != (chance(seed, family) < settings.held_out_rate):
                moved[name] = "held_out" if name in apart else "train"
                built[name]["final_split"] = moved[name]
        return sorted(apart), moved

    # ---- step 3 ----

    def _finish(self, drop: frozenset[str], moved: dict[str, Split]) -> None:
        """Bring `documents/` into place."""
        shards = []
        with Progress("finishing shards", total=len(self.batches), unit="shards") as shown:
            for key, sources in self.batches.items():
                shards.append(self._shard(key, {s.name for s in sources}, drop, moved))
                shown.advance()
        self.manifest.discard(FINISHED)  # or a kill would leave these under the old entry
        with atomic_path(self.out / DOCUMENTS) as folder:
            folder.mkdir()
            rows: dict[str, int] = {}
            for shard in shards:
                if count := row_count(shard):
                    name = f"{len(rows):05d}.parquet"
                    _link(shard, folder / name)
                    rows[name] = count
            write_index(folder, rows)

    def _shard(
        self, key: str, names: set[str], drop: frozenset[str], moved: dict[str, Split]
    ) -> Path:
        plain = self.stages / key / "documents.parquet"
        changes = sorted(drop & names), {n: s for n, s in sorted(moved.items()) if n in names}
        if not any(changes):
            return plain
        piece = f"{key}-{fingerprint(changes)[:20]}"
        target = self.stages / f"{piece}.parquet"
        if not self._whole(piece, target):
            with atomic_path(target) as path:
                copy_documents(plain, path, drop=drop, splits=moved)
            self.manifest.add(piece, sizes=_sizes(target))
        return target

    def _drop_stale(self) -> None:
        """Remove what earlier builds with other repositories or settings left in `stages/`."""
        for path in self.stages.iterdir():
            if path.name.partition("-")[0].partition(".")[0] not in self.batches:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _costs(self, pieces: list[dict[str, Any]], started: float) -> dict[str, Any]:
        return {
            "seconds": round(time.monotonic() - started, 3),
            "cpu_seconds": round(sum(piece["cpu_seconds"] for piece in pieces), 3),
            "peak_memory_bytes": max(
                peak_memory_bytes(), *(piece["peak_memory_bytes"] for piece in pieces)
            ),
            "processes": self.processes,
        }


class _Meter:
    """Counts repositories on a progress line, with megabytes per second behind."""

    def __init__(self, shown: Progress) -> None:
        self._shown, self._size, self._started = shown, 0, time.monotonic()

    def count(self, facts: dict[str, Any]) -> None:
        self._size += facts.get("bytes_read", 0)
        rate = self._size / 1e6 / max(time.monotonic() - self._started, 1e-9)
        self._shown.advance(note=f"{rate:.1f} MB/s, {facts['name']}")


def _built(pieces: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Facts of all repositories that did not fail, by name."""
    every = (facts for piece in pieces for facts in piece["repositories"])
    return {facts["name"]: facts for facts in every if "failed" not in facts}


def _failures(pieces: list[dict[str, Any]]) -> list[Failure]:
    every = (facts for piece in pieces for facts in piece["repositories"])
    return [Failure(location=f["location"], problem=f["failed"]) for f in every if "failed" in f]


def _warn_of_test_data(report: BuildReport) -> None:
    """Say so where the filter drops more than leaks can explain."""
    hits = report.contamination["files"]
    if hits > MANY_HITS * max(report.files["kept"] + hits, 1):
        often = ", ".join(repr(text) for text in list(report.contamination["exact"])[:3])
        logger.warning(
            "test data drops %d files%s; see the report, and [corpus] decontaminate_shortest",
            hits,
            f", most often for {often}" if often else "",
        )


def _reasons(built: dict[str, dict[str, Any]]) -> str:
    total: dict[str, int] = {}
    for facts in built.values():
        for reason, row in facts["dropped"].items():
            total[reason] = total.get(reason, 0) + row["files"]
    largest = sorted(total.items(), key=lambda item: -item[1])[:4]
    return ", ".join(f"{reason}: {count}" for reason, count in largest) or "no files"


def _finished(out: Path, manifest: Manifest, whole: str) -> BuildReport | None:
    """The report of this very corpus, if it stands in `out` undamaged, as far as sizes tell."""
    sizes = _sizes(out / DOCUMENTS)
    if manifest.entries.get(FINISHED) != {"made_from": whole, "sizes": sizes}:
        return None
    try:
        read_json(out / DOCUMENTS / INDEX)
        return BuildReport.load(out, nothing_to_do=True)
    except UserError:  # damaged, or gone: it is made again
        return None


def _sizes(path: Path) -> dict[str, int]:
    """Bytes of a file, or of each file in a folder, by name; empty where there is none."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name: file.stat().st_size for file in files if file.is_file()}


def _clear_remains(out: Path) -> None:
    """Remove temporary folders that a killed build left behind."""
    for folder in (out, out / STAGES):
        for path in folder.glob(".*.tmp"):
            shutil.rmtree(path, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
