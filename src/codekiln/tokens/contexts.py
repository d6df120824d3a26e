"""FIM at the level of contexts: what one sequence holds of a file is laid out, not the file.

A document that is longer than a sequence is cut to sequences by best fit at known places. Here its
files are cut at the same places first, between tokens, and each piece is rearranged or not by a
chance of its own, with room left for its control tokens: so no layout is ever cut. A piece that
is not rearranged fills the sequence up. No id is lost or trimmed.

Source: Bavarian et al. 2022, §3 (context-level FIM; there what control tokens push out of the
context is trimmed).
"""

from __future__ import annotations

from collections.abc import Callable

from codekiln.tokens.fim import Draw, control_tokens, split
from codekiln.tokens.sequence import Assembly, Ids
from codekiln.tokens.settings import TokensSettings


def lay_out_pieces(
    assembly: Assembly,
    ids: Ids,
    header: int,
    settings: TokensSettings,
    rate: float,
    draw_of: Callable[[int], Draw],
) -> tuple[int, int]:
    """Append a file, piece by piece.

    Args:
        ids: the file's, int32 [tokens].
        header: how many of them are never masked.
        rate: of pieces to be rearranged.
        draw_of: gives a piece's chances by its number.

    Returns:
        How many pieces were rearranged, and how many were chosen but too short.
    """
    done = short = piece = at = 0
    while at < len(ids):
        draw = draw_of(piece)
        layout = draw.layout_order(settings.fim_order, settings.spm_rate)
        count = draw.span_count(layout, settings.msp_spans)
        room = _room(assembly.size, settings.sequence_length)
        size = min(len(ids) - at, room - control_tokens(count))
        first = max(header - at, 0)
        chosen = draw.chosen < rate
        if chosen and size > first:
            spans = draw.spans(size - first, count)
            spans = tuple((first + start, first + end) for start, end in spans)
            kept, masked = split(ids[at : at + size], spans)
            assembly.add_layout(kept, masked, layout)
            done += 1
        else:
            short += chosen
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
