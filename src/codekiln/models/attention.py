"""Causal attention behind one function, whatever does the work.

| asked for | CPU | CUDA |
|---|---|---|
| causal | SDPA | SDPA (flash) |
| documents kept apart | SDPA, one call a document | varlen attention in bf16/fp16, else a mask |
| new tokens behind a cache | SDPA, heads of one key as queries; a mask if several | the same |
| padded batch | SDPA with a mask | the same |

On a CPU one call a document beats a mask by more than two: a mask pays for all pairs. Causal
attention in bf16 goes backward in fp32 there, see `_NarrowForward`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """What each query may see. Made once a forward pass, used by every layer.

    Args:
        causal: queries and keys are the same tokens, and there is no mask.
        lengths: lengths of the runs of one document, over the flattened batch.
        offsets: int32 [runs + 1] on the device: where runs start (for varlen attention).
        mask: bool [batch or 1, 1, queries, keys], True where a query may look.
        keys: with `offsets`, where keys are more than the queries.
    """

    causal: bool = True
    lengths: tuple[int, ...] = ()
    offsets: Tensor | None = None
    mask: Tensor | None = None
    keys: Keys | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Which keys each run of queries sees, where queries are a part of a sequence.

    Args:
        chosen: int64 [chosen]: places in the flattened batch of keys, run after run.
        offsets: int32 [runs + 1]: where each run's keys start among the chosen. The last query
            of a run sees all of them, the one before all but the last, and so on.
        longest: keys of the longest run.
    """

    chosen: Tensor
    offsets: Tensor
    longest: int


def visibility(
    batch: int,
    queries: int,
    past: int,
    *,
    device: torch.device,
    dtype: torch.dtype,
    document_ids: Tensor | None = None,
    attention_mask: Tensor | None = None,
) -> Visibility:
    """Decide how attention is computed.

    Args:
        queries: new tokens a row.
        past: tokens a row that the cache holds before them.
        dtype: what attention will compute in.
        document_ids: int [batch, queries]; neighbours with the same id see each other. Without
            a cache only.
        attention_mask: bool or int [batch, past + queries], zero where there is padding.

    Raises:
        ValueError: arguments that contradict each other.
    """
    if document_ids is not None and (past or attention_mask is not None):
        raise ValueError("document_ids go with neither a filled cache nor an attention_mask")
    if document_ids is not None:
        return _documents(document_ids, device, dtype)
    if attention_mask is not None and attention_mask.shape != (batch, past + queries):
        raise ValueError(
            f"attention_mask is {list(attention_mask.shape)}, not [{batch}, {past + queries}]"
        )
    if attention_mask is not None and not bool(attention_mask.all()):
        return Visibility(causal=False, mask=_padded(attention_mask.bool(), queries, past))
    if past == 0:
        return Visibility()
    if queries == 1:
        return Visibility(causal=False)
    return Visibility(causal=False, mask=_lower_right(queries, past, device)[None, None])


def attend(
    query: Tensor, key: Tensor, value: Tensor, seen: Visibility, *, scale: float | None = None
) -> Tensor:
    """Attention of [batch, heads, queries, width] over [batch, kv_heads, keys, width].

    Args:
        value: [batch, kv_heads, keys, v_width]; as wide as a key, or narrower.
        scale: of the scores; None is 1 / sqrt(width).

    Returns:
        [batch, queries, heads * v_width].
    """
    batch, _, queries, width = query.shape
    narrower = width - value.shape[-1]
    if scale is None:
        scale = width**-0.5
    if narrower and queries > 1:
        # fused kernels want one width: padding beats the plain one by up to five, see benchmarks
        value = functional.pad(value, (0, narrower))
    with torch.autocast(query.device.type, enabled=False):  # the dtype is the caller's choice
        out = _attend(query, key, value, seen, scale)
    return out[..., : width - narrower].reshape(batch, queries, -1)


def _attend(query: Tensor, key: Tensor, value: Tensor, seen: Visibility, scale: float) -> Tensor:
    grouped = query.shape[1] != key.shape[1]
    if seen.offsets is not None:
        return _varlen(query, key, value, seen.offsets, seen.keys, scale, grouped)
    if seen.lengths:
        return _document_by_document(query, key, value, seen.lengths, scale, grouped)
    if grouped and not seen.causal:
        return _heads_as_queries(query, key, value, seen.mask, scale)
    if seen.causal:
        return _causal(query, key, value, scale, grouped).transpose(1, 2)
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask=seen.mask, scale=scale
    ).transpose(1, 2)


def _causal(query: Tensor, key: Tensor, value: Tensor, scale: float, grouped: bool) -> Tensor:
    """[batch, heads, queries, width], of queries and keys that are the same tokens."""
    needs_grad = torch.is_grad_enabled() and query.requires_grad
    # an empty tensor ends the process in the kernel itself, by a division by zero
    narrow = query.dtype == torch.bfloat16 and query.device.type == "cpu" and query.numel()
    if needs_grad and narrow and not torch.compiler.is_compiling():
        result: Tensor = _NarrowForward.apply(query, key, value, scale)
        return result
    return functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scale, enable_gqa=grouped
    )


class _NarrowForward(torch.autograd.Function):
    """Causal attention on a CPU, forward in bf16, backward in fp32.

    With AMX bf16 halves the time of the kernel's forward pass; its backward pass gains little
    from it at best, and in documents of 128 tokens takes three times as long as fp32's.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, log_sum = kernel(query, key, value, 0.0, True, scale=scale)
        ctx.save_for_backward(query, key, value, out, log_sum)
        ctx.scale = scale
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *narrow, log_sum = ctx.saved_tensors
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        wide = [tensor.float() for tensor in (grad, *narrow)]
        grads = kernel(*wide, log_sum, 0.0, True, scale=ctx.scale)
        return *(g.to(grad.dtype) for g in grads), None


def _documents(ids: Tensor, device: torch.device, dtype: torch.dtype) -> Visibility:
    batch, count = ids.shape
    starts = _starts(ids)
    if device.type == "cpu":
        edges = [*starts.flatten().nonzero().flatten().tolist(), batch * count]
        lengths = tuple(b - a for a, b in itertools.pairwise(edges))
        return Visibility() if lengths == (count,) * batch else Visibility(lengths=lengths)
    if dtype in (torch.bfloat16, torch.float16):
        starts_at = starts.flatten().nonzero().flatten().to(torch.int32)
        return Visibility(offsets=functional.pad(starts_at, (0, 1), value=batch * count))
    return Visibility(causal=False, mask=document_mask(ids))


def document_mask(ids: Tensor) -> Tensor:
    """Causal within runs of equal ids: int [batch, sequence] -> bool [batch, 1, S, S]."""
    runs = _starts(ids).cumsum(1)
    return (runs[:, :, None] == runs[:, None, :]).tril()[:, None]


def partial_visibility(
    own: Tensor, document_ids: Tensor, *, device: torch.device, dtype: torch.dtype
) -> Visibility:
    """What queries see that are some tokens of each sequence, where keys are all its tokens.

    Args:
        own: int64 [queries], rising: the queries' places in the sequence.
        document_ids: int [batch, sequence], as of `visibility`; on the CPU.
        device, dtype: where, and in what, attention will compute.
    """
    runs = _starts(document_ids).cumsum(1)
    if device.type != "cpu" and dtype in (torch.bfloat16, torch.float16):
        return _runs_of_queries(own, runs, device)
    places = torch.arange(runs.shape[1])
    same = runs[:, own, None] == runs[:, None, :]
    return Visibility(causal=False, mask=(same & (own[:, None] >= places))[:, None].to(device))


def _runs_of_queries(own: Tensor, runs: Tensor, device: torch.device) -> Visibility:
    """Neighbouring queries of one document are a run; its keys begin with the document."""
    batch, length = runs.shape
    queries, chosen, key_counts = [], [], []
    for row in range(batch):
        mine = runs[row, own]
        new = torch.ones(len(own), dtype=torch.bool)
        new[1:] = (own[1:] != own[:-1] + 1) | (mine[1:] != mine[:-1])
        edges = [*new.nonzero().flatten().tolist(), len(own)]
        for first, end in itertools.pairwise(edges):
            start = int(torch.searchsorted(runs[row], mine[first]))
            stop = int(own[end - 1]) + 1
            queries.append(end - first)
            key_counts.append(stop - start)
            chosen.append(torch.arange(row * length + start, row * length + stop))
    keys = Keys(
        chosen=torch.cat(chosen).to(device),
        offsets=_offsets(key_counts, device),
        longest=max(key_counts),
    )
    return Visibility(causal=False, offsets=_offsets(queries, device), keys=keys)


def _offsets(lengths: list[int], device: torch.device) -> Tensor:
    return torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=device)


def _starts(ids: Tensor) -> Tensor:
    starts = torch.ones_like(ids, dtype=torch.bool)
    starts[:, 1:] = ids[:, 1:] != ids[:, :-1]
    return starts


def _lower_right(queries: int, past: int, device: torch.device) -> Tensor:
    """New token i sees the past and new tokens up to i; `is_causal` would align the left ends."""
    ones = torch.ones(queries, past + queries, dtype=torch.bool, device=device)
    return ones.tril(diagonal=past)


def _padded(present: Tensor, queries: int, past: int) -> Tensor:
    causal = _lower_right(queries, past, present.device)
    itself = causal & ~causal.tril(diagonal=past - 1)
    # padding sees itself: a row that sees nothing would be 0 / 0
    return ((causal & present[:, None, :]) | itself)[:, None]


def _document_by_document(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    lengths: tuple[int, ...],
    scale: float,
    grouped: bool,
) -> Tensor:
    # rows one after another, [1, heads, batch * sequence, head_dim]: views, nothing is copied
    flat = [t.transpose(1, 2).flatten(0, 1).transpose(0, 1)[None] for t in (query, key, value)]
    pieces = zip(*(t.split(lengths, dim=2) for t in flat), strict=True)
    out = [_causal(q, k, v, scale, grouped).transpose(1, 2) for q, k, v in pieces]
    return torch.cat(out, dim=1).view(query.shape[0], query.shape[2], *out[0].shape[2:])


def _heads_as_queries(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float
) -> Tensor:
    """Heads that share a key become further queries of one head: no key is copied for each.

    Four times faster than `enable_gqa` for one query of 16 heads over 2048 latents on a CPU.
    """
    batch, heads, queries, width = query.shape
    shared = key.shape[1]
    folded = query.reshape(batch, shared, -1, width)
    if mask is not None:
        mask = mask.repeat(1, 1, heads // shared, 1)
    out = functional.scaled_dot_product_attention(folded, key, value, attn_mask=mask, scale=scale)
    return out.view(batch, heads, queries, -1).transpose(1, 2)


def _varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    offsets: Tensor,
    keys: Keys | None,
    scale: float,
    grouped: bool,
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (t.transpose(1, 2).flatten(0, 1) for t in (query, key, value))
    longest = query.shape[2]  # no document is longer than its row; the true maximum would wait
    if keys is not None:
        k, v = k[keys.chosen], v[keys.chosen]
    out = varlen_attn(
        q,
        k,
        v,
        offsets,
        offsets if keys is None else keys.offsets,
        longest,
        longest if keys is None else keys.longest,
        scale=scale,
        window_size=(-1, 0),
        enable_gqa=grouped,
    )
    assert isinstance(out, Tensor)  # a tuple only if asked for more
    return out.view(query.shape[0], longest, *out.shape[1:])
