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

Open in the paper: how the cuts are drawn. Ours are two characters' positions, each uniform over
0..length, as in Bavarian et al. Every draw is a hash of (seed, document, file), so it does not
depend on the number of processes or on the order of the documents.

Source: DeepSeek-Coder §3.1.2; Bavarian et al. 2022, §3 and appendix D.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from codekiln.tokenizer.special import SpecialTokens
from codekiln.tokens.settings import FimOrder

Order = Literal["psm", "spm"]
Part = Sequence[int] | NDArray[np.int32]


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
    prefix: Part, suffix: Part, middle: Part, special: SpecialTokens, order: Order = "psm"
) -> list[Part]:
    """One file as a training sequence, as parts to be joined: prompt, middle, `<eos>`.

    Raises:
        TokenizerError: when the tokenizer has no fill-in-the-middle tokens.
    """
    return [*prompt_parts(prefix, suffix, special, order), middle, (special.eos,)]


def prompt(
    prefix: Sequence[int], suffix: Sequence[int], special: SpecialTokens, order: Order = "psm"
) -> list[int]:
    """The ids after which a model writes the middle; `layout_parts` starts with exactly these.

    Raises:
        TokenizerError: when the tokenizer has no fill-in-the-middle tokens.
    """
    return list(chain.from_iterable(prompt_parts(prefix, suffix, special, order)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """The chances of one file: three uniform numbers in [0, 1) and a fourth for the order."""

    chosen: float
    first: float
    second: float
    order: float

    @classmethod
    def of(cls, seed: int, document_id: str, span: int) -> Draw:
        """The chances of file number `span` of a document; the same wherever it is asked."""
        key = f"{seed}\0{span}\0{document_id}".encode("utf-8", "surrogatepass")
        values = struct.unpack("<4Q", hashlib.blake2b(key, digest_size=32).digest())
        # the top 53 bits: a double in [0, 1) without rounding up to 1
        chosen, first, second, order = ((value >> 11) / 2.0**53 for value in values)
        return cls(chosen=chosen, first=first, second=second, order=order)

    def cuts(self, length: int) -> tuple[int, int]:
        """Two cut points, sorted, each uniform over the length + 1 places between characters."""
        points = (int(self.first * (length + 1)), int(self.second * (length + 1)))
        return min(points), max(points)

    def layout_order(self, wanted: FimOrder, spm_rate: float) -> Order:
        """The order of this file under a setting."""
        if wanted == "mixed":
            return "spm" if self.order < spm_rate else "psm"
        return wanted
