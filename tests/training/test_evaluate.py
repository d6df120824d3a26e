"""Bits per byte against values worked out without the code under test."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from codekiln.training.evaluate import held_out_loss
from codekiln.training.held_out import FIM_MIDDLE, UNCOUNTED, Group, HeldOut, HeldOutText

VOCABULARY = 50
BYTES = np.array([0, 0] + [1 + i % 4 for i in range(VOCABULARY - 2)])  # 0 start, 1 end


def summed(logits: Tensor, targets: Tensor, groups: Tensor, count: int) -> list[float]:
    nats = F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-100, reduction="none")
    return [float(nats[groups == group].sum()) for group in range(count)]


class Uniform:
    """Every token is equally likely."""

    def nats(self, tokens: Tensor, targets: Tensor, groups: Tensor, count: int) -> list[float]:
        return summed(torch.zeros(*tokens.shape, VOCABULARY), targets, groups, count)


class Counting:
    """Its logits depend on all tokens so far: right only if windows and padding are."""

    def logits(self, tokens: Tensor) -> Tensor:
        seen = F.one_hot(tokens, VOCABULARY).cumsum(1).float()
        return seen.sin() * 3

    def nats(self, tokens: Tensor, targets: Tensor, groups: Tensor, count: int) -> list[float]:
        return summed(self.logits(tokens), targets, groups, count)


def documents(seed: int, lengths: list[int]) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [
        np.concatenate([[0], random.integers(2, VOCABULARY, size=n), [1]]).astype(np.uint16)
        for n in lengths
    ]


def sizes(texts: Sequence[np.ndarray]) -> list[int]:
    return [int(BYTES[text].sum()) for text in texts]


def plain(texts: Sequence[np.ndarray]) -> HeldOut:
    """All of one group."""
    return HeldOut(
        texts=tuple(HeldOutText(ids=t, groups=np.zeros(len(t) - 1, np.int64)) for t in texts),
        groups=(Group("code", "python"),),
        bytes=(sum(sizes(texts)),),
        documents=len(texts),
    )


def alone(text: np.ndarray, place: int, length: int) -> float:
    """Nats of one token, from the start of its window."""
    start = (place - 1) // length * length
    context = torch.tensor(text[start:place].astype(np.int64))[None]
    return -float(Counting().logits(context)[0, -1].log_softmax(-1)[int(text[place])])


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_uniform_model_costs_log2_of_the_vocabulary_a_token(batch_size: int) -> None:
    texts = documents(1, [5, 40, 16, 15, 1, 17])
    result = held_out_loss(Uniform(), plain(texts), sequence_length=16, batch_size=batch_size)
    tokens = sum(len(text) - 1 for text in texts)
    size = sum(sizes(texts))
    assert (result.tokens, result.bytes, result.documents) == (tokens, size, 6)
    assert result.bits_per_byte == pytest.approx(math.log2(VOCABULARY) * tokens / size, rel=1e-6)
    assert result.loss_nats_per_token == pytest.approx(math.log(VOCABULARY), rel=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_windows_and_padding_change_nothing(batch_size: int) -> None:
    texts = documents(2, [5, 40, 16, 15, 1, 17, 31, 33])
    nats = sum(alone(text, place, 16) for text in texts for place in range(1, len(text)))
    result = held_out_loss(Counting(), plain(texts), sequence_length=16, batch_size=batch_size)
    assert result.bits_per_byte == pytest.approx(nats / math.log(2) / sum(sizes(texts)), rel=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_each_group_costs_what_its_tokens_cost_one_by_one(batch_size: int) -> None:
    """Groups that alternate within documents and windows, and a rearranged file beside them."""
    texts = documents(3, [40, 7, 33, 12])
    groups = (Group("code", "go"), Group("code", "c"), Group("english"), FIM_MIDDLE)
    random = np.random.default_rng(4)
    of_each = [random.integers(0, 3, size=len(text) - 1) for text in texts]
    of_each[3] = np.where(np.arange(len(texts[3]) - 1) < 8, UNCOUNTED, 3)
    nats, count, size = np.zeros(4), np.zeros(4, np.int64), np.zeros(4, np.int64)
    for text, numbers in zip(texts, of_each, strict=True):
        for place in range(1, len(text)):
            if (group := numbers[place - 1]) != UNCOUNTED:
                nats[group] += alone(text, place, 16)
                count[group] += 1
                size[group] += BYTES[text[place]]
    held_out = HeldOut(
        texts=tuple(
            HeldOutText(ids=text, groups=numbers.astype(np.int64))
            for text, numbers in zip(texts, of_each, strict=True)
        ),
        groups=groups,
        bytes=tuple(size.tolist()),
        documents=3,
    )
    result = held_out_loss(Counting(), held_out, sequence_length=16, batch_size=batch_size)
    bits = nats / math.log(2)
    assert result.bits_per_byte == pytest.approx(bits[:3].sum() / size[:3].sum(), rel=1e-5)
    assert result.tokens == count[:3].sum()
    wanted = {
        "code": (bits[:2].sum() / size[:2].sum(), count[:2].sum(), size[:2].sum()),
        "english": (bits[2] / size[2], count[2], size[2]),
        "fim_middle": (bits[3] / size[3], count[3], size[3]),
        "go": (bits[0] / size[0], count[0], size[0]),
        "c": (bits[1] / size[1], count[1], size[1]),
    }
    assert result.by_kind.keys() | result.by_language.keys() == wanted.keys()
    for name, part in (result.by_kind | result.by_language).items():
        per_byte, tokens, text_bytes = wanted[name]
        assert part.bits_per_byte == pytest.approx(per_byte, rel=1e-5)
        assert (part.tokens, part.bytes) == (tokens, text_bytes)
    whole = [result.by_kind[kind] for kind in ("code", "english")]
    assert sum(part.bytes for part in whole) == result.bytes
    total = sum(part.bits_per_byte * part.bytes for part in whole)
    assert total == pytest.approx(result.bits_per_byte * result.bytes, rel=1e-12)
