from __future__ import annotations

import itertools
from collections import Counter

import pytest
import torch

from codekiln.errors import CodekilnError, UserError
from codekiln.generation.sample import Sampler, Sampling, distribution

LOGITS = torch.tensor([2.0, -1.0, 0.5, 1.5, 0.0, -3.0])


def draws(sampling: Sampling, count: int, logits: torch.Tensor = LOGITS) -> list[int]:
    sampler = Sampler(sampling, len(logits))
    return [sampler.choose(logits).token for _ in range(count)]


def test_greedy_takes_the_likeliest_and_never_an_id_beyond_the_vocabulary():
    padded = torch.cat([LOGITS, torch.tensor([99.0])])
    assert Sampler(Sampling(), 6).choose(padded).token == 0
    sampler = Sampler(Sampling(temperature=1.0, seed=1), 6)
    assert all(sampler.choose(padded).token < 6 for _ in range(200))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_those_of_the_softmax(temperature):
    count = 6000
    seen = Counter(draws(Sampling(temperature=temperature, seed=7), count))
    wanted = torch.softmax(LOGITS / temperature, -1)
    likely = [i for i in range(6) if wanted[i] * count >= 5]
    chi = sum((seen[i] - count * wanted[i]) ** 2 / (count * wanted[i]) for i in likely)
    assert chi < 20.5  # the 0.999 quantile of chi-square with 5 degrees of freedom


def brute_force_nucleus(probabilities: list[float], top_p: float) -> set[int]:
    """The smallest set that reaches p; of the smallest ones, the most probable."""
    ids = range(len(probabilities))
    for size in range(1, len(probabilities) + 1):
        sets = list(itertools.combinations(ids, size))
        best = max(sets, key=lambda s: sum(probabilities[i] for i in s))
        if sum(probabilities[i] for i in best) >= top_p:
            return set(best)
    return set(ids)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("top_p", [0.05, 0.3, 0.6, 0.9, 0.99])
def test_top_p_keeps_the_smallest_set_that_reaches_p(seed, top_p):
    logits = 2 * torch.randn(7, generator=torch.Generator().manual_seed(seed))
    ids, kept = distribution(logits, temperature=0.8, top_p=top_p)
    everything = torch.softmax(logits / 0.8, -1)
    assert set(ids.tolist()) == brute_force_nucleus(everything.tolist(), top_p)
    wanted = everything[ids] / everything[ids].sum()
    assert torch.allclose(kept, wanted, atol=1e-6)


def test_top_k_keeps_exactly_k_also_among_equals():
    ids, kept = distribution(torch.zeros(5), temperature=1.0, top_k=2)
    assert ids.tolist() == [0, 1]
    assert kept.tolist() == [0.5, 0.5]
    assert set(draws(Sampling(temperature=1.0, top_k=2, seed=3), 200)) == {0, 3}


def test_top_p_is_taken_of_what_top_k_left():
    ids, _ = distribution(torch.zeros(10), temperature=1.0, top_k=4, top_p=0.5)
    assert ids.tolist() == [0, 1]


def test_a_seed_repeats_and_another_differs():
    first, again = (draws(Sampling(temperature=1.5, seed=11), 50) for _ in range(2))
    assert first == again
    assert first != draws(Sampling(temperature=1.5, seed=12), 50)
    assert draws(Sampling(temperature=1.5), 50) != draws(Sampling(temperature=1.5), 50)


def test_a_tiny_temperature_is_greedy_and_not_an_overflow():
    assert set(draws(Sampling(temperature=1e-9, seed=1), 20, LOGITS * 1000)) == {0}


def test_penalties_are_taken_off_as_defined():
    # 2.0 -1.0 0.5 1.5: id 0 falls under id 3 after one turn, then they take turns
    sampler = Sampler(Sampling(presence_penalty=0.4, frequency_penalty=0.2), 6)
    counts = Counter()
    for _ in range(12):
        wanted = LOGITS.clone()
        for i in range(6):
            wanted[i] -= counts[i] * 0.2 + (counts[i] > 0) * 0.4
        token = sampler.choose(LOGITS).token
        assert token == int(wanted.argmax())
        counts[token] += 1
    assert len(counts) > 2
    assert LOGITS[0] == 2.0  # the caller's logits are untouched


def test_logit_bias_forces_and_bans():
    assert Sampler(Sampling(logit_bias=((5, 100.0),)), 6).choose(LOGITS).token == 5
    assert Sampler(Sampling(logit_bias=((0, -100.0),)), 6).choose(LOGITS).token == 3
    with pytest.raises(UserError, match="ids below 6"):
        Sampler(Sampling(logit_bias=((6, 1.0),)), 6)


def test_logprobs_are_the_models_own_whatever_the_settings():
    settings = Sampling(temperature=3.0, top_k=3, seed=1, logprobs=2, logit_bias=((5, 50.0),))
    choice = Sampler(settings, 6).choose(LOGITS)
    wanted = LOGITS.log_softmax(-1)
    assert choice.token == 5
    assert choice.logprob == pytest.approx(float(wanted[5]))
    assert choice.top == (
        (0, pytest.approx(float(wanted[0]))),
        (3, pytest.approx(float(wanted[3]))),
    )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_numbers_are_an_error(temperature):
    logits = LOGITS.clone()
    logits[2] = float("nan")
    with pytest.raises(CodekilnError, match="not numbers"):
        Sampler(Sampling(temperature=temperature, seed=0), 6).choose(logits)


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_p": -0.1},
        {"top_p": 1.1},
        {"top_k": -1},
        {"max_new_tokens": -1},
        {"stop": ("",)},
        {"logprobs": 21},
        {"presence_penalty": float("inf")},
        {"logit_bias": ((0, float("nan")),)},
    ],
)
def test_values_out_of_range_are_named(values):
    with pytest.raises(UserError, match=next(iter(values))):
        Sampling(**values)
