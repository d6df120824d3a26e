"""How often each document is read in each pass: weights, shares and long documents.

Each source has a rate, how often a pass reads its documents: its weight, or what follows from its
share; a long document's is multiplied by `long_documents.factor`. A document of rate 2 is read
twice in each pass. One of rate 0.5 is read in every second pass: the documents of a source stand
in a hashed order around a wheel, each with its tokens for a width; a pass turns the wheel by the
rate and reads what comes by. So each pass reads other documents, each document comes exactly as
often as its rate says, and a source's tokens in a pass are exact to one document.

Shares are of tokens. With them a pass is as long as it would be without. Names that have a share
get it; all others divide what is left as they would divide the whole.

The counts of a pass follow from its number and the seed, whatever was read before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codekiln.errors import RecipeError
from codekiln.registry import suggestion
from codekiln.tokens.permutation import mixed
from codekiln.tokens.settings import SHARE_SLACK, TokensSettings
from codekiln.tokens.shards import Shard
from codekiln.tokens.sources import Source

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_MARKS, _PHASES = 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7  # hashes that know nothing of each other
_SLACK = 1e-9  # of rates that are worked out: 0.1 * 30 passes are 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The documents of all shards as one stream.

    Args:
        starts: int64 [documents + 1], where each document starts; then the end.
        codes: int32 [documents], each document's place in `sources`.
        sources: sorted, whatever the shards' order of them.
    """

    starts: Ints
    codes: NDArray[np.int32]
    sources: tuple[Source, ...]

    @classmethod
    def of(cls, shards: Sequence[Shard]) -> Documents:
        """The documents of shards, in order."""
        sources = tuple(sorted({source for shard in shards for source in shard.sources}))
        place = {source: i for i, source in enumerate(sources)}
        offsets = np.cumsum([0, *(len(shard.tokens) for shard in shards)], dtype=np.int64)
        starts = [shard.starts[:-1] + at for shard, at in zip(shards, offsets, strict=False)]
        codes = [
            np.array([place[s] for s in shard.sources], dtype=np.int32)[shard.source_codes]
            for shard in shards
        ]
        return cls(
            starts=np.concatenate([*starts, offsets[-1:]]),
            codes=np.concatenate([*codes, np.empty(0, dtype=np.int32)]),
            sources=sources,
        )

    def __len__(self) -> int:
        return len(self.codes)


class Sampling:
    """Which documents each pass reads, and how often.

    Args:
        seed: of the order around each source's wheel.

    Attributes:
        documents: those it was made for.
        tokens: float64 [sources, 2], tokens of the short and of the long documents.
        rates: float64 [sources, 2], how often a pass reads the short and the long documents.
        same: whether every pass reads the same documents.

    Raises:
        RecipeError: a name that no document bears; shares that cannot be had; nothing to read.
    """

    def __init__(self, documents: Documents, settings: TokensSettings, *, seed: int) -> None:
        self.documents, self._seed = documents, seed
        lengths = np.diff(documents.starts)
        long = settings.long_documents
        is_long = lengths >= (long.min_tokens or np.inf)
        self._classes = 2 * documents.codes + is_long
        classes = 2 * len(documents.sources)
        tokens = np.bincount(self._classes, weights=lengths, minlength=classes)
        self.tokens = tokens.astype(np.float64).reshape(-1, 2)
        self.rates = rates(documents.sources, self.tokens, settings)
        self._rates = self.rates.reshape(-1)
        read = self._rates[tokens > 0]
        self._plain = bool((read == 1).all())
        self.same = bool((read == np.floor(read)).all())
        self._marks = None if self.same else _marks(self._classes, lengths, seed)

    def times(self, passes: int) -> Ints:
        """How often each document was read in the first `passes` passes, int64 [documents]."""
        turns = self._rates[self._classes] * passes
        if self._marks is not None:
            turns += self._marks
        return np.floor(turns + _SLACK).astype(np.int64)

    def rounds(self, number: int) -> list[Ints] | None:
        """The documents of pass `number`, in rounds; None if each comes once.

        A round has a document at most once. One that is read several times comes in rounds that
        lie as far apart as they can, so that its copies meet in no sequence or step; those that are
        read less often are spread over all rounds, so that each holds a bit of everything.
        """
        if self._plain:
            return None
        times = self.times(1) if self.same else self.times(number + 1) - self.times(number)
        count = int(times.max(initial=0))
        if count <= 1:
            return [np.flatnonzero(times)]
        order = np.repeat(np.arange(len(times)), times)
        copy = np.arange(len(order)) - np.repeat(np.cumsum(times) - times, times)
        number_of = ((copy + self._phases()[order]) * count / times[order]).astype(np.int64)
        by_round = np.argsort(number_of, kind="stable")
        ends = np.cumsum(np.bincount(number_of, minlength=count))
        return np.split(order[by_round], ends[:-1])

    def _phases(self) -> Floats:
        """A number from 0 to 1 for each document, related to nothing else.

        Of 32 bits: sums and quotients then round to no whole number that they do not reach.
        """
        hashes = _hashes(len(self._classes), self._seed ^ _PHASES)
        return (hashes >> np.uint64(32)).astype(np.float64) / 2**32


def _hashes(count: int, seed: int) -> NDArray[np.uint64]:
    start = np.array([seed & (2**64 - 1)], dtype=np.uint64)
    return mixed(np.arange(count, dtype=np.uint64) + mixed(start))


def _marks(classes: NDArray[np.int32], lengths: Ints, seed: int) -> Floats:
    """Where each document stands on the wheel of its class, from 0 to 1, by tokens before it."""
    order = np.lexsort((_hashes(len(classes), seed ^ _MARKS), classes))
    ends = np.cumsum(lengths[order], dtype=np.float64)
    size = np.bincount(classes, weights=lengths)
    before = (np.cumsum(size) - size)[classes[order]]
    marks = np.empty(len(classes))
    marks[order] = (ends - lengths[order] / 2 - before) / size[classes[order]]
    return np.minimum(marks, 1 - 2 * _SLACK)


def rates(sources: Sequence[Source], tokens: Floats, settings: TokensSettings) -> Floats:
    """How often a pass reads each source's short and long documents, float64 [sources, 2].

    Args:
        tokens: float64 [sources, 2], tokens of short and of long documents.

    Raises:
        RecipeError: a name that no document bears; shares that cannot be had; nothing to read.
    """
    _check_names(sources, settings)
    weights = np.ones(len(sources))
    for place, name in enumerate(_named(sources, settings.weights)):
        weights[place] = settings.weights.get(name, 1.0)
    if settings.shares:
        factors = np.array([1.0, settings.long_documents.factor])
        weights *= _factors(sources, weights * (tokens @ factors), settings.shares)
    found = weights[:, None] * np.array([1.0, settings.long_documents.factor])
    if tokens.sum() and not (found * tokens).sum():
        raise RecipeError(
            "[tokens.weights]",
            got="weights by which no document is ever read",
            wanted="a weight above 0 for some documents",
            remedy="raise a weight of " + ", ".join(_known(sources)),
        )
    return found


def _factors(sources: Sequence[Source], tokens: Floats, shares: Mapping[str, float]) -> Floats:
    """What each source's rate is to be multiplied by for the shares."""
    named = np.array([name if name in shares else "" for name in _named(sources, shares)])
    rest = max(1.0 - sum(shares.values()), 0.0)
    factors = np.ones(len(sources))
    for name, share in [*shares.items(), ("", rest if rest > SHARE_SLACK else 0.0)]:
        chosen = named == name
        size = tokens[chosen].sum()
        if share and not size:
            _no_tokens(name, share, sources)
        if size:
            factors[chosen] = share * tokens.sum() / size
    return factors


def _no_tokens(name: str, share: float, sources: Sequence[Source]) -> None:
    if not name:
        raise RecipeError(
            "[tokens.shares]",
            got=f"shares that leave {share:.4g}, and no documents without a share to fill it",
            wanted="shares that add up to 1",
            remedy="raise a share, or leave out one: what has none gets what is left",
        )
    raise RecipeError(
        f"[tokens.shares] {name}",
        got="no documents to fill the share: their weight is 0, or more exact names have them all",
        wanted="at least one",
        remedy="leave the name out, or name one of " + ", ".join(_known(sources)),
    )


def _named(sources: Sequence[Source], table: Mapping[str, float]) -> list[str]:
    """For each source the most exact of its names in a table; "" where none is."""
    return [next((n for n in source.names if n in table), "") for source in sources]


def _known(sources: Sequence[Source]) -> list[str]:
    return sorted({name for source in sources for name in source.names})


def _check_names(sources: Sequence[Source], settings: TokensSettings) -> None:
    known = _known(sources)
    for table in ("weights", "shares"):
        for name in getattr(settings, table):
            if name not in known:
                raise RecipeError(
                    f"[tokens.{table}] {name}",
                    got="no document of that name",
                    wanted="one of " + ", ".join(known),
                    remedy=suggestion(name, known),
                )
