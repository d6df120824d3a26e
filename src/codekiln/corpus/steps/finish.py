"""The last step: `documents/` takes its name when it is whole.

A shard in which nothing changes any more is taken as it is (a hard link); of the others a copy is
made, with the split that each repository ended up in.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codekiln.corpus.steps.mix import Copies
from codekiln.corpus.store import DOCUMENTS, Split, copy_documents, row_count, write_index
from codekiln.log import Progress
from codekiln.storage import Manifest, atomic_path, fingerprint


def finish(
    out: Path,
    stages: Path,
    pieces: Mapping[str, Iterable[str]],
    moved: Mapping[str, Split],
    copies: Copies,
    manifest: Manifest,
    finished: str,
) -> set[str]:
    """Bring `documents/` into place; gives the names of the files in `stages` that it is made of.

    Args:
        pieces: names of composed folders, with those of their repositories, in order.
        moved: repositories that are not in the split they were written with.
        copies: how often each document is read, of the shards where some are not read once.
        finished: the manifest's entry of the whole corpus, discarded before it is replaced.
    """
    shards = []
    with Progress("finishing shards", total=len(pieces), unit="shards") as shown:
        for piece, names in pieces.items():
            shards.append(_shard(stages, piece, set(names), moved, copies.get(piece), manifest))
            shown.advance()
    manifest.discard(finished)  # or a kill would leave these under the old entry
    with atomic_path(out / DOCUMENTS) as folder:
        folder.mkdir()
        rows: dict[str, int] = {}
        for shard in shards:
            if count := row_count(shard):
                name = f"{len(rows):05d}.parquet"
                _link(shard, folder / name)
                rows[name] = count
        write_index(folder, rows)
    return {shard.name for shard in shards}


def _shard(
    stages: Path,
    piece: str,
    names: set[str],
    moved: Mapping[str, Split],
    copies: npt.NDArray[np.int16] | None,
    manifest: Manifest,
) -> Path:
    plain = stages / piece / "documents.parquet"
    changes = {name: split for name, split in sorted(moved.items()) if name in names}
    if not changes and copies is None:
        return plain
    counts = None if copies is None else hashlib.sha256(copies.tobytes()).hexdigest()
    copy = f"{piece}-{fingerprint([changes, counts])[:20]}"
    target = stages / f"{copy}.parquet"
    if not (copy in manifest and manifest[copy].get("sizes") == sizes(target)):
        with atomic_path(target) as path:
            copy_documents(plain, path, splits=changes, copies=copies)
        manifest.add(copy, sizes=sizes(target))
    return target


def sizes(path: Path) -> dict[str, int]:
    """Bytes of a file, or of each file in a folder, by name; empty where there is none."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return {file.name: file.stat().st_size for file in files if file.is_file()}


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)
