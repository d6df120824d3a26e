"""The keys of `[tokens]` that say how files are rearranged for infilling."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from codekiln.recipe import Settings

FimOrder = Literal["psm", "spm", "mixed", "msp"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
MOST_STAGES = 256  # a shard keeps each document's in a byte


class FimSettings(Settings):
    """Fill-in-the-middle. The defaults are the paper's.

    Source: DeepSeek-Coder §3.1.2 (rate 0.5, PSM, before packing; MSP is its ablation).
    """

    fim_rate: float = Field(
        0.5, ge=0.0, le=1.0, description="share of the code files rearranged for infilling"
    )
    fim_schedule: tuple[tuple[Share, Share], ...] = Field(
        (),
        max_length=MOST_STAGES,
        description="in place of fim_rate: pairs of a share of training and the rate from there "
        "on, the first from 0.0",
    )
    fim_order: FimOrder = Field(
        "psm",
        description="prefix-suffix-middle, suffix-prefix-middle, each at times, or masked spans",
    )
    spm_rate: float = Field(
        0.5, ge=0.0, le=1.0, description='with fim_order = "mixed": share of SPM among FIM files'
    )
    msp_spans: int = Field(
        3, ge=1, le=100, description='with fim_order = "msp": masked spans of a file, at most'
    )
    fim_cut: Literal["character", "token", "syntax"] = Field(
        "character",
        description="where files are cut: anywhere, between tokens, or around pieces of syntax",
    )
    fim_level: Literal["document", "context"] = Field(
        "document",
        description="files are rearranged before they are cut to sequences, or what a sequence "
        'holds of them (with fim_cut = "token" and packing = "best_fit")',
    )
    fim_loss: Literal["all", "middle"] = Field(
        "all", description="what of a FIM file is learnt: all of it, or the middle alone"
    )

    @property
    def stages(self) -> tuple[tuple[float, float], ...]:
        """(share of training from which it holds, rate of FIM files) of each stage."""
        return self.fim_schedule or ((0.0, self.fim_rate),)

    @model_validator(mode="after")
    def _schedule_rises_from_zero(self) -> Self:
        starts = [start for start, _ in self.fim_schedule]
        if starts and (starts != sorted(set(starts)) or starts[0] != 0.0 or starts[-1] == 1.0):
            raise ValueError(f"fim_schedule must rise from 0.0 and end below 1.0, not {starts}")
        return self

    @model_validator(mode="after")
    def _contexts_have_no_syntax(self) -> Self:
        if self.fim_level == "context" and self.fim_cut == "syntax":
            raise ValueError(
                'fim_level = "context" needs fim_cut = "character" or "token", not "syntax": '
                "a piece of a file is no file"
            )
        return self
