"""`[tokens]`: how documents become sequences of ids."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from codekiln.recipe import Settings

FimOrder = Literal["psm", "spm", "mixed"]


class TokensSettings(Settings):
    """`[tokens]`: sequence length and fill-in-the-middle.

    Source: DeepSeek-Coder §3.1.2 (rate 0.5, PSM).
    """

    sequence_length: int = Field(
        1024, ge=1, le=2**20, description="tokens of one training sequence"
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
