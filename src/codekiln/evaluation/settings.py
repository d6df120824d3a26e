"""`[evaluation]`: benchmarks that are run while a model trains. No torch here."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator, model_validator

from codekiln.recipe import Settings
from codekiln.registry import names, suggestion

OF_THE_RUN = "infilling"  # its problems are the run's own held-out files


class EvaluationSettings(Settings):
    """Benchmarks at each evaluation point of training (`training.evaluate_every`).

    A table of its own, beside the code that reads it: what is measured moves no weight, so a
    resumed run may change all of it.
    """

    benchmarks: tuple[str, ...] = Field(
        (), description="of `codekiln list benchmarks`, such as infilling; none by default"
    )
    problems: int = Field(
        50, ge=1, description="of each benchmark: the first ones, of infilling drawn by run.seed"
    )
    data: dict[str, Path] = Field(
        default_factory=dict, description="benchmark -> its folder; infilling needs none"
    )

    @field_validator("benchmarks")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        known = names("benchmarks")
        for name in value:
            if name not in known:
                hint = suggestion(name, known)
                raise ValueError("one of " + ", ".join(known) + (f"; {hint}" if hint else ""))
        if len(set(value)) < len(value):
            raise ValueError("each benchmark once")
        return value

    @model_validator(mode="after")
    def _have_data(self) -> EvaluationSettings:
        missing = [n for n in self.benchmarks if n != OF_THE_RUN and n not in self.data]
        if missing:
            raise ValueError(f'{missing[0]} needs its folder: data = {{ {missing[0]} = "FOLDER" }}')
        return self
