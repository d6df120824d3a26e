"""Bytes as the printable characters in which byte-level vocabularies are written.

Printable bytes of Latin-1 stand for themselves; the others are numbered from U+0100 on, in
order, so that no entry of a vocabulary holds a space or a control character.
"""

from __future__ import annotations

import re

_PRINTABLE = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
_HIDDEN = [byte for byte in range(256) if byte not in _PRINTABLE]

BYTE_TO_CHARACTER: tuple[str, ...] = tuple(
    chr(byte if byte in _PRINTABLE else 256 + _HIDDEN.index(byte)) for byte in range(256)
)
CHARACTER_TO_BYTE: dict[str, int] = {c: byte for byte, c in enumerate(BYTE_TO_CHARACTER)}

_FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")


def bytes_of_byte_level(entry: str) -> bytes:
    """The bytes of a byte-level vocabulary entry; characters outside the alphabet as UTF-8."""
    try:
        return bytes([CHARACTER_TO_BYTE[character] for character in entry])
    except KeyError:
        return entry.encode("utf-8")


def bytes_of_fallback(entry: str) -> bytes:
    """The bytes of an entry of a vocabulary with byte fallback (`<0x0A>`, `▁def`)."""
    byte = _FALLBACK.fullmatch(entry)
    return bytes([int(byte[1], 16)]) if byte else entry.replace("▁", " ").encode("utf-8")
