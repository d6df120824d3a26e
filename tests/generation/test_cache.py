from __future__ import annotations

import pytest
import torch

from codekiln.generation.cache import FIRST_CAPACITY, KVCache


def blocks(length: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(batch, 3, length, 4), torch.randn(batch, 3, length, 4)


def test_what_went_in_comes_out_through_every_doubling():
    cache = KVCache(layers=2, limit=4 * FIRST_CAPACITY)
    steps = [blocks(n) for n in (5, 1, FIRST_CAPACITY, 1, 2 * FIRST_CAPACITY)]
    for at, (keys, values) in enumerate(steps):
        for layer in range(2):
            got_keys, got_values = cache.update(layer, keys + layer, values - layer)
            wanted = torch.cat([k for k, _ in steps[: at + 1]], dim=2) + layer
            assert torch.equal(got_keys, wanted)
            wanted = torch.cat([v for _, v in steps[: at + 1]], dim=2) - layer
            assert torch.equal(got_values, wanted)
    assert cache.length == sum(k.shape[2] for k, _ in steps)


def test_length_moves_only_when_the_last_layer_is_written():
    cache = KVCache(layers=2, limit=8)
    cache.update(0, *blocks(3))
    assert cache.length == 0
    cache.update(1, *blocks(3))
    assert cache.length == 3


def test_memory_is_not_laid_out_anew_before_it_is_full_and_never_beyond_the_limit():
    cache = KVCache(layers=1, limit=300)
    first, _ = cache.update(0, *blocks(2))
    second, _ = cache.update(0, *blocks(10))
    assert first.data_ptr() == second.data_ptr()
    cache.update(0, *blocks(280))
    assert cache.capacity == 300
    with pytest.raises(ValueError, match="301 positions"):
        cache.update(0, *blocks(9))


def test_select_keeps_the_rows_named_in_their_order():
    cache = KVCache(layers=1, limit=64)
    keys, values = blocks(4, batch=3)
    cache.update(0, keys, values)
    cache.select(torch.tensor([2, 0]))
    more_keys, more_values = blocks(1, batch=2)
    got, _ = cache.update(0, more_keys, more_values)
    assert torch.equal(got, torch.cat([keys[[2, 0]], more_keys], dim=2))
