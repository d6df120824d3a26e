"""The shape of a dense decoder, under Hugging Face's own keys. No torch here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from codekiln.errors import CheckpointError

ARCHITECTURE = "LlamaForCausalLM"
REQUIRED = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
)
COUNTS = ("num_key_value_heads", "head_dim", "max_position_embeddings")


@dataclass(frozen=True, slots=True, kw_only=True)
class RopeScaling:
    """Linear scaling of positions: each is divided by `factor`.

    Source: DeepSeek-Coder §3.6 (factor 4, with the base raised to 100000).
    """

    rope_type: Literal["linear"] = "linear"
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The keys of a LlamaForCausalLM `config.json`, to the letter.

    Args:
        num_key_value_heads: 0 means one for each attention head.
        head_dim: width of one head; 0 means hidden_size / num_attention_heads.
        eos_token_id: one id, or several that each end a text.

    Raises:
        ValueError: values that no model can have.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int = 0
    head_dim: int = 0
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None
    max_position_embeddings: int = 2048
    tie_word_embeddings: bool = False
    initializer_range: float = 0.02
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        if not self.num_key_value_heads:
            object.__setattr__(self, "num_key_value_heads", self.num_attention_heads)
        if not self.head_dim:
            _require_counts(self, REQUIRED)
            object.__setattr__(self, "head_dim", self.hidden_size // self.num_attention_heads)
        _require_counts(self, (*REQUIRED, *COUNTS))
        problem = _problem(self)
        if problem:
            raise ValueError(problem)

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """All ids that end a text."""
        if self.eos_token_id is None:
            return ()
        return (self.eos_token_id,) if isinstance(self.eos_token_id, int) else self.eos_token_id

    @property
    def parameters(self) -> int:
        """Number of parameters; tied embeddings count once."""
        embeddings = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        queries = self.num_attention_heads * self.head_dim
        keys = self.num_key_value_heads * self.head_dim
        attention = 2 * self.hidden_size * (queries + keys)
        feed_forward = 3 * self.hidden_size * self.intermediate_size
        norms = 2 * self.hidden_size
        layers = self.num_hidden_layers * (attention + feed_forward + norms)
        return embeddings + layers + self.hidden_size

    @classmethod
    def from_hf(cls, values: Mapping[str, Any], where: object = "config.json") -> ModelConfig:
        """Read the content of a `config.json`, with older or newer RoPE keys.

        Raises:
            CheckpointError: another architecture, a feature this model lacks, missing keys.
        """
        _refuse_other_models(values, where)
        missing = [key for key in REQUIRED if values.get(key) is None]
        if missing:
            raise CheckpointError(
                where, got="lacks " + ", ".join(missing), wanted="the keys of a LlamaForCausalLM"
            )
        theta, scaling = _rope(values, where)
        names = {field.name for field in fields(cls)} - {"rope_theta", "rope_scaling"}
        chosen = {key: values[key] for key in names if values.get(key) is not None}
        if isinstance(chosen.get("eos_token_id"), list):
            chosen["eos_token_id"] = tuple(chosen["eos_token_id"])
        try:
            return cls(rope_theta=theta, rope_scaling=scaling, **chosen)
        except (TypeError, ValueError) as error:
            raise CheckpointError(where, got=str(error), wanted="a usable configuration") from None

    def to_hf(self, dtype: str = "float32") -> dict[str, Any]:
        """A `config.json` for transformers, old and new: both spellings of RoPE and dtype."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values = {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
        scaling = self.rope_scaling
        kind: dict[str, Any] = {"rope_type": "default"}
        if scaling is not None:
            kind = {"rope_type": scaling.rope_type, "factor": scaling.factor}
        values["rope_scaling"] = scaling and {"type": scaling.rope_type, **kind}
        values["rope_parameters"] = {**kind, "rope_theta": self.rope_theta}
        return {
            "architectures": [ARCHITECTURE],
            "model_type": "llama",
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "attention_dropout": 0.0,
            "use_cache": True,
            **values,
            "dtype": dtype,
            "torch_dtype": dtype,
        }


def _require_counts(config: ModelConfig, names: tuple[str, ...]) -> None:
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} = {value!r} is not a positive whole number")


def _problem(config: ModelConfig) -> str:
    for name in ("rms_norm_eps", "rope_theta", "initializer_range"):
        value = getattr(config, name)
        if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            return f"{name} = {value!r} is not a positive number"
    if config.num_attention_heads % config.num_key_value_heads:
        return (
            f"num_attention_heads = {config.num_attention_heads} is not a multiple of "
            f"num_key_value_heads = {config.num_key_value_heads}"
        )
    if config.hidden_size % config.num_attention_heads:
        return (
            f"hidden_size = {config.hidden_size} is not a multiple of "
            f"num_attention_heads = {config.num_attention_heads}"
        )
    if config.head_dim % 2:
        return f"head_dim = {config.head_dim} is odd; rotary positions need pairs"
    if config.rope_scaling is not None and not config.rope_scaling.factor >= 1:
        return f"rope_scaling factor = {config.rope_scaling.factor!r} is below 1"
    return _problem_with_ids(config)


def _problem_with_ids(config: ModelConfig) -> str:
    """Ids of special tokens must be rows of the embeddings; older Llamas have pad_token_id -1."""
    for name, lowest in (("bos_token_id", 0), ("eos_token_id", 0), ("pad_token_id", -1)):
        value = getattr(config, name)
        for one in value if isinstance(value, tuple) else (value,):
            if one is None:
                continue
            if not isinstance(one, int) or isinstance(one, bool):
                return f"{name} = {one!r} is not a whole number"
            if not lowest <= one < config.vocab_size:
                return f"{name} = {one} is no id of a vocabulary of {config.vocab_size}"
    return ""


def _refuse_other_models(values: Mapping[str, Any], where: object) -> None:
    found = values.get("architectures") or [values.get("model_type") or "no architecture"]
    if found not in ([ARCHITECTURE], ["llama"]):
        raise CheckpointError(
            where,
            got=f"a model of another architecture ({', '.join(map(str, found))})",
            wanted=ARCHITECTURE,
        )
    for key, accepted in (
        ("attention_bias", (False, None)),
        ("mlp_bias", (False, None)),
        ("hidden_act", ("silu", "swish", None)),
        ("quantization_config", (None,)),
        ("partial_rotary_factor", (1, None)),
    ):
        if values.get(key) not in accepted:
            raise CheckpointError(
                f"{where} {key}",
                got=f"{values[key]!r}, which this model does not have",
                wanted=f"{accepted[0]!r}",
            )


def _rope(values: Mapping[str, Any], where: object) -> tuple[float, RopeScaling | None]:
    """Base and scaling. transformers 5 writes rope_parameters, older ones the other two keys."""
    new, old = values.get("rope_parameters"), values.get("rope_scaling")
    for key, found in (("rope_parameters", new), ("rope_scaling", old)):
        if found is not None and not isinstance(found, Mapping):
            raise CheckpointError(f"{where} {key}", got=repr(found), wanted="a table or null")
    theta = (new or {}).get("rope_theta") or values.get("rope_theta") or 10000.0
    scaling = _scaling(new, where)
    if new and "rope_scaling" in values and _scaling(old, where) != scaling:
        raise CheckpointError(
            f"{where} rope_parameters",
            got=f"{dict(new)!r}, while rope_scaling is {old!r}",
            wanted="the same scaling under both keys",
        )
    return theta, scaling if new else _scaling(old, where)


def _scaling(values: Mapping[str, Any] | None, where: object) -> RopeScaling | None:
    if not values:
        return None
    kind = values.get("rope_type", values.get("type", "default"))
    if kind == "default":
        return None
    factor = values.get("factor")
    if kind != "linear" or not isinstance(factor, int | float):
        raise CheckpointError(
            f"{where} rope scaling", got=repr(dict(values)), wanted="default, or linear with factor"
        )
    return RopeScaling(factor=float(factor))
