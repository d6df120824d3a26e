"""`[model]`: a preset, and any Hugging Face key that overrides it. No torch here."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from codekiln.errors import CheckpointError, RecipeError
from codekiln.models.config import ModelConfig, config_class, read_config
from codekiln.models.positions import make_scaling
from codekiln.models.presets import PRESETS
from codekiln.recipe import Settings
from codekiln.registry import names, suggestion

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# stands in for the tokenizer's vocabulary while a recipe is validated
_ANY_VOCABULARY = 4096
DENSE = "LlamaForCausalLM"
# of a model that is continued
MAY_CHANGE = frozenset(
    (
        "vocab_size",
        "rope_theta",
        "rope_scaling",
        "max_position_embeddings",
        "aux_loss_alpha",
        "seq_aux",
        "initializer_range",
    )
)


class RopeScalingSettings(Settings):
    """`rope_scaling = { rope_type = "linear", factor = 4.0 }`, or YaRN with its further keys."""

    rope_type: Literal["linear", "yarn"] = "linear"
    factor: float = Field(ge=1, allow_inf_nan=False)
    original_max_position_embeddings: Count | None = Field(None, description="yarn: before it")
    beta_fast: Positive | None = Field(None, description="yarn: default 32")
    beta_slow: Positive | None = Field(None, description="yarn: default 1")
    mscale: NotNegative | None = Field(None, description="yarn: default 1")
    mscale_all_dim: NotNegative | None = Field(None, description="yarn: default 0")


class ModelSettings(Settings):
    """The shape of the model. A key that is not given comes from the preset."""

    preset: str = Field("tiny-3m", description="one of `codekiln list models`")
    from_pretrained: Path | None = Field(
        None,
        description="a model folder (Hugging Face's format) or a run's folder to begin from: its "
        "weights and shape, in place of a preset",
    )
    architecture: str | None = Field(
        None, description="LlamaForCausalLM (dense) or DeepseekV2ForCausalLM (experts)"
    )
    vocab_size: Count | None = Field(None, description="default: the tokenizer's")
    hidden_size: Count | None = None
    intermediate_size: Count | None = None
    num_hidden_layers: Count | None = None
    num_attention_heads: Count | None = None
    num_key_value_heads: Count | None = Field(None, description="default: num_attention_heads")
    head_dim: Count | None = Field(None, description="default: hidden_size / num_attention_heads")
    rms_norm_eps: Positive | None = None
    rope_theta: Positive | None = None
    rope_scaling: RopeScalingSettings | None = Field(
        None, description='{ rope_type = "linear", factor = 4.0 }; factor 1 switches it off'
    )
    max_position_embeddings: Count | None = Field(None, description="context in tokens")
    tie_word_embeddings: bool | None = None
    initializer_range: Positive | None = Field(
        None, description="standard deviation of the first weights"
    )
    kv_lora_rank: Count | None = Field(None, description="experts: width of the latent")
    q_lora_rank: int | None = Field(
        None, ge=0, description="experts: of compressed queries; 0 means not compressed"
    )
    qk_nope_head_dim: Count | None = Field(None, description="experts: of a head, unturned")
    qk_rope_head_dim: Count | None = Field(None, description="experts: of a head, turned")
    v_head_dim: Count | None = Field(None, description="experts: of a head's value")
    n_routed_experts: Count | None = Field(None, description="experts: to choose from")
    n_shared_experts: int | None = Field(None, ge=0, description="experts: that all tokens share")
    num_experts_per_tok: Count | None = Field(None, description="experts: chosen by each token")
    moe_intermediate_size: Count | None = Field(None, description="experts: width of one")
    first_k_dense_replace: int | None = Field(None, ge=0, description="experts: dense layers")
    topk_method: Literal["greedy", "group_limited_greedy"] | None = None
    n_group: Count | None = Field(None, description="experts: groups (group_limited_greedy)")
    topk_group: Count | None = Field(None, description="experts: groups that a token may use")
    norm_topk_prob: bool | None = Field(None, description="experts: weights that sum to 1")
    routed_scaling_factor: Positive | None = None
    aux_loss_alpha: NotNegative | None = Field(None, description="experts: of the balance loss")
    seq_aux: bool | None = Field(None, description="experts: balance within each sequence")

    @field_validator("preset")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in PRESETS:
            hint = suggestion(name, PRESETS)
            raise ValueError("one of " + ", ".join(PRESETS) + (f"; {hint}" if hint else ""))
        return name

    @field_validator("architecture")
    @classmethod
    def _has_code(cls, name: str | None) -> str | None:
        if name is not None and name not in names("configs"):
            raise ValueError("one of " + ", ".join(names("configs")))
        return name

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.from_pretrained is not None:
            shaping = self._given().keys() - MAY_CHANGE
            if shaping:
                raise ValueError(
                    f"{min(shaping)}: the shape is that of from_pretrained; a recipe may change "
                    + ", ".join(sorted(MAY_CHANGE))
                )
            return self
        self._config(self._values() | {"vocab_size": self.vocab_size or _ANY_VOCABULARY})
        return self

    def config(
        self,
        *,
        vocab_size: int | None = None,
        bos_token_id: int | None = None,
        eos_token_id: int | tuple[int, ...] | None = None,
        pad_token_id: int | None = None,
    ) -> ModelConfig:
        """The model's configuration.

        Args:
            vocab_size: the tokenizer's; it holds unless the recipe names a larger one. Without
                it the preset's published size is taken.

        Raises:
            RecipeError: no vocabulary size known, or the recipe's smaller than the tokenizer's.
        """
        ids = {"bos_token_id": bos_token_id, "eos_token_id": eos_token_id}
        if self.from_pretrained is not None:
            return self._continued(vocab_size or 0, ids | {"pad_token_id": pad_token_id})
        values = self._values()
        if self.vocab_size is None and vocab_size is not None:
            values["vocab_size"] = vocab_size
        if "vocab_size" not in values:
            raise RecipeError(
                "[model] vocab_size",
                got=f"not given, and preset {self.preset!r} has none of its own",
                wanted="the size of the tokenizer's vocabulary",
            )
        if vocab_size is not None and values["vocab_size"] < vocab_size:
            raise RecipeError(
                "[model] vocab_size",
                got=str(values["vocab_size"]),
                wanted=f"at least the tokenizer's {vocab_size}",
                remedy="leave the key out: then the tokenizer's size is taken",
            )
        return self._config(values | ids | {"pad_token_id": pad_token_id})

    def _continued(self, vocab_size: int, ids: dict[str, Any]) -> ModelConfig:
        """The starting model's, with what the recipe changes and room for added tokens."""
        path = self.source()
        try:
            values = json.loads((path / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(path / "config.json", got=f"unreadable ({error})") from None
        base = read_config(values, path / "config.json")
        changes = self._given()
        if "rope_scaling" in changes:
            scaling = changes["rope_scaling"]
            changes["rope_scaling"] = make_scaling(scaling) if scaling["factor"] != 1 else None
        changes["vocab_size"] = max(base.vocab_size, vocab_size, changes.get("vocab_size", 0))
        known = {key: value for key, value in ids.items() if value is not None}
        return replace(base, **changes, **known)

    def source(self) -> Path:
        """The folder of the model to begin from.

        Raises:
            RecipeError: none is named, or no model is there.
        """
        named = (self.from_pretrained or Path()).expanduser()
        for folder in (named, named / "model"):
            if self.from_pretrained is not None and (folder / "config.json").is_file():
                return folder
        raise RecipeError(
            "[model] from_pretrained",
            got=f"{named}, where there is no config.json here or in model/"
            if self.from_pretrained
            else "nothing",
            wanted="a model folder in Hugging Face's format, or the folder of a run that has ended",
            remedy="`codekiln import` makes one of a GGUF file or of a folder from elsewhere",
        )

    def _given(self) -> dict[str, Any]:
        return self.model_dump(exclude={"preset", "from_pretrained"}, exclude_none=True)

    def _values(self) -> dict[str, Any]:
        return {**PRESETS[self.preset], **self._given()}

    @staticmethod
    def _config(values: dict[str, Any]) -> ModelConfig:
        values = dict(values)
        kind = config_class(values.pop("architecture", DENSE))
        known = {field.name for field in fields(kind)}
        foreign = [key for key in values if key not in known]
        if foreign:
            raise ValueError(f"{foreign[0]}: {kind.ARCHITECTURE} has no such key")
        missing = [key for key in kind.REQUIRED if key not in values]
        if missing:
            raise ValueError(f"{missing[0]}: {kind.ARCHITECTURE} needs it")
        if values.get("q_lora_rank") == 0:
            values["q_lora_rank"] = None
        scaling = values.get("rope_scaling")
        if scaling is not None:
            scaling = make_scaling(scaling) if scaling["factor"] != 1 else None
        return kind(**values | {"rope_scaling": scaling})
