"""Values that are given to names such as password, secret, token or api_key.

    password = "…"      "api_key": "…"      token: str = '…'      <password>…</password>
    SECRET_KEY=… and password: … without quotes, alone on their line (as in .env and .properties)

What the names say is not enough: `judge` decides about the value. Names that end in what
describes another thing (`token_url`, `password_field`) give no secret.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from codekiln.corpus.privacy import judge

# four bytes that stand in every name in question (`anchors`); case does not matter
PASSWORD_ANCHORS = ("sswo", "sswd", "sphr", "pwd=", "pwd:", 'pwd"', "pwd'", "pwd ")
KEY_ANCHORS = (
    "ecre", "oken", "i_ke", "i-ke", "ikey", "s_ke", "s-ke", "skey", "h_ke", "hkey", "n_ke", "nkey",
)  # fmt: skip

_NAME = re.compile(
    rb"(?i:pass(?:word|wd|phrase)|pwd|secret|token"
    rb"|(?:api|access|auth|encryption|signing|session|shared|license)[_-]?key)"
)
_BEFORE = re.compile(rb"[\w.-]{0,40}$")
_AFTER = re.compile(
    rb"""[\w-]{0,24}                                       # the rest of the name
    (?:["']?\]?[ \t]*(?::[ \t]*[\w.\[\]|?]{1,24}[ \t]*)?   # a type
       (?:=>|:=|==?|:)[ \t]*(?:\r?\n[ \t]+)?               # given, perhaps on the next line
       (?:[bBuUrR@L]{1,2})?(?P<quote>["'`])(?P<value>[^\r\n"'`\\]{6,200})(?P=quote)
     |>(?P<element>[^\s<>&]{6,200})</
     |[ \t]*[=:][ \t]*(?P<bare>[^\s"'`(){}\[\],;<>]{8,200})[ \t]*(?:\r?\n|\Z))""",
    re.VERBOSE,
)
_OTHER_THING = re.compile(
    rb"(?i)(?:url|uri|file|path|name|type|field|label|hash|length|len|size|prefix|suffix|header|regex"
    rb"|pattern|message|msg|error|help|prompt|hint|text|title|class|policy|format|algorithm|method"
    rb"|description|placeholder|attr|param|arg|env|var|id|expired?|expiry|ttl|count|index|kind|state"
    rb"|endpoint|env_?var|version|selector|css|icon|link|action|event|ref|arn|version)$"
)
_NOT_SECRET = re.compile(rb"(?i)hash|digest|checksum|fingerprint|integrity|public|encrypted|tokeni")
_LINE_START = re.compile(rb"[ \t]*(?:export[ \t]+|set[ \t]+|-[ \t]+|ENV[ \t]+)?[\w.-]*$")


class Found(NamedTuple):
    """A secret value: its place in bytes, and whether it is a password."""

    start: int
    end: int
    password: bool


def assigned(data: bytes, place: int) -> Found | None:
    """The secret given to the name around `place`; None if there is none."""
    match = _AFTER.match(data, place)
    if match is None:
        return None
    head = _BEFORE.search(data, max(0, place - 40), place)
    assert head is not None  # it may be empty
    tail = match[0][: _tail_length(match[0])]
    name = head[0] + tail
    if not _NAME.search(name) or _OTHER_THING.search(name) or _NOT_SECRET.search(name):
        return None
    group = next(g for g in ("value", "element", "bare") if match[g] is not None)
    value = match[group]
    password = bool(re.search(rb"(?i)pass|pwd", name))
    if group == "bare" and not _bare(data, head.start(), value):
        return None
    real = judge.is_password(value) if password else judge.is_key(value)
    if password and not real:
        real = judge.is_key(value)
    return Found(match.start(group), match.end(group), password) if real else None


def _tail_length(after: bytes) -> int:
    """How many of the matched bytes still belong to the name."""
    length = 0
    while length < len(after) and (after[length : length + 1].isalnum() or after[length] in b"_-"):
        length += 1
    return length


def _bare(data: bytes, start: int, value: bytes) -> bool:
    """Whether an unquoted value is no expression: it stands alone and no identifier looks so."""
    line = data.rfind(b"\n", 0, start) + 1
    if start - line > 60 or not _LINE_START.match(data[line:start]):
        return False
    digits = sum(48 <= byte <= 57 for byte in value)
    code = re.fullmatch(rb"[\w.]+", value) is not None and digits < 3
    return not code and not value.endswith((b":", b"\\", b"+", b"|", b"&"))
