"""Documents of whatever a run's tokens are made of: a corpus's Parquet files, conversations."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path

from codekiln.corpus.conversations.read import SUFFIX, documents
from codekiln.corpus.conversations.settings import InstructSettings
from codekiln.corpus.store import read_shard
from codekiln.recipe import Recipe
from codekiln.types import Document


def reader_of(recipe: Recipe) -> Callable[[Path, str], Iterable[Document]]:
    """(file, split) -> its documents; it can travel to other processes."""
    return functools.partial(_read, recipe.table(InstructSettings))


def _read(settings: InstructSettings, path: Path, split: str) -> Iterable[Document]:
    if path.suffix == SUFFIX:
        return documents(path, split, settings)
    return read_shard(path, split)
