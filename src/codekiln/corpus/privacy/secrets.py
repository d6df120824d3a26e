"""Keys, tokens and passwords: by their own form, or by the name that they are given to.

Known forms stand in table.toml. Private keys in PEM form lose their body and keep their first and
last line; URLs with a password in them lose the password.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from codekiln.corpus.privacy import assignments, judge
from codekiln.corpus.privacy.anchors import Sieve, expand, fold
from codekiln.corpus.privacy.personal import table

KEY, PASSWORD = "KEY", "PASSWORD"
BY_NAME = ("password", "secret value")  # rules that go by the name that a value is given to

_PEM_HEAD = re.compile(rb"TE KEY(?: BLOCK)?-----")
_PEM_BODY = re.compile(rb"[A-Za-z0-9+/=:,.\s\\\"';-]{40,}")
_PEM_UNENDED = re.compile(rb"(?:(?:\s|\\[nr]){1,4}[A-Za-z0-9+/=]{32,80}){1,400}")
_PEM_RUN = re.compile(rb"(?:(?<!\\)|(?<=\\[nr]))[A-Za-z0-9+/=]{16,}")
_PEM_LEFT = re.compile(rb"(?:\s|\\[nr])*")
LONGEST_PEM = 16_000
_URL = re.compile(
    rb"://(?P<user>[^\s:/@\"'<>`\\|]{0,64}):(?P<v>[^\s:/@\"'<>`\\|{}$]{3,128})@(?=[\w\[.-])"
)
_BEARER = re.compile(rb"(?i:earer)\s{1,2}(?P<v>[\w.~+/-]{20,2000}={0,2})(?![\w.~+/-])")
_BASIC = re.compile(rb"(?i:asic)\s{1,2}(?P<v>[A-Za-z0-9+/]{8,400}={0,2})(?![\w+/-])")


class Secret(NamedTuple):
    """Where a secret stands, in bytes; `kind` is KEY or PASSWORD, `rule` says how it was found."""

    start: int
    end: int
    kind: str
    rule: str


Check = Callable[[bytes, int], Iterator[Secret]]


@dataclass(frozen=True, slots=True)
class _Form:
    """A pattern of the table, to be tried `offset` bytes before its anchor."""

    name: str
    pattern: re.Pattern[bytes]
    offset: int

    def __call__(self, data: bytes, place: int) -> Iterator[Secret]:
        match = self.pattern.match(data, place - self.offset) if place >= self.offset else None
        if match is None:
            return
        group = "v" if "v" in self.pattern.groupindex else 0
        if not judge.is_series(match[group]):
            yield Secret(match.start(group), match.end(group), KEY, self.name)


def _pem(data: bytes, place: int) -> Iterator[Secret]:
    """The body of a private key; broken over string literals, each piece of it."""
    head = _PEM_HEAD.match(data, place)
    if head is None or b"-----BEGIN" not in data[max(0, place - 36) : place]:
        return
    start = head.end()
    end = data.find(b"-----END", start, start + LONGEST_PEM)
    body = data[start:end] if end >= 0 else b""
    if b"BEGIN" in body or not _PEM_BODY.fullmatch(body):
        unended = _PEM_UNENDED.match(data, start)
        body = unended[0] if unended else b""
    if judge.entropy(body) < judge.KEY_ENTROPY:
        return  # none, or rows of XXXX
    if b'"' in body or b"'" in body:
        for run in _PEM_RUN.finditer(body):
            yield Secret(start + run.start(), start + run.end(), KEY, "private key")
        return
    left = _PEM_LEFT.match(body)
    assert left is not None  # it may be empty
    yield Secret(start + left.end(), start + _inner_length(body), KEY, "private key")


def _inner_length(body: bytes) -> int:
    """The length of a body without the line breaks at its end, escaped ones among them."""
    while body:
        shorter = body.rstrip()
        shorter = shorter[:-2] if shorter.endswith((b"\\n", b"\\r")) else shorter
        if shorter == body:
            break
        body = shorter
    return len(body)


def _url(data: bytes, place: int) -> Iterator[Secret]:
    match = _URL.match(data, place)
    if match is not None and not _is_stock(match["user"], match["v"]):
        yield Secret(match.start("v"), match.end("v"), PASSWORD, "password in a URL")


def _is_stock(user: bytes, password: bytes) -> bool:
    """Whether a URL shows what one looks like: user:pass, name:name, words in capitals."""
    return (
        password.lower() == user.lower()
        or judge.stands_for_another(password)
        or re.fullmatch(rb"[A-Z_]+|[a-z]{1,5}|\W+", password) is not None
        or password[:1] == b"%"
    )


def _bearer(data: bytes, place: int) -> Iterator[Secret]:
    match = _BEARER.match(data, place)
    if match is not None and judge.is_key(match["v"].replace(b"/", b"")):
        yield Secret(match.start("v"), match.end("v"), KEY, "bearer token")


def _basic(data: bytes, place: int) -> Iterator[Secret]:
    match = _BASIC.match(data, place)
    if match is None:
        return
    try:
        user, colon, password = base64.b64decode(match["v"], validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return
    readable = (user + password).isascii() and (user + password).decode("ascii").isprintable()
    if user and colon and readable and not _is_stock(user, password):
        yield Secret(match.start("v"), match.end("v"), PASSWORD, "basic authentication")


def _assigned(data: bytes, place: int) -> Iterator[Secret]:
    found = assignments.assigned(data, place)
    if found is not None:
        kind, rule = (PASSWORD, BY_NAME[0]) if found.password else (KEY, BY_NAME[1])
        yield Secret(found.start, found.end, kind, rule)


def _checks() -> Iterator[tuple[bytes, Check]]:
    for row in table()["secret"]:
        pattern = re.compile(row["pattern"].encode())
        for offset in row.get("offset", [0]):
            form = _Form(row["name"], pattern, offset)
            for anchor in row["anchors"]:
                yield from ((one, form) for one in expand(anchor))
    anchors: tuple[tuple[str, Check], ...] = (
        ("TE K", _pem), ("eare", _bearer), ("asic", _basic),
        *((a, _assigned) for a in (*assignments.PASSWORD_ANCHORS, *assignments.KEY_ANCHORS)),
    )  # fmt: skip
    for anchor, check in anchors:
        yield fold(anchor.encode()), check
    for byte in range(0x21, 0x7F):
        yield fold(b"://" + bytes([byte])), _url


@cache
def _sieve() -> tuple[Sieve, dict[bytes, tuple[Check, ...]]]:
    checks: dict[bytes, list[Check]] = {}
    for anchor, check in _checks():
        here = checks.setdefault(anchor, [])
        if check not in here:
            here.append(check)
    return Sieve(checks), {anchor: tuple(each) for anchor, each in checks.items()}


_FOLD = bytes(byte | 0x20 for byte in range(256))


def find(data: bytes) -> Iterator[Secret]:
    """All secrets in a text (UTF-8); some may overlap."""
    sieve, checks = _sieve()
    for place in sieve.places(data):
        for check in checks.get(data[place : place + 4].translate(_FOLD), ()):
            yield from check(data, place)
