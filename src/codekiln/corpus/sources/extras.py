"""Optional libraries: imported when asked for, with an error that names the extra."""

from __future__ import annotations

import importlib
from typing import Any

from codekiln.errors import MissingToolError


def require(module: str, where: object, *, extra: str = "hub") -> Any:
    """Import and return an optional library.

    Raises:
        MissingToolError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingToolError(
            where,
            got=f"the library {error.name or module!r} is not installed",
            wanted=f"codekiln with the extra {extra!r}",
            remedy=f"pip install 'codekiln[{extra}]'",
        ) from error
