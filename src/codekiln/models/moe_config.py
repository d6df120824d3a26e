"""The shape of a mixture of experts with latent attention: DeepseekV2ForCausalLM. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from codekiln.models.config import ModelConfig, require_counts


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepseekV2Config(ModelConfig):
    """The keys of a DeepseekV2ForCausalLM `config.json`, to the letter.

    Args:
        q_lora_rank: width of the compressed query; None means queries are not compressed.
        kv_lora_rank: width of the latent that keys and values are made from.
        qk_nope_head_dim, qk_rope_head_dim: numbers of a query or key without position, and with.
        first_k_dense_replace: that many first layers have a dense feed-forward.
        n_group, topk_group: experts stand in that many groups, of which each token uses so many.
        norm_topk_prob: the chosen experts' weights are divided by their sum.
        routed_scaling_factor: what they are multiplied by otherwise.
        aux_loss_alpha: weight of the balance loss; 0 switches it off.
        seq_aux: balance within each sequence, rather than within the batch.

    Source: DeepSeek-Coder-V2 §3.1; DeepSeek-V2 §2.
    """

    ARCHITECTURE: ClassVar[str] = "DeepseekV2ForCausalLM"
    MODEL_TYPE: ClassVar[str] = "deepseek_v2"
    REQUIRED: ClassVar[tuple[str, ...]] = (
        *ModelConfig.REQUIRED,
        "kv_lora_rank",
        "qk_nope_head_dim",
        "qk_rope_head_dim",
        "v_head_dim",
        "n_routed_experts",
        "num_experts_per_tok",
        "moe_intermediate_size",
    )
    COUNTS: ClassVar[tuple[str, ...]] = (*ModelConfig.COUNTS, "n_group", "topk_group")
    FIXED: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        **ModelConfig.FIXED,
        "scoring_func": ("softmax", None),
        "moe_layer_freq": (1, None),
    }

    kv_lora_rank: int
    qk_nope_head_dim: int
    qk_rope_head_dim: int
    v_head_dim: int
    n_routed_experts: int
    num_experts_per_tok: int
    moe_intermediate_size: int
    q_lora_rank: int | None = None
    n_shared_experts: int = 0
    first_k_dense_replace: int = 0
    topk_method: Literal["greedy", "group_limited_greedy"] = "greedy"
    n_group: int = 1
    topk_group: int = 1
    norm_topk_prob: bool = False
    routed_scaling_factor: float = 1.0
    aux_loss_alpha: float = 0.001
    seq_aux: bool = True

    def _problem(self) -> str:
        require_counts(self, ("n_shared_experts", "first_k_dense_replace"), least=0)
        if self.q_lora_rank is not None:
            require_counts(self, ("q_lora_rank",))
        if self.num_key_value_heads != self.num_attention_heads:
            return "num_key_value_heads differs from num_attention_heads: keys share one latent"
        if self.qk_rope_head_dim % 2:
            return f"qk_rope_head_dim = {self.qk_rope_head_dim} is odd; rotary positions need pairs"
        if self.aux_loss_alpha < 0 or self.routed_scaling_factor <= 0:
            return "aux_loss_alpha below 0, or routed_scaling_factor not above it"
        return self._routing_problem()

    def _routing_problem(self) -> str:
        if self.topk_method not in ("greedy", "group_limited_greedy"):
            return f"topk_method = {self.topk_method!r}, not greedy or group_limited_greedy"
        reachable = self.n_routed_experts
        if self.topk_method == "group_limited_greedy":
            if self.n_routed_experts % self.n_group or self.topk_group > self.n_group:
                return (
                    f"n_group = {self.n_group}, topk_group = {self.topk_group} do not divide "
                    f"n_routed_experts = {self.n_routed_experts}"
                )
            reachable = self.n_routed_experts // self.n_group * self.topk_group
        if self.num_experts_per_tok > reachable:
            return f"num_experts_per_tok = {self.num_experts_per_tok} of {reachable} in reach"
        return ""

    @property
    def qk_head_dim(self) -> int:
        """Width of a query or key."""
        return self.qk_nope_head_dim + self.qk_rope_head_dim

    @property
    def rope_width(self) -> int:
        """Only a part of its own turns."""
        return self.qk_rope_head_dim

    def is_sparse(self, layer: int) -> bool:
        """Whether a layer has experts."""
        return layer >= self.first_k_dense_replace

    def layer_parameters(self, *, active: bool = False) -> int:
        """Parameters of all layers; `active`: with the experts alone that a token is sent to."""
        experts = self.num_experts_per_tok if active else self.n_routed_experts
        width = (experts + self.n_shared_experts) * self.moe_intermediate_size
        sparse = 3 * self.hidden_size * width + self.n_routed_experts * self.hidden_size
        dense = 3 * self.hidden_size * self.intermediate_size
        number = sum(self.is_sparse(layer) for layer in range(self.num_hidden_layers))
        both = self.num_hidden_layers * (self._attention_parameters() + 2 * self.hidden_size)
        return both + number * sparse + (self.num_hidden_layers - number) * dense

    def _attention_parameters(self) -> int:
        heads, rank = self.num_attention_heads, self.kv_lora_rank
        if self.q_lora_rank is None:
            queries = self.hidden_size * heads * self.qk_head_dim
        else:
            queries = self.q_lora_rank * (self.hidden_size + 1 + heads * self.qk_head_dim)
        down = self.hidden_size * (rank + self.qk_rope_head_dim) + rank
        up = rank * heads * (self.qk_nope_head_dim + self.v_head_dim)
        return queries + down + up + heads * self.v_head_dim * self.hidden_size

    def to_hf(self, dtype: str = "float32") -> dict[str, Any]:
        """A `config.json` for transformers, and for the code that the released models carry."""
        extra = {"moe_layer_freq": 1, "scoring_func": "softmax", "ep_size": 1, "pretraining_tp": 1}
        return {**extra, **ModelConfig.to_hf(self, dtype)}
