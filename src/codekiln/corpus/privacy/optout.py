"""Whose code is left out on request: repositories by name or address, and files by content.

The file is text, one entry a line; `#` begins a comment where a blank or the line's start is
before it. An entry is

    owner/name                        a repository, on whatever host
    owner/*                           a glob (`*`, `?`, `[…]`): all of one owner
    https://host.org/owner/name.git   an address, also git@host.org:owner/name; only on that host
    host.org/owner/*                  the same, as a glob
    plain-name                        a repository whose whole name this is
    40 or 64 hexadecimal digits       a file whose bytes have this SHA-1 or SHA-256; also as
                                      sha1:… or sha256:…; git's own blob id is the SHA-1 too

Case does not matter, nor do a final slash, `.git`, `www.`, the scheme or a user.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from codekiln.errors import SourceError

REASON = "opted out"
WANTED = "a text file: one repository, glob, URL or SHA-1/SHA-256 a line"

_DIGEST = re.compile(r"(?:sha-?(?:1|256):)?([0-9a-f]{64}|[0-9a-f]{40})")
_SCHEME = re.compile(r"^(?:[a-z][a-z0-9+.-]*://)")
_SCP = re.compile(r"^(?:[\w.-]+@)?([\w-]+(?:\.[\w-]+)+):(?!\d+/)(?!/)")


class OptOut:
    """Who and what is left out; an empty list leaves out nothing.

    Args:
        entries: as the lines of the file.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self._names: set[str] = set()
        self._digests: set[str] = set()
        globs: list[str] = []
        for entry in entries:
            digest = _DIGEST.fullmatch(entry.strip().lower())
            if digest:
                self._digests.add(digest[1])
                continue
            name = normal(entry)
            if not name:
                continue
            if any(sign in name for sign in "*?["):
                globs.append(fnmatch.translate(name))
            else:
                self._names.add(name)
        self._globs = re.compile("|".join(globs)) if globs else None

    @classmethod
    def load(cls, path: str | Path) -> OptOut:
        """Read a list.

        Raises:
            SourceError: missing, no text, or a pattern that is none.
        """
        place = Path(path).expanduser()
        try:
            lines = place.read_text(encoding="utf-8-sig").splitlines()
            return cls(re.sub(r"(?:^|\s)#.*$", "", line) for line in lines)
        except (OSError, UnicodeDecodeError, re.error) as error:
            raise SourceError(
                place, got=f"cannot be read: {error}", wanted=WANTED, remedy="mend the file"
            ) from error

    def __bool__(self) -> bool:
        return bool(self._names or self._digests or self._globs)

    @property
    def by_content(self) -> bool:
        """Whether files are left out by their bytes: without this, nothing need be hashed."""
        return bool(self._digests)

    def repository(self, *names: str) -> bool:
        """Whether a repository is left out, by any of its names, addresses and locations."""
        for name in names:
            for form in _forms(normal(name)):
                if form in self._names or (self._globs and self._globs.match(form)):
                    return True
        return False

    def file(self, digest: str | bytes) -> bool:
        """Whether the file of this SHA-1 or SHA-256 (raw or hexadecimal) is left out."""
        found = digest.hex() if isinstance(digest, bytes) else digest.lower()
        return found in self._digests

    def content(self, data: bytes) -> bool:
        """Whether a file of these bytes is left out: by SHA-256, SHA-1 or git's blob id."""
        if not self._digests:
            return False
        blob = hashlib.sha1(b"blob %d\0" % len(data), usedforsecurity=False)
        blob.update(data)
        return (
            self.file(hashlib.sha256(data).digest())
            or self.file(hashlib.sha1(data, usedforsecurity=False).digest())
            or self.file(blob.digest())
        )


def normal(name: str) -> str:
    """A repository's name or address without what does not tell it apart."""
    lowered = name.strip().lower()
    address = _SCHEME.sub("", lowered)
    if address == lowered:
        address = _SCP.sub(r"\1/", lowered)
    else:
        address = address.rpartition("@")[2] if "@" in address.split("/")[0] else address
        address = re.sub(r"^([^/]+):\d+(?=/|$)", r"\1", address)
    address = re.sub(r"[?#].*$", "", address) if "://" in lowered else address
    return address.removeprefix("www.").rstrip("/").removesuffix(".git").rstrip("/")


def _forms(name: str) -> list[str]:
    """A name as it is, and without the host that it begins with."""
    host, slash, rest = name.partition("/")
    if slash and rest and ("." in host or host == "localhost") and "/" in rest:
        return [name, rest]
    return [name]
