"""The corpus build: read, decide, compose, finish; resumable at every step.

1. Each batch of repositories is read into `stages/<key>/` (`steps.read`): in parallel, one folder
   at a time by atomic rename. The key follows from the repositories' names and revisions, so that
   a changed repository redoes its own batch only.
2. All signatures together say what is a duplicate (`steps.decide`).
3. What is left of each batch is ordered and written into `stages/<key>-…/` (`steps.compose`): in
   parallel again. Settings that act only here read nothing again when they change.
4. It is settled which repositories are held out, and `documents/` takes its name when it is whole
   (`steps.finish`).

A build killed at any moment and started again gives the same bytes in `documents/` as one that
was never stopped, and so does one with more processes.

Source: DeepSeek-Coder §2.1-2.4 (the order of the steps).
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codekiln.corpus.contamination import testdata
from codekiln.corpus.contamination.decontaminate import Decontaminator
from codekiln.corpus.plan import (
    Failure,
    NothingLeftError,
    Plan,
    chance,
    held_out,
    make_plan,
    none_left,
)
from codekiln.corpus.privacy.optout import OptOut
from codekiln.corpus.quality.model import MODEL, load
from codekiln.corpus.reports.report import BuildReport, summarise
from codekiln.corpus.settings import CorpusSettings
from codekiln.corpus.steps.compose import Piece, compose_batch
from codekiln.corpus.steps.context import Batch, Context, Facts
from codekiln.corpus.steps.decide import Dropped, decide_duplicates, related
from codekiln.corpus.steps.finish import finish, sizes
from codekiln.corpus.steps.mix import Shard, decide_copies
from codekiln.corpus.steps.read import read_batch
from codekiln.corpus.steps.texts import TextPiece, read_texts, text_pieces
from codekiln.corpus.store import DOCUMENTS, INDEX, Split
from codekiln.engines import Engine, Workers
from codekiln.errors import CodekilnError, UserError
from codekiln.languages.grammars import versions
from codekiln.log import Progress, logger
from codekiln.processes import peak_memory_bytes, process_count
from codekiln.storage import Manifest, fingerprint, fingerprint_file, only_one, read_json

VERSION = 4  # raised when the same input and settings come to give other documents
STAGES = "stages"
ROWS = "rows"  # of collections, grouped to repositories
FINISHED = "corpus"  # the manifest's entry of the whole
MANY_HITS = 0.05  # a larger share of files than this is hardly all leaked test data


def build(
    settings: CorpusSettings,
    out: Path,
    *,
    seed: int = 0,
    processes: int = 0,
    engine: Engine = "processes",
) -> BuildReport:
    """Build a corpus in `out`, or finish one that was begun there.

    Args:
        processes: worker processes; 0 means one a core, 1 works without any (but on Ray).
        engine: where the workers are; the corpus is the same, byte for byte.

    Raises:
        RecipeError: no repositories are named.
        SourceError: no repository can be read.
        UserError: another process works in `out`.
        BenchmarkError: the test data for decontamination cannot be read.
    """
    started = time.monotonic()
    created = not out.exists()
    with only_one(out), _stopping_well(out if created else None, out):
        plan = make_plan(settings, out / ROWS)
        texts = text_pieces(settings)
        made_from = _made_from(settings, seed)
        manifest = Manifest(out / "manifest.json", made_from)
        whole = fingerprint(
            [made_from, settings.model_dump(mode="json"), asdict(plan), [t.key for t in texts]]
        )
        if found := _finished(out, manifest, whole):
            return found
        _clear_remains(out)
        context = Context(
            settings=settings,
            seed=seed,
            stages=out / STAGES,
            test_data=Decontaminator.load(
                settings.decontaminate,
                shortest=settings.decontaminate_shortest,
                renamed=settings.contamination.renamed,
            ),
            opted_out=_opted_out(settings),
            alone=len(plan.sources) == 1,
        )
        workers = Workers(engine=engine, count=processes)
        return _Build(plan, texts, context, out, manifest, workers).run(whole, started)


def _made_from(settings: CorpusSettings, seed: int) -> str:
    """What every piece of the first step depends on, beside its repositories."""
    opt_out = settings.privacy.opt_out
    _opted_out(settings)  # refused here if it can't be read
    test_files = [f for place in settings.decontaminate for f in testdata.files_of(place)]
    return fingerprint(
        {
            "version": VERSION,
            "settings": settings.reading(),
            "seed": seed,
            "screen": _screen(settings),
            "opted out": opt_out and fingerprint_file(Path(opt_out).expanduser()),
            "test data": [fingerprint_file(file) for file in test_files],
        }
    )


def _opted_out(settings: CorpusSettings) -> OptOut:
    place = settings.privacy.opt_out
    return OptOut.load(Path(place).expanduser()) if place else OptOut()


def _screen(settings: CorpusSettings) -> Any:
    """What stored signals depend on, beside the settings."""
    quality = settings.quality
    if not quality.enabled:
        return None
    load(quality.model)  # refused here rather than in every worker
    grammars = {} if quality.syntax == "off" else versions()
    model = quality.model and fingerprint_file(quality.model / MODEL)
    return [grammars, model]


@contextlib.contextmanager
def _stopping_well(out: Path | None, place: Path) -> Iterator[None]:
    """Say so when the disk is full; leave no folder behind when the build is refused.

    Args:
        out: the folder to remove, unless some work was done there; None removes nothing.
        place: what the build writes to.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            str(place),
            got="the disk is full",
            wanted="room for the corpus and for what its steps store, about twice its size packed",
            remedy="free some and run again: what was finished is kept",
        ) from error
    except CodekilnError as error:
        worked = (place / STAGES).exists() or (place / ROWS).exists()
        if out is not None and (isinstance(error, NothingLeftError) or not worked):
            shutil.rmtree(out, ignore_errors=True)
        raise


class _Build:
    """One run of the four steps."""

    def __init__(
        self,
        plan: Plan,
        texts: list[TextPiece],
        context: Context,
        out: Path,
        manifest: Manifest,
        workers: Workers,
    ) -> None:
        self.plan, self.context, self.out = plan, context, out
        self.manifest, self.workers = manifest, workers
        self.batches = plan.batches()
        self.texts = texts
        self.stages = out / STAGES
        self.costs: list[Facts] = []

    def run(self, whole: str, started: float) -> BuildReport:
        read = self._read_all()
        built = _built(read)
        if not built:
            raise none_left([*self.plan.failures, *_failures(read)])
        by_batch = {key: piece["repositories"] for key, piece in read.items()}
        dropped, duplicates = decide_duplicates(
            self.context.settings, self.stages, by_batch, self.out
        )
        pieces = self._pieces(dropped)
        composed, faults = self._compose_all(pieces)
        left = {n: built[n]["family"] for n, facts in composed.items() if facts["splits"]}
        if not left:
            raise NothingLeftError(
                "[corpus] repositories",
                got=f"no file of {len(built)} repositories was kept: {_reasons(built, composed)}",
                wanted="source files that pass the rules",
            )
        texts, text_facts, text_duplicates = self._texts()
        apart, moved = self._split(left)
        names = {piece.name: [s.name for s in piece.sources] for piece in pieces}
        shards = [self._composed_shard(piece.name) for piece in pieces] + texts
        copies, mixture, documents = decide_copies(self.context.settings.mixture, shards, moved)
        names |= {shard.name: [] for shard in texts}
        used = finish(self.out, self.stages, names, moved, copies, self.manifest, FINISHED)
        report = summarise(
            [facts for piece in read.values() for facts in piece["repositories"]],
            composed,
            failures=[asdict(failure) for failure in [*self.plan.failures, *faults]],
            row_drops=self.plan.row_drops,
            duplicates=duplicates,
            kin=related(self.stages, by_batch),
            texts=text_facts,
            text_duplicates=text_duplicates,
            mixture=mixture,
            documents=documents,
            held_out=apart,
            order=self.context.settings.order,
            run=self._costs(started),
        )
        _warn_of_test_data(report)
        report.save(self.out)
        if not faults and not _failures(read):  # what failed may be readable the next time
            self.manifest.add(FINISHED, made_from=whole, sizes=sizes(self.out / DOCUMENTS))
        self._drop_stale(pieces, used)
        return report

    # ---- step 1: read ----

    def _read_all(self) -> dict[str, Facts]:
        tasks = [
            Batch(key=key, sources=sources)
            for key, sources in self.batches.items()
            if not self._whole(key)
        ]
        self._discard([task.key for task in tasks])
        self._run(read_batch, tasks, "reading repositories", sum(len(t.sources) for t in tasks))
        return {key: self._facts(key) for key in self.batches}

    def _discard(self, pieces: list[str]) -> None:
        """Forget pieces that are to be made again, and what was made from them."""
        again = tuple(f"{piece}-" for piece in pieces)
        made = [piece for piece in self.manifest.entries if piece.startswith(again)]
        self.manifest.discard(*pieces, *made)

    def _run(
        self, function: Any, tasks: list[Any], title: str, total: int, unit: str = "repositories"
    ) -> None:
        with Progress(title, total=total, unit=unit) as shown:
            meter = _Meter(shown)
            if self.workers.none or not tasks:
                for task in tasks:
                    self._done(function(self.context, task, meter.count))
                return
            for facts in self.workers.run(function, self.context, tasks):
                self._done(facts)
                for repository in facts["repositories"]:
                    meter.count(repository)

    def _done(self, facts: Facts) -> None:
        if not any("failed" in repository for repository in facts["repositories"]):
            self.manifest.add(facts["piece"], sizes=sizes(self.stages / facts["piece"]))

    def _whole(self, piece: str) -> bool:
        """Whether a piece is done, and its files have the sizes they had then."""
        return piece in self.manifest and self.manifest[piece].get("sizes") == sizes(
            self.stages / piece
        )

    def _facts(self, piece: str) -> Facts:
        facts: Facts = read_json(self.stages / piece / "facts.json")
        self.costs.append(facts)
        return facts

    # ---- step 3: compose ----

    def _pieces(self, dropped: Mapping[str, Dropped]) -> list[Piece]:
        """What is to be composed, under names that follow from all that it depends on."""
        settings = self.context.settings
        made_from = fingerprint(
            [
                VERSION,
                settings.composing(),
                self.context.alone,
            ]
        )
        return [
            Piece(
                key=key,
                name=f"{key}-{fingerprint([made_from, sorted(dropped[key].names)])[:20]}",
                sources=sources,
                duplicates=dropped[key].names,
            )
            for key, sources in self.batches.items()
        ]

    def _compose_all(self, pieces: list[Piece]) -> tuple[dict[str, Facts], list[Failure]]:
        """Facts of the repositories that have files, by name; and what failed."""
        tasks = [piece for piece in pieces if not self._whole(piece.name)]
        self._discard([task.name for task in tasks])
        self._run(compose_batch, tasks, "composing documents", sum(len(t.sources) for t in tasks))
        every = [f for piece in pieces for f in self._facts(piece.name)["repositories"]]
        return {facts["name"]: facts for facts in every if "failed" not in facts}, [
            Failure(location=facts["name"], problem=f"{facts['name']}: {facts['failed']}")
            for facts in every
            if "failed" in facts
        ]

    def _composed_shard(self, name: str, **more: Any) -> Shard:
        return Shard(name=name, documents=self.stages / name / "documents.parquet", **more)

    # ---- natural language ----

    def _texts(self) -> tuple[list[Shard], list[Facts], int]:
        """Shards of natural language, their facts, and how many duplicates are among them."""
        pieces = {piece.key: piece for piece in self.texts}
        tasks = [piece for key, piece in pieces.items() if not self._whole(key)]
        self._discard([task.key for task in tasks])
        self._run(read_texts, tasks, "reading texts", len(tasks), unit="pieces")
        read = {key: self._facts(key)["repositories"] for key in pieces}
        dropped, _ = decide_duplicates(self.context.settings, self.stages, read, self.out / "texts")
        shards = [
            self._composed_shard(
                key, component=piece.source.component, text=True, duplicates=dropped[key].rows
            )
            for key, piece in pieces.items()
        ]
        facts = [facts for one in read.values() for facts in one]
        return shards, facts, sum(len(one.rows) for one in dropped.values())

    # ---- step 4: finish ----

    def _split(self, left: dict[str, str]) -> tuple[list[str], dict[str, Split]]:
        """(names held out, repositories that are not in the split they were written with)."""
        settings, seed = self.context.settings, self.context.seed
        if settings.held_out_unit == "sample":
            return [], {}
        apart = held_out(left, settings.held_out_rate, seed)
        moved: dict[str, Split] = {}
        for name, family in left.items():
            if (name in apart) != (chance(seed, family) < settings.held_out_rate):
                moved[name] = "held_out" if name in apart else "train"
        return sorted(apart), moved

    def _drop_stale(self, pieces: list[Piece], used: Collection[str]) -> None:
        """Remove what earlier builds with other repositories or settings left in `stages/`.

        Args:
            used: files there that the corpus was made of.
        """
        names = {*self.batches, *(piece.name for piece in pieces), *(t.key for t in self.texts)}
        stale = [p for p in self.stages.iterdir() if p.name not in names and p.name not in used]
        self.manifest.discard(*(path.name.removesuffix(".parquet") for path in stale))
        for path in stale:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _costs(self, started: float) -> dict[str, Any]:
        return {
            "seconds": round(time.monotonic() - started, 3),
            "cpu_seconds": round(sum(piece["cpu_seconds"] for piece in self.costs), 3),
            "peak_memory_bytes": max(
                peak_memory_bytes(), *(piece["peak_memory_bytes"] for piece in self.costs)
            ),
            "engine": self.workers.engine,
            "processes": self.workers.count or process_count(0),
        }


class _Meter:
    """Counts repositories on a progress line, with megabytes per second behind."""

    def __init__(self, shown: Progress) -> None:
        self._shown, self._size, self._started = shown, 0, time.monotonic()

    def count(self, facts: dict[str, Any]) -> None:
        self._size += facts.get("bytes_read", 0)
        rate = self._size / 1e6 / max(time.monotonic() - self._started, 1e-9)
        self._shown.advance(note=f"{rate:.1f} MB/s, {facts['name']}")


def _built(read: Mapping[str, Facts]) -> dict[str, Facts]:
    """Facts of all repositories that did not fail, by name."""
    every = (facts for piece in read.values() for facts in piece["repositories"])
    return {facts["name"]: facts for facts in every if "failed" not in facts}


def _failures(read: Mapping[str, Facts]) -> list[Failure]:
    every = (facts for piece in read.values() for facts in piece["repositories"])
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


def _reasons(*parts: Mapping[str, Facts]) -> str:
    total: dict[str, int] = {}
    for facts in (facts for part in parts for facts in part.values()):
        for reason, row in facts["dropped"].items():
            total[reason] = total.get(reason, 0) + row["files"]
    largest = sorted(total.items(), key=lambda item: -item[1])[:4]
    return ", ".join(f"{reason}: {count}" for reason, count in largest) or "no files"


def _finished(out: Path, manifest: Manifest, whole: str) -> BuildReport | None:
    """The report of this very corpus, if it stands in `out` undamaged, as far as sizes tell."""
    wanted = {"made_from": whole, "sizes": sizes(out / DOCUMENTS)}
    if manifest.entries.get(FINISHED) != wanted:
        return None
    try:
        read_json(out / DOCUMENTS / INDEX)
        return BuildReport.load(out, nothing_to_do=True)
    except UserError:  # damaged, or gone: it is made again
        return None


def _clear_remains(out: Path) -> None:
    """Remove temporary folders that a killed build left behind."""
    for folder in (out, out / STAGES):
        for path in folder.glob(".*.tmp"):
            shutil.rmtree(path, ignore_errors=True)
