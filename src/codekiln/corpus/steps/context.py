"""What all pieces of a build share, and the small values that pass between its steps."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codekiln.corpus.contamination.decontaminate import Decontaminator
from codekiln.corpus.plan import Source
from codekiln.corpus.privacy.optout import OptOut
from codekiln.corpus.settings import CorpusSettings
from codekiln.processes import cpu_seconds, peak_memory_bytes

EXAMPLES = 3

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What all pieces of a build share."""

    settings: CorpusSettings
    seed: int
    stages: Path
    test_data: Decontaminator
    opted_out: OptOut
    alone: bool  # the build has one repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Repositories that are read together; `key` follows from their names and revisions."""

    key: str
    sources: tuple[Source, ...]


def store_facts(folder: Path, piece: str, repositories: list[Facts], started: float) -> Facts:
    """Write a piece's `facts.json`, and give what it holds.

    Args:
        started: `cpu_seconds()` when the piece was begun.
    """
    facts: Facts = {
        "piece": piece,
        "repositories": repositories,
        "cpu_seconds": cpu_seconds() - started,
        "peak_memory_bytes": peak_memory_bytes(),
    }
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    return facts


@dataclass(slots=True, kw_only=True)
class Drops:
    """Files dropped, by reason: how many, how many bytes, of which languages, the first paths."""

    files: Counter[str] = field(default_factory=Counter)
    size: Counter[str] = field(default_factory=Counter)
    languages: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    examples: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, reason: str, path: str, size: int, language: str) -> None:
        """Count one file of `size` bytes."""
        self.languages[reason][language] += 1
        self.files[reason] += 1
        self.size[reason] += size
        if len(self.examples[reason]) < EXAMPLES:
            self.examples[reason].append(path)

    def rows(self) -> dict[str, Facts]:
        """By reason: files, bytes, languages (files of each), examples."""
        return {
            reason: {
                "files": self.files[reason],
                "bytes": self.size[reason],
                "languages": dict(self.languages[reason]),
                "examples": self.examples[reason],
            }
            for reason in sorted(self.files)
        }
