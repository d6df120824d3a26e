"""Pack a corpus: Parquet files of documents to token shards, resumable, on all cores.

One Parquet file gives at most one shard a split, under its own number, so the result does not
depend on how many processes ran or where a run was cut off. Held-out documents are packed without
FIM: they measure plain text. `report.json` is written last; without it a folder is not packed.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from codekiln.errors import ShardError, TokenizerError
from codekiln.languages.grammars import versions
from codekiln.log import Progress, human_count
from codekiln.processes import SPAWN, process_count, run_all
from codekiln.storage import (
    Manifest,
    fingerprint,
    fingerprint_file,
    only_one,
    read_json,
    write_json,
)
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokens.encode import encode_documents
from codekiln.tokens.fim_settings import FimSettings
from codekiln.tokens.packing_report import PackingReport, packing_report
from codekiln.tokens.sequence import Account, Encoded
from codekiln.tokens.settings import TokensSettings
from codekiln.tokens.shards import Shard, ShardWriter, files_of
from codekiln.tokens.sources import Source
from codekiln.types import Document

SPLITS = ("train", "held_out")
REPORT_FILE = "report.json"
# what shards are made from: sequences are cut, and targets chosen, when they are read
_SHAPING = set(FimSettings.model_fields) - {"fim_loss"}
_FORMAT = 4  # raise it when the same documents would give other files

_WORTH_PROCESSES_BYTES = 4_000_000  # Parquet; less is packed before other processes are up

# (Parquet file, split) -> its documents; a function of a module, so that processes can share it
Reader = Callable[[Path, str], Iterable[Document]]
Splits = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitReport(Account):
    """What one split holds: what `Account` says, and `bytes`, UTF-8 bytes of text."""

    shards: tuple[str, ...] = ()
    documents: int = 0
    tokens: int = 0
    bytes: int = 0

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text a token stands for, control tokens counted."""
        return self.bytes / self.tokens if self.tokens else 0.0

    @property
    def fim_share(self) -> float:
        """Share of the files that were rearranged for infilling."""
        return self.fim_files / self.files if self.files else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PackReport:
    """What `pack` did: one report a split, and how many Parquet files were packed just now.

    `sequences`: what the training documents become when they are read.
    """

    splits: dict[str, SplitReport]
    sequences: PackingReport
    packed: int
    resumed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    source: Path
    source_sha256: str
    number: int
    read: Reader
    tokenizer_folder: Path
    tokenizer_sha256: str
    vocab_size: int
    settings: TokensSettings
    out: Path
    seed: int


def pack(
    sources: Sequence[Path],
    read: Reader,
    tokenizer_folder: Path,
    settings: TokensSettings,
    out: Path,
    *,
    seed: int,
    processes: int = 0,
) -> PackReport:
    """Pack the documents of `sources` (Parquet files, in order) into shards below `out`.

    Files that an earlier run packed from the same content, tokenizer, settings and seed are left
    as they are.

    Args:
        processes: workers; 0 means one a core.

    Raises:
        ShardError: when there are no training documents.
        TokenizerError: when the tokenizer cannot do what the settings ask for.
        UserError: when another process works in `out`.
    """
    tokenizer = Tokenizer.load(tokenizer_folder)
    _check_fim(tokenizer, settings)
    with only_one(out):
        return _pack(sources, read, tokenizer, tokenizer_folder, settings, out, seed, processes)


def _pack(
    sources: Sequence[Path],
    read: Reader,
    tokenizer: Tokenizer,
    tokenizer_folder: Path,
    settings: TokensSettings,
    out: Path,
    seed: int,
    processes: int,
) -> PackReport:
    made_from = fingerprint(
        [_FORMAT, tokenizer.sha256, shaping(settings), *_grammars(settings), seed]
    )
    _sweep(out)
    manifest = Manifest(out / "manifest.json", made_from)
    every = [
        _Job(
            source=path,
            source_sha256=fingerprint_file(path),
            number=number,
            read=read,
            tokenizer_folder=tokenizer_folder,
            tokenizer_sha256=tokenizer.sha256,
            vocab_size=tokenizer.vocab_size,
            settings=settings,
            out=out,
            seed=seed,
        )
        for number, path in enumerate(sources)
    ]
    jobs = [job for job in every if not _done(manifest, job)]
    if jobs:
        (out / REPORT_FILE).unlink(missing_ok=True)
        manifest.discard(*(_piece(job.number) for job in jobs))
    for number, packed in _run(jobs, process_count(processes), len(sources)):
        manifest.add(_piece(number), source=every[number].source_sha256, splits=packed)
    splits = _finish(manifest, out, len(sources))
    # not made from what was packed alone, but from settings that may change without packing again
    sequences = packing_report(open_shards(out, "train"), settings, seed=seed)
    write_json(out / REPORT_FILE, _report(splits) | {"sequences": asdict(sequences)})
    return PackReport(
        splits=splits, sequences=sequences, packed=len(jobs), resumed=len(sources) - len(jobs)
    )


def open_shards(folder: Path, split: str, tokenizer_sha256: str | None = None) -> list[Shard]:
    """The shards of a packed folder, in order.

    Raises:
        ShardError: when the folder is not packed to the end, has no such split, is damaged, or
            belongs to another tokenizer than `tokenizer_sha256`.
    """
    if not (folder / REPORT_FILE).exists():
        raise ShardError(
            folder,
            got="no token shards, or a packing that did not end",
            wanted="a folder of `codekiln tokens pack`",
            remedy="run `codekiln tokens pack RECIPE`; it goes on where it stopped",
        )
    names = read_json(folder / REPORT_FILE).get(split, {}).get("shards", [])
    if not names:
        raise ShardError(
            folder,
            got=f"no {split} documents",
            wanted="at least one",
            remedy="give more repositories, or set corpus.held_out_rate",
        )
    shards = [Shard(folder / name) for name in names]
    if tokenizer_sha256 is not None:
        for shard in shards:
            shard.check_tokenizer(tokenizer_sha256)
    return shards


def _check_fim(tokenizer: Tokenizer, settings: TokensSettings) -> None:
    if not any(rate for _, rate in settings.stages):
        return
    try:
        tokenizer.special.fim()
    except TokenizerError as error:
        raise TokenizerError(
            error.where,
            got=error.got,
            wanted=error.wanted,
            remedy="set tokens.fim_rate = 0, without a fim_schedule",
        ) from None


def _piece(number: int) -> str:
    return f"{number:05d}"


def _done(manifest: Manifest, job: _Job) -> bool:
    """Whether a job's shards stand there whole, as the manifest and their own sidecars say."""
    piece = _piece(job.number)
    if piece not in manifest or manifest[piece]["source"] != job.source_sha256:
        return False
    for split, report in manifest[piece]["splits"].items():
        wanted = _facts(job, split, _settings(job, split))
        for name in report["shards"]:
            try:
                shard = Shard(job.out / name)  # its files fit each other
            except ShardError:
                return False
            if any(shard.facts.get(key) != value for key, value in wanted.items()):
                return False
            if (len(shard), len(shard.tokens)) != (report["documents"], report["tokens"]):
                return False
    return True


def _sweep(out: Path) -> None:
    """Remove what a killed run left half-written."""
    for left in out.glob(".*.tmp"):
        shutil.rmtree(left, ignore_errors=True)


def _finish(manifest: Manifest, out: Path, count: int) -> dict[str, SplitReport]:
    splits = {}
    for split in SPLITS:
        rows = [manifest[_piece(number)]["splits"].get(split) for number in range(count)]
        reports = [SplitReport(**{**r, "shards": tuple(r["shards"])}) for r in rows if r]
        splits[split] = functools.reduce(SplitReport.__add__, reports, SplitReport())
    if not splits["train"].documents:
        raise ShardError(
            out,
            got="no training documents",
            wanted="a corpus with at least one",
            remedy="see the corpus's report.json for what was dropped and why",
        )
    kept = {path for s in splits.values() for n in s.shards for path in files_of(out / n)}
    for split in SPLITS:  # shards of Parquet files that are gone
        for path in set(out.glob(f"{split}-*")) - kept:
            path.unlink()
    write_json(out / REPORT_FILE, _report(splits))
    return splits


def _report(splits: dict[str, SplitReport]) -> dict[str, Any]:
    return {
        name: {
            **asdict(split),
            "bytes_per_token": split.bytes_per_token,
            "fim_share": split.fim_share,
        }
        for name, split in splits.items()
    }


def _run(jobs: Sequence[_Job], processes: int, total: int) -> Iterator[tuple[int, Splits]]:
    """Pack the jobs, in this process or several; yields each file's number as it is done."""
    with Progress("tokens", unit="bytes") as progress:
        started = time.monotonic()

        def show(text_bytes: int, tokens: int) -> None:
            rate = human_count(tokens / max(time.monotonic() - started, 1e-9))
            progress.advance(text_bytes - progress.done, f"{rate} tokens/s, {total} Parquet files")

        size = sum(job.source.stat().st_size for job in jobs)
        if processes == 1 or len(jobs) <= 1 or size < _WORTH_PROCESSES_BYTES:
            counts = _Counts()
            for job in jobs:
                yield job.number, _pack_file(job, counts, lambda: show(*counts.totals()))
        else:
            yield from _run_pool(jobs, processes, show)


def _run_pool(
    jobs: Sequence[_Job], processes: int, show: Callable[[int, int], None]
) -> Iterator[tuple[int, Splits]]:
    sums = SPAWN.Value("q", 0), SPAWN.Value("q", 0)
    yield from run_all(
        _work, sums, jobs, processes, tick=lambda: show(sums[0].value, sums[1].value)
    )


class _Counts:
    """Bytes and tokens packed so far, in one process."""

    def __init__(self) -> None:
        self.bytes, self.tokens = 0, 0

    def add(self, text_bytes: int, tokens: int) -> None:
        self.bytes += text_bytes
        self.tokens += tokens

    def totals(self) -> tuple[int, int]:
        return self.bytes, self.tokens


class _SharedCounts(_Counts):
    """The same, summed over processes."""

    def __init__(self, text_bytes: Synchronized[int], tokens: Synchronized[int]) -> None:
        super().__init__()
        self._shared = text_bytes, tokens

    def add(self, text_bytes: int, tokens: int) -> None:
        for value, amount in zip(self._shared, (text_bytes, tokens), strict=True):
            with value.get_lock():
                value.value += amount


def _work(sums: tuple[Synchronized[int], Synchronized[int]], job: _Job) -> tuple[int, Splits]:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # the processes are the parallelism
    return job.number, _pack_file(job, _SharedCounts(*sums), lambda: None)


@functools.lru_cache(maxsize=1)
def _tokenizer(folder: Path, sha256: str) -> Tokenizer:
    """A worker's tokenizer, kept with its table from one Parquet file to the next."""
    tokenizer = Tokenizer.load(folder)
    if tokenizer.sha256 != sha256:
        raise TokenizerError(folder, got="another tokenizer than when packing began")
    return tokenizer


def _pack_file(job: _Job, counts: _Counts, show: Callable[[], None]) -> Splits:
    tokenizer = _tokenizer(job.tokenizer_folder, job.tokenizer_sha256)
    splits = {}
    for split in SPLITS:
        settings = _settings(job, split)
        documents = iter(job.read(job.source, split))
        first = next(documents, None)
        if first is not None:
            sources: deque[Source] = deque()  # of the documents that are read but not yet encoded
            encoded = encode_documents(
                _noted(itertools.chain([first], documents), sources),
                tokenizer,
                settings,
                seed=job.seed,
            )
            report = _write_shard(job, split, settings, _watched(encoded, counts, show), sources)
            splits[split] = asdict(report)
    return splits


def _settings(job: _Job, split: str) -> TokensSettings:
    """Those of a split: held-out documents are plain text."""
    if split == "held_out":
        return job.settings.model_copy(update={"fim_rate": 0.0, "fim_schedule": ()})
    return job.settings


def shaping(settings: TokensSettings) -> dict[str, Any]:
    """The settings that ids depend on; a shard's `facts["settings"]`."""
    in_contexts = {"sequence_length"} if settings.fim_level == "context" else set()
    return settings.model_dump(mode="json", include=_SHAPING | in_contexts)


def _grammars(settings: TokensSettings) -> list[dict[str, str]]:
    """What else ids depend on, where files are cut by syntax."""
    return [versions()] if settings.fim_cut == "syntax" else []


def _facts(job: _Job, split: str, settings: TokensSettings) -> dict[str, Any]:
    """What a shard is made from, for its sidecar."""
    return {
        "tokenizer_sha256": job.tokenizer_sha256,
        "split": split,
        "seed": job.seed,
        "settings": shaping(settings),
        "grammars": _grammars(settings),
        "source": job.source.name,
        "source_sha256": job.source_sha256,
    }


def _noted(documents: Iterable[Document], sources: deque[Source]) -> Iterator[Document]:
    for document in documents:
        sources.append(Source.of(document))
        yield document


def _watched(
    encoded: Iterable[Encoded], counts: _Counts, show: Callable[[], None]
) -> Iterator[Encoded]:
    for document in encoded:
        yield document
        counts.add(document.text_bytes, len(document.ids))
        show()


def _write_shard(
    job: _Job,
    split: str,
    settings: TokensSettings,
    encoded: Iterable[Encoded],
    sources: deque[Source],
) -> SplitReport:
    name = f"{split}-{_piece(job.number)}"
    facts = _facts(job, split, settings)
    account, documents, text_bytes = Account(), 0, 0
    with ShardWriter(job.out / name, vocab_size=job.vocab_size, facts=facts) as writer:
        for document in encoded:
            source = sources.popleft()
            writer.add(
                document.ids,
                text_bytes=document.text_bytes,
                source=source,
                stage=document.stage,
                layouts=document.layouts,
                files=document.files if split == "held_out" else (),
            )
            documents += 1
            account += document.account
            text_bytes += document.text_bytes
    return SplitReport(
        shards=(name,),
        documents=documents,
        **asdict(account),
        tokens=writer.tokens,
        bytes=text_bytes,
    )
