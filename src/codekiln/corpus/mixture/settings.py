"""Settings of the mixture: the recipe's `[corpus.mixture]` table, and the papers' mixtures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from pydantic import Field, field_validator, model_validator

from codekiln.recipe import Settings

Preset = Literal["none", "deepseek-coder", "deepseek-coder-v1.5", "deepseek-coder-v2"]
MOST_COPIES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """A mixture: the share of each component, and which kinds count for another component."""

    shares: Mapping[str, float]
    count_as: Mapping[str, str]


# Sources: DeepSeek-Coder §2 and §5 (v1.5), DeepSeek-Coder-V2 §2. V1.5's bilingual text is Chinese
# and English at once: what is not about code. V2 does not part its natural language.
PRESETS: Mapping[Preset, Shares] = MappingProxyType(
    {
        "none": Shares(shares={}, count_as={}),
        "deepseek-coder": Shares(
            shares={"code": 0.87, "english": 0.10, "chinese": 0.03}, count_as={}
        ),
        "deepseek-coder-v1.5": Shares(
            shares={
                "code": 0.70,
                "english": 0.10,  # Markdown and StackExchange
                "text-about-code": 0.07,
                "math": 0.07,
                "bilingual": 0.06,
            },
            count_as={"chinese": "bilingual"},
        ),
        "deepseek-coder-v2": Shares(
            shares={"code": 0.60, "math": 0.10, "natural-language": 0.30},
            count_as={"english": "natural-language", "chinese": "natural-language"},
        ),
    }
)


class MixtureSettings(Settings):
    """How much of what: shares by bytes of UTF-8, caps, repetitions."""

    preset: Preset = Field(
        "none", description="a paper's shares; none takes every document as it is"
    )
    shares: dict[str, float] = Field(
        default_factory=dict,
        description="shares of your own by component, in place of the preset's; they are scaled"
        " to 1",
    )
    count_as: dict[str, str] = Field(
        default_factory=dict,
        description="components that count for another one, beside the preset's",
    )
    max_repeats: float = Field(
        4.0,
        ge=1,
        le=MOST_COPIES,
        description="how often a scarce component may be repeated; then the others shrink to it",
    )
    language_cap_bytes: int = Field(
        0, ge=0, description="code kept of one language, by the samples' main one; 0: no cap"
    )
    language_caps: dict[str, int] = Field(
        default_factory=dict, description="caps of their own for single languages; 0: no cap"
    )
    long_document_bytes: int = Field(
        0, ge=0, description="a document of at least this size is long; 0: none is"
    )
    long_repeats: int = Field(
        1, ge=1, le=32, description="copies of a long document, for training on long contexts"
    )

    @field_validator("shares")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        for name, share in value.items():
            if not (math.isfinite(share) and share >= 0):
                raise ValueError(f"shares of 0 or more, and {name!r} has {share}")
        if value and not sum(value.values()):
            raise ValueError("at least one share above 0")
        return value

    @field_validator("language_caps")
    @classmethod
    def _caps(cls, value: dict[str, int]) -> dict[str, int]:
        for name, cap in value.items():
            if cap < 0:
                raise ValueError(f"caps of 0 or more, and {name!r} has {cap}")
        return value

    @model_validator(mode="after")
    def _both(self) -> MixtureSettings:
        if self.long_repeats > 1 and not self.long_document_bytes:
            raise ValueError("long_repeats needs long_document_bytes: what is a long document?")
        return self

    @property
    def active(self) -> bool:
        """Whether these settings change anything."""
        return bool(
            self.wanted()
            or self.language_cap_bytes
            or any(self.language_caps.values())
            or self.long_repeats > 1
        )

    def wanted(self) -> dict[str, float]:
        """The share of each component, adding up to 1; empty where all is taken as it is."""
        shares = self.shares or PRESETS[self.preset].shares
        total = sum(shares.values())
        return {name: share / total for name, share in sorted(shares.items()) if share}

    def component(self, name: str) -> str:
        """The component that `name` (a kind, or what a source says) counts for."""
        return {**PRESETS[self.preset].count_as, **self.count_as}.get(name, name)

    def cap(self, language: str) -> int:
        """Most bytes of code in a language; 0 means no cap."""
        return self.language_caps.get(language, self.language_cap_bytes)
