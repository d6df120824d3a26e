"""MinHash: the speed of signatures, and which near-duplicates are found among real files.

    CODEKILN_REAL_CORPUS=DIR python -m benchmarks duplicates

Files: of the archives below CODEKILN_REAL_CORPUS (see `benchmarks.fetch`), else of the Python
installation. Speed is from text to one signature of 1 KB a document (256 values of 32 bits; ours:
1024 of 8) over word 5-grams, one core, against datatrove's own step (its tokenizer included, which
is part of it) and datasketch. What is found is judged by brute force: exact Jaccard similarities
of all pairs of files that share a shingle, joined to groups; recall and precision are of the files
that are dropped. The search is among made-up signatures, a fifth of them copies with changes.
"""

from __future__ import annotations

import os
import re
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
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
BYTES = 4 * VALUES  # as large a signature: ours keeps a byte a bin
UNITS = 200_000  # signatures in the search


def run() -> list[Row]:
    """Rows of the table."""
    sample = documents()
    return [*_speed(sample), *_found(sample), _search()]


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
    sketches = Sketches(BYTES, SHINGLE, each=True)
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
        what = f"MinHash signatures of {BYTES} bytes, {SHINGLE}-grams"
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
    left, right, jaccard = _exact_pairs(
        [np.unique(grams(words([data]), SHINGLE)[0]) for data in sample]
    )
    near = jaccard >= THRESHOLD
    exact = _dropped(len(sample), left[near], right[near])
    ours = _ours(sample)
    doubtful = np.count_nonzero(abs(jaccard - THRESHOLD) < 0.05)
    note = (
        f"{len(sample)} files, {len(exact)} are dropped by exact Jaccard {THRESHOLD}; "
        f"{doubtful} pairs within 0.05 of it"
    )
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


def _exact_pairs(sets: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(left, right, Jaccard similarity) of every pair that shares a shingle.

    For each document all holders of its shingles behind it, counted: nothing is left out.
    """
    sizes = np.array([len(one) for one in sets])
    owner = np.repeat(np.arange(len(sets)), sizes)
    shingles = np.concatenate(sets)
    order = np.argsort(shingles, kind="stable")  # of a shingle, in order of document
    holders, shingles = owner[order], shingles[order]
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    starts = np.append(0, np.flatnonzero(shingles[1:] != shingles[:-1]) + 1)
    lengths = np.diff(np.append(starts, len(shingles)))
    ends = np.repeat(starts + lengths, lengths)
    parts = []
    for left, end in enumerate(np.cumsum(sizes).tolist()):
        mine = place[end - sizes[left] : end]
        behind = [holders[at + 1 : ends[at]] for at in mine.tolist() if at + 1 < ends[at]]
        if behind:
            shared = np.bincount(np.concatenate(behind))
            right = np.flatnonzero(shared)
            union = sizes[left] + sizes[right] - shared[right]
            parts.append((np.full(len(right), left), right, shared[right] / union))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _dropped(count: int, left: np.ndarray, right: np.ndarray) -> set[int]:
    """All but the first of each group."""
    groups = Groups(count)
    groups.join(left, right)
    return _but_the_first(groups, count)


def _but_the_first(groups: Groups, count: int) -> set[int]:
    _, first = np.unique(groups.roots(np.arange(count)), return_index=True)
    return set(range(count)) - set(first.tolist())


def _search() -> Row:
    """Seconds for the groups of many signatures."""
    random = np.random.default_rng(0)
    rows = random.integers(0, 128, (UNITS, BYTES), dtype=np.uint8)
    copies = rows[: UNITS // 5].copy()
    changed = random.random(copies.shape, dtype=np.float32) < 0.15
    rows[-len(copies) :] = np.where(changed, rows[-len(copies) :], copies)
    started = time.perf_counter()
    groups, _ = find_groups(Signatures([rows]), np.arange(UNITS), THRESHOLD)
    seconds = time.perf_counter() - started
    found = len(_but_the_first(groups, UNITS))
    return Row(
        what="near-duplicates: groups of signatures",
        ours=UNITS / seconds / 1e3,
        unit="thousand units/s",
        note=f"{UNITS} signatures, {found} of {len(copies)} copies at 0.85 found",
    )


def _ours(sample: Sequence[bytes]) -> set[int]:
    made = _sketch(sample)
    none = np.zeros(BYTES, np.uint8)
    signatures = Signatures([np.array([none if row is None else row for row in made])])
    signed = np.array([n for n, row in enumerate(made) if row is not None])
    groups, _ = find_groups(signatures, signed, THRESHOLD)
    return _but_the_first(groups, len(sample))


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
    both = np.array(pairs, np.int64).reshape(-1, 2)
    return _dropped(len(sample), both[:, 0], both[:, 1])
