"""Which experts a token is sent to, and the loss that keeps their load even.

Source: DeepSeek-V2 §2.2, which DeepSeek-Coder-V2 §3.1 follows: softmax scores, the best k of them,
device-limited routing as groups. Its losses between devices are no part of the model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup, all_reduce
from torch.nn import functional

from codekiln.models.moe_config import DeepseekV2Config


class Router(nn.Module):
    """Scores of all experts for each token, in fp32 whatever the rest computes in.

    Attributes:
        load: int64 [experts], to which training adds how often each expert is chosen; None: nobody
            asks.
    """

    load: Tensor | None = None

    def __init__(self, config: DeepseekV2Config) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.empty(config.n_routed_experts, config.hidden_size))

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[tokens, hidden_size] -> scores, chosen experts, their weights.

        Scores are fp32 [tokens, experts] and sum to 1; experts int64 [tokens, top_k]; weights
        fp32 [tokens, top_k].
        """
        config = self.config
        with torch.autocast(hidden.device.type, enabled=False):
            scores = functional.linear(hidden.float(), self.weight.float()).softmax(-1)
        reachable = scores
        if config.topk_method == "group_limited_greedy":
            reachable = within_groups(scores, config.n_group, config.topk_group)
        weights, experts = reachable.topk(config.num_experts_per_tok, dim=-1, sorted=False)
        if self.load is not None and self.training:
            chosen = experts.flatten()
            self.load.scatter_add_(0, chosen, torch.ones_like(chosen))
        if config.norm_topk_prob and config.num_experts_per_tok > 1:
            weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        else:
            weights = weights * config.routed_scaling_factor
        return scores, experts, weights


def within_groups(scores: Tensor, groups: int, kept: int) -> Tensor:
    """The scores of the `kept` best groups, by their best expert; zero for the others."""
    best = scores.unflatten(-1, (groups, -1)).amax(-1)
    chosen = best.topk(kept, dim=-1, sorted=False).indices
    mask = torch.zeros_like(best, dtype=torch.bool).scatter_(-1, chosen, True)
    return scores.masked_fill(~mask.repeat_interleave(scores.shape[-1] // groups, -1), 0.0)


def balance_loss(
    scores: Tensor,
    experts: Tensor,
    batch: int,
    *,
    by_sequence: bool,
    group: ProcessGroup | None = None,
) -> Tensor:
    """sum over experts of (share of the choices x number of experts) x (mean score), a scalar.

    1 where every expert is chosen equally often; larger the less even the load is. Gradients
    flow through the scores alone.

    Args:
        scores: fp32 [batch * sequence, experts].
        experts: int64 [batch * sequence, top_k].
        batch: sequences.
        by_sequence: each sequence on its own, then the mean; otherwise all tokens together.
        group: ranks that share these sequences (all tokens, if not by sequence), equally many
            tokens each; the loss is the sum of what they get.

    Source: DeepSeek-V2 §2.2.3, equations 23 to 25; by sequence as the released code.
    """
    count, rows = scores.shape[-1], batch if by_sequence else 1
    choices = experts.reshape(rows, -1)
    load = torch.zeros(rows, count, device=scores.device)
    load.scatter_add_(1, choices, torch.ones_like(choices, dtype=load.dtype))
    ranks = 1
    if group is not None:
        all_reduce(load, group=group)
        ranks = group.size()
    load *= count / (choices.shape[1] * ranks)
    return (load * scores.view(rows, -1, count).mean(1)).sum(-1).mean() / ranks


def with_gradient_of(loss: Tensor, stream: Tensor) -> Tensor:
    """`stream` as it is; going backward through it, `loss` takes part with the gradient 1.

    So a layer's own loss needs no way to the end of the model, which may be on another rank.
    """
    result: Tensor = _WithGradientOf.apply(loss, stream)
    return result


class _WithGradientOf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loss: Tensor, stream: Tensor) -> Tensor:
        ctx.save_for_backward(loss)
        return stream.view_as(stream)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        (loss,) = ctx.saved_tensors
        return torch.ones_like(loss), grad
