"""`[tokens]`: how documents become sequences of ids."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator, model_validator

from codekiln.recipe import Settings

Packing = Literal["concatenate", "best_fit"]
MOST_PASSES = 1000.0
SHARE_SLACK = 1e-6  # thirds that were typed
FimOrder = Literal["psm", "spm", "mixed"]


class LongDocumentSettings(Settings):
    """`[tokens.long_documents]`: read long documents more often, to extend the context.

    Source: DeepSeek-Coder-V2 §3.4 (long documents upsampled; how often is open).
    """

    min_tokens: int = Field(
        default=0, ge=0, description="a document of at least this size is long; 0: none"
    )
    factor: float = Field(
        default=1.0,
        ge=0,
        le=MOST_PASSES,
        description="how often a long one is read, beside its weight",
    )

    @model_validator(mode="after")
    def _both(self) -> LongDocumentSettings:
        if self.factor != 1 and not self.min_tokens:
            raise ValueError("a factor needs min_tokens: what is a long document?")
        return self


class TokensSettings(Settings):
    """`[tokens]`: sequence length, packing, sampling and fill-in-the-middle.

    Source: DeepSeek-Coder §3.1.2 (rate 0.5, PSM).
    """

    sequence_length: int = Field(
        1024, ge=1, le=2**20, description="tokens of one training sequence"
    )
    packing: Packing = Field(
        "concatenate",
        description="documents one behind the other, cut to sequences; or best_fit: packed so "
        "that none is cut which would fit, and the rest of a sequence padded",
    )
    fim_rate: float = Field(
        0.5, ge=0.0, le=1.0, description="share of the code files rearranged for infilling"
    )
    fim_order: FimOrder = Field(
        "psm", description="prefix-suffix-middle, suffix-prefix-middle, or each at times"
    )
    spm_rate: float = Field(
        0.5, ge=0.0, le=1.0, description='with fim_order = "mixed": share of SPM among FIM files'
    )
    restart_positions: bool = Field(
        True, description="count positions from the start of each document, not of the sequence"
    )
    weights: dict[str, float] = Field(
        default_factory=dict,
        description="how often a pass reads the documents of a language, kind or text; 1 without",
    )
    shares: dict[str, float] = Field(
        default_factory=dict,
        description="share of the training tokens by the same names, in place of a weight",
    )
    long_documents: LongDocumentSettings = Field(
        default=LongDocumentSettings(), description="how often long documents are read"
    )

    @field_validator("weights")
    @classmethod
    def _weights(cls, value: dict[str, float]) -> dict[str, float]:
        for name, weight in value.items():
            if not 0 <= weight <= MOST_PASSES:  # NaN too
                raise ValueError(f"weights from 0 to {MOST_PASSES:g}, and {name!r} has {weight}")
        return value

    @field_validator("shares")
    @classmethod
    def _shares(cls, value: dict[str, float]) -> dict[str, float]:
        for name, share in value.items():
            if not 0 <= share <= 1:
                raise ValueError(f"shares from 0 to 1, and {name!r} has {share}")
        if (total := math.fsum(value.values())) > 1 + SHARE_SLACK:
            raise ValueError(f"shares that add up to 1 at most, and these add up to {total:g}")
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> TokensSettings:
        if both := sorted(self.weights.keys() & self.shares.keys()):
            raise ValueError(f"a weight or a share, and {both[0]!r} has both")
        return self
