"""Fill-in-the-middle: the one place that knows how prefix, suffix and middle are laid out.

PSM, the paper's order:

    <fim_begin> prefix <fim_hole> suffix <fim_end> middle <eos>

SPM, with the same three control tokens:

    <fim_begin> <fim_hole> suffix <fim_end> prefix middle <eos>

The second is Bavarian et al.'s joint variant: SPM written as a PSM whose prefix is empty and whose
middle starts with the prefix. Three things speak for it. The two cannot be confused: `<fim_hole>`
right behind `<fim_begin>` says that all text before the suffix comes after `<fim_end>`, which is
also what a PSM with an empty prefix says. The prompt is a strict prefix of the training sequence
in both orders, with the middle last. And prefix and middle stand together in SPM, so a typed
character changes nothing before it: the cached suffix stays valid.

MSP, the paper's ablation, masks several spans and asks for all of them:

    <fim_begin> text <fim_hole> text <fim_hole> text <fim_end> span <fim_hole> span <eos>

The paper says that it "conceals multiple text spans and trains the model to reconstruct them", as
T5 does. Open there: how many spans, how long, and with which control tokens. Ours: one to
`msp_spans` of them, each number alike; k spans lie between 2k uniform places, so that one span is
a PSM, and a model that was trained so is prompted as one of PSM is. T5 has a control token for
each hole; a code model has one, so holes are told apart by their order: k of them before
`<fim_end>`, and k - 1 between the spans behind it. Half of the tokens and less are masked
(k / (2k + 1) on average), much more than T5's 15% in spans of 3, which no editor ever asks for.

Open in the paper: how the cuts are drawn. Ours are two characters' positions, each uniform over
0..length, as in Bavarian et al.; `cuts.py` knows two other ways. Every draw is a hash of (seed,
document, file), so it does not depend on the number of processes or on the order of the documents.

Source: DeepSeek-Coder §3.1.2; Bavarian et al. 2022, §3 and appendix D; Raffel et al. 2020, §3.1.4.
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from codekiln.tokenizer.special import SpecialTokens
from codekiln.tokens.fim_settings import FimOrder

Order = Literal["psm", "spm"]  # of a prompt, which has one hole
Layout = Literal["psm", "spm", "msp"]  # of a training sequence
Part = Sequence[int] | NDArray[np.int32]
Spans = tuple[tuple[int, int], ...]  # (start, end) of what is masked, in order, none overlapping
Sliced = TypeVar("Sliced", str, NDArray[np.int32])


def prompt_parts(
    prefix: Part, suffix: Part, special: SpecialTokens, order: Order = "psm"
) -> list[Part]:
    """The prompt as parts to be joined: lists or arrays stay what they are.

    Raises:
        TokenizerError: when the tokenizer has no fill-in-the-middle tokens.
    """
    begin, hole, end = special.fim()
    if order == "psm":
        return [(begin,), prefix, (hole,), suffix, (end,)]
    return [(begin, hole), suffix, (end,), prefix]


def layout_parts(
    kept: Sequence[Part], masked: Sequence[Part], special: SpecialTokens, layout: Layout = "psm"
) -> tuple[list[Part], list[Part]]:
    """One file as a training sequence, as parts to be joined: (prompt, answer).

    The answer is the middle, or all spans of an MSP, and `<eos>`. The prompt of an SPM ends with
    the prefix.

    Args:
        kept: the text around the holes, one more than there are holes.
        masked: what stood in each hole. PSM and SPM have one.

    Raises:
        TokenizerError: when the tokenizer has no fill-in-the-middle tokens.
    """
    if layout == "spm":
        return prompt_parts(kept[0], kept[1], special, "spm"), [masked[0], (special.eos,)]
    begin, hole, end = special.fim()
    asked: list[Part] = [(begin,), kept[0]]
    for text in kept[1:]:
        asked += [(hole,), text]
    answer: list[Part] = [masked[0]]
    for span in masked[1:]:
        answer += [(hole,), span]
    return [*asked, (end,)], [*answer, (special.eos,)]


def control_tokens(count: int) -> int:
    """How many ids a layout with `count` masked spans has beside its text."""
    return 2 * count + 2


def split(whole: Sliced, spans: Spans) -> tuple[list[Sliced], list[Sliced]]:
    """(what is kept, what is masked) of a text or of ids, by spans in order."""
    edges = [0, *chain.from_iterable(spans), len(whole)]
    pieces = [whole[edges[i] : edges[i + 1]] for i in range(len(edges) - 1)]
    return pieces[::2], pieces[1::2]


def prompt(
    prefix: Sequence[int], suffix: Sequence[int], special: SpecialTokens, order: Order = "psm"
) -> list[int]:
    """The ids after which a model writes the middle; `layout_parts` has the same.

    Raises:
        TokenizerError: when the tokenizer has no fill-in-the-middle tokens.
    """
    return list(chain.from_iterable(prompt_parts(prefix, suffix, special, order)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """The chances of one file: three uniform numbers in [0, 1) and a fourth for the order.

    Args:
        key: what they are a hash of, and `more` of them.
    """

    chosen: float
    first: float
    second: float
    order: float
    key: bytes = field(repr=False)

    @classmethod
    def of(cls, seed: int, document_id: str, span: int, piece: int | None = None) -> Draw:
        """The chances of file number `span` of a document; the same wherever it is asked.

        Args:
            piece: of the file, where it is cut into contexts first.
        """
        place = f"{span}" if piece is None else f"{span}.{piece}"
        key = f"{seed}\0{place}\0{document_id}".encode("utf-8", "surrogatepass")
        values = _uniform(hashlib.blake2b(key, digest_size=32).digest())
        chosen, first, second, order = values
        return cls(chosen=chosen, first=first, second=second, order=order, key=key)

    def more(self, purpose: bytes, count: int) -> tuple[float, ...]:
        """As many further chances as are needed, others for each purpose."""
        return _uniform(hashlib.shake_256(purpose + b"\0" + self.key).digest(8 * count))

    def cuts(self, length: int) -> tuple[int, int]:
        """Two cut points, sorted, each uniform over the length + 1 places between characters."""
        points = (int(self.first * (length + 1)), int(self.second * (length + 1)))
        return min(points), max(points)

    def span_count(self, layout: Layout, most: int) -> int:
        """How many spans of a file are masked: one, or one to `most` with MSP."""
        return 1 + int(self.more(b"count", 1)[0] * most) if layout == "msp" else 1

    def spans(self, length: int, count: int) -> Spans:
        """`count` spans between uniform cut points."""
        if count == 1:
            return (self.cuts(length),)
        chances = self.more(b"spans", 2 * count)
        points = sorted(int(chance * (length + 1)) for chance in chances)
        return tuple(zip(points[::2], points[1::2], strict=True))

    def layout_order(self, wanted: FimOrder, spm_rate: float) -> Layout:
        """The order of this file under a setting."""
        if wanted == "mixed":
            return "spm" if self.order < spm_rate else "psm"
        return wanted


def stage_of(seed: int, document_id: str, starts: Sequence[float]) -> int:
    """Which stage of a schedule a document belongs to, as long a share as the stage is.

    Args:
        starts: where each stage begins, as a share; the first at 0.
    """
    key = f"{seed}\0{document_id}".encode("utf-8", "surrogatepass")
    [chance] = _uniform(hashlib.blake2b(key, digest_size=8, person=b"stage").digest())
    return bisect_right(starts, chance) - 1


def _uniform(digest: bytes) -> tuple[float, ...]:
    """Numbers in [0, 1), one for each 8 bytes."""
    # the top 53 bits: a double in [0, 1) without rounding up to 1
    values = struct.unpack(f"<{len(digest) // 8}Q", digest)
    return tuple((value >> 11) / 2.0**53 for value in values)
