"""Secrets and personal data replaced, where they stand, by placeholders that say what was there.

    <EMAIL>  <IP_ADDRESS>  <PHONE>  <KEY>  <PASSWORD>

A placeholder takes the place of the value alone: quotes, names and the rest of the line stay, so
that a string stays a string and JSON stays JSON. In markup (HTML, XML and their like) it is
written `&lt;EMAIL&gt;`. None is a special token of a tokenizer. In a shell script, an unquoted
placeholder may change what the line does; no value is guessed in its stead.

What is meant by each, what is kept and why: `secrets`, `assignments`, `judge`, `personal`.
The same text gives the same result, and a placeholder is never redacted again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from codekiln.corpus.privacy import personal, secrets
from codekiln.corpus.privacy.settings import PrivacySettings

Kind = Literal["EMAIL", "IP_ADDRESS", "PHONE", "KEY", "PASSWORD"]
KINDS: tuple[Kind, ...] = ("EMAIL", "IP_ADDRESS", "PHONE", "KEY", "PASSWORD")
MARKUP = frozenset({"html", "xml", "xslt", "svg", "vue", "svelte", "xhtml"})
ALL = PrivacySettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What was redacted.

    Args:
        kind: which placeholder stands there now.
        rule: how it was found, such as "GitHub token".
        start, end: its place in the text as it was, in characters.
        preview: its first characters and its length, never the whole.
    """

    kind: Kind
    rule: str
    start: int
    end: int
    preview: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Redacted:
    """A text without its secrets and personal data; `hits` in order, `counts` by kind."""

    text: str
    hits: tuple[Hit, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)


def redact(text: str, settings: PrivacySettings = ALL, *, language: str = "") -> Redacted:
    """Replace what `settings` ask for; a clean text comes back as the same object.

    Args:
        language: of the file, by its name in the language table: markup is written otherwise.
    """
    data = text.encode("utf-8", "surrogatepass")
    found = _apart(sorted(_find(data, settings), key=_rank))
    if not found:
        return Redacted(text=text)
    shape = "&lt;{}&gt;" if language in MARKUP else "<{}>"
    pieces: list[str] = []
    hits: list[Hit] = []
    done = place = 0  # in bytes, in characters
    for start, end, kind, rule in found:
        kept = data[done:start].decode("utf-8", "surrogatepass")
        value = data[start:end].decode("utf-8", "surrogatepass")
        pieces += (kept, shape.format(kind))
        place += len(kept)
        preview = _masked(value)
        hits.append(Hit(kind=kind, rule=rule, start=place, end=place + len(value), preview=preview))
        place += len(value)
        done = end
    pieces.append(data[done:].decode("utf-8", "surrogatepass"))
    counts = Counter[str](hit.kind for hit in hits)
    return Redacted(text="".join(pieces), hits=tuple(hits), counts=counts)


def _find(data: bytes, settings: PrivacySettings) -> Iterator[tuple[int, int, Kind, str]]:
    whole = np.frombuffer(data, dtype=np.uint8)
    if settings.secrets:
        for secret in secrets.find(data):
            kind: Kind = "KEY" if secret.kind == secrets.KEY else "PASSWORD"
            yield secret.start, secret.end, kind, secret.rule
    if settings.emails:
        for start, end in personal.emails(data, whole):
            yield start, end, "EMAIL", "e-mail address"
    if settings.ip_addresses and len(data) > 2:
        for start, end in personal.ipv4(data, whole):
            yield start, end, "IP_ADDRESS", "IPv4 address"
        for start, end in personal.ipv6(data, whole):
            yield start, end, "IP_ADDRESS", "IPv6 address"
    if settings.phones:
        for start, end in personal.phones(data, whole):
            yield start, end, "PHONE", "telephone number"


def _rank(found: tuple[int, int, Kind, str]) -> tuple[int, bool, int]:
    """In order of place; a known form before what a name says, the longer before the shorter."""
    start, end, _, rule = found
    return start, rule in secrets.BY_NAME, -end


def _apart(
    found: list[tuple[int, int, Kind, str]],
) -> list[tuple[int, int, Kind, str]]:
    """Of overlapping finds, the first and longest."""
    kept: list[tuple[int, int, Kind, str]] = []
    for one in found:
        if not kept or one[0] >= kept[-1][1]:
            kept.append(one)
    return kept


def _masked(value: str) -> str:
    shown = value[:4] if len(value) >= 16 else value[:1]
    return f"{shown}… ({len(value)} characters)"
