"""`[tokenizer]`: what the tokenizer is trained with."""

from __future__ import annotations

import math

from pydantic import Field, field_validator

from codekiln.recipe import Settings
from codekiln.tokenizer.special import SPELLINGS

SMALLEST_VOCABULARY = 256 + len(SPELLINGS)


class TokenizerSettings(Settings):
    """`[tokenizer]`: size of the vocabulary, and the text that it is learnt from.

    A language's share of the sample is proportional to `bytes ** sample_alpha * weight`. With 1
    the sample is the corpus in small, as the paper has it, and the large languages get nearly all
    merges. Below 1 the small ones are lifted, as is usual for multilingual models (0.3 to 0.7):
    their text gets shorter in tokens by more than that of the large ones gets longer.

    Source: DeepSeek-Coder §3.2 (32,000 entries). Open there: how large the sample was, and how
    it was drawn.
    """

    vocab_size: int = Field(
        32000 + len(SPELLINGS),
        ge=SMALLEST_VOCABULARY,
        le=2**20,
        description="all ids: the 256 bytes, the merges and the special tokens",
    )
    sample_bytes: int = Field(
        200_000_000,
        ge=1,
        description="text used at most (UTF-8 bytes, to within a piece of 64 KB of each language)",
    )
    sample_alpha: float = Field(
        1.0,
        ge=0,
        le=1,
        description="1 draws languages as the corpus has them, 0 all alike, values between lift "
        "the small ones",
    )
    weights: dict[str, float] = Field(
        default_factory=dict,
        description="factors on the shares of single languages (families, or english and "
        "chinese); 1 for those not named",
    )
    min_frequency: int = Field(
        2, ge=1, description="a pair of tokens seen less often than this is never merged"
    )

    @field_validator("weights")
    @classmethod
    def _weights(cls, value: dict[str, float]) -> dict[str, float]:
        for name, weight in value.items():
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"weights of 0 or more, and {name!r} has {weight}")
        return value
