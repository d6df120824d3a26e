"""Attention against softmax written out in fp64."""

import pytest
import torch
from torch import Tensor

from codekiln.models.attention import attend, document_mask, visibility

SCALE = 0.3


def _literal(query: Tensor, key: Tensor, value: Tensor, seen: Tensor) -> Tensor:
    copies = query.shape[1] // key.shape[1]
    key, value = (t.repeat_interleave(copies, 1) for t in (key, value))
    scores = (query @ key.mT * SCALE).masked_fill(~seen, -torch.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)


def _draw(kv_heads: int, v_width: int, dtype: torch.dtype) -> list[Tensor]:
    torch.manual_seed(0)
    sizes = ((4, 24), (kv_heads, 24), (kv_heads, v_width))
    return [torch.randn(2, heads, 70, width).to(dtype) for heads, width in sizes]


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("v_width", [24, 16])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-6), (torch.bfloat16, 0.01)])
def test_values_and_gradients(
    documents: bool, kv_heads: int, v_width: int, dtype: torch.dtype, most: float
) -> None:
    ids = torch.zeros(2, 70, dtype=torch.long)
    if documents:
        ids[0, 3:], ids[1, 40:] = 1, 1
    seen = visibility(2, 70, 0, device=ids.device, dtype=dtype, document_ids=ids)
    inputs = [t.requires_grad_() for t in _draw(kv_heads, v_width, dtype)]
    exact = [t.detach().double().requires_grad_() for t in inputs]
    out = attend(*inputs, seen, scale=SCALE)
    wanted = _literal(*exact, document_mask(ids))
    direction = torch.randn(wanted.shape, dtype=torch.double)
    gradients = torch.autograd.grad(out, inputs, direction.to(dtype))
    wanted_gradients = torch.autograd.grad(wanted, exact, direction)
    for a, b in zip((out, *gradients), (wanted, *wanted_gradients), strict=True):
        assert a.dtype == dtype
        assert (a.double() - b).norm() <= most * b.norm()
    with torch.no_grad():
        assert torch.equal(attend(*inputs, seen, scale=SCALE), out)
