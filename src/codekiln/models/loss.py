"""Cross-entropy of the next token without a logit for every token at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from codekiln.models.product import product

IGNORED = -100
# Tokens whose logits are held at a time. Fewer, and adding up the weight's gradient costs more
# than it saves; more, and a small vocabulary's logits leave a CPU's cache.
CHUNK_TOKENS = {"cpu": 512, "cuda": 4096}


def cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype, z_loss: float = 0.0
) -> Tensor:
    """Mean cross-entropy in nats of softmax(hidden @ weight.T), fp32 scalar.

    A vocabulary of 32,256 and 4096 tokens are 528 MB of fp32 logits, held twice or thrice by a
    plain cross-entropy. Here logits live a chunk at a time, and their gradient is taken on the
    spot, so that nothing is computed twice.

    Args:
        hidden: [tokens, hidden_size].
        weight: [vocab_size, hidden_size].
        targets: int64 [tokens]; -100 is ignored. All ignored: the loss is 0.
        dtype: of the matrix products; sums, the softmax and the loss are fp32.
        z_loss: weight of the mean square of log sum exp(logits), in the gradient alone
            (Chowdhery et al. 2022, PaLM §5).
    """
    needs_grad = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    with torch.autocast(hidden.device.type, enabled=False):
        if needs_grad:
            result: Tensor = _ChunkedCrossEntropy.apply(hidden, weight, targets, dtype, z_loss)
            return result
        return _forward(hidden, weight, targets, dtype, gradients=(False, False))[0]


@torch.no_grad()
def nats_of_targets(hidden: Tensor, weight: Tensor, targets: Tensor, dtype: torch.dtype) -> Tensor:
    """Cross-entropy of each target in nats, fp32 [tokens]; 0 where it is ignored.

    Args:
        hidden, weight, targets, dtype: as of `cross_entropy`.
    """
    rows, narrow = CHUNK_TOKENS.get(hidden.device.type, 4096), weight.to(dtype)
    pieces = [targets.new_empty(0, dtype=torch.float32)]
    with torch.autocast(hidden.device.type, enabled=False):
        for inputs, wanted in zip(hidden.split(rows), targets.split(rows), strict=True):
            logits = product(inputs.to(dtype), narrow)
            scores = functional.log_softmax(logits, dim=-1, dtype=torch.float32)
            nats = functional.nll_loss(scores, wanted, ignore_index=IGNORED, reduction="none")
            pieces.append(nats)
    return torch.cat(pieces)


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        dtype: torch.dtype,
        z_loss: float,
    ) -> Tensor:
        loss, grad_hidden, grad_weight = _forward(
            hidden, weight, targets, dtype, z_loss, gradients=ctx.needs_input_grad[:2]
        )
        ctx.save_for_backward(grad_hidden, grad_weight)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        hidden, weight = (None if one is None else one * grad for one in ctx.saved_tensors)
        return hidden, weight, None, None, None


def _forward(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    dtype: torch.dtype,
    z_loss: float = 0.0,
    *,
    gradients: tuple[bool, bool],
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """The loss, and the gradients of hidden and weight that are asked for."""
    tokens, rows = hidden.shape[0], CHUNK_TOKENS.get(hidden.device.type, 4096)
    narrow = weight.detach().to(dtype)
    kept = targets != IGNORED
    share = 1.0 / kept.sum().clamp(min=1).float()
    total = torch.zeros((), dtype=torch.float32, device=hidden.device)
    grad_hidden = torch.empty_like(hidden) if gradients[0] else None
    grad_weight = torch.zeros_like(weight, dtype=torch.float32) if gradients[1] else None
    for start in range(0, tokens, rows):
        piece = slice(start, min(start + rows, tokens))
        inputs = hidden[piece].to(dtype)
        logits = product(inputs, narrow)
        scores = functional.log_softmax(logits, dim=-1, dtype=torch.float32)
        total += functional.nll_loss(scores, targets[piece], ignore_index=IGNORED, reduction="sum")
        if any(gradients):
            log_sums = logits[:, :1].float() - scores[:, :1] if z_loss else None
            grad = _grad_logits(scores, targets[piece], kept[piece], share, log_sums, z_loss)
            grad_logits = grad.to(dtype)
            if grad_hidden is not None:
                grad_hidden[piece] = product(grad_logits, narrow.T)
            if grad_weight is not None:
                _accumulate(grad_weight, grad_logits, inputs)
            del grad, grad_logits
        del logits, scores  # before the next chunk makes its own
    grad_weight = None if grad_weight is None else grad_weight.to(weight.dtype)
    return total * share, grad_hidden, grad_weight


def _grad_logits(
    scores: Tensor,
    targets: Tensor,
    kept: Tensor,
    share: Tensor,
    log_sums: Tensor | None,
    z_loss: float,
) -> Tensor:
    """(softmax - one hot) / kept tokens, in place; zero for ignored tokens."""
    grad = scores.exp_()
    if log_sums is not None:
        grad *= 1 + 2 * z_loss * log_sums
    index = targets.clamp(min=0)[:, None]
    grad.scatter_add_(1, index, torch.full_like(index, -1, dtype=grad.dtype))
    return grad.mul_((kept * share)[:, None])


def _accumulate(grad_weight: Tensor, grad_logits: Tensor, inputs: Tensor) -> None:
    if grad_logits.dtype == grad_weight.dtype:
        grad_weight.addmm_(grad_logits.T, inputs)
    else:
        grad_weight += grad_logits.T @ inputs
