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
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codekiln.log import Progress
from codekiln.tokens.batch import IGNORED
from codekiln.training.held_out import FIM_MIDDLE, UNCOUNTED, Group, HeldOut, HeldOutText


class LanguageModel(Protocol):
    """What evaluation needs of a model."""

    def nats(self, tokens: Tensor, targets: Tensor, groups: Tensor, count: int) -> list[float]:
        """Summed nats of each group of targets; -100 is no target.

        All int64 [batch, sequence], CPU; groups from 0 to `count` - 1.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLoss:
    """What a part of the text costs. `tokens`: the predicted ones. `bytes`: UTF-8."""

    bits_per_byte: float
    tokens: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutLoss:
    """Result of one evaluation.

    Args:
        tokens: the predicted ones of documents.
        bytes: of their text, UTF-8.
        seconds: that all of it took.
        by_kind: documents by kind, which add up to the whole; and "fim_middle", the middles of
            files that were rearranged for infilling.
        by_language: documents by language; without those that have none.
    """

    bits_per_byte: float
    loss_nats_per_token: float
    tokens: int
    bytes: int
    documents: int
    seconds: float
    by_kind: dict[str, GroupLoss]
    by_language: dict[str, GroupLoss]


@dataclass(frozen=True, slots=True)
class _Window:
    tokens: NDArray[Any]
    targets: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Cost:
    """Of one group."""

    group: Group
    nats: float
    tokens: int
    bytes: int


def held_out_loss(
    model: LanguageModel, held_out: HeldOut, *, sequence_length: int, batch_size: int
) -> HeldOutLoss:
    """Evaluate `model` on texts, each beginning with the start token.

    Args:
        model: anything with `nats`.
        held_out: the texts.
        sequence_length: tokens in a window.
        batch_size: windows of this length that are read at once (more of shorter ones).
    """
    started = time.perf_counter()
    costs = _costs(model, held_out, sequence_length, batch_size * sequence_length)
    documents = [cost for cost in costs if cost.group != FIM_MIDDLE]
    nats = math.fsum(cost.nats for cost in documents)
    tokens = sum(cost.tokens for cost in documents)
    size = sum(cost.bytes for cost in documents)
    return HeldOutLoss(
        bits_per_byte=_bits(nats, size),
        loss_nats_per_token=nats / tokens if tokens else math.nan,
        tokens=tokens,
        bytes=size,
        documents=held_out.documents,
        seconds=time.perf_counter() - started,
        by_kind=_by(costs, lambda group: group.kind),
        by_language=_by(documents, lambda group: group.language),
    )


def _costs(model: LanguageModel, held_out: HeldOut, length: int, batch_tokens: int) -> list[_Cost]:
    count = len(held_out.groups)
    nats, tokens = np.zeros(count), np.zeros(count, dtype=np.int64)
    windows = [w for text in held_out.texts for w in _windows(text, length)]
    total = sum(len(w.tokens) for w in windows)
    with Progress("evaluating", total=total, unit="tokens") as progress:
        for batch in _batches(windows, batch_tokens):
            nats += model.nats(*_padded(batch), count)
            for window in batch:
                counted = window.groups[window.targets != IGNORED]
                tokens += np.bincount(counted, minlength=count)
            progress.advance(sum(len(w.tokens) for w in batch))
    groups = zip(held_out.groups, nats.tolist(), tokens.tolist(), held_out.bytes, strict=True)
    return [_Cost(*values) for values in groups]


def _by(costs: list[_Cost], name: Callable[[Group], str]) -> dict[str, GroupLoss]:
    """Sums over groups of one name, the largest first."""
    sums: dict[str, list[_Cost]] = {}
    for cost in costs:
        if key := name(cost.group):
            sums.setdefault(key, []).append(cost)
    found = {}
    for key, parts in sums.items():
        size = sum(part.bytes for part in parts)
        bits = _bits(math.fsum(part.nats for part in parts), size)
        tokens = sum(part.tokens for part in parts)
        found[key] = GroupLoss(bits_per_byte=bits, tokens=tokens, bytes=size)
    return dict(sorted(found.items(), key=lambda item: -item[1].bytes))


def _bits(nats: float, size: int) -> float:
    return nats / math.log(2) / size if size else math.nan


def _windows(text: HeldOutText, length: int) -> Iterator[_Window]:
    for start in range(0, len(text.ids) - 1, length):
        piece = np.asarray(text.ids[start : start + length + 1], dtype=np.int64)
        groups = text.groups[start : start + length]
        targets = np.where(groups == UNCOUNTED, IGNORED, piece[1:])
        yield _Window(piece[:-1], targets, np.maximum(groups, 0))


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


def _padded(batch: list[_Window]) -> tuple[Tensor, Tensor, Tensor]:
    """Padding stands on the right, where causal attention never lets a real token see it."""
    shape = (len(batch), max(len(w.tokens) for w in batch))
    tokens, groups = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    targets = np.full(shape, IGNORED, dtype=np.int64)
    for row, window in enumerate(batch):
        for whole, part in zip(
            (tokens, targets, groups), (window.tokens, window.targets, window.groups), strict=True
        ):
            whole[row, : len(part)] = part
    return torch.from_numpy(tokens), torch.from_numpy(targets), torch.from_numpy(groups)
