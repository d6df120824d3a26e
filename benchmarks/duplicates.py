"""MinHash: the speed of signatures, and which near-duplicates are found among real files.

    CODEKILN_REAL_CORPUS=DIR python -m benchmarks duplicates

Files: of the archives below CODEKILN_REAL_CORPUS (see `benchmarks.fetch`), else of the Python
installation. Speed is from text to one signature a document, 256 values over word 5-grams, one
core, against datatrove's own step (its tokenizer included, which is part of it) and datasketch.
What is found is judged by brute force: exact Jaccard similarities of all pairs of files that share
a shingle, joined to groups; recall and precision are of the files that are dropped.
"""

from __future__ import annotations

import os
import re
import sysconfig
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.rows import Row, paired
from codekiln.corpus.duplicates.find import Groups, Signatures, find_groups
from codekiln.corpus.duplicates.grams import blocks, grams, words
from codekiln.corpus.duplicates.sketch import Sketches
from codekiln.corpus.sources.read import open_repository

VALUES, SHINGLE, THRESHOLD = 256, 5, 0.7
SPEED_BYTES = 3_000_000
FILES = 12_000
COMMON = 60  # files; a shingle in more of them brings no pair of its own


def run() -> list[Row]:
    """Rows of the table."""
    sample = documents()
    return [*_speed(sample), *_found(sample)]


def documents() -> list[bytes]:
    """Real files of 5 words or more, up to FILES of them, from many repositories in turn."""
    found: list[bytes] = []
    queues = [iter(files) for files in _repositories()]
    while queues and len(found) < FILES:
        for queue in list(queues):
            data = next(queue, None)
            if data is None:
                queues.remove(queue)
            elif len(data) < 100_000:
                found.append(data)
    return found


def _repositories() -> Iterator[Iterator[bytes]]:
    root = os.environ.get("CODEKILN_REAL_CORPUS")
    folder = Path(root) if root else Path(sysconfig.get_paths()["purelib"])
    places = sorted(folder.rglob("*.t*gz")) if root else sorted(folder.iterdir())
    for place in places:
        if place.is_dir() or root:
            reading = open_repository(place)
            yield (file.text.encode() for file in reading if len(file.text) > 100)


def _sketch(sample: Sequence[bytes]) -> list[np.ndarray | None]:
    """One signature a document."""
    sketches = Sketches(VALUES, SHINGLE, each=True)
    for numbers, found in blocks(sample):
        sketches.add([str(n) for n in numbers], found)
    return [sketches.signature([str(n)]) for n in range(len(sample))]


# ---- speed ----


def _speed(documents: Sequence[bytes]) -> Iterator[Row]:
    sample: list[bytes] = []
    size = 0
    for data in documents:
        sample.append(data)
        size += len(data)
        if size > SPEED_BYTES:
            break
    megabytes = size / 1e6
    for name, target, make in (("datatrove", "20x", _datatrove), ("datasketch", "", _datasketch)):
        peer = make(sample)
        what = f"MinHash signatures, {VALUES} values, 5-grams"
        if peer is None:
            yield Row(what=what, ours=0.0, unit="MB/s a core", note=f"no peer: needs {name}")
            continue
        ours, theirs = paired(lambda: _sketch(sample), peer, rounds=3)
        yield Row(
            what=what,
            ours=megabytes / ours,
            unit="MB/s a core",
            peer=megabytes / theirs,
            peer_name=name,
            target=target,
            note=f"{len(sample)} files, {megabytes:.1f} MB",
        )


def _datatrove(sample: Sequence[bytes]) -> Callable[[], object] | None:
    try:
        from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

        settings = MinhashConfig(n_grams=SHINGLE, num_buckets=VALUES // 8, hashes_per_bucket=8)
        step = MinhashDedupSignature("/nonexistent", config=settings)
    except (ImportError, ValueError):
        return None
    texts = [data.decode() for data in sample]
    hashed = step._hash_func
    step._hash_func = lambda text: hashed(text.encode())  # newer xxhash takes bytes only

    def work() -> None:
        for text in texts:
            shingles = step.get_shingles(text)
            if shingles.size:
                step.get_signature(shingles)

    return work


def _datasketch(sample: Sequence[bytes]) -> Callable[[], object] | None:
    try:
        import datasketch
    except ImportError:
        return None

    def work() -> None:
        for data in sample:
            datasketch.MinHash(num_perm=VALUES).update_batch(_shingles(data))

    return work


_WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]+")


def _shingles(data: bytes) -> set[bytes]:
    found = _WORD.findall(data.lower())
    return {b" ".join(found[i : i + SHINGLE]) for i in range(len(found) - SHINGLE + 1)}


# ---- what is found ----


def _found(sample: Sequence[bytes]) -> Iterator[Row]:
    sets = [set(grams(words([data]), SHINGLE)[0].tolist()) for data in sample]
    pairs = _exact_pairs(sets)
    exact = _dropped(len(sample), [pair for pair, near in pairs.items() if near >= THRESHOLD])
    ours = _ours(sample)
    note = f"{len(sample)} files, {len(exact)} are dropped by exact Jaccard {THRESHOLD}"
    found = {"codekiln": ours}
    if (theirs := _theirs(sample)) is not None:
        found["datasketch"] = theirs
    for what, divide_by in (("recall", exact), ("precision", None)):
        shares = {
            name: 100 * len(dropped & exact) / max(len(divide_by or dropped), 1)
            for name, dropped in found.items()
        }
        yield Row(
            what=f"near-duplicates: {what}",
            ours=shares["codekiln"],
            unit="%",
            peer=shares.get("datasketch"),
            peer_name="datasketch LSH",
            target=">= 98 %" if what == "recall" else ">= 95 %",
            note=note,
        )


def _exact_pairs(sets: Sequence[set[int]]) -> dict[tuple[int, int], float]:
    """Jaccard similarity of every pair that shares a shingle which is not everywhere."""
    holders: dict[int, list[int]] = defaultdict(list)
    for number, shingles in enumerate(sets):
        for shingle in shingles:
            holders[shingle].append(number)
    likely: Counter[tuple[int, int]] = Counter()
    for numbers in holders.values():
        if 1 < len(numbers) <= COMMON:
            likely.update(combinations(numbers, 2))
    return {
        (left, right): len(sets[left] & sets[right]) / len(sets[left] | sets[right])
        for (left, right), shared in likely.items()
        if 4 * shared >= max(len(sets[left]), len(sets[right]))
        or min(len(sets[left]), len(sets[right])) < 20
    }


def _dropped(count: int, pairs: Sequence[tuple[int, int]]) -> set[int]:
    """All but the first of each group."""
    groups = Groups(count)
    both = np.array(pairs, np.int64).reshape(-1, 2)
    groups.join(both[:, 0], both[:, 1])
    roots = groups.roots(np.arange(count))
    return set(np.flatnonzero(roots != np.arange(count)).tolist())


def _ours(sample: Sequence[bytes]) -> set[int]:
    made = _sketch(sample)
    none = np.zeros(VALUES, np.uint32)
    signatures = Signatures([np.array([none if row is None else row for row in made])])
    signed = np.array([n for n, row in enumerate(made) if row is not None])
    groups, _ = find_groups(signatures, signed, THRESHOLD)
    roots = groups.roots(np.arange(len(sample)))
    return set(np.flatnonzero(roots != np.arange(len(sample))).tolist())


def _theirs(sample: Sequence[bytes]) -> set[int] | None:
    """datasketch as people use it: insert, query, verify by the signatures' estimate."""
    try:
        import datasketch
    except ImportError:
        return None
    index = datasketch.MinHashLSH(threshold=THRESHOLD, num_perm=VALUES)
    made = {}
    pairs = []
    for number, data in enumerate(sample):
        if not (shingles := _shingles(data)):
            continue
        made[number] = datasketch.MinHash(num_perm=VALUES)
        made[number].update_batch(shingles)
        pairs += [
            (other, number)
            for other in index.query(made[number])
            if made[number].jaccard(made[other]) >= THRESHOLD
        ]
        index.insert(number, made[number])
    return _dropped(len(sample), pairs)
