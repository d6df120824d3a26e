"""By which rules a benchmark is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from codekiln import registry
from codekiln.errors import UserError

# paper: the published rules, quirks included; strict: what the problems mean
Profile = Literal["paper", "strict"]


def make(name: str, profile: Profile | None = None) -> Any:
    """A benchmark of the registry.

    Args:
        profile: by which rules; None: strict ones.

    Raises:
        UserError: no such benchmark, or it has no such rules.
    """
    kind = registry.load("benchmarks", name)
    known: Sequence[Profile] = getattr(kind, "profiles", ("strict",))
    if profile is None or (profile in known and len(known) == 1):
        return kind()
    if profile not in known:
        raise UserError(
            f"--profile {profile}",
            got=f"{name}, whose published rules and strict ones are the same",
            wanted=" or ".join(known),
            remedy="leave --profile out",
        )
    return kind(profile)
