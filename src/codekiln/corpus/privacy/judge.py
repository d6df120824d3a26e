"""Whether a value is a secret, or an example, a name, a path or a word.

Source code is full of `password = "password"`, of names of fields and settings, and of values
that say themselves that they stand for another. What is kept here is what would be a loss to
redact; in doubt a value without digits is kept, and a random one is redacted.
"""

from __future__ import annotations

import math
import re
from collections import Counter

KEY_LENGTH = 16
KEY_ENTROPY = 3.0  # bits a character; 16 different hexadecimal digits have 4
PASSWORD_ENTROPY = 2.3
LONGEST_SERIES = 100  # bytes: in longer values such as web tokens, chance repeats
LONGEST_WORD = 12  # lower-case letters in a row: a longer run is language

_STANDS_FOR = re.compile(
    rb"example|sample|change.?me|changeit|place.?holder|replace|your|dummy|x{4}|\*{3}|\.\.\.|<|>"
    rb"|\$[{(\w]|\{\{|%[({sd]|#\{|redacted|removed|hidden|insert|secret|passw|p@ssw|pa\$\$"
    rb"|pass.?phrase|asdf|qwerty|hunter2|letmein|default|unknown|undefined|invalid",
    re.IGNORECASE,
)
_WORDS = (
    rb"fake|mock|test|demo|todo|enter|foo|bar|baz|qux|admin|wrong|correct|none|null|true|false"
    rb"|string|token|key|user|login|pass|word|auth|abc123"
)
_AS_WORD = re.compile(rb"(?<![A-Za-z])(?:" + _WORDS + rb")(?![a-z])", re.IGNORECASE)
_ANYWHERE = re.compile(_WORDS, re.IGNORECASE)
_SERIES = re.compile(
    rb"0123456|1234567|abcdefg|bcdefgh|fedcba|7654321|(.)\1{4}|(..)\2{3}|(.{3,12})\3{2}",
    re.IGNORECASE,
)
_PLAIN_NAME = re.compile(rb"[A-Za-z_][A-Za-z_.:/\[\]-]*\d{0,2}")
_PATH = re.compile(rb"[.~]{0,2}/|[A-Za-z][A-Za-z+.-]*:/|[\w-]+\.[a-z]{2,4}$")
_FOLDERS = re.compile(rb"/[a-z_-]+/|^[a-z_-]+/[a-z_-]+")
_HEX = re.compile(rb"[0-9a-fA-F]+")
_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SHA_DIGEST = re.compile(rb"sha(?:1|224|256|384|512)[-:]", re.IGNORECASE)


def entropy(value: bytes) -> float:
    """Shannon entropy in bits a byte, of the bytes' own frequencies."""
    size = len(value)
    return -sum(n / size * math.log2(n / size) for n in Counter(value).values()) if size else 0.0


def stands_for_another(value: bytes) -> bool:
    """Whether a value says that it is an example, or is a series that nobody was given."""
    words = _AS_WORD if len(value) >= KEY_LENGTH else _ANYWHERE  # chance puts "key" into long ones
    return bool(_STANDS_FOR.search(value) or _SERIES.search(value) or words.search(value))


def is_series(value: bytes) -> bool:
    """Whether a token of known form is one for documentation: EXAMPLE, xxxx, 1234567."""
    if b"EXAMPLE" in value.upper() or b"xxxx" in value.lower():
        return True
    return len(value) <= LONGEST_SERIES and bool(_SERIES.search(value))


def is_key(value: bytes) -> bool:
    """Whether the value of a secret, token or key is random enough to be one."""
    if len(value) < KEY_LENGTH or stands_for_another(value) or _SHA_DIGEST.match(value):
        return False
    digits = sum(48 <= byte <= 57 for byte in value)
    letters = sum(65 <= byte & 0xDF <= 90 for byte in value)
    if digits < 2 or letters < 2 or b" " in value:
        return False
    if _PATH.match(value) or _FOLDERS.search(value):
        return False
    if _HEX.fullmatch(value) or _UUID.fullmatch(value):
        return len(value) >= 2 * KEY_LENGTH and entropy(value) >= KEY_ENTROPY
    run = max(map(len, re.findall(rb"[a-z]+", value)), default=0)
    return run <= LONGEST_WORD and entropy(value) >= KEY_ENTROPY


def is_password(value: bytes) -> bool:
    """Whether the value of a password may be somebody's: mixed, and no word, name or phrase."""
    if not 6 <= len(value) <= 64 or b" " in value or stands_for_another(value):
        return False
    if _PLAIN_NAME.fullmatch(value):
        return False
    kinds = sum(
        (
            any(48 <= byte <= 57 for byte in value),
            any(97 <= byte <= 122 for byte in value),
            any(65 <= byte <= 90 for byte in value),
            any(byte in b"!@#$%^&*?+=~;|,." for byte in value),
        )
    )
    return kinds >= 2 and entropy(value) >= PASSWORD_ENTROPY and not _PATH.match(value)
