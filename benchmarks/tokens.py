"""Tokenizing, fill-in-the-middle and packing in tokens a second a core; the loader a batch.

The text is real: the Python sources installed beside codekiln, 12 MB of them. The peer for
tokenizing is the Hugging Face tokenizers library with the same tokenizer.json, on one core.
"""

from __future__ import annotations

import os
import sysconfig
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import cast

os.environ.setdefault("RAYON_NUM_THREADS", "1")  # a core against a core

import numpy as np
import tokenizers
from numpy.typing import NDArray

from benchmarks.rows import Row, paired
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokenizer.train import train
from codekiln.tokens.cursor import Cursor
from codekiln.tokens.encode import encode_documents, plan
from codekiln.tokens.loader import Loader
from codekiln.tokens.settings import TokensSettings
from codekiln.tokens.shards import Shard, ShardWriter
from codekiln.types import Document, Span

TEXT_BYTES = 12_000_000
BATCH, SEQUENCE = 8, 1024


def run() -> list[Row]:
    """The rows of this benchmark."""
    texts = _sources()
    tokenizer = train(texts, TokenizerSettings(vocab_size=8192))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        rows += [_tokenizing(texts, tokenizer, Path(folder))]
        rows += _packing(texts, tokenizer, Path(folder))
    return rows


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

    def __init__(self, tokenizer: Tokenizer, documents: list[Document], seed: int) -> None:
        self.special = tokenizer.special
        files = [f for d in documents for f in plan(d, TokensSettings(), seed=seed)]
        texts = [text for file in files for text in file.texts]
        self._ids = dict(zip(texts, tokenizer.encode_arrays(texts), strict=True))

    def encode_arrays(self, texts: list[str]) -> list[NDArray[np.int32]]:
        return [self._ids[text] for text in texts]


def _packing(texts: list[str], tokenizer: Tokenizer, folder: Path) -> list[Row]:
    documents = [_document(i, texts[i : i + 5]) for i in range(0, len(texts), 5)]
    prefix = folder / "train-00000"

    def packed(chosen: Tokenizer) -> int:
        facts = {"tokenizer_sha256": tokenizer.sha256}
        with ShardWriter(prefix, vocab_size=tokenizer.vocab_size, facts=facts) as writer:
            for encoded in encode_documents(documents, chosen, TokensSettings(), seed=0):
                writer.add(encoded.ids, text_bytes=encoded.text_bytes)
        return writer.tokens

    known = cast(Tokenizer, _Known(tokenizer, documents, seed=0))
    all_of_it, without = paired(lambda: packed(tokenizer), lambda: packed(known), rounds=3)
    tokens, size = packed(tokenizer), _megabytes(texts)
    loader = Loader([Shard(prefix)], sequence_length=SEQUENCE, batch_size=BATCH, seed=0)
    cursor, count = Cursor(), min(200, loader.batches_per_epoch)
    started = time.perf_counter()
    for _ in range(count):
        _, cursor = loader.batch(cursor)
    seconds = (time.perf_counter() - started) / count
    return [
        Row(
            what="tokenizing, FIM and packing, one core",
            ours=tokens / all_of_it,
            unit="tokens/s",
            note=f"{size / all_of_it:.1f} MB/s; {size * 1e6 / tokens:.2f} bytes a token",
        ),
        Row(
            what="FIM and packing after tokenizing, one core",
            ours=tokens / without,
            unit="tokens/s",
            note=f"{without / all_of_it:.1%} of the time with it",
        ),
        Row(
            what=f"loader, batch of {BATCH} x {SEQUENCE}; less is better",
            ours=seconds * 1e3,
            unit="ms a batch",
            target="under 1% of a step",
            note=f"{BATCH * SEQUENCE / seconds / 1e6:.1f}M tokens/s",
        ),
    ]


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
