"""The tokenizer: text to ids and back, from a Hugging Face folder.

`encode` turns text into text tokens only: a control token that is spelt in a user's text comes
out as the characters it is made of. The library parses such spellings by default, so the encoder
here is built without the control tokens; their ids come from `special`.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray

from codekiln.errors import TokenizerError
from codekiln.storage import fingerprint, write_json, write_text
from codekiln.tokenizer.alphabet import (
    BYTE_TO_CHARACTER,
    bytes_of_byte_level,
    bytes_of_fallback,
)
from codekiln.tokenizer.special import SpecialTokens, added_entries, find_special, is_control
from codekiln.tokenizer.split import is_papers, pieces

Ids = NDArray[np.int32]

MODEL_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"
SPECIAL_FILE = "special_tokens_map.json"
_GROUP_CHARACTERS = 1_000_000
_TABLE_BYTES = 100_000_000
_ENTRY_BYTES = 250  # of a short piece, its ids and its place in the table
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED = re.compile("[\udc80-\udcff]+")


class Tokenizer:
    """Byte-level BPE (or BPE with byte fallback) with the control tokens kept apart.

    Args:
        model: the text of tokenizer.json.
        config: the content of tokenizer_config.json.
        where: the folder, for messages.

    Raises:
        TokenizerError: when the parts are damaged or of a kind that is not supported.
    """

    special: SpecialTokens
    vocab_size: int
    sha256: str

    def __init__(self, model: str, config: Mapping[str, Any], where: str = "tokenizer") -> None:
        self._model, self._config, self._where = model, dict(config), where
        description = _parse(model, where)
        added = description.get("added_tokens") or []
        vocabulary: dict[str, int] = dict(description["model"]["vocab"])
        ids = {**vocabulary, **{t["content"]: t["id"] for t in added}}
        self.special = find_special(ids, config, where)
        self.vocab_size = 1 + max(ids.values())
        named = {self.special.bos, self.special.eos, self.special.pad}
        controls = {t["content"]: t["id"] for t in added if is_control(t) or t["id"] in named}
        kept = {t["content"]: t["id"] for t in added if t["content"] not in controls}
        self._controls = {i: s for s, i in ids.items() if i in named or s in controls}
        self.sha256 = fingerprint([model, asdict(self.special)])
        self._bytes = self._token_bytes(description, vocabulary, kept)
        self._encoder = _encoder(description, set(controls), where)
        self._renamed = {
            mine: i for s, i in kept.items() if (mine := self._encoder.token_to_id(s)) != i
        }
        byte_level = _is_byte_level(description)
        self._byte_ids = [vocabulary.get(c) for c in BYTE_TO_CHARACTER] if byte_level else []
        self._fast = byte_level and not self._renamed and _fast(description, kept)
        self._table: dict[str, bytes] = {}  # piece -> its ids, int32
        self._table_bytes = 0

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read a tokenizer from a Hugging Face folder (tokenizer.json and its neighbours).

        Raises:
            TokenizerError: when the folder or its files are missing, damaged or unsupported.
        """
        path = folder / MODEL_FILE
        try:
            model = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            raise TokenizerError(
                folder,
                got=f"no {MODEL_FILE}",
                wanted="a folder with a tokenizer of the Hugging Face tokenizers library",
                remedy="train one with `codekiln tokenizer train RECIPE`",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise TokenizerError(path, got=f"unreadable ({error})") from error
        return cls(model, _read_config(folder), str(folder))

    def save(self, folder: Path) -> None:
        """Write the files that `transformers.AutoTokenizer` reads; each one atomically."""
        names = {k: v for k, v in self._config.items() if k in ("bos_token", "eos_token")}
        names |= {k: v for k, v in self._config.items() if k in ("pad_token", "unk_token")}
        write_json(folder / SPECIAL_FILE, {k: v for k, v in names.items() if v is not None})
        write_json(folder / CONFIG_FILE, self._config)
        write_text(folder / MODEL_FILE, self._model)

    def with_controls(self, spellings: tuple[str, ...]) -> Tokenizer:
        """The same with further control tokens, which follow the last id."""
        if not spellings:
            return self
        model = added_entries(self._model, spellings, self.vocab_size)
        return Tokenizer(model, self._config, self._where)

    def __reduce__(self) -> tuple[object, ...]:
        """Travel to worker processes."""
        return type(self), (self._model, self._config, self._where)

    # text to ids

    def encode(self, text: str) -> list[int]:
        """The ids of `text`; nothing is added and no control token is parsed.

        A lone surrogate, which UTF-8 has no bytes for, is taken as the three bytes it would have;
        `decode_bytes` gives them back.
        """
        return self.encode_arrays([text])[0].tolist()

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text; what the table does not know is encoded on all cores."""
        return [ids.tolist() for ids in self.encode_arrays(texts)]

    def encode_arrays(self, texts: Sequence[str]) -> list[Ids]:
        """As `encode_batch`, as int32 arrays: the way for whole corpora.

        Works on a few megabytes at a time, so that memory is bounded by the largest text.
        """
        return [ids for group in _groups(texts) for ids in self._encode_group(group)]

    def encode_bytes(self, data: bytes) -> list[int]:
        """The ids of any byte string; equal to `encode` where the bytes are valid UTF-8.

        Invalid bytes become the tokens of single bytes.

        Raises:
            TokenizerError: when the vocabulary lacks a byte (the released models lack those
                that UTF-8 never uses).
        """
        text = data.decode("utf-8", "surrogateescape")
        ids: list[int] = []
        done = 0
        for escaped in _ESCAPED.finditer(text):
            ids += self.encode(text[done : escaped.start()]) if escaped.start() > done else []
            ids += map(self._byte_id, escaped[0].encode("utf-8", "surrogateescape"))
            done = escaped.end()
        return ids + (self.encode(text[done:]) if done < len(text) else [])

    def _encode_group(self, texts: Sequence[str]) -> list[Ids]:
        try:
            return self._encode_all(texts)
        except TypeError:  # the library's word for lone surrogates in some of them
            return [self._encode_any(text) for text in texts]

    def _encode_any(self, text: str) -> Ids:
        if not _SURROGATE.search(text):
            return self._encode_all([text])[0]
        data = text.encode("utf-8", "surrogatepass")
        return np.array(self.encode_bytes(data), dtype=np.int32)

    def _encode_all(self, texts: Sequence[str]) -> list[Ids]:
        if not self._fast:
            return [np.frombuffer(ids, dtype=np.int32) for ids in self._library(texts)]
        cut = [pieces(text) for text in texts]
        if self._table_bytes > _TABLE_BYTES:
            self._table, self._table_bytes = {}, 0
        table = self._table  # other threads may put a new one in its place
        unknown = list(dict.fromkeys(p for text in cut for p in text if p not in table))
        if unknown:
            table.update(zip(unknown, self._library(unknown), strict=True))
            self._table_bytes += sum(map(len, unknown)) + _ENTRY_BYTES * len(unknown)
        return [
            np.frombuffer(b"".join(map(table.__getitem__, text)), dtype=np.int32) for text in cut
        ]

    def _library(self, texts: Sequence[str]) -> list[bytes]:
        encoded = self._encoder.encode_batch_fast(list(texts), add_special_tokens=False)
        rows: Iterable[list[int]] = (encoding.ids for encoding in encoded)
        if self._renamed:
            rows = ([self._renamed.get(i, i) for i in row] for row in rows)
        return [np.array(row, dtype=np.int32).tobytes() for row in rows]

    def _byte_id(self, byte: int) -> int:
        found = self._byte_ids[byte] if self._byte_ids else None
        if found is None:
            raise TokenizerError(
                self._where,
                got=f"no token for the byte 0x{byte:02X}",
                wanted="a vocabulary with all 256 bytes",
                remedy="drop what is not UTF-8, or train a tokenizer with codekiln",
            )
        return found

    # ids to text

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token stands for; b"" for control tokens and unused ids.

        Raises:
            IndexError: when there is no such id.
        """
        if token < 0:
            raise IndexError(token)
        return self._bytes[token]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of the text tokens; the inverse of `encode_bytes`."""
        data = b"".join(map(self.token_bytes, ids))
        return data[1:] if self._adds_space and data.startswith(b" ") else data

    def decode(self, ids: Iterable[int], skip_special: bool = True) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD.

        All control tokens count as special here, the FIM tokens included, which the released
        files don't flag.
        """
        if skip_special:
            return self.decode_bytes(ids).decode("utf-8", "replace")
        shown = (
            self._controls[i].encode() if i in self._controls else self.token_bytes(i) for i in ids
        )
        return b"".join(shown).decode("utf-8", "replace")

    @functools.cached_property
    def _adds_space(self) -> bool:
        """Whether the encoder puts a space before every text (older Llama tokenizers)."""
        ids = self.encode("a")
        return b"".join(map(self.token_bytes, ids)) == b" a"

    def _token_bytes(
        self, description: Mapping[str, Any], vocabulary: Mapping[str, int], kept: Mapping[str, int]
    ) -> list[bytes]:
        read = bytes_of_byte_level if _is_byte_level(description) else bytes_of_fallback
        table = [b""] * self.vocab_size
        for entry, token in vocabulary.items():
            table[token] = read(entry)
        for text, token in kept.items():
            table[token] = text.encode("utf-8")
        for token in self._controls:
            table[token] = b""
        return table


def _groups(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start = held = 0
    for end, text in enumerate(texts, 1):
        held += len(text)
        if held >= _GROUP_CHARACTERS or end == len(texts):
            yield texts[start:end]
            start, held = end, 0


def _parse(model: str, where: str) -> dict[str, Any]:
    try:
        description = json.loads(model)
        kind = description["model"].get("type") or "BPE"
        entries = description["model"]["vocab"]
        tokens = [(t["content"], t["id"]) for t in description.get("added_tokens") or []]
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise TokenizerError(
            where,
            got=f"a damaged {MODEL_FILE} ({type(error).__name__}: {error})",
            wanted="a file of the Hugging Face tokenizers library",
            remedy="copy or train it again",
        ) from error
    if kind != "BPE" or not isinstance(entries, dict) or not (entries or tokens):
        raise TokenizerError(where, got=f"a tokenizer of kind {kind}", wanted="BPE")
    if not (_is_byte_level(description) or description["model"].get("byte_fallback")):
        raise TokenizerError(
            where,
            got="a BPE that cannot spell every byte",
            wanted="a byte-level BPE, or one with byte fallback",
        )
    return dict(description)


def _is_byte_level(description: Mapping[str, Any]) -> bool:
    def kinds(step: object) -> set[str]:
        if not isinstance(step, dict):
            return set()
        inner = step.get("pretokenizers") or step.get("decoders") or []
        return {str(step.get("type"))}.union(*map(kinds, inner))

    return "ByteLevel" in kinds(description.get("decoder"))


def _encoder(
    description: Mapping[str, Any], controls: set[str], where: str
) -> tokenizers.Tokenizer:
    """The library's tokenizer without the control tokens, so that text cannot name them."""
    kept = [t for t in description.get("added_tokens") or [] if t["content"] not in controls]
    plain = {**description, "added_tokens": kept, "post_processor": None}
    plain |= {"truncation": None, "padding": None}
    try:
        encoder = tokenizers.Tokenizer.from_str(json.dumps(plain))
        encoder.encode("a", add_special_tokens=False)
    except Exception as error:  # the library raises bare Exception for anything it dislikes
        raise TokenizerError(
            where,
            got=f"a damaged {MODEL_FILE} ({error})",
            wanted="a file of the Hugging Face tokenizers library",
            remedy="copy or train it again",
        ) from error
    return encoder


def _fast(description: Mapping[str, Any], kept: Iterable[str]) -> bool:
    """Whether the table of pieces gives the library's ids: the paper's split, nothing else."""
    model, normalizer = description["model"], description.get("normalizer")
    return (
        is_papers(description.get("pre_tokenizer"))
        and (normalizer is None or normalizer.get("normalizers") == [])
        and not any(text.isascii() for text in kept)
        and not any(model.get(key) for key in ("dropout", "continuing_subword_prefix"))
        and not model.get("end_of_word_suffix")
    )


def _read_config(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in (CONFIG_FILE, SPECIAL_FILE):  # the first overrules the second
        path = folder / name
        if not path.exists():
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise TokenizerError(path, got=f"a damaged file ({error})", wanted="JSON") from error
        if not isinstance(content, dict):
            raise TokenizerError(path, got="not a table", wanted="a JSON object")
        found |= {k: v for k, v in content.items() if found.get(k) is None}
    return found
