"""Training a tokenizer of 32,000 entries: MB/s and peak memory at two sizes of sample.

The text is real: the sources installed beside codekiln, read from disk by both sides. The peer is
the tokenizers library's `train_from_iterator` on that text, behind the same pre-tokenizer, on all
cores (ours counts in one process here, and in several over a corpus). Each training is a process of
its own, for the sake of its peak memory; the results are compared, merge by merge.

`CODEKILN_BENCH_MB=50,400` sets the sizes.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rows import Row
from codekiln.languages.table import may_detect
from codekiln.processes import peak_memory_bytes
from codekiln.tokenizer.settings import TokenizerSettings
from codekiln.tokenizer.special import SPELLINGS

SIZES = os.environ.get("CODEKILN_BENCH_MB", "50,400")
ENTRIES = 32_000
LARGEST_FILE = 2_000_000


def run() -> list[Row]:
    """The rows of this benchmark."""
    return [row for megabytes in map(int, SIZES.split(",")) for row in _rows(megabytes)]


def _rows(megabytes: int) -> list[Row]:
    ours, peer = (_alone(side, megabytes) for side in ("ours", "peer"))
    size = ours["bytes"] / 1e6
    equal = "same merges" if ours["merges"] == peer["merges"] else "MERGES DIFFER"
    return [
        Row(
            what=f"train {ENTRIES} entries on {size:.0f} MB",
            ours=size / ours["seconds"],
            unit="MB/s",
            peer=size / peer["seconds"],
            peer_name="tokenizers",
            note=equal,
        ),
        Row(
            what="  its peak memory; less is better",
            ours=ours["peak_bytes"] / 1e6,
            unit="MB",
            peer=peer["peak_bytes"] / 1e6,
            peer_name="tokenizers",
        ),
    ]


def _alone(side: str, megabytes: int) -> dict:
    command = [sys.executable, "-m", "benchmarks.tokenizer", side, str(megabytes)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def _files() -> list[Path]:
    files = [
        path
        for name in ("stdlib", "purelib")
        for path in sorted(Path(sysconfig.get_path(name)).rglob("*"))
        if may_detect(path.as_posix()) and path.is_file() and path.suffix
    ]
    random.Random(0).shuffle(files)
    return files


def _texts(files: list[Path], limit: int) -> Iterator[str]:
    size = 0
    for path in files:
        if size >= limit:
            return
        try:
            text = path.read_text(encoding="utf-8") if path.stat().st_size < LARGEST_FILE else ""
        except (OSError, UnicodeDecodeError):
            continue
        size += len(text.encode())
        yield text


def _ours(texts: Iterator[str]) -> str:
    from codekiln.tokenizer.train import train

    settings = TokenizerSettings(vocab_size=ENTRIES + len(SPELLINGS))
    return train(texts, settings)._model


def _peer(texts: Iterator[str]) -> str:
    import tokenizers
    from tokenizers import models, trainers

    from codekiln.tokenizer.alphabet import BYTE_TO_CHARACTER
    from codekiln.tokenizer.words import papers_pre_tokenizer

    library = tokenizers.Tokenizer(models.BPE())
    library.pre_tokenizer = papers_pre_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=ENTRIES,
        min_frequency=2,
        initial_alphabet=list(BYTE_TO_CHARACTER),
        show_progress=False,
    )
    library.train_from_iterator(texts, trainer)
    return library.to_str()


def _measure(side: str, megabytes: int) -> None:
    size, files = 0, _files()

    def counted() -> Iterator[str]:
        nonlocal size
        for text in _texts(files, megabytes * 10**6):
            size += len(text.encode())
            yield text

    started = time.perf_counter()
    model = {"ours": _ours, "peer": _peer}[side](counted())
    seconds = time.perf_counter() - started
    merges = json.dumps(json.loads(model)["model"]["merges"])
    facts = {
        "seconds": seconds,
        "bytes": size,
        "peak_bytes": peak_memory_bytes(),
        "merges": hashlib.sha256(merges.encode()).hexdigest(),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    _measure(sys.argv[1], int(sys.argv[2]))
