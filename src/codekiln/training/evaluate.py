"""Bits per byte on held-out text: a loss that does not depend on the tokenizer.

Nats of all predicted tokens, over ln 2, over the UTF-8 bytes of the documents' text. Each
document is read from its start. All its tokens but the first (the start token) are predicted
once, the end token included: knowing where a text ends is part of the cost of coding it.

Open in the papers: documents longer than the context. Here they are cut into windows that follow
one another; a window begins with the last token of the one before, so that each token is
predicted exactly once. That costs one pass; sliding windows would read lower and cost more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from codekiln.log import Progress
from codekiln.tokens.batch import IGNORED

CHOICE_SEED = 0  # the same documents at every evaluation of every run


class LanguageModel(Protocol):
    """What evaluation needs of a model."""

    def nats(self, tokens: Tensor, targets: Tensor) -> float:
        """Summed nats of the targets that are not -100; both int64 [batch, sequence], CPU."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutLoss:
    """Result of one evaluation. `tokens`: the predicted ones. `bytes`: of the text, UTF-8."""

    bits_per_byte: float
    loss_nats_per_token: float
    tokens: int
    bytes: int
    documents: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Window:
    tokens: np.ndarray
    targets: np.ndarray


def choose_documents(lengths: Sequence[int], limit: int) -> list[int]:
    """Whole documents of at most `limit` tokens together: indices, the same at every call.

    In a fixed random order, so that one large repository does not stand for all; a document
    that would go over the limit is passed over. If every document is longer, the shortest.
    """
    order = np.random.default_rng(CHOICE_SEED).permutation(len(lengths))
    chosen, total = [], 0
    for index in order.tolist():
        if total + lengths[index] <= limit:
            chosen.append(index)
            total += lengths[index]
    if not chosen and len(lengths):
        chosen = [int(np.argmin(lengths))]
    return sorted(chosen)


def held_out_loss(
    model: LanguageModel,
    documents: Sequence[np.ndarray],
    text_bytes: Sequence[int],
    *,
    sequence_length: int,
    batch_size: int,
) -> HeldOutLoss:
    """Evaluate `model` on token sequences, each beginning with the start token.

    Args:
        model: anything with `nats`.
        documents: token ids, one array a document.
        text_bytes: UTF-8 bytes of each document's text.
        sequence_length: tokens in a window.
        batch_size: windows of this length that are read at once (more of shorter ones).
    """
    started = time.perf_counter()
    windows = [w for document in documents for w in _windows(document, sequence_length)]
    nats, tokens, size = 0.0, 0, int(sum(text_bytes))
    total = sum(len(w.targets) for w in windows)
    with Progress("evaluating", total=total, unit="tokens") as progress:
        for batch in _batches(windows, batch_size * sequence_length):
            count = sum(len(w.targets) for w in batch)
            nats += model.nats(*_padded(batch))
            tokens += count
            progress.advance(count)
    return HeldOutLoss(
        bits_per_byte=nats / math.log(2) / size if size else math.nan,
        loss_nats_per_token=nats / tokens if tokens else math.nan,
        tokens=tokens,
        bytes=size,
        documents=len(documents),
        seconds=time.perf_counter() - started,
    )


def _windows(document: np.ndarray, length: int) -> Iterator[_Window]:
    for start in range(0, len(document) - 1, length):
        piece = np.asarray(document[start : start + length + 1], dtype=np.int64)
        yield _Window(piece[:-1], piece[1:])


def _batches(windows: list[_Window], most_tokens: int) -> Iterator[list[_Window]]:
    """Windows of like length together, so that little of a batch is padding."""
    batch: list[_Window] = []
    for window in sorted(windows, key=lambda w: len(w.tokens), reverse=True):
        if batch and (len(batch) + 1) * len(batch[0].tokens) > most_tokens:
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch


def _padded(batch: list[_Window]) -> tuple[Tensor, Tensor]:
    """Padding stands on the right, where causal attention never lets a real token see it."""
    shape = (len(batch), max(len(w.tokens) for w in batch))
    tokens = np.zeros(shape, dtype=np.int64)
    targets = np.full(shape, IGNORED, dtype=np.int64)
    for row, window in enumerate(batch):
        tokens[row, : len(window.tokens)] = window.tokens
        targets[row, : len(window.targets)] = window.targets
    return torch.from_numpy(tokens), torch.from_numpy(targets)
