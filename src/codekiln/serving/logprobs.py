"""Log-probabilities in OpenAI's form: tokens, their values, the likeliest ones, text offsets."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import Any

from codekiln.generation.sample import Choice
from codekiln.tokenizer.tokenizer import Tokenizer


@dataclass(slots=True)
class _Entry:
    token: str
    logprob: float | None
    top: dict[str, float] | None
    offset: int


@dataclass(slots=True)
class LogprobsWriter:
    """Collects the entries of one choice, and gives out those whose text is out.

    A token's entry comes with the text that it starts, so that streamed and whole answers hold
    the same entries, and none for a stop string. A token that is only part of a character is
    written `bytes:\\xe6\\x97`.
    """

    tokenizer: Tokenizer
    count: int
    _length: int = 0
    _waiting: list[_Entry] = field(default_factory=list)
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="replace")
    )

    def add(self, choice: Choice) -> None:
        """Note a token, of the prompt or chosen; a log-probability of None stays null."""
        top = None
        if self.count and choice.logprob is not None:
            pairs = dict([*choice.top, (choice.token, choice.logprob)])
            top = {token_text(self.tokenizer, token): value for token, value in pairs.items()}
        text = token_text(self.tokenizer, choice.token)
        self._waiting.append(_Entry(text, choice.logprob, top, self._length))
        self._length += len(self._decoder.decode(self.tokenizer.token_bytes(choice.token)))

    def take(self, length: int) -> dict[str, Any]:
        """Entries of tokens that start before character `length` and were not given yet."""
        ready = [entry for entry in self._waiting if entry.offset < length]
        self._waiting = [entry for entry in self._waiting if entry.offset >= length]
        return _body(ready, self.count)

    def take_all(self) -> dict[str, Any]:
        """All entries, for an echoed prompt: control tokens have no text and still count."""
        ready, self._waiting = self._waiting, []
        return _body(ready, self.count)


def token_text(tokenizer: Tokenizer, token: int) -> str:
    """A token for people: its text, its bytes where they are no whole characters, its name."""
    data = tokenizer.token_bytes(token)
    if not data:
        return tokenizer.decode([token], skip_special=False)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _body(entries: list[_Entry], count: int) -> dict[str, Any]:
    return {
        "tokens": [entry.token for entry in entries],
        "token_logprobs": [entry.logprob for entry in entries],
        "top_logprobs": [entry.top for entry in entries] if count else None,
        "text_offset": [entry.offset for entry in entries],
    }


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The parts of a stream as one."""
    whole: dict[str, Any] = {"tokens": [], "token_logprobs": [], "text_offset": []}
    for name, values in whole.items():
        for part in parts:
            values.extend(part[name])
    tops = [part["top_logprobs"] for part in parts]
    whole["top_logprobs"] = None if None in tops else [top for part in tops for top in part]
    return whole
