"""Causal attention behind one function, whatever does the work.

| asked for | CPU | CUDA |
|---|---|---|
| causal | SDPA | SDPA (flash) |
| documents kept apart | SDPA, one call a document | varlen attention in bf16/fp16, else a mask |
| new tokens behind a cache | SDPA, heads of one key as queries; a mask if several | the same |
| padded batch | SDPA with a mask | the same |

On a CPU one call a document beats a mask by more than two: a mask pays for all pairs.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class Visibility:
    """What each query may see. Made once a forward pass, used by every layer.

    Args:
        causal: queries and keys are the same tokens, and there is no mask.
        lengths: lengths of the runs of one document, over the flattened batch.
        offsets: int32 [runs + 1] on the device: where runs start (for varlen attention).
        mask: bool [batch or 1, 1, queries, keys], True where a query may look.
    """

    causal: bool = True
    lengths: tuple[int, ...] = ()
    offsets: Tensor | None = None
    mask: Tensor | None = None


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
        return _varlen(query, key, value, seen.offsets, scale, grouped)
    if seen.lengths:
        return _document_by_document(query, key, value, seen.lengths, scale, grouped)
    if grouped and not seen.causal:
        return _heads_as_queries(query, key, value, seen.mask, scale)
    return functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=seen.mask,
        is_causal=seen.causal,
        scale=scale,
        enable_gqa=grouped,
    ).transpose(1, 2)


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
    out = [
        functional.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=scale, enable_gqa=grouped
        ).transpose(1, 2)
        for q, k, v in pieces
    ]
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
    query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, scale: float, grouped: bool
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    q, k, v = (t.transpose(1, 2).flatten(0, 1) for t in (query, key, value))
    longest = query.shape[2]  # no document is longer than its row; the true maximum would wait
    out = varlen_attn(
        q,
        k,
        v,
        offsets,
        offsets,
        longest,
        longest,
        scale=scale,
        window_size=(-1, 0),
        enable_gqa=grouped,
    )
    assert isinstance(out, Tensor)  # a tuple only if asked for more
    return out.view(query.shape[0], longest, *out.shape[1:])
