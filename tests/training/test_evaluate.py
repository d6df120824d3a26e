"""Bits per byte against values worked out without the code under test."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from codekiln.training.evaluate import choose_documents, held_out_loss

VOCABULARY = 50
BYTES = np.array([0, 0] + [1 + i % 4 for i in range(VOCABULARY - 2)])  # 0 start, 1 end


def summed(logits: Tensor, targets: Tensor) -> float:
    flat = logits.flatten(0, 1), targets.flatten()
    return float(F.cross_entropy(*flat, ignore_index=-100, reduction="sum"))


class Uniform:
    """Every token is equally likely."""

    def nats(self, tokens: Tensor, targets: Tensor) -> float:
        logits = torch.zeros(*tokens.shape, VOCABULARY)
        return summed(logits, targets)


class Counting:
    """Its logits depend on all tokens so far: right only if windows and padding are."""

    def logits(self, tokens: Tensor) -> Tensor:
        seen = F.one_hot(tokens, VOCABULARY).cumsum(1).float()
        return seen.sin() * 3

    def nats(self, tokens: Tensor, targets: Tensor) -> float:
        logits = self.logits(tokens)
        return summed(logits, targets)


def documents(seed: int, lengths: list[int]) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [
        np.concatenate([[0], random.integers(2, VOCABULARY, size=n), [1]]).astype(np.uint16)
        for n in lengths
    ]


def sizes(texts: list[np.ndarray]) -> list[int]:
    return [int(BYTES[text].sum()) for text in texts]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_uniform_model_costs_log2_of_the_vocabulary_a_token(batch_size: int) -> None:
    texts = documents(1, [5, 40, 16, 15, 1, 17])
    result = held_out_loss(
        Uniform(), texts, sizes(texts), sequence_length=16, batch_size=batch_size
    )
    tokens = sum(len(text) - 1 for text in texts)
    size = sum(sizes(texts))
    assert (result.tokens, result.bytes, result.documents) == (tokens, size, 6)
    assert result.bits_per_byte == pytest.approx(math.log2(VOCABULARY) * tokens / size, rel=1e-6)
    assert result.loss_nats_per_token == pytest.approx(math.log(VOCABULARY), rel=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_windows_and_padding_change_nothing(batch_size: int) -> None:
    texts = documents(2, [5, 40, 16, 15, 1, 17, 31, 33])
    length = 16
    nats, model = 0.0, Counting()
    for text in texts:  # token by token, from the start of the token's window
        for place in range(1, len(text)):
            start = (place - 1) // length * length
            context = torch.tensor(text[start:place].astype(np.int64))[None]
            probabilities = model.logits(context)[0, -1].log_softmax(-1)
            nats -= float(probabilities[int(text[place])])
    result = held_out_loss(
        model, texts, sizes(texts), sequence_length=length, batch_size=batch_size
    )
    size = sum(sizes(texts))
    assert result.bits_per_byte == pytest.approx(nats / math.log(2) / size, rel=1e-5)


def test_whole_documents_up_to_the_limit() -> None:
    lengths = [100, 20, 30, 40, 500, 10]
    for limit in (10, 60, 110, 699, 700):
        chosen = choose_documents(lengths, limit)
        assert sum(lengths[i] for i in chosen) <= limit
        left = limit - sum(lengths[i] for i in chosen)
        assert all(lengths[i] > left for i in range(6) if i not in chosen)  # no more would fit
    assert choose_documents(lengths, 700) == [0, 1, 2, 3, 4, 5]
    assert choose_documents(lengths, 3) == [5]  # the shortest stands in
    assert choose_documents([], 100) == []


def test_the_choice_is_fixed_but_not_the_first_ones() -> None:
    lengths = [10] * 1000
    chosen = choose_documents(lengths, 100)
    assert chosen == choose_documents(lengths, 100)
    assert len(chosen) == 10
    assert chosen != list(range(10))
