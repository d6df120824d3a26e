"""Settings of the licence rule: the recipe's `[corpus.licences]` table."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from codekiln.corpus.licences import expression
from codekiln.recipe import Settings

NOT_ALLOWED = "licence not allowed"
UNKNOWN = "licence unknown"
REASONS = (NOT_ALLOWED, UNKNOWN)


class LicenceSettings(Settings):
    """`[corpus.licences]`: which licences a file may stand under."""

    allow: Literal["any", "permissive"] | list[str] = Field(
        default="any",
        description="any, permissive (no copyleft), or a list of SPDX identifiers",
    )
    unknown: Literal["auto", "keep", "drop"] = Field(
        default="auto",
        description="files without a known licence; auto keeps them only where any is allowed",
    )

    @field_validator("allow")
    @classmethod
    def _identifiers(cls, value: str | list[str]) -> str | list[str]:
        if isinstance(value, str):
            return value
        for name in value:
            known = expression.canonical(name)
            if known is None or len(expression.ids(known)) != 1 or " " in known:
                raise ValueError(f"SPDX identifiers such as 'MIT', and {name!r} is none")
        return [expression.canonical(name) or name for name in value]


def reason(licence: str, settings: LicenceSettings) -> str | None:
    """Why a file under `licence` (SPDX expression or NOASSERTION) is dropped; None if it is kept.

    An expression is allowed if one side of an OR is, and if both sides of an AND are.
    """
    if licence == expression.NOASSERTION:
        drop = settings.unknown == "drop" or (
            settings.unknown == "auto" and settings.allow != "any"
        )
        return UNKNOWN if drop else None
    if settings.allow == "any":
        return None
    if settings.allow == "permissive":
        allowed = expression.is_permissive(licence)
    else:
        allowed = expression.evaluate(licence, frozenset(settings.allow).__contains__)
    return None if allowed else NOT_ALLOWED
