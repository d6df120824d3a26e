"""Settings of decontamination beyond the paper: the recipe's `[corpus.contamination]` table."""

from __future__ import annotations

from pydantic import Field, field_validator

from codekiln.recipe import Settings

SHORTEST_RUN = 15


class ContaminationSettings(Settings):
    """`[corpus.contamination]`: what is looked for besides the paper's n-grams."""

    renamed: int = Field(
        default=0,
        ge=0,
        le=200,
        description="tokens in a run that also matches with other names in it (20 is sensible); "
        "0 is the paper's rule alone",
    )

    @field_validator("renamed")
    @classmethod
    def _long_enough(cls, value: int) -> int:
        if 0 < value < SHORTEST_RUN:
            raise ValueError(f"0, or at least {SHORTEST_RUN}: shorter runs are in all code")
        return value
