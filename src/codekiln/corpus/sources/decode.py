"""Bytes to text.

The choice (the paper names none): strict UTF-8, with or without a byte order mark; UTF-16 and
UTF-32 where a byte order mark announces them; and otherwise only the encoding which the file
itself declares on its first two lines (`# -*- coding: latin-1 -*-`, PEP 263). Nothing is guessed:
a wrong guess puts mojibake into the corpus, and files that fit none of these are about 1 in 1000.
Line ends stay as they are in the file.
"""

from __future__ import annotations

import codecs
import re

BINARY = "binary"
NOT_UTF8 = "not UTF-8"

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark starts with that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_MARK_STARTS = frozenset(mark[:1] for mark, _ in _MARKS)
_COOKIE = re.compile(rb"\A(?:[^\n]*\n)?[^\n]{0,200}?coding[:=][ \t]*([-\w.]{1,40})")
_DECLARABLE = re.compile(
    r"(latin|iso-?8859|l)-?\d{0,2}(-\d{1,2})?|(cp|windows)-?\d{3,4}|koi8-?[ru]|gbk|gb2312|gb18030"
    r"|big5|shift-?jis|sjis|euc-?(jp|kr)|mac-?roman"
)


def decode(data: bytes) -> tuple[str | None, str]:
    """The text of a file, or None and the reason why it has none.

    A byte order mark is removed. A null character marks a binary file.
    """
    if data[:1] in _MARK_STARTS:
        for mark, encoding in _MARKS:
            if data.startswith(mark):
                return _strict(data[len(mark) :], encoding)
    if b"\0" in data:
        return None, BINARY
    try:
        return data.decode(), ""
    except UnicodeDecodeError:
        return _declared(data)


def _strict(data: bytes, encoding: str) -> tuple[str | None, str]:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None, NOT_UTF8 if encoding == "utf-8" else BINARY
    return (None, BINARY) if "\0" in text else (text, "")


def _declared(data: bytes) -> tuple[str | None, str]:
    cookie = _COOKIE.match(data)
    if cookie:
        name = cookie[1].decode("ascii", "replace").lower().replace("_", "-")
        if _DECLARABLE.fullmatch(name):
            try:
                return data.decode(name), ""
            except (LookupError, UnicodeDecodeError):
                pass
    return None, NOT_UTF8
