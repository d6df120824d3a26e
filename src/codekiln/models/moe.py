"""The mixture of experts with latent attention: DeepseekV2ForCausalLM.

Source: DeepSeek-Coder-V2 §3.1; DeepSeek-V2 §2. Modules carry the checkpoint's names. Its tensors do
but for one: the matrices of all experts of a layer lie in two parameters here, so that they can be
multiplied together, and `parts` says which part is which of the checkpoint's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from codekiln.models.causal import CausalLM, Part
from codekiln.models.config import ModelConfig
from codekiln.models.experts import routed
from codekiln.models.latent import LatentAttention
from codekiln.models.layers import MLP, DecoderLayer
from codekiln.models.moe_config import DeepseekV2Config
from codekiln.models.product import local
from codekiln.models.routing import Router, balance_loss, with_gradient_of

Products = Callable[[Tensor, Tensor, Tensor], Tensor]


class Experts(nn.Module):
    """Matrices of all routed experts; `experts.routed` gives their shapes.

    Attributes:
        dispatch: where the experts lie on several ranks, what sends tokens to them: given the
            products of the experts that are here, and `forward`'s arguments.
    """

    dispatch: Callable[[Products, Tensor, Tensor, Tensor], Tensor] | None = None

    def __init__(self, config: DeepseekV2Config) -> None:
        super().__init__()
        count, width = config.n_routed_experts, config.moe_intermediate_size
        self.gate_up_proj = nn.Parameter(torch.empty(count, 2 * width, config.hidden_size))
        self.down_proj = nn.Parameter(torch.empty(count, config.hidden_size, width))

    def forward(self, hidden: Tensor, experts: Tensor, weights: Tensor) -> Tensor:
        """[tokens, hidden_size], [tokens, top_k] twice -> [tokens, hidden_size]."""
        gate_up, down = local(self.gate_up_proj), local(self.down_proj)

        def products(hidden: Tensor, experts: Tensor, weights: Tensor) -> Tensor:
            return routed(hidden, experts, weights, gate_up, down)

        if self.dispatch is None:
            return products(hidden, experts, weights)
        return self.dispatch(products, hidden, experts, weights)


class MoE(nn.Module):
    """Experts that each token chooses, and those that all tokens share.

    Attributes:
        balance_weight: of the balance loss, besides the configuration's: a micro-batch's share
            of a step.
        balance_group: ranks over which the balance is taken; see `balance_loss`.
    """

    balance_weight = 1.0
    balance_group: ProcessGroup | None = None

    def __init__(self, config: DeepseekV2Config) -> None:
        super().__init__()
        self.config = config
        self.gate = Router(config)
        self.experts = Experts(config)
        self.shared_experts = None
        if config.n_shared_experts:
            width = config.n_shared_experts * config.moe_intermediate_size
            self.shared_experts = MLP(config.hidden_size, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """[batch, sequence, hidden_size] -> the same shape; the balance loss goes with it."""
        flat = hidden.flatten(0, 1)
        scores, experts, weights = self.gate(flat)
        out: Tensor = self.experts(flat, experts, weights).view(hidden.shape)
        if self.shared_experts is not None:
            out = out + self.shared_experts(hidden)
        alpha = self.config.aux_loss_alpha * self.balance_weight
        if not self.training or not torch.is_grad_enabled() or not alpha:
            return out
        by_sequence = self.config.seq_aux
        balance = balance_loss(
            scores, experts, len(hidden), by_sequence=by_sequence, group=self.balance_group
        )
        return with_gradient_of(alpha * balance, out)


class DeepseekV2ForCausalLM(CausalLM):
    """The mixture-of-experts model. Source: DeepSeek-Coder-V2 §3.1."""

    config: DeepseekV2Config

    @staticmethod
    def layer(config: ModelConfig, index: int) -> DecoderLayer:
        """Latent attention; a dense feed-forward in the first layers, then experts."""
        assert isinstance(config, DeepseekV2Config)
        feed_forward = (
            MoE(config)
            if config.is_sparse(index)
            else MLP(config.hidden_size, config.intermediate_size)
        )
        return DecoderLayer(config, LatentAttention(config, index), feed_forward)

    def parts(self) -> dict[str, Part]:
        """A checkpoint's tensors; each expert has three of its own."""
        found: dict[str, Part] = {}
        for name, part in super().parts().items():
            if name.endswith(".experts.gate_up_proj"):
                found |= self._experts(name.removesuffix(".gate_up_proj"))
            elif not name.endswith(".experts.down_proj"):
                found[name] = part
        return found

    def _experts(self, prefix: str) -> dict[str, Part]:
        width = self.config.moe_intermediate_size
        both, down = f"{prefix}.gate_up_proj", f"{prefix}.down_proj"
        found = {}
        for item in range(self.config.n_routed_experts):
            name = f"{prefix}.{item}"
            found[f"{name}.gate_proj.weight"] = Part(both, item, 0, width)
            found[f"{name}.up_proj.weight"] = Part(both, item, width)
            found[f"{name}.down_proj.weight"] = Part(down, item)
        return found
