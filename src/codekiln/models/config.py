"""The shape of a model, under Hugging Face's own keys: what all architectures share. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

from codekiln import registry
from codekiln.errors import CheckpointError
from codekiln.models.positions import RopeScaling, read_rope, write_rope


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """The keys of a `config.json` that every architecture has, to the letter.

    Args:
        num_key_value_heads: 0 means one for each attention head.
        eos_token_id: one id, or several that each end a text.

    Raises:
        ValueError: values that no model can have.
    """

    ARCHITECTURE: ClassVar[str]
    MODEL_TYPE: ClassVar[str]
    REQUIRED: ClassVar[tuple[str, ...]] = (
        "vocab_size",
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
    )
    # further keys that must be positive whole numbers
    COUNTS: ClassVar[tuple[str, ...]] = ("num_key_value_heads", "max_position_embeddings")
    # keys of features that the architecture's code lacks here -> the values it can have
    FIXED: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "attention_bias": (False, None),
        "mlp_bias": (False, None),
        "hidden_act": ("silu", "swish", None),
        "quantization_config": (None,),
        "partial_rotary_factor": (1, None),
    }

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int = 0
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
        require_counts(self, self.REQUIRED)
        self._derive()
        require_counts(self, self.COUNTS)
        if problem := _problem(self) or _problem_with_ids(self) or self._problem():
            raise ValueError(problem)

    def _derive(self) -> None:
        """Fill in what follows from other keys."""

    def _problem(self) -> str:
        """What is wrong with the architecture's own keys, or nothing."""
        return ""

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """All ids that end a text."""
        if self.eos_token_id is None:
            return ()
        return (self.eos_token_id,) if isinstance(self.eos_token_id, int) else self.eos_token_id

    @property
    def rope_width(self) -> int:
        """Numbers of a head that turn with the position."""
        raise NotImplementedError

    @property
    def parameters(self) -> int:
        """Number of parameters; tied embeddings count once."""
        matrices = 1 if self.tie_word_embeddings else 2
        outside = (matrices * self.vocab_size + 1) * self.hidden_size
        return outside + self.layer_parameters()

    @property
    def active_parameters(self) -> int:
        """Parameters that one token is multiplied with: chosen experts only, no look-up table."""
        return (self.vocab_size + 1) * self.hidden_size + self.layer_parameters(active=True)

    def layer_parameters(self, *, active: bool = False) -> int:
        """Parameters of all layers; `active`: of those alone that one token meets."""
        raise NotImplementedError

    @classmethod
    def from_hf(cls, values: Mapping[str, Any], where: object = "config.json") -> Self:
        """Read the content of a `config.json`, with older or newer RoPE keys.

        Raises:
            CheckpointError: another architecture, a feature this model lacks, missing keys.
        """
        refuse_unknown(cls, values, where)
        missing = [key for key in cls.REQUIRED if values.get(key) is None]
        if missing:
            raise CheckpointError(
                where, got="lacks " + ", ".join(missing), wanted=f"the keys of {cls.ARCHITECTURE}"
            )
        theta, scaling = read_rope(values, where)
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
        return {
            "architectures": [self.ARCHITECTURE],
            "model_type": self.MODEL_TYPE,
            "hidden_act": "silu",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "use_cache": True,
            **values,
            **write_rope(self.rope_theta, self.rope_scaling),
            "dtype": dtype,
            "torch_dtype": dtype,
        }


def read_config(values: Mapping[str, Any], where: object = "config.json") -> ModelConfig:
    """The configuration that a `config.json` holds, of whichever architecture it names.

    Raises:
        CheckpointError: an architecture that codekiln has no code for, or see `from_hf`.
    """
    known = {name: config_class(name) for name in registry.names("configs")}
    found = _named(values)
    for kind in known.values():
        if found in ([kind.ARCHITECTURE], [kind.MODEL_TYPE]):
            return kind.from_hf(values, where)
    raise _foreign(found, where, ", ".join(known))


def config_class(architecture: str) -> type[ModelConfig]:
    """The configuration class of an architecture, by Hugging Face's name."""
    found: type[ModelConfig] = registry.load("configs", architecture)
    return found


def refuse_unknown(kind: type[ModelConfig], values: Mapping[str, Any], where: object) -> None:
    """Refuse another architecture, and features that this one's code lacks.

    Raises:
        CheckpointError: either.
    """
    found = _named(values)
    if found not in ([kind.ARCHITECTURE], [kind.MODEL_TYPE]):
        raise _foreign(found, where, kind.ARCHITECTURE)
    for key, accepted in kind.FIXED.items():
        if values.get(key) not in accepted:
            raise CheckpointError(
                f"{where} {key}",
                got=f"{values[key]!r}, which this model does not have",
                wanted=f"{accepted[0]!r}",
            )


def _named(values: Mapping[str, Any]) -> list[Any]:
    found = values.get("architectures") or [values.get("model_type") or "no architecture"]
    return list(found) if isinstance(found, list | tuple) else [found]


def _foreign(found: list[Any], where: object, wanted: str) -> CheckpointError:
    names = ", ".join(map(str, found))
    return CheckpointError(where, got=f"a model of another architecture ({names})", wanted=wanted)


def require_counts(config: ModelConfig, names: tuple[str, ...], least: int = 1) -> None:
    """Make sure that the keys `names` are whole numbers from `least` on.

    Raises:
        ValueError: the first that is not.
    """
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ValueError(f"{name} = {value!r} is not a positive whole number")


def _problem(config: ModelConfig) -> str:
    for name in ("rms_norm_eps", "rope_theta", "initializer_range"):
        value = getattr(config, name)
        if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            return f"{name} = {value!r} is not a positive number"
    if config.rope_scaling is not None:
        return config.rope_scaling.problem()
    return ""


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
