"""Puts a document's ids together, and keeps account of each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from codekiln.tokenizer.special import SpecialTokens
from codekiln.tokens.fim import Layout, Part, layout_parts

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What documents were made into. The three kinds of tokens are all tokens.

    Args:
        files: in the documents; `fim_files` of them rearranged, in whole or in part.
        fim_short: files, or pieces of them, that were chosen for FIM and too short to be cut.
        fim_fallbacks: files cut at characters because their syntax is not known.
        text_tokens: of text outside FIM layouts.
        fim_tokens: of text inside.
        control_tokens: `<bos>`, `<eos>` and those of FIM.
    """

    files: int = 0
    fim_files: int = 0
    fim_short: int = 0
    fim_fallbacks: int = 0
    text_tokens: int = 0
    fim_tokens: int = 0
    control_tokens: int = 0

    def __add__(self, other: Self) -> Self:
        names = [field.name for field in fields(self)]
        return type(self)(**{name: getattr(self, name) + getattr(other, name) for name in names})


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlace:
    """Where a file, or a turn of a conversation, lies in a document's ids.

    Args:
        end: behind its last id; it begins where the one before ends, the first behind `<bos>`.
        header_bytes: of its path header, UTF-8.
        bytes: of all its text.
        language: as the corpus names it; "" where it does not.
    """

    end: int
    header_bytes: int
    bytes: int
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """A document as ids.

    Args:
        ids: `<bos>` to `<eos>`, int32 [tokens].
        layouts: of each FIM layout its first id, the first id of what is to be filled in, and its
            end; of each turn of a conversation its first id, that of the answer, and its end.
            int64 [layouts, 3].
        text_bytes: UTF-8 bytes of the document's text, headers included.
        stage: of the schedule of FIM rates.
        account: of these ids.
        files: in order.
    """

    ids: Ids
    layouts: NDArray[np.int64]
    text_bytes: int
    stage: int
    account: Account
    files: tuple[FilePlace, ...]


class Assembly:
    """A document's ids as they come.

    Attributes:
        size: ids so far.
    """

    def __init__(self, special: SpecialTokens) -> None:
        self._special = special
        self._parts: list[Part] = [(special.bos,)]
        self._layouts: list[tuple[int, int, int]] = []
        self._text = self._fim = 0
        self._closed = False  # by a layout's own <eos>
        self.size = 1

    def add_text(self, ids: Part) -> None:
        """Append text as it is."""
        self._parts.append(ids)
        self.size += len(ids)
        self._text += len(ids)
        self._closed = False

    def add_layout(self, kept: Sequence[Part], masked: Sequence[Part], layout: Layout) -> None:
        """Append text rearranged for infilling, see `layout_parts`."""
        asked, answer = layout_parts(kept, masked, self._special, layout)
        start, middle = self.size, self.size + sum(map(len, asked))
        self.size = middle + sum(map(len, answer))
        self._parts += [*asked, *answer]
        self._layouts.append((start, middle, self.size))
        self._fim += sum(map(len, kept)) + sum(map(len, masked))
        self._closed = True

    def add_turn(self, prompt: Part, answer: Part) -> None:
        """Append what is given and what is answered, of which the latter is learnt.

        Raises:
            TokenizerError: no token for the end of a turn.
        """
        ends = (self._special.end_of_turn(),)
        start, middle = self.size, self.size + len(prompt)
        self.size = middle + len(answer) + 1
        self._parts += [prompt, answer, ends]
        self._layouts.append((start, middle, self.size))
        self._text += len(prompt) + len(answer)
        self._closed = True

    def finish(self, account: Account, *, files: tuple[FilePlace, ...], stage: int) -> Encoded:
        """The document; the last layout's `<eos>` is also its end.

        Args:
            account: of its files. That of its tokens is added.
            files: which together are its text.
        """
        if not self._closed:
            self._parts.append((self._special.eos,))
            self.size += 1
        tokens = Account(
            text_tokens=self._text,
            fim_tokens=self._fim,
            control_tokens=self.size - self._text - self._fim,
        )
        return Encoded(
            ids=np.concatenate([np.asarray(part, dtype=np.int32) for part in self._parts]),
            layouts=np.array(self._layouts, dtype=np.int64).reshape(-1, 3),
            text_bytes=sum(file.bytes for file in files),
            stage=stage,
            account=account + tokens,
            files=files,
        )
