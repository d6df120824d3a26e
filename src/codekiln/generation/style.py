"""How a model was taught to read prompts; `codekiln.json` beside its weights says so.

Training writes it, import and export carry it along, the engine reads it. Without it (a model
from elsewhere) prompts are as in the released models: PSM, dependencies first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from codekiln.corpus.ordering.order import ORDERS
from codekiln.corpus.ordering.order import Order as FileOrder
from codekiln.errors import CheckpointError
from codekiln.models.folder import STYLE
from codekiln.tokens import fim
from codekiln.tokens.fim_settings import FimOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptStyle:
    """Order of the FIM parts, and order of the files of a repository."""

    fim_order: fim.Order = "psm"
    file_order: FileOrder = "scc"

    @classmethod
    def trained(cls, fim_order: FimOrder, file_order: FileOrder) -> PromptStyle:
        """The style of prompts after training.

        A model that knows both FIM orders gets PSM, and so does one that learnt MSP: with one
        hole they are the same.
        """
        return cls(fim_order="spm" if fim_order == "spm" else "psm", file_order=file_order)

    @classmethod
    def read(cls, folder: Path) -> PromptStyle:
        """The style of a model folder; the defaults where it says nothing.

        Raises:
            CheckpointError: the file is not JSON, or names an order that does not exist.
        """
        path = folder / STYLE
        if not path.is_file():
            return cls()
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(path, got=f"not JSON ({error})", wanted="a JSON object") from None
        if not isinstance(values, Mapping):
            raise CheckpointError(path, got="no JSON object", wanted="a JSON object")
        known: dict[str, tuple[str, ...]] = {"fim_order": get_args(fim.Order), "file_order": ORDERS}
        given = {key: values[key] for key in known if key in values}
        for key, value in given.items():
            if value not in known[key]:
                raise CheckpointError(
                    f"{path} {key}", got=repr(value), wanted=", ".join(known[key])
                )
        return cls(**given)

    def to_json(self) -> dict[str, str]:
        """Plain values, as they stand in the file."""
        return asdict(self)
