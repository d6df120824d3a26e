"""`[tokenizer]`: what the tokenizer is trained with."""

from __future__ import annotations

from pydantic import Field

from codekiln.recipe import Settings
from codekiln.tokenizer.special import SPELLINGS

SMALLEST_VOCABULARY = 256 + len(SPELLINGS)


class TokenizerSettings(Settings):
    """`[tokenizer]`: size of the vocabulary and of the text it is learnt from.

    Source: DeepSeek-Coder §3.2 (32,000 entries). Open there: how large the sample was.
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
        description="text used at most (UTF-8 bytes), drawn evenly from the whole corpus",
    )
    min_frequency: int = Field(
        2, ge=1, description="a pair of tokens seen less often than this is never merged"
    )
