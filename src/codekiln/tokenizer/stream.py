"""Text from tokens as they come, never half a character."""

from __future__ import annotations

import codecs

from codekiln.tokenizer.tokenizer import Tokenizer


class StreamDecoder:
    """Turns tokens into text one by one.

    A character that is split over several tokens appears with the last of them. Joined, the
    pieces and `flush()` equal `tokenizer.decode` of all tokens (for tokenizers that put a space
    before every text: with that space).
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """The text that `token` completes; control tokens give nothing."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def flush(self) -> str:
        """What is left at the end: U+FFFD for a character that never got whole."""
        return self._decoder.decode(b"", final=True)
