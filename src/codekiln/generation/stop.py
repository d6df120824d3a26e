"""From token bytes to text that may be shown: whole characters, nothing of a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class TextAssembler:
    """Joins the bytes of tokens to text, and ends it before the first stop string.

    What it gives out is final: a character comes out only when all its bytes are there, and
    text that may be the start of a stop string is held back until that is settled. Which stop
    string wins depends on the text alone, not on where tokens end: the one that is complete
    first; of those that end together, the longest. Bytes that are no UTF-8 become U+FFFD; an
    unfinished character at the very end is left out.

    Args:
        stop: strings before which the text ends, none of them empty.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = tuple(sorted(set(stop), key=len, reverse=True))
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped = False

    def add(self, piece: bytes) -> str:
        """The text that has become final through these bytes; "" once a stop string came."""
        if self.stopped:
            return ""
        self._held += self._decoder.decode(piece)
        cut = self._match()
        if cut is None:
            cut = len(self._held) - self._open_length()
            text, self._held = self._held[:cut], self._held[cut:]
            return text
        self.stopped = True
        text, self._held = self._held[:cut], ""
        return text

    def finish(self) -> str:
        """What was held back: no more bytes come, so no stop string can complete."""
        text, self._held = self._held, ""
        self._decoder.reset()
        return text

    def _match(self) -> int | None:
        """Where the winning stop string starts, if one is complete."""
        found = [(at + len(word), at) for word in self._stop if (at := self._held.find(word)) >= 0]
        return min(found)[1] if found else None

    def _open_length(self) -> int:
        """Length of the longest end of the held text that a stop string could start with."""
        if not self._stop:
            return 0
        longest = min(len(self._held), len(self._stop[0]) - 1)
        for length in range(longest, 0, -1):
            tail = self._held[-length:]
            if any(len(word) > length and word.startswith(tail) for word in self._stop):
                return length
        return 0
