"""`[experiment]` of a recipe: what is varied, and how often."""

from __future__ import annotations

from pydantic import Field, field_validator

from codekiln.recipe import Settings


class ExperimentSettings(Settings):
    """Variants by name, each a list of "TABLE.KEY=VALUE"; others are held against the first."""

    variants: dict[str, list[str]] = Field(
        default_factory=dict, description='name -> ["tokens.fim_rate=0.5", …]'
    )
    seeds: list[int] = Field(
        default=[0, 1, 2], min_length=2, description="runs of each variant: run.seed"
    )
    infilling_problems: int = Field(default=100, ge=1, description="lines to infill in each run")

    @field_validator("variants")
    @classmethod
    def _two(cls, value: dict[str, list[str]]) -> dict[str, list[str]]:
        if len(value) == 1:
            raise ValueError("one variant has nothing to be held against")
        return value
