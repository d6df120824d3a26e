"""Tokenizing, fill-in-the-middle and packing in tokens a second a core; layouts; a batch in ms.

The text is real: the Python sources installed beside codekiln, 12 MB of them. The peer for
tokenizing is the Hugging Face tokenizers library with the same tokenizer.json, on one core.
"""

from __future__ import annotations

import functools
import os
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import cast, get_args

os.environ.setdefault("RAYON_NUM_THREADS", "1")  # a core against a core

import numpy as np
import tokenizers
from numpy.typing import NDArray

from benchmarks.rows import Row, paired
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokenizer.train import train
from codekiln.tokens.cursor import Cursor
from codekiln.tokens.encode import encode_documents
from codekiln.tokens.layout import Layout, lay_out
from codekiln.tokens.loader import Loader
from codekiln.tokens.packing_report import packing_report
from codekiln.tokens.plan import plan
from codekiln.tokens.sampling import Documents, Sampling
from codekiln.tokens.settings import Packing, TokensSettings
from codekiln.tokens.shards import Shard, ShardWriter
from codekiln.tokens.sources import Source
from codekiln.types import Document, Span

TEXT_BYTES = 12_000_000
BATCHES = ((8, 1024), (4, 16384))  # sequences of so many ids
BATCHES_A_ROUND = 20
_PLAIN = TokensSettings()
WAYS = {
    "PSM": _PLAIN,
    "MSP": TokensSettings(fim_order="msp"),
    "cuts between tokens": TokensSettings(fim_cut="token"),
    "contexts of 1024": TokensSettings(
        fim_level="context", fim_cut="token", packing="best_fit", sequence_length=1024
    ),
}
DOCUMENTS = 1_000_000  # to be laid out


def run() -> list[Row]:
    """The rows of this benchmark."""
    texts = _sources()
    tokenizer = train(texts, TokenizerSettings(vocab_size=8192))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        rows += [_tokenizing(texts, tokenizer, Path(folder))]
        rows += _packing(texts, tokenizer, Path(folder))
        rows += _loading(Shard(Path(folder) / "train-00000"))
    return [*rows, *_laying_out()]


def _sources() -> list[str]:
    texts, size = [], 0
    for name in ("stdlib", "purelib"):
        for path in sorted(Path(sysconfig.get_path(name)).rglob("*.py")):
            if size >= TEXT_BYTES:
                return texts
            if "site-packages" in path.parts and name == "stdlib":
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            texts.append(text)
            size += len(text.encode())
    return texts


def _megabytes(texts: Iterable[str]) -> float:
    return sum(len(text.encode()) for text in texts) / 1e6


def _tokenizing(texts: list[str], tokenizer: Tokenizer, folder: Path) -> Row:
    tokenizer.save(folder)
    library = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))

    def ours() -> list[object]:
        fresh = Tokenizer.load(folder)  # without what an earlier round has learnt
        return [
            ids for i in range(0, len(texts), 64) for ids in fresh.encode_arrays(texts[i : i + 64])
        ]

    def peer() -> list[object]:
        return [e.ids for e in library.encode_batch_fast(texts, add_special_tokens=False)]

    mine, theirs = paired(ours, peer, rounds=3, warmup=1)
    size = _megabytes(texts)
    return Row(
        what="tokenize Python, one core",
        ours=size / mine,
        unit="MB/s",
        peer=size / theirs,
        peer_name="tokenizers",
        target="at least the peer",
        note=f"{sum(map(len, ours())) / mine / 1e6:.2f}M tokens/s; table of pieces included",
    )


class _Known:
    """A tokenizer that knows the ids of all texts already: what is left is our own work."""

    def __init__(
        self, tokenizer: Tokenizer, documents: list[Document], settings: TokensSettings
    ) -> None:
        self.special, self.vocab_size = tokenizer.special, tokenizer.vocab_size
        self.encode, self.token_bytes = tokenizer.encode, tokenizer.token_bytes
        files = [f for d in documents for f in plan(d, settings, seed=0)]
        texts = [text for file in files for text in file.texts]
        self._ids = dict(zip(texts, tokenizer.encode_arrays(texts), strict=True))

    def encode_arrays(self, texts: list[str]) -> list[NDArray[np.int32]]:
        return [self._ids[text] for text in texts]


def _packing(texts: list[str], tokenizer: Tokenizer, folder: Path) -> list[Row]:
    documents = [_document(i, texts[i : i + 5]) for i in range(0, len(texts), 5)]
    prefix = folder / "train-00000"

    def packed(chosen: Tokenizer, settings: TokensSettings = _PLAIN) -> int:
        facts = {"tokenizer_sha256": tokenizer.sha256}
        with ShardWriter(prefix, vocab_size=tokenizer.vocab_size, facts=facts) as writer:
            for encoded in encode_documents(documents, chosen, settings, seed=0):
                writer.add(encoded.ids, text_bytes=encoded.text_bytes, layouts=encoded.layouts)
        return writer.tokens

    rows = []
    for name, settings in WAYS.items():
        known = cast(Tokenizer, _Known(tokenizer, documents, settings))
        seconds, _ = paired(functools.partial(packed, known, settings), int, rounds=3, warmup=1)
        rows.append(
            Row(
                what=f"FIM and packing after tokenizing, one core, {name}",
                ours=packed(known, settings) / seconds,
                unit="tokens/s",
                target="5M",
            )
        )
    by_syntax = TokensSettings(fim_cut="syntax")
    slow, all_of_it = paired(
        lambda: packed(tokenizer, by_syntax), lambda: packed(tokenizer), rounds=3
    )
    tokens, size = packed(tokenizer), _megabytes(texts)
    return [
        *rows,
        Row(
            what="the same with tokenizing, cuts by syntax",
            ours=tokens / slow,
            unit="tokens/s",
            peer=tokens / all_of_it,
            peer_name="cuts by character",
            note="a second process parses",
        ),
        Row(
            what="tokenizing, FIM and packing, one core",
            ours=tokens / all_of_it,
            unit="tokens/s",
            note=f"{size / all_of_it:.1f} MB/s; {size * 1e6 / tokens:.2f} bytes a token",
        ),
    ]


def _loading(shard: Shard) -> list[Row]:
    """Each packing's time a batch, and what it does to the documents."""
    rows = []
    for batch, length in BATCHES:
        walks = [_Walk(shard, packing, batch, length) for packing in get_args(Packing)]
        cut, whole = paired(walks[0], walks[1], rounds=9, warmup=1)
        figures = packing_report([shard], TokensSettings(sequence_length=length), seed=0)
        for walk, seconds in zip(walks, (cut, whole), strict=True):
            seconds /= BATCHES_A_ROUND
            found = figures.packings[walk.packing]
            fit = figures.documents - figures.longer_documents
            needlessly = round(found.cut_share * figures.documents) - figures.longer_documents
            rows.append(
                Row(
                    what=f"loader, batch of {batch} x {length}, {walk.packing}; less is better",
                    ours=seconds * 1e3,
                    unit="ms a batch",
                    target="under 1% of a step",
                    note=f"{batch * length / seconds / 1e6:.0f}M tokens/s; "
                    f"{found.cut_share:.1%} of documents cut, {needlessly:,} of the {fit:,} "
                    f"that fit; {found.padding_share:.2%} padding",
                )
            )
    return rows


class _Walk:
    """A loader, and batch after batch from where it stands."""

    def __init__(self, shard: Shard, packing: Packing, batch: int, length: int) -> None:
        self.packing, self._cursor = packing, Cursor()
        self._loader = Loader(
            [shard], sequence_length=length, batch_size=batch, seed=0, packing=packing
        )

    def __call__(self) -> None:
        for _ in range(BATCHES_A_ROUND):
            _, self._cursor = self._loader.batch(self._cursor)


def _laying_out() -> list[Row]:
    """A million documents, long-tailed as code is: once, and with other documents each pass."""
    random = np.random.default_rng(0)
    lengths = random.lognormal(6.5, 1.3, DOCUMENTS).astype(np.int64) + 2
    documents = Documents(
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        codes=random.integers(0, 3, DOCUMENTS).astype(np.int32),
        sources=tuple(Source(kind="code", language=name) for name in ("c", "go", "python")),
    )
    weights = TokensSettings(weights={"go": 0.7, "python": 2.3})
    rows = []
    for _, length in BATCHES:
        layout = lay_out("best_fit", documents.starts, length)
        plain = functools.partial(lay_out, "best_fit", documents.starts, length)
        sampling = Sampling(documents, weights, seed=0)
        weighted = functools.partial(_weighted, sampling, documents.starts, length)
        once, sampled = paired(plain, weighted, rounds=3)
        padding = layout.padding / layout.sequences / length
        rows.append(
            Row(
                what=f"best fit, {DOCUMENTS:,} documents to {length}; less is better",
                ours=once,
                unit="s",
                target="a few seconds",
                note=f"{padding:.3%} padding; {sampled:.2f} s a pass where weights change",
            )
        )
    return rows


def _weighted(sampling: Sampling, starts: NDArray[np.int64], length: int) -> Layout:
    return lay_out("best_fit", starts, length, sampling.rounds(1))


def _document(number: int, bodies: list[str]) -> Document:
    text, spans = "", []
    for i, body in enumerate(bodies):
        header = f"#package{number}/module{i}.py\n"
        start, text = len(text), f"{text}{header}{body}"
        spans.append(
            Span(
                path=header[1:-1],
                language="python",
                start=start,
                body=start + len(header),
                end=len(text),
            )
        )
    return Document(id=f"d{number}", text=text, source="installed", spans=tuple(spans))
