"""The shape of a dense decoder: the keys of a LlamaForCausalLM. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from codekiln.models.config import ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaConfig(ModelConfig):
    """The keys of a LlamaForCausalLM `config.json`.

    Args:
        head_dim: width of one head; 0 means hidden_size / num_attention_heads.

    Source: DeepSeek-Coder §3.3, Table 2.
    """

    ARCHITECTURE: ClassVar[str] = "LlamaForCausalLM"
    MODEL_TYPE: ClassVar[str] = "llama"
    COUNTS: ClassVar[tuple[str, ...]] = (
        "num_key_value_heads",
        "max_position_embeddings",
        "head_dim",
    )

    head_dim: int = 0

    def _derive(self) -> None:
        if not self.head_dim:
            object.__setattr__(self, "head_dim", self.hidden_size // self.num_attention_heads)

    def _problem(self) -> str:
        for name, unit in (
            ("num_attention_heads", "num_key_value_heads"),
            ("hidden_size", "num_attention_heads"),
        ):
            value, divisor = getattr(self, name), getattr(self, unit)
            if value % divisor:
                return f"{name} = {value} is not a multiple of {unit} = {divisor}"
        if self.head_dim % 2:
            return f"head_dim = {self.head_dim} is odd; rotary positions need pairs"
        return ""

    @property
    def rope_width(self) -> int:
        """All of a head turns."""
        return self.head_dim

    def layer_parameters(self, *, active: bool = False) -> int:
        """Parameters of all layers; every token meets all of them."""
        queries = self.num_attention_heads * self.head_dim
        keys = self.num_key_value_heads * self.head_dim
        attention = 2 * self.hidden_size * (queries + keys)
        feed_forward = 3 * self.hidden_size * self.intermediate_size
        return self.num_hidden_layers * (attention + feed_forward + 2 * self.hidden_size)

    def to_hf(self, dtype: str = "float32") -> dict[str, Any]:
        """A `config.json` for transformers, old and new."""
        return {"mlp_bias": False, **ModelConfig.to_hf(self, dtype)}
