"""Personal data: e-mail addresses, public IP addresses, telephone numbers.

- **E-mail addresses** are redacted, those of authors included, except what nobody can be written
  to at: names reserved for documentation (example.com, .test, .invalid, .localhost), noreply@,
  and `git@host:path`, which is a place to clone from. The name before an address stays: names
  in copyright notices are asked for by the licences, and no pattern tells a name from a word.
- **IP addresses** are redacted where they are global (not private, loopback, multicast,
  documentation or otherwise reserved) and stand alone. Four small numbers, all below 20, are
  kept (1.2.3.4 and 8.8.8.8): these are versions, object identifiers, examples and well-known
  name servers. So is what follows a word such as version, or is part of a longer dotted number.
- **Telephone numbers** in international form with a plus sign, or behind `tel:`, are redacted if
  asked for. Other forms cannot be told from other numbers.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from codekiln.corpus.privacy.anchors import positions

Bytes = npt.NDArray[np.uint8]
SMALL = 20

_LOCAL = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-"
_DOMAIN = re.compile(
    rb"((?:[A-Za-z0-9-]{1,63}\.){1,8})([A-Za-z]{2,12})(?![A-Za-z0-9_(@\[]|-[A-Za-z0-9])"
)
_RESERVED = re.compile(
    rb"(?:^|[.@-])(?:example|localhost|test|invalid|localdomain)\b", re.IGNORECASE
)
_NOBODY = re.compile(rb"(?:no-?_?reply|do-?not-?reply)\b", re.IGNORECASE)
_IPV4 = re.compile(
    rb"(?<![\w.-])(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
    rb"(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}(?![\w-]|\.[\d*xX])"
)
_VERSION = re.compile(
    rb"(?i)(?:version|ver|v|release|rev|oid|since|build|firmware|chrome|safari|section|rfc)\W{0,12}$"
)
_IPV6 = re.compile(rb"(?<![\w:.])[23][0-9A-Fa-f]{3}:[0-9A-Fa-f:]{3,34}(?![\w:.])")
_PHONE = re.compile(rb"(?<![\w+])\+[1-9](?:[ .()/-]{0,2}\d){7,14}(?![\d.]|[ -]?\d)")


class Found(NamedTuple):
    """A place in bytes."""

    start: int
    end: int


def emails(data: bytes, whole: Bytes) -> list[Found]:
    """E-mail addresses of somebody."""
    found = []
    at = positions(whole, "@")
    if len(at):
        before, after = whole[at - 1], whole[at + 1]
        at = at[_is_word(before) & _is_word(after)]
    for place in at.tolist():
        match = _DOMAIN.match(data, place + 1)
        if match is None or match[2].lower() not in _top_level():
            continue
        head = data[max(0, place - 64) : place]
        local = head[len(head.rstrip(_LOCAL)) :].lstrip(b".%+-")
        start = place - len(local)
        if local and _is_somebody(data, start, local, match):
            found.append(Found(start, match.end()))
    return found


def _is_somebody(data: bytes, start: int, local: bytes, domain: re.Match[bytes]) -> bool:
    numbers = re.match(rb"\d+\.\d+\.", domain[1])
    if numbers or _RESERVED.search(domain[0]) or _NOBODY.match(local):
        return False
    if local.isdigit() and len(local) < 5:
        return False
    if local in (b"git", b"hg", b"svn", b"cvs", b"anonymous") and (
        data[domain.end() : domain.end() + 1] in (b":", b"/")
    ):
        return False
    before = data[max(0, start - 128) : start]
    token = re.split(rb"[\s\"'<>()\[\]{},;]", before)[-1]
    # user@host of an address such as ssh://user@host/path
    return b"://" not in token or token.lower().endswith((b"mailto://", b"?to=", b"email="))


def _is_word(signs: Bytes) -> npt.NDArray[np.bool_]:
    return _word_table()[signs]


@cache
def _word_table() -> npt.NDArray[np.bool_]:
    table = np.zeros(256, dtype=np.bool_)
    table[np.frombuffer(_LOCAL, dtype=np.uint8)] = True
    return table


@cache
def table() -> dict[str, Any]:
    """The table of secrets' forms and of domains."""
    text = resources.files(__package__).joinpath("table.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def _top_level() -> frozenset[bytes]:
    domains = table()["domains"]
    return frozenset((domains["generic"] + domains["countries"]).encode().split())


def ipv4(data: bytes, whole: Bytes) -> list[Found]:
    """Global IPv4 addresses."""
    dots = positions(whole, ".")
    dots = dots[_is_digit(whole[dots - 1]) & _is_digit(whole[dots + 1])]
    if len(dots) < 3:
        return []
    first = dots[:-2][(dots[1:-1] - dots[:-2] <= 4) & (dots[2:] - dots[1:-1] <= 4)]
    found: list[Found] = []
    for dot in first.tolist():
        start = dot
        while start and dot - start < 3 and data[start - 1] in b"0123456789":
            start -= 1
        match = _IPV4.match(data, start)
        if match is not None and _is_address(data, match):
            found.append(Found(start, match.end()))
    return found


def _is_digit(signs: Bytes) -> npt.NDArray[np.bool_]:
    return (signs - np.uint8(48)) < 10


def _is_address(data: bytes, match: re.Match[bytes]) -> bool:
    numbers = [int(part) for part in match[0].split(b".")]
    if data.startswith(b".in-addr", match.end()) or max(numbers) < SMALL:
        return False
    address = ipaddress.IPv4Address(bytes(numbers))
    if not address.is_global or address.is_multicast:
        return False
    return not _VERSION.search(data, max(0, match.start() - 28), match.start())


def ipv6(data: bytes, whole: Bytes) -> list[Found]:
    """Global unicast IPv6 addresses (2000::/3)."""
    colons = positions(whole, ":")
    colons = colons[colons >= 4]
    first = whole[colons - 4]
    colons = colons[((first == 50) | (first == 51)) & _is_hex(whole[colons - 1])]
    found: list[Found] = []
    for colon in colons.tolist():
        match = _IPV6.match(data, colon - 4)
        if match is not None:
            text = match[0].rstrip(b":").decode("ascii")
            end = colon - 4 + len(text)
            if _is_ipv6(text):
                found.append(Found(colon - 4, end))
    return found


def _is_ipv6(text: str) -> bool:
    if sum(map(bool, text.split(":"))) < 3:  # two numbers and "::" are a slice or a range
        return False
    try:
        return ipaddress.IPv6Address(text).is_global
    except ValueError:
        return False


def _is_hex(signs: Bytes) -> npt.NDArray[np.bool_]:
    letters = (signs | np.uint8(0x20)) - np.uint8(97)
    return _is_digit(signs) | (letters < 6)


def phones(data: bytes, whole: Bytes) -> list[Found]:
    """International telephone numbers."""
    plus = np.flatnonzero(whole[:-1] == ord("+"))
    plus = plus[_is_digit(whole[plus + 1])]
    found: list[Found] = []
    for place in plus.tolist():
        match = _PHONE.match(data, place)
        if match is not None and _is_number(match[0]):
            found.append(Found(place, match.end()))
    return found


def _is_number(text: bytes) -> bool:
    """Grouped as people write numbers, or long and unbroken; `+1 (555)` is a film's."""
    digits = re.sub(rb"\D", b"", text)
    groups = re.findall(rb"\d+", text)
    if len(groups) == 1:
        return 10 <= len(digits) <= 15
    return 8 <= len(digits) <= 15 and max(map(len, groups[1:])) >= 2 and len(groups) <= 6
