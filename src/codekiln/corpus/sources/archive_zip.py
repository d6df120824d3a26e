"""Zip archives and wheels."""

from __future__ import annotations

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from codekiln.corpus.sources.archive_members import (
    Roots,
    accept,
    broken,
    check_count,
    check_expansion,
    clean_path,
    without_files,
)
from codekiln.corpus.sources.declared import LONGEST, declares
from codekiln.corpus.sources.intake import DAMAGED, ENCRYPTED, LINK, UNUSABLE_NAME, Intake

# What `zipfile` raises about damaged archives, and members that it cannot read.
_ERRORS = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
)


def read_zip(path: Path, intake: Intake) -> Iterator[tuple[str, bytes]]:
    """Paths and contents of the members that `intake` admits, the top folder left out.

    Raises:
        SourceError: truncated, damaged, without files, or expanding beyond the limits.
    """
    try:
        archive = zipfile.ZipFile(path)
    except _ERRORS as error:
        raise broken(path, error) from error
    with archive:
        members = _named(archive.infolist(), intake)
        check_count(path, intake.limits, len(members))
        expanded = sum(member.file_size for member in members)
        check_expansion(path, intake.limits, path.stat().st_size, expanded)
        roots = Roots()
        _note(archive, members, intake)
        wanted = [found for m in members if (found := _admitted(m, roots, intake))]
        if not intake.tally.seen and not wanted:
            raise without_files(path)
        cut = roots.prefix_length()
        for name, member in wanted:
            data = _content(archive, member)
            if data is None:
                intake.tally.drop(DAMAGED, name[cut:], member.file_size)
            else:
                yield name[cut:], data


def _named(members: list[zipfile.ZipInfo], intake: Intake) -> list[zipfile.ZipInfo]:
    """The members that have a name: `zipfile` breaks on the others, which are counted."""
    nameless = sum(not member.filename for member in members)
    for _ in range(nameless):
        intake.tally.drop(UNUSABLE_NAME, "(empty)")
    return [member for member in members if member.filename] if nameless else members


def _note(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], intake: Intake) -> None:
    """What the archive tells of the repository: dates, and the licence of its description."""
    for member in members:
        if not member.is_dir():
            intake.tally.note_date(_date(member))
        if declares(member.filename) and member.file_size <= LONGEST and not member.flag_bits & 1:
            intake.tally.note_package(member.filename, _content(archive, member) or b"")


def _date(member: zipfile.ZipInfo) -> float:
    """Seconds since 1970; a zip archive's times know no zone and are taken for UTC."""
    try:
        return datetime(*member.date_time, tzinfo=UTC).timestamp()
    except ValueError:  # month 0, hour 31: any bits can stand there
        return 0.0


def _admitted(
    member: zipfile.ZipInfo, roots: Roots, intake: Intake
) -> tuple[str, zipfile.ZipInfo] | None:
    """The path of a member that is to be read, and the member; others are counted."""
    if member.is_dir():
        return None
    if stat.S_ISLNK(member.external_attr >> 16):
        intake.tally.drop(LINK, member.filename)
        return None
    name = accept(member.filename, _path(member.filename), member.file_size, roots, intake)
    if name is not None and member.flag_bits & 1:
        intake.tally.drop(ENCRYPTED, member.filename, member.file_size)
        return None
    return (name, member) if name is not None else None


def _path(name: str) -> str | None:
    """As `clean_path`; archives made on Windows may hold backslashes and drive letters."""
    name = name.replace("\\", "/")
    return None if name[1:3] == ":/" else clean_path(name)


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | None:
    """The content, never more than the member declares; None if it is damaged or unknown."""
    try:
        with archive.open(member) as content:
            data = content.read(member.file_size + 1)
    except _ERRORS:
        return None
    return data if len(data) == member.file_size else None
