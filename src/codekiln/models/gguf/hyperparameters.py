"""The shape of a model as GGUF's metadata, and back."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from codekiln.errors import CheckpointError
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.gguf.layout import OUTPUT
from codekiln.models.positions import LinearScaling

ARCHITECTURE = "llama"
ROPE_FACTORS = "rope_freqs.weight"
# what GGUF has no key for, as JSON; llama.cpp passes over keys that it does not know
CONFIG_KEY, STYLE_KEY = "codekiln.config", "codekiln.prompt_style"

_OWN = ("initializer_range", "bos_token_id", "eos_token_id", "pad_token_id")
_IDS = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
MOST = 2**31 - 1  # of any number that llama.cpp reads

# keys of features that this model lacks, and the values which mean that they are not used
_ABSENT: dict[str, tuple[Any, ...]] = {
    "expert_count": (0,),
    "attention.sliding_window": (0,),
    "attention.scale": (),
    "logit_scale": (0.0, 1.0),
    "residual_scale": (0.0, 1.0),
    "embedding_scale": (0.0, 1.0),
}


def config_metadata(config: LlamaConfig, where: object) -> dict[str, Any]:
    """The hyper-parameters under GGUF's keys.

    Raises:
        CheckpointError: positions that are scaled in another way than linearly.
    """
    values: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.dimension_count": config.head_dim,
        "rope.freq_base": float(config.rope_theta),
    }
    if config.rope_scaling is not None:
        _require_linear(config, where)
        values["rope.scaling.type"] = config.rope_scaling.rope_type
        values["rope.scaling.factor"] = float(config.rope_scaling.factor)
    own = {key: getattr(config, key) for key in _OWN}
    return {
        **{f"{ARCHITECTURE}.{key}": value for key, value in values.items()},
        CONFIG_KEY: json.dumps(own),
    }


def _require_linear(config: LlamaConfig, where: object) -> None:
    if not isinstance(config.rope_scaling, LinearScaling):
        raise CheckpointError(
            f"{where} rope_scaling",
            got="YaRN",
            wanted="none or linear: GGUF is written for these only",
            remedy="export it with `--to hf` and convert that with llama.cpp's own script",
        )


def config_of(
    metadata: Mapping[str, Any], tensors: Mapping[str, tuple[int, ...]], where: object
) -> LlamaConfig:
    """The configuration of a GGUF file with these tensors (GGUF's names -> shape, rows first).

    Raises:
        CheckpointError: another architecture, keys that are missing or of a wrong type, or
            features that this model lacks.
    """
    _refuse_other_models(metadata, tensors, where)
    read = _Keys(metadata, where)
    # a damaged number must not make a model that takes for ever to lay out
    side = max((size for shape in tensors.values() for size in shape), default=0)
    width = read.count("embedding_length", most=side)
    heads = read.count("attention.head_count", most=side)
    head = read.count("attention.key_length", width // heads, side)
    for key in ("attention.value_length", "rope.dimension_count"):
        if read.count(key, head) != head:
            raise CheckpointError(
                f"{where} {ARCHITECTURE}.{key}",
                got=str(read.count(key, head)),
                wanted=f"{head}, the width of a head",
            )
    embeddings = tensors.get("token_embd.weight", (0,))
    try:
        return LlamaConfig(
            vocab_size=embeddings[0],
            hidden_size=width,
            intermediate_size=read.count("feed_forward_length", most=side),
            num_hidden_layers=read.count("block_count", most=len(tensors)),
            num_attention_heads=heads,
            num_key_value_heads=read.count("attention.head_count_kv", heads, side),
            head_dim=head,
            rms_norm_eps=read.real("attention.layer_norm_rms_epsilon"),
            rope_theta=read.real("rope.freq_base", 10000.0),
            rope_scaling=_scaling(read),
            max_position_embeddings=read.count("context_length"),
            tie_word_embeddings=OUTPUT not in tensors,
            **_own(metadata, where),
        )
    except (TypeError, ValueError) as error:
        raise CheckpointError(where, got=str(error), wanted="a usable configuration") from None


class _Keys:
    """Hyper-parameters of the right type, or an error that names the key."""

    def __init__(self, metadata: Mapping[str, Any], where: object) -> None:
        self._metadata, self._where = metadata, where

    def count(self, key: str, default: int | None = None, most: int = MOST) -> int:
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.wrong(key, "a positive whole number, the same for all layers")
        if value > most:
            raise self.wrong(key, f"at most {most:,}, by its tensors")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        value = self._value(key, default)
        if not isinstance(value, int | float):
            raise self.wrong(key, "a number")
        return float(value)

    def text(self, key: str, default: str) -> str:
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "a word")
        return value

    def wrong(self, key: str, wanted: str) -> CheckpointError:
        got = self._metadata.get(f"{ARCHITECTURE}.{key}")
        return CheckpointError(
            f"{self._where} {ARCHITECTURE}.{key}",
            got="missing" if got is None else f"{got!r}"[:200],
            wanted=wanted,
        )

    def _value(self, key: str, default: Any) -> Any:
        return self._metadata.get(f"{ARCHITECTURE}.{key}", default)


def _scaling(read: _Keys) -> LinearScaling | None:
    """llama.cpp's reading: a factor without a type is linear; older files have another key."""
    kind = read.text("rope.scaling.type", "linear")
    if kind not in ("none", "linear"):
        raise read.wrong("rope.scaling.type", "none or linear")
    factor = read.real("rope.scaling.factor", read.real("rope.scale_linear", 0.0))
    return LinearScaling(factor=factor) if factor and kind == "linear" else None


def _own(metadata: Mapping[str, Any], where: object) -> dict[str, Any]:
    """Special ids as the tokenizer has them; as the model had them, where we wrote the file."""
    ids = {key: metadata.get(f"tokenizer.ggml.{name}_token_id") for key, name in _IDS.items()}
    try:
        own = json.loads(metadata.get(CONFIG_KEY, "{}"))
        own = {key: own[key] for key in _OWN if key in own}
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{where} {CONFIG_KEY}", got=f"damaged ({error})", wanted="a JSON object"
        ) from None
    found = ids | own
    if isinstance(found["eos_token_id"], list):
        found["eos_token_id"] = tuple(found["eos_token_id"])
    return found


def _refuse_other_models(
    metadata: Mapping[str, Any], tensors: Collection[str], where: object
) -> None:
    found = metadata.get("general.architecture")
    if found != ARCHITECTURE:
        raise CheckpointError(
            where,
            got=f"a model of another architecture ({found})",
            wanted=f"{ARCHITECTURE}: GGUF is read for dense models only",
        )
    for key, unused in _ABSENT.items():
        value = metadata.get(f"{ARCHITECTURE}.{key}")
        if value is not None and value not in unused:
            raise CheckpointError(
                f"{where} {ARCHITECTURE}.{key}",
                got=f"{value!r}, a feature that this model does not have",
                wanted="a dense Llama without it",
            )
    if ROPE_FACTORS in tensors:
        raise CheckpointError(
            f"{where} {ROPE_FACTORS}",
            got="rotary positions with a factor for each frequency (Llama 3.1)",
            wanted="positions without scaling, or with linear scaling",
        )
