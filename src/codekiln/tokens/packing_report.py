"""What packing and sampling do to a set of shards, in figures of the first pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from codekiln.tokens.layout import Layout, lay_out
from codekiln.tokens.sampling import Documents, Sampling
from codekiln.tokens.settings import Packing, TokensSettings
from codekiln.tokens.shards import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class PackingFigures:
    """One packing. Shares: of the documents read that no sequence holds whole; of the inputs."""

    sequences: int
    cut_share: float
    padding_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFigures:
    """One source. `passes`: how often a pass reads it; `share`: of a pass's tokens."""

    documents: int
    tokens: int
    passes: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PackingReport:
    """What a recipe's packing and sampling come to.

    Args:
        packing: the recipe's.
        sequence_length: likewise.
        longer_documents: how many documents do not fit into one sequence, whatever is done.
        packings: both of them, for comparison.
        sources: by label.
    """

    packing: Packing
    sequence_length: int
    documents: int
    longer_documents: int
    packings: dict[str, PackingFigures]
    sources: dict[str, SourceFigures]


def packing_report(
    shards: Sequence[Shard], settings: TokensSettings, *, seed: int
) -> PackingReport:
    """The figures of training shards.

    Raises:
        RecipeError: weights or shares that these documents cannot have.
    """
    documents = Documents.of(shards)
    sampling = Sampling(documents, settings, seed=seed)
    rounds, length = sampling.rounds(0), settings.sequence_length
    read = len(documents) if rounds is None else sum(map(len, rounds))
    return PackingReport(
        packing=settings.packing,
        sequence_length=length,
        documents=len(documents),
        longer_documents=int((np.diff(documents.starts) > length + 1).sum()),
        packings={
            packing: _figures(lay_out(packing, documents.starts, length, rounds), length, read)
            for packing in get_args(Packing)
        },
        sources=_sources(documents, sampling),
    )


def _figures(layout: Layout, length: int, read: int) -> PackingFigures:
    return PackingFigures(
        sequences=layout.sequences,
        cut_share=layout.cut / max(read, 1),
        padding_share=layout.padding / max(layout.sequences * length, 1),
    )


def _sources(documents: Documents, sampling: Sampling) -> dict[str, SourceFigures]:
    counts = np.bincount(documents.codes)
    tokens = sampling.tokens.sum(axis=1)
    read = (sampling.tokens * sampling.rates).sum(axis=1)
    return {
        source.label: SourceFigures(
            documents=int(counts[i]),
            tokens=int(tokens[i]),
            passes=float(read[i] / tokens[i]),
            share=float(read[i] / read.sum()),
        )
        for i, source in enumerate(documents.sources)
    }


def passes_line(passes: Mapping[str, float], most: int = 8) -> str:
    """Passes by source, as `Loader.passes` gives them, in a line: "python 1.30, go 0.70"."""
    shown = [f"{label} {count:.2f}" for label, count in list(passes.items())[:most]]
    more = len(passes) - most
    return ", ".join(shown) + (f" and {more:,} more sources" if more > 0 else "")
