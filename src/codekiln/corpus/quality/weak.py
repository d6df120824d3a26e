"""Labels without hands: good files of released packages, and what becomes of them when spoiled.

Good: files of the given repositories that people wrote and documented, none of them a test, test
data, vendored, generated or caught by another rule. Bad: one spoiled copy of each, in one of the
ways below, and the minified and generated files of the same repositories. As each good file has
its spoiled twin in the same language and repository, the model cannot tell them apart by topic.

What such a model learns is how files look that are written for readers. Ways in which code is
bad that no spoiling shows, it has no reason to see.
"""

from __future__ import annotations

import base64
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from codekiln.corpus.quality import judge as judging
from codekiln.corpus.quality.comments import is_comment, pattern
from codekiln.corpus.quality.judge import Assessment, judge
from codekiln.corpus.quality.labels import Row
from codekiln.corpus.quality.settings import QualitySettings
from codekiln.corpus.quality.signals import measure
from codekiln.corpus.sources.read import open_repository
from codekiln.storage import atomic_path
from codekiln.types import SourceFile

SMALLEST, LARGEST = 400, 200_000  # bytes of a good file
DOCUMENTED = 0.01  # share of comments that a good file has
OF_ONE = 40  # files of one language in one repository
COMMON = 150  # words that stay when names are mangled: keywords and what everybody calls so
NATURAL = (judging.MINIFIED, judging.GENERATED, judging.NUMBERS, judging.ENCODED)
_WORD = re.compile(rb"[A-Za-z_]\w{2,}")
_RULES = QualitySettings(drop_vendored=True, drop_fixtures=True)

Spoiler = Callable[[bytes, str, frozenset[bytes], random.Random], bytes]


def without_comments(data: bytes, language: str) -> bytes:
    """`data` with its comments taken out."""
    found = pattern(language)
    left = found.sub(lambda match: b"" if is_comment(match[0], language) else match[0], data)
    return re.sub(rb"\n[ \t]*(?=\n)", b"", left)


def mangled(data: bytes, language: str, common: frozenset[bytes], draw: random.Random) -> bytes:
    """Names of one and two letters, no comments."""
    names: dict[bytes, bytes] = {}

    def short(match: re.Match[bytes]) -> bytes:
        word = match[0]
        if word in common:
            return word
        if word not in names:
            n = len(names)
            letters = bytes((97 + n % 26,))
            names[word] = letters if n < 26 else bytes((97 + n // 26 % 26,)) + letters
        return names[word]

    return _WORD.sub(short, without_comments(data, language))


def bare(data: bytes, language: str, common: frozenset[bytes], draw: random.Random) -> bytes:
    """No comments, no blank lines, no blanks around operators."""
    left = without_comments(data, language)
    return re.sub(rb"(?<=\S) *([=+\-*/<>,:]+) *(?=\S)", rb"\1", left)


def careless(data: bytes, language: str, common: frozenset[bytes], draw: random.Random) -> bytes:
    """Indentation and spacing at random."""
    rows = []
    for row in data.split(b"\n"):
        indent = draw.choice((b"", b" ", b"   ", b"\t", b"      ", b"\t  "))
        rows.append(
            indent + re.sub(rb" *([=+*<>,]) *", draw.choice((rb"\1", rb" \1")), row.strip())
        )
    return b"\n".join(row for row in rows if row.strip() or draw.random() < 0.3)


def shuffled(data: bytes, language: str, common: frozenset[bytes], draw: random.Random) -> bytes:
    """Lines in any order."""
    rows = data.split(b"\n")
    draw.shuffle(rows)
    return b"\n".join(rows)


def joined(data: bytes, language: str, common: frozenset[bytes], draw: random.Random) -> bytes:
    """Lines run together, as in code that was half minified."""
    rows, line = [], b""
    for row in without_comments(data, language).split(b"\n"):
        line += b" " + row.strip()
        if len(line) > draw.randrange(90, 400):
            rows.append(line.strip())
            line = b""
    return b"\n".join([*rows, line])


def pasted(data: bytes, language: str, common: frozenset[bytes], draw: random.Random) -> bytes:
    """One stretch of the file over and over, with other numbers."""
    rows = data.split(b"\n")
    size = min(len(rows), draw.randrange(5, 25))
    start = draw.randrange(len(rows) - size + 1)
    block = b"\n".join(rows[start : start + size])
    copies = max(4, len(rows) // size)
    return b"\n".join(re.sub(rb"\d+", str(n).encode(), block) for n in range(copies))


def dumped(data: bytes, language: str, common: frozenset[bytes], draw: random.Random) -> bytes:
    """A little code before a long table of data."""
    rows = data.split(b"\n")
    head = rows[: max(3, len(rows) // 10)]
    kind = draw.randrange(3)
    left, table = len(data), []
    while left > 0:
        if kind == 0:
            row = ", ".join(str(draw.randrange(10 ** draw.randrange(1, 7))) for _ in range(9)) + ","
            table.append(b"    " + row.encode())
        elif kind == 1:
            table.append(b'    "' + base64.b64encode(draw.randbytes(45)) + b'"')
        else:
            words = b" ".join(draw.sample(sorted(common), 2)) if len(common) > 1 else b"x"
            table.append(b'    "' + words + b'",')
        left -= len(table[-1])
    return b"\n".join([*head, b"data = [", *table, b"]"])


SPOILERS: Mapping[str, Spoiler] = {
    each.__name__: each for each in (mangled, bare, careless, shuffled, joined, pasted, dumped)
}


def weak_labels(locations: Iterable[str], *, seed: int = 0) -> Iterator[Row]:
    """Rows from repositories: folders, archives, git repositories.

    Raises:
        SourceError: one of them cannot be read.
    """
    good: list[tuple[SourceFile, str, str]] = []
    bad: list[tuple[SourceFile, str, str]] = []
    for location in locations:
        for file, label in _chosen(location, seed):
            (bad if label else good).append((file, Path(location).name, label))
    common = _common(file for file, _, _ in good)
    for file, group, _ in good:
        data = file.text.encode()
        yield Row(data=data, language=file.language, label=1, group=group, kind="good")
        draw = random.Random(f"{seed}/{group}/{file.path}")
        name = draw.choice(sorted(SPOILERS))
        spoiled = SPOILERS[name](data, file.language, common[file.language], draw)
        yield Row(data=spoiled, language=file.language, label=0, group=group, kind=name)
    for file, group, label in bad:
        data = file.text.encode()
        yield Row(data=data, language=file.language, label=0, group=group, kind=label)


def _chosen(location: str, seed: int) -> Iterator[tuple[SourceFile, str]]:
    """Good files (label empty) and naturally bad ones (their reason) of one repository."""
    files = sorted(open_repository(location), key=lambda file: file.path)
    random.Random(f"{seed}/{location}").shuffle(files)
    taken: Counter[tuple[str, bool]] = Counter()
    for file in files:
        if file.language in judging.NOT_CODE:
            continue
        label = _label(file)
        if label is None or taken[file.language, bool(label)] == OF_ONE:
            continue
        taken[file.language, bool(label)] += 1
        yield file, label


def _label(file: SourceFile) -> str | None:
    """Empty for a good file, the reason for a naturally bad one, None for neither."""
    data = file.text.encode()
    if not SMALLEST <= len(data) <= LARGEST:
        return None
    signals = measure(data, file.language, file.path)
    reason = judge(Assessment(signals), file.language, file.path, _RULES)
    if reason in NATURAL:
        return reason
    if reason or signals.test or signals.comments < DOCUMENTED:
        return None
    return ""


def _common(files: Iterable[SourceFile]) -> dict[str, frozenset[bytes]]:
    """By language, the words that most files have."""
    counts: dict[str, Counter[bytes]] = {}
    for file in files:
        own = counts.setdefault(file.language, Counter())
        own.update(set(_WORD.findall(file.text.encode())))
    return {
        name: frozenset(word for word, _ in own.most_common(COMMON)) for name, own in counts.items()
    }


def write(rows: Iterable[Row], path: Path) -> int:
    """Write rows as a file of labels; returns how many."""
    count = 0
    with atomic_path(path) as target, target.open("w", encoding="utf-8") as file:
        for row in rows:
            values = {
                "text": row.data.decode("utf-8", "replace"),
                "language": row.language,
                "label": row.label,
                "group": row.group,
                "kind": row.kind,
            }
            file.write(json.dumps(values, ensure_ascii=False) + "\n")
            count += 1
    return count
