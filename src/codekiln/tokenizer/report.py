"""How well tokenizers write text: bytes a token by language, side by side.

Every tokenizer encodes the same texts as codekiln feeds them to a model: no control token added or
parsed. "all" weighs each language by how much of it there is, not by how much was measured.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codekiln.errors import TokenizerError
from codekiln.tokenizer.tokenizer import Tokenizer

_WORD = re.compile(r"[^\W\d_]+")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What was measured of one language.

    `words` are runs of letters, `ideographs` Chinese characters; `weight` is how much text the
    language has in all, in bytes.
    """

    bytes: int
    texts: int
    words: int
    ideographs: int
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One tokenizer on all texts.

    Args:
        tokens: by language.
        used: text tokens that came up, of `usable` (ids that stand for bytes).
        failed_texts: texts that did not come back byte for byte, or could not be written.
        failed_bytes: how much text these hold.
        missing_bytes: values of a byte (of 256) that it has no token for.
    """

    name: str
    vocab_size: int
    tokens: dict[str, int]
    used: int
    usable: int
    failed_texts: int
    failed_bytes: int
    missing_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerReport:
    """Tokenizers side by side on the same texts."""

    texts: dict[str, Text]
    tokenizers: tuple[Measured, ...] = field(default=())

    def bytes_per_token(self, tokenizer: Measured, language: str | None = None) -> float:
        """Bytes of UTF-8 a token; of all languages by their weights without a language."""
        if language is not None:
            return self.texts[language].bytes / max(tokenizer.tokens[language], 1)
        weight = sum(text.weight for text in self.texts.values())
        tokens = math.fsum(
            text.weight / self.bytes_per_token(tokenizer, name)
            for name, text in self.texts.items()
            if text.bytes
        )
        return weight / tokens if tokens else 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain values, units in the names."""
        first = self.tokenizers[0] if self.tokenizers else None
        return {
            "languages": {
                name: {
                    "measured_bytes": text.bytes,
                    "texts": text.texts,
                    "all_bytes": text.weight,
                }
                for name, text in self.texts.items()
            },
            "tokenizers": [
                {
                    "name": found.name,
                    "vocab_size": found.vocab_size,
                    "bytes_per_token": self.bytes_per_token(found),
                    "ratio_to_first": self._ratio(found, first),
                    "bytes_per_token_by_language": {
                        name: self.bytes_per_token(found, name) for name in self.texts
                    },
                    "tokens_by_language": found.tokens,
                    **self._fertility(found),
                    "used_ids": found.used,
                    "used_share": found.used / max(found.usable, 1),
                    "round_trip_failures": found.failed_texts,
                    "round_trip_failure_bytes": found.failed_bytes,
                    "byte_values_without_token": found.missing_bytes,
                }
                for found in self.tokenizers
            ],
        }

    def _ratio(self, found: Measured, first: Measured | None) -> float:
        base = self.bytes_per_token(first) if first else 0.0
        return self.bytes_per_token(found) / base if base else 1.0

    def _fertility(self, found: Measured) -> dict[str, float]:
        fertility = {}
        english, chinese = self.texts.get("english"), self.texts.get("chinese")
        if english and english.words:
            fertility["tokens_per_english_word"] = found.tokens["english"] / english.words
        if chinese and chinese.ideographs:
            fertility["tokens_per_ideograph"] = found.tokens["chinese"] / chinese.ideographs
        return fertility


def measure(
    tokenizers: Mapping[str, Tokenizer],
    texts: Mapping[str, Sequence[str]],
    weights: Mapping[str, int] | None = None,
) -> TokenizerReport:
    """Encode `texts` with each of `tokenizers`.

    Args:
        tokenizers: by a name for the report.
        texts: by language; "english" and "chinese" stand for natural language.
        weights: bytes of each language in all; what is given here without it.
    """
    facts = {
        name: Text(
            bytes=(size := sum(len(_bytes(text)) for text in own)),
            texts=len(own),
            words=sum(len(_WORD.findall(text)) for text in own),
            ideographs=sum(len(_HAN.findall(text)) for text in own),
            weight=size if weights is None else weights[name],
        )
        for name, own in texts.items()
    }
    return TokenizerReport(
        texts=facts,
        tokenizers=tuple(_measured(name, found, texts) for name, found in tokenizers.items()),
    )


def _measured(name: str, tokenizer: Tokenizer, texts: Mapping[str, Sequence[str]]) -> Measured:
    seen = np.zeros(tokenizer.vocab_size, np.bool_)
    tokens: dict[str, int] = {}
    failed_texts = failed_bytes = 0
    for language, own in texts.items():
        tokens[language] = 0
        for text, ids in zip(own, _encoded(tokenizer, own), strict=True):
            data = _bytes(text)
            if ids is None or tokenizer.decode_bytes(ids) != data:
                failed_texts += 1
                failed_bytes += len(data)
            if ids is not None:
                tokens[language] += len(ids)
                seen[ids] = True
    return Measured(
        name=name,
        vocab_size=tokenizer.vocab_size,
        tokens=tokens,
        used=int(seen.sum()),
        usable=sum(bool(tokenizer.token_bytes(i)) for i in range(tokenizer.vocab_size)),
        failed_texts=failed_texts,
        failed_bytes=failed_bytes,
        missing_bytes=sum(not _spells(tokenizer, byte) for byte in range(256)),
    )


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int] | None]:
    try:
        return list(tokenizer.encode_batch(texts))
    except TokenizerError:  # of lone surrogates in one of them
        return [_encoded_alone(tokenizer, text) for text in texts]


def _encoded_alone(tokenizer: Tokenizer, text: str) -> list[int] | None:
    try:
        return tokenizer.encode(text)
    except TokenizerError:
        return None


def _spells(tokenizer: Tokenizer, byte: int) -> bool:
    try:
        return tokenizer.decode_bytes(tokenizer.encode_bytes(bytes([byte]))) == bytes([byte])
    except TokenizerError:
        return False


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
