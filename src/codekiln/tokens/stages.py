"""A run's data by stage, where the rate of FIM files changes over training.

Tokens are packed before training, so a document is packed with the rate of one stage. Which one is
a hash of its id, and as likely as the stage is long. A stage reads its own documents alone, from
its first step to its last. In a run of one pass over the data that is about once: shares of
documents are shares of tokens only where there are many of them, and a stage that is far from its
share is named. Rate 0.5 at first and rate 0.9 at last, say, are documents of which half are
rearranged, then others of which nine in ten are.

The paper trains with one rate throughout.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from codekiln.errors import ShardError
from codekiln.log import logger
from codekiln.tokens.batch import Batch
from codekiln.tokens.cursor import Cursor
from codekiln.tokens.loader import Loader
from codekiln.tokens.sampling import Documents, Sampling
from codekiln.tokens.settings import TokensSettings
from codekiln.tokens.shards import Shard

UNEVEN = 0.1  # share by which a stage may be longer or shorter than its documents


class StagedLoader:
    """One `Loader` a stage; without a schedule there is one.

    Args:
        shards: in order; all of one tokenizer.
        settings: how documents become sequences, how often they are read, and in which stages.
        batch_size: sequences in a batch.
        seed: of the order.
        pad_id: what fills up sequences that are not full.

    Attributes:
        epoch_sequences: in the first pass of each stage, together.

    Raises:
        RecipeError: weights or shares that the documents cannot have.
        ShardError: when a stage is shorter than one batch, or the shards don't belong together.
    """

    def __init__(
        self,
        shards: Sequence[Shard],
        settings: TokensSettings,
        *,
        batch_size: int,
        seed: int,
        pad_id: int,
    ) -> None:
        self._starts = [start for start, _ in settings.stages]
        sampling = Sampling(Documents.of(shards), settings, seed=seed)
        stage_of = np.concatenate([shard.stages for shard in shards])
        self.loaders: list[Loader] = []
        for stage in range(len(self._starts)):
            try:
                loader = Loader(
                    shards,
                    sequence_length=settings.sequence_length,
                    batch_size=batch_size,
                    seed=seed,
                    restart_positions=settings.restart_positions,
                    packing=settings.packing,
                    pad_id=pad_id,
                    sampling=sampling,
                    chosen=stage_of == stage if len(self._starts) > 1 else None,
                    middle_only=settings.fim_loss == "middle",
                )
            except ShardError as error:
                raise _of_stage(error, stage, len(self._starts)) from None
            self.loaders.append(loader)
        self.epoch_sequences = sum(loader.epoch_sequences for loader in self.loaders)
        self._warn_of_uneven_stages()

    def _warn_of_uneven_stages(self) -> None:
        for stage, (start, end) in enumerate(pairwise([*self._starts, 1.0])):
            share = self.loaders[stage].epoch_sequences / self.epoch_sequences
            if abs(share / (end - start) - 1) > UNEVEN:
                logger.warning(
                    "stage %d of tokens.fim_schedule has %.1f%% of the sequences for %.1f%% of "
                    "training: its documents are read %.2f times a pass",
                    stage + 1,
                    100 * share,
                    100 * (end - start),
                    (end - start) / share,
                )

    def advance(self, cursor: Cursor, share: float) -> Cursor:
        """Where to read once `share` of training is done: `cursor`, or a later stage's start."""
        stage = bisect_right(self._starts, share) - 1
        while cursor.stage < stage:
            left = (cursor.epoch, cursor.index)
            cursor = Cursor(earlier=(*cursor.earlier, left))
        return cursor

    def batch(self, cursor: Cursor, rows: slice = slice(None)) -> tuple[Batch, Cursor]:
        """The batch at `cursor`, or some of its rows, and the cursor behind it.

        Raises:
            ShardError: when no pass of its stage from here on fills a batch.
        """
        return self.loaders[cursor.stage].batch(cursor, rows)

    def passes(self, cursor: Cursor) -> dict[str, float]:
        """How often each source has been read, in all stages; see `Loader.passes`."""
        places = [*cursor.earlier, (cursor.epoch, cursor.index)]
        total: dict[str, float] = {}
        for loader, (epoch, index) in zip(self.loaders, places, strict=False):
            for label, count in loader.passes(Cursor(epoch=epoch, index=index)).items():
                total[label] = total.get(label, 0.0) + count
        return total


def _of_stage(error: ShardError, stage: int, stages: int) -> ShardError:
    if stages == 1:
        return error
    return ShardError(
        f"{error.where}, stage {stage + 1} of tokens.fim_schedule",
        got=error.got,
        wanted=error.wanted,
        remedy=f"{error.remedy}, or fewer stages",
    )
