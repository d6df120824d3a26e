"""How rotary positions are stretched: linear scaling and YaRN, under Hugging Face's keys. No torch.

A checkpoint says it twice: transformers 5 writes `rope_parameters`, older ones `rope_theta` and
`rope_scaling`. Both are read, both are written, and where they disagree the folder is refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from codekiln.errors import CheckpointError


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearScaling:
    """Positions divided by `factor`.

    Source: DeepSeek-Coder §3.6 (factor 4, with the base raised to 100000).
    """

    rope_type: Literal["linear"] = "linear"
    factor: float

    def problem(self) -> str:
        """What is wrong with the values, or nothing."""
        return "" if self.factor >= 1 else f"rope_scaling factor = {self.factor!r} is below 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class YarnScaling:
    """YaRN: slow pairs are divided by `factor`, fast ones stay, between them a ramp.

    Args:
        original_max_position_embeddings: the context before the extension.
        beta_fast, beta_slow: turns within the original context above which a pair stays as it
            is, and below which it is fully divided.
        mscale, mscale_all_dim: two ways to make attention sharper. Cosine and sine grow by
            m(mscale) / m(mscale_all_dim), where m(x) = 0.1 x ln(factor) + 1; and the whole
            product of query and key by m(mscale_all_dim)², in latent attention alone.

    Source: DeepSeek-Coder-V2 §3.4 (factor 40, alpha 1, beta 32); Peng et al. 2023.
    """

    rope_type: Literal["yarn"] = "yarn"
    factor: float
    original_max_position_embeddings: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float = 1.0
    mscale_all_dim: float = 0.0

    @property
    def rotation_scale(self) -> float:
        """What cosine and sine are multiplied by."""
        return self._sharpness(self.mscale) / self._sharpness(self.mscale_all_dim)

    @property
    def score_scale(self) -> float:
        """What the product of query and key is multiplied by in latent attention."""
        return self._sharpness(self.mscale_all_dim) ** 2

    def _sharpness(self, weight: float) -> float:
        return 0.1 * weight * math.log(self.factor) + 1.0

    def problem(self) -> str:
        """What is wrong with the values, or nothing."""
        if not self.factor >= 1:
            return f"rope_scaling factor = {self.factor!r} is below 1"
        if not self.beta_fast > self.beta_slow > 0:
            return f"beta_fast = {self.beta_fast} is not above beta_slow = {self.beta_slow} > 0"
        if self.original_max_position_embeddings < 1:
            return "original_max_position_embeddings is below 1"
        return ""


RopeScaling = LinearScaling | YarnScaling
_KINDS: dict[str, type[RopeScaling]] = {"linear": LinearScaling, "yarn": YarnScaling}


def make_scaling(values: Mapping[str, Any]) -> RopeScaling | None:
    """The scaling that `values` (keys of `rope_scaling`) describe; None for none.

    Raises:
        ValueError: an unknown kind, or keys that are missing or of another kind.
    """
    kind = values.get("rope_type", values.get("type", "default"))
    if kind == "default":
        return None
    if kind not in _KINDS:
        raise ValueError(f"rope_type {kind!r}, not default, linear or yarn")
    names = {field.name for field in fields(_KINDS[kind])} - {"rope_type"}
    given = {key: values[key] for key in names if values.get(key) is not None}
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{key} = {value!r} is not a number")
    try:
        scaling = _KINDS[kind](**given)
    except TypeError:
        missing = [f.name for f in fields(_KINDS[kind]) if f.name in ("factor", _ORIGINAL)]
        raise ValueError(f"{kind} needs {' and '.join(missing)}") from None
    if problem := scaling.problem():
        raise ValueError(problem)
    return scaling


_ORIGINAL = "original_max_position_embeddings"
_THETA = "rope_theta"


def read_rope(
    values: Mapping[str, Any], where: object
) -> tuple[float, LinearScaling | YarnScaling | None]:
    """Base and scaling of a `config.json`.

    Raises:
        CheckpointError: keys that contradict each other, or a scaling that is not known.
    """
    new, old = values.get("rope_parameters"), values.get("rope_scaling")
    for key, found in (("rope_parameters", new), ("rope_scaling", old)):
        if found is not None and not isinstance(found, Mapping):
            raise CheckpointError(f"{where} {key}", got=repr(found), wanted="a table or null")
    theta = (new or {}).get("rope_theta") or values.get("rope_theta") or 10000.0
    scaling = _read_scaling(new, where)
    if new and "rope_scaling" in values and _read_scaling(old, where) != scaling:
        raise CheckpointError(
            f"{where} rope_parameters",
            got=f"{dict(new)!r}, while rope_scaling is {old!r}",
            wanted="the same scaling under both keys",
        )
    return theta, scaling if new else _read_scaling(old, where)


def _read_scaling(values: Mapping[str, Any] | None, where: object) -> RopeScaling | None:
    if not values:
        return None
    try:
        scaling = make_scaling(values)
        _refuse_foreign(values, scaling)
        return scaling
    except ValueError as error:
        raise CheckpointError(
            f"{where} rope scaling",
            got=f"{dict(values)!r} ({error})",
            wanted="default, linear with factor, or yarn with factor and "
            "original_max_position_embeddings",
        ) from None


def _refuse_foreign(values: Mapping[str, Any], scaling: RopeScaling | None) -> None:
    """Refuse keys that say something which this code would not follow."""
    for key, accepted in (("truncate", True), ("partial_rotary_factor", 1)):
        if values.get(key, accepted) not in (None, accepted):
            raise ValueError(f"{key} = {values[key]!r}")
    factor = values.get("attention_factor")
    follows = scaling.rotation_scale if isinstance(scaling, YarnScaling) else 1.0
    if factor is not None and not math.isclose(factor, follows, rel_tol=1e-6):
        raise ValueError(f"attention_factor = {factor}, while mscale gives {follows}")


def write_rope(theta: float, scaling: RopeScaling | None) -> dict[str, Any]:
    """Both spellings, for transformers old and new."""
    if scaling is None:
        return {"rope_scaling": None, "rope_parameters": {"rope_type": "default", _THETA: theta}}
    kind = asdict(scaling)
    if isinstance(scaling, YarnScaling):
        # transformers reads mscale only beside mscale_all_dim; this it always follows
        kind["attention_factor"] = scaling.rotation_scale
    return {
        "rope_scaling": {"type": scaling.rope_type, **kind},
        "rope_parameters": {**kind, _THETA: theta},
    }
