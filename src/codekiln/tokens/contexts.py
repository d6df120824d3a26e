"""FIM at the level of contexts: what one sequence holds of a file is laid out, not the file.

A document that is longer than a sequence is cut to sequences by best fit at known places. Here its
files are cut at the same places first, between tokens, and each piece is rearranged or not by a
chance of its own, with room left for its control tokens: so no layout is ever cut. A piece that
is not rearranged fills the sequence up. No text is lost or trimmed.

A piece is masked between tokens, or between characters: then its parts are encoded anew, which
takes a few ids more, and room is left for them, too. What is left of it in the end holds the
text that follows, as it is.

Source: Bavarian et al. 2022, §3 (context-level FIM; there what control tokens push out of the
context is trimmed).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.tokens.fim import Draw, control_tokens, split
from codekiln.tokens.sequence import Assembly, Ids
from codekiln.tokens.settings import TokensSettings

SLACK_TOKENS = 6  # that the two cuts of a span may cost, where its parts are encoded anew

Parts = tuple[Sequence[Ids], Sequence[Ids]]


class PieceCuts(Protocol):
    """How a piece of a file is cut."""

    @property
    def ids(self) -> Ids:
        """The file's, int32 [tokens]."""
        ...

    @property
    def slack(self) -> int:
        """Ids that a span's cuts may cost."""
        ...

    def cut(self, start: int, size: int, draw: Draw, count: int) -> Parts | None:
        """(what is kept, what is masked) of so many ids; None where nothing can be masked.

        Together they have `slack` ids for each span more at most.
        """
        ...


@dataclass(frozen=True, slots=True)
class TokenCuts:
    """Cuts between a file's ids, of which `header` are never masked."""

    ids: Ids
    header: int
    slack: int = 0

    def cut(self, start: int, size: int, draw: Draw, count: int) -> Parts | None:
        """Spans of what is behind the header."""
        first = max(self.header - start, 0)
        if size <= first:
            return None
        spans = draw.spans(size - first, count)
        moved = tuple((first + begin, first + end) for begin, end in spans)
        return split(self.ids[start : start + size], moved)


@dataclass(frozen=True, slots=True)
class CharacterCuts:
    """Cuts between a file's characters; between its ids where that cannot be done.

    That is where a piece begins or ends inside a character, or would no longer fit.

    Args:
        tokens: the same file between ids.
        tokenizer: encodes parts.
        header_bytes: of the file's text, that are never masked.
    """

    tokens: TokenCuts
    tokenizer: Tokenizer
    header_bytes: int
    slack: int = SLACK_TOKENS

    @property
    def ids(self) -> Ids:
        """The file's."""
        return self.tokens.ids

    def cut(self, start: int, size: int, draw: Draw, count: int) -> Parts | None:
        """Spans of the text of these ids, encoded one by one."""
        between = self.tokens.cut(start, size, draw, count)
        text = self._text(start, start + size)
        if between is None or text is None:
            return between
        header = self._text(start, start + size, self.header_bytes)
        first = len(header) if header is not None else len(text)
        if first >= len(text):
            return between
        spans = draw.spans(len(text) - first, count)
        kept, masked = split(text, tuple((first + a, first + b) for a, b in spans))
        ids = self.tokenizer.encode_arrays([*kept, *masked])
        if sum(map(len, ids)) > size + self.slack * count:
            return between
        return ids[: len(kept)], ids[len(kept) :]

    def _text(self, start: int, end: int, most: int | None = None) -> str | None:
        """Of ids from `start` to `end`; of it what lies in the file's first `most` bytes."""
        before = len(self._bytes(0, start)) if most is not None else 0
        found = self._bytes(start, end)
        if most is not None:
            found = found[: max(most - before, 0)]
        try:
            return found.decode("utf-8")
        except UnicodeDecodeError:
            return None

    def _bytes(self, start: int, end: int) -> bytes:
        ids = self.ids[start:end].tolist()
        if start == 0:
            return self.tokenizer.decode_bytes(ids)  # without what it puts before every text
        return b"".join(map(self.tokenizer.token_bytes, ids))


def lay_out_pieces(
    assembly: Assembly,
    cuts: PieceCuts,
    settings: TokensSettings,
    rate: float,
    draw_of: Callable[[int], Draw],
) -> tuple[int, int]:
    """Append a file, piece by piece.

    Args:
        cuts: the file's ids, and how they are cut.
        rate: of pieces to be rearranged.
        draw_of: gives a piece's chances by its number.

    Returns:
        How many pieces were rearranged, and how many were chosen but too short.
    """
    done = short = piece = at = 0
    ids = cuts.ids
    while at < len(ids):
        draw = draw_of(piece)
        layout = draw.layout_order(settings.fim_order, settings.spm_rate)
        count = draw.span_count(layout, settings.msp_spans)
        room = _room(assembly.size, settings.sequence_length)
        size = min(len(ids) - at, room - control_tokens(count) - cuts.slack * count)
        chosen = draw.chosen < rate
        parts = cuts.cut(at, size, draw, count) if chosen else None
        if parts is not None:
            assembly.add_layout(*parts, layout)
            at += size
            done += 1
            room = _room(assembly.size, settings.sequence_length)
        short += chosen and parts is None
        if parts is None or room <= cuts.slack * count:
            size = min(len(ids) - at, room)
            assembly.add_text(ids[at : at + size])
            at += size
        piece += 1
    return done, short


def _room(place: int, sequence_length: int) -> int:
    """Ids from `place` of a document to the end of the sequence it lies in; see `layout.BestFit`.

    The first sequence of a document holds one id more than the others add.
    """
    return (max(place - 1, 0) // sequence_length + 1) * sequence_length + 1 - place
