"""`[tokens]`: how documents become sequences of ids."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from codekiln.recipe import Settings
from codekiln.tokens.fim_settings import FimSettings

Packing = Literal["concatenate", "best_fit"]
MOST_PASSES = 1000.0
SHARE_SLACK = 1e-6  # thirds that were typed


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


class TokensSettings(FimSettings):
    """`[tokens]`: sequence length, packing, sampling, and what `FimSettings` has."""

    sequence_length: int = Field(
        1024, ge=1, le=2**20, description="tokens of one training sequence"
    )
    packing: Packing = Field(
        "concatenate",
        description="documents one behind the other, cut to sequences; or best_fit: packed so "
        "that none is cut which would fit, and the rest of a sequence padded",
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
    def _contexts_are_sequences(self) -> Self:
        if self.fim_level == "context" and self.packing != "best_fit":
            raise ValueError(
                'fim_level = "context" needs packing = "best_fit": documents one behind the other '
                "are cut to sequences anywhere"
            )
        return self

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if both := sorted(self.weights.keys() & self.shares.keys()):
            raise ValueError(f"a weight or a share, and {both[0]!r} has both")
        return self
