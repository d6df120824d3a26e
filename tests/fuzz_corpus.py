"""Mutates what the corpus stage reads, and accepts only results and codekiln's own errors.

    python tests/fuzz_corpus.py --minutes 10 --target readers
    python tests/fuzz_corpus.py --minutes 10 --target resolvers --seed 7
    python tests/fuzz_corpus.py --list

A failure is any other exception, a crash of the process, more than 4 GiB of memory, or an input
that takes longer than ten seconds. Its input is kept in --folder, and is run again by
`--target NAME --replay FILE`. New targets are a line in `TARGETS`: seeds, and what to do with an
input. Every resolver of the registry is one.
"""

from __future__ import annotations

import argparse
import bz2
import contextlib
import gzip
import io
import json
import lzma
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from codekiln import registry
from codekiln.errors import CodekilnError

SECONDS_EACH = 10
MEMORY = 4 << 30
LARGEST = 1 << 20  # bytes of an input

Check = Callable[[bytes, Path], None]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Something that reads bytes nobody has checked.

    Args:
        seeds: well-formed inputs, from which the others are made; the folder is for scratch.
        check: read one input; may raise CodekilnError and nothing else.
        words: what inputs of this kind are made of.
    """

    seeds: Callable[[Path], list[bytes]]
    check: Check
    words: Sequence[bytes] = ()


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An input that broke a target, and how."""

    target: str
    problem: str
    data: bytes = field(repr=False)


# ---- readers ----

FILES = {
    "pkg-1/PKG-INFO": b"Name: pkg\nLicense: MIT\n",
    "pkg-1/package.json": b'{"name": "@a/pkg", "version": "1.0.0", "license": "MIT"}',
    "pkg-1/src/a.py": b"# coding: latin-1\nimport os\nx = 1\n" * 20,
    "pkg-1/src/\xc3\xa9.c".encode("latin-1").decode("utf-8"): b"#include <a.h>\nint x;\n" * 20,
    "pkg-1/" + "d" * 120 + "/b.js": b"import './a';\n",
}


def tar_file(files: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    """A plain tar file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), 1_700_000_000
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def zip_file(method: int) -> bytes:
    """A zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in FILES.items():
            archive.writestr(name, data)
    return out.getvalue()


def zstd(data: bytes) -> bytes:
    """Compressed with Zstandard."""
    import pyarrow as pa

    packed: bytes = pa.Codec("zstd").compress(data, asbytes=True)
    return packed


def tar_seeds(pack: Callable[[bytes], bytes] = bytes) -> Callable[[Path], list[bytes]]:
    """Tar files of all three formats."""
    formats = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)
    return lambda _: [pack(tar_file(FILES, format)) for format in formats]


def read_all(location: str) -> None:
    """Open and read a repository, and ask what is known of it."""
    from codekiln.corpus.sources.read import open_repository

    reading = open_repository(location)
    for file in reading:
        file.text.encode()
        file.path.encode()
    _ = reading.metadata, reading.revision, reading.name.encode("utf-8", "surrogateescape")


def read_file(data: bytes, folder: Path, *, name: str, pack: Callable[[bytes], bytes]) -> None:
    """Read an archive of this content, packed first."""
    (folder / name).write_bytes(pack(data))
    read_all(str(folder / name))


def archive(name: str, seeds: Callable[[Path], list[bytes]], pack: Any = bytes) -> Target:
    """An archive; with `pack`, what is mutated is its content before it is packed."""
    return Target(seeds=seeds, check=partial(read_file, name=name, pack=pack), words=_TAR_WORDS)


_TAR_WORDS = [b"ustar\x0000", b"ustar  \0", b"../", b"/etc/passwd", b"PK\x03\x04", b"PK\x01\x02"]
_TAR_WORDS += [b"path=", b"size=-1\n", b"0777777777\0", b"\x80" + b"\xff" * 11, b"PK\x05\x06"]


def gem(data: bytes) -> bytes:
    """A gem with this data.tar."""
    return tar_file({"metadata.gz": gzip.compress(b"x"), "data.tar.gz": gzip.compress(data)})


ROWS = [
    {"repo_name": f"o/r{n % 3}", "path": f"src/m{n}.py", "content": f"x = {n}\n" * 9, "stars": n,
     "licenses": ["MIT", "ISC"][: n % 3], "updated": "2020-01-01T00:00:00Z"}
    for n in range(60)
]  # fmt: skip


def parquet_seeds(folder: Path) -> list[bytes]:
    """Parquet files in several encodings."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table, seeds = pa.Table.from_pylist(ROWS), []
    options: list[dict[str, Any]] = [
        {"compression": "zstd"},
        {"compression": "snappy", "use_dictionary": False, "row_group_size": 9},
        {"compression": "none", "data_page_version": "2.0", "write_statistics": False},
    ]
    for each in options:
        pq.write_table(table, folder / "seed.parquet", **each)
        seeds.append((folder / "seed.parquet").read_bytes())
    return seeds


def json_seeds(_: Path) -> list[bytes]:
    """JSON lines."""
    return ["".join(json.dumps(row) + "\n" for row in ROWS).encode()]


def read_rows(data: bytes, folder: Path, *, name: str, pack: Any = bytes) -> None:
    """Group the rows of a file of this content, and read all repositories."""
    from codekiln.corpus.sources.collection import prepare

    (folder / name).write_bytes(pack(data))
    shutil.rmtree(folder / "work", ignore_errors=True)
    grouped = prepare([str(folder / name)], folder / "work").grouped
    for each in grouped.repositories() if grouped else ():
        read_all(each.location)


def grouped_seeds(folder: Path) -> list[bytes]:
    """The two files of a grouped part, told apart by their first byte."""
    from codekiln.corpus.sources.rows.group import group_rows
    from codekiln.corpus.sources.rows.inputs import JsonInput

    (folder / "seed.jsonl").write_bytes(json_seeds(folder)[0])
    group_rows([JsonInput(str(folder / "seed.jsonl"))], folder / "seed", partitions=1)
    (part,) = (folder / "seed").glob("*/part-00000")
    return [
        b"f" + (part / "files.arrow").read_bytes(),
        b"i" + (part / "index.arrow").read_bytes(),
    ]


def read_grouped(data: bytes, folder: Path) -> None:
    """Read repositories of a part of which one file has this content."""
    (part,) = (folder / "seed").glob("*/part-00000")
    shutil.copytree(part, folder / "part-00000", dirs_exist_ok=True)
    name = "index.arrow" if data[:1] == b"i" else "files.arrow"
    (folder / "part-00000" / name).write_bytes(data[1:])
    for number in range(3):
        with contextlib.suppress(CodekilnError):
            read_all(f"rows:{folder}/part-00000#o/r{number}")


def git_seeds(folder: Path) -> list[bytes]:
    """The files of two bare repositories, the second packed; each behind its number."""
    if shutil.which("git") is None:
        return []
    tree = folder / "tree"
    for name, data in FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]

    def git(*arguments: str) -> None:
        subprocess.run(["git", *who, *arguments], env=environment, check=True, capture_output=True)

    git("init", "-q", "-b", "main", str(tree))
    git("-C", str(tree), "add", "-A", "-f")
    git("-C", str(tree), "commit", "-qm", "one")
    for name in ("loose.git", "packed.git"):
        git("clone", "-q", "--bare", str(tree), str(folder / name))
    git("-C", str(folder / "packed.git"), "pack-refs", "--all")
    git("-C", str(folder / "packed.git"), "repack", "-adq")
    return [
        bytes([number]) + (zlib.decompress(data) if is_loose(path) else data)
        for number, path in enumerate(git_files(folder))
        for data in [path.read_bytes()]
    ]


def git_files(folder: Path) -> list[Path]:
    """The files of both repositories in order."""
    files = [*folder.glob("loose.git/**/*"), *folder.glob("packed.git/**/*")]
    return sorted(path for path in files if path.is_file() and "hooks" not in path.parts)


def is_loose(path: Path) -> bool:
    """Whether a file holds one object, compressed."""
    return path.parent.parent.name == "objects" and len(path.parent.name) == 2


def read_git(data: bytes, folder: Path) -> None:
    """Read a bare repository of which one file has this content."""
    bare, files = folder / "bare.git", git_files(folder)
    number = data[0] % len(files) if data else 0
    whole = folder / files[number].relative_to(folder).parts[0]
    shutil.rmtree(bare, ignore_errors=True)
    shutil.copytree(whole, bare)
    target = bare / files[number].relative_to(whole)
    target.chmod(0o644)
    target.write_bytes(zlib.compress(data[1:]) if is_loose(target) else data[1:])
    read_all(str(bare))


def read_metadata(data: bytes, folder: Path, *, name: str) -> None:
    """Load a side file of this content."""
    from codekiln.corpus.sources.metadata import load_metadata

    (folder / name).write_bytes(data)
    load_metadata(folder / name)


# ---- texts ----

TEXTS = [
    "import os\nfrom . import (a,\n  b)\nfrom .x.y import *\nif x:\n    import z\n",
    '#include <a/b.h>\n#include "c.h"\n#if 0\n#include "d.h"\n#endif\nint main() { return 0; }\n',
    "package a.b;\nimport c.d.*;\nimport static e.F.g;\nclass H extends c.D { E e; }\n",
    "import x, {y} from './y';\nconst z = require('../z');\nexport * from \"w\";\nimport('v');\n",
    'package m\n\nimport (\n\t"fmt"\n\tx "a/b"\n)\n\nfunc F() {}\n',
    'use crate::a::{b, c as d};\nmod e;\n#[path = "f.rs"]\nmod g { mod h; }\nextern crate i;\n',
    "<?php\nnamespace A\\B;\nuse C\\{D, E};\nrequire __DIR__ . '/f.php';\nclass G extends D {}\n",
    "require 'a'\nrequire_relative '../b'\nmodule C\n  class D < E\n  end\nend\n",
    "using System;\nusing static A.B;\nusing C = D.E;\nnamespace F { class G : H {} }\n",
    '{"name": "a", "compilerOptions": {"paths": {"@/*": ["src/*"]}, "baseUrl": "."}}\n',
    '[package]\nname = "a"\n[workspace]\nmembers = ["x/*"]\n[dependencies]\nb = {path = "../b"}\n',
    "module example.org/m\n\ngo 1.21\nreplace a => ./b\n",
    "<project><build><sourceDirectory>src</sourceDirectory></build></project>\n",
    "\ufeffx = 'é日本'\r\n\ty\u2028z\n",
]
WORDS = [
    b"import ", b"from ", b"#include ", b"require(", b"use ", b"mod ", b"package ", b"using ",
    b"'", b'"', b'"""', b"`", b"//", b"/*", b"*/", b"#", b"\\\n", b"(", b")", b"{", b"}", b"<",
    b">", b"::", b"..", b"../", b"./", b"*", b"@", b"$", b"\n", b"\r\n", b"\t", b"\0", b"\xff",
    b";", b"\\", b"<?php", b"<<EOF\n", b"${", b"#{", b"R\"x(", b"=begin\n", b"\xe2\x80\xa8",
    b"r#\"", b"/./", b"%w[",
]  # fmt: skip
PATHS = [
    "a",
    "b",
    "c",
    "src/a",
    "src/x/y",
    "src/x/index",
    "lib/m/mod",
    "x/__init__",
    "A/B/C",
    "é/d",
]


def text_seeds(_: Path) -> list[bytes]:
    """A repository: files of many languages, separated by zero bytes."""
    texts = [text.encode() for text in TEXTS]
    return [*texts, b"\0".join(texts), b"\0".join(reversed(texts))]


def parts_of(data: bytes) -> list[str]:
    """The texts of an input; what is no UTF-8 stands as Latin-1, for these readers get text."""
    return [part.decode("latin-1") for part in data.split(b"\0")[:40]]


def resolve(data: bytes, folder: Path, *, language: str) -> None:
    """Scan a repository of these files and ask for the edges among them."""
    from codekiln.languages.resolve import PathIndex, resolver_class
    from codekiln.languages.table import languages

    kind = resolver_class(language)
    suffixes = languages()[language].suffixes or ("",)
    rng = random.Random(data[:64])
    builds = sorted(kind.build_files)
    files: dict[str, str] = {}
    build_files: dict[str, str] = {}
    for text in parts_of(data):
        if builds and rng.random() < 0.3:
            name = rng.choice(builds).replace("*", "x")
            build_files[rng.choice(["", "src/", "lib/m/"]) + name] = text
        else:
            files[rng.choice(PATHS) + rng.choice(suffixes)] = text
    resolver = kind(PathIndex(files, build_files))
    scans = {path: resolver.scan(path, text) for path, text in files.items()}
    for source, _target, _kind in resolver.edges(scans):
        assert source in files, f"an edge from {source!r}, which was not scanned"


def decode(data: bytes, folder: Path) -> None:
    """Decode a file, and name its language."""
    from codekiln.corpus.sources.intake import Intake, Limits

    for name in ("a.py", "a.h", "script", "a.m", "a.html", "README.md"):
        file = Intake(limits=Limits()).take(name, data)
        if file is not None:
            file.text.encode()


def judge(data: bytes, folder: Path) -> None:
    """Judge each text by the rules."""
    from codekiln.corpus.filters import rules
    from codekiln.types import SourceFile

    for text in parts_of(data):
        for path, language in (("a.py", "python"), ("a.html", "html"), ("a.json", "json")):
            rules.reason(SourceFile(path=path, text=text, language=language))


TARGETS: dict[str, Target] = {
    "readers/tar": archive("a.tar", tar_seeds()),
    "readers/tar in gz": archive("a.tgz", tar_seeds(), partial(gzip.compress, compresslevel=1)),
    "readers/gz": archive("a.tar.gz", tar_seeds(gzip.compress)),
    "readers/bz2": archive("a.tar.bz2", tar_seeds(bz2.compress)),
    "readers/xz": archive("a.tar.xz", tar_seeds(lzma.compress)),
    "readers/zst": archive("a.tar.zst", tar_seeds(zstd)),
    "readers/gem": archive("a.gem", tar_seeds(gem)),
    "readers/tar in gem": archive("a.gem", tar_seeds(), gem),
    "readers/zip": archive(
        "a.zip", lambda _: [zip_file(m) for m in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)]
    ),
    "readers/parquet": Target(seeds=parquet_seeds, check=partial(read_rows, name="a.parquet")),
    "readers/jsonl": Target(
        seeds=json_seeds,
        check=partial(read_rows, name="a.jsonl"),
        words=[b'"repo_name": ', b'"path": ', b"null", b"[", b"{", b'\\ud800"', b"1e999", b"\n"],
    ),
    "readers/jsonl.gz": Target(
        seeds=lambda _: [gzip.compress(json_seeds(_)[0])],
        check=partial(read_rows, name="a.jsonl.gz"),
    ),
    "readers/grouped": Target(seeds=grouped_seeds, check=read_grouped),
    "readers/git": Target(seeds=git_seeds, check=read_git),
    "readers/metadata": Target(
        seeds=json_seeds, check=partial(read_metadata, name="a.jsonl"), words=[b"null", b"\n"]
    ),
    "readers/metadata csv": Target(
        seeds=lambda _: [b"name,stars,updated,licence\no/a,1,2020-01-01,MIT\n" * 3],
        check=partial(read_metadata, name="a.csv"),
        words=[b'"', b",", b"\0", b"\n"],
    ),
    "readers/decode": Target(seeds=text_seeds, check=decode, words=WORDS),
    "filters/rules": Target(seeds=text_seeds, check=judge, words=WORDS),
    **{
        f"resolvers/{name}": Target(
            seeds=text_seeds, check=partial(resolve, language=name), words=WORDS
        )
        for name in registry.names("resolvers")
    },
}


# ---- mutation ----


def mutate(rng: random.Random, seeds: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """An input made from a seed by some random changes."""
    data = bytearray(rng.choice(seeds))
    for _ in range(1 << rng.randrange(6)):
        _change(rng, data, seeds, words)
    return bytes(data[:LARGEST])


def _change(
    rng: random.Random, data: bytearray, seeds: Sequence[bytes], words: Sequence[bytes]
) -> None:
    at = rng.randrange(len(data) + 1)
    length = min(1 << rng.randrange(12), len(data) - at)
    kind = rng.randrange(9 if words else 8)
    if kind == 0:
        data[at : at + 1] = bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1])
    elif kind == 1:
        data[at : at + 1] = bytes([rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))])
    elif kind == 2:
        del data[at : at + length]
    elif kind == 3:
        data[at:at] = data[at : at + length] * rng.randrange(1, 5)
    elif kind == 4:
        data[at : at + length] = rng.randbytes(length)
    elif kind == 5:
        size = rng.choice((2, 4, 8))
        number = rng.choice(
            (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
        )
        data[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
    elif kind == 6:
        other = rng.choice(seeds)
        start = rng.randrange(len(other) + 1)
        data[at : at + length] = other[start : start + length]
    elif kind == 7:
        del data[rng.randrange(len(data) + 1) if rng.random() < 0.2 else len(data) :]
    else:
        data[at:at] = rng.choice(words) * (1 if rng.random() < 0.9 else rng.randrange(2000))


# ---- running ----


class TooSlow(Exception):
    """An input took too long."""


def _alarm(*_: object) -> None:
    raise TooSlow(f"longer than {SECONDS_EACH} s")


def attempt(target: Target, data: bytes, folder: Path) -> str:
    """How an input breaks a target; nothing if it does not."""
    signal.signal(signal.SIGALRM, _alarm)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_EACH)
    try:
        target.check(data, folder)
    except CodekilnError:
        pass
    except BaseException:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def _work(name: str, seconds: float, seed: int, folder: Path, counter: Any) -> None:
    """Try inputs until the time is over; stop at the first that breaks the target."""
    target = TARGETS[name]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.fsync = lambda _: None  # what is written here need not outlive the machine
    seeds = [seed for seed in target.seeds(folder) if seed]
    rng = random.Random(f"{name} {seed}")
    end = time.monotonic() + seconds
    while seeds and time.monotonic() < end:
        first = counter.value < len(seeds)
        data = seeds[counter.value] if first else mutate(rng, seeds, target.words)
        (folder / "current").write_bytes(data)
        if problem := attempt(target, data, folder):
            (folder / "problem").write_text(problem, encoding="utf-8", errors="replace")
            return
        counter.value += 1


def run_target(name: str, seconds: float, seed: int) -> tuple[int, Failure | None]:
    """Inputs tried in about `seconds`, in a process of its own; and the first failure."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        folder = Path(place)
        counter = context.Value("q", 0)
        process = context.Process(target=_work, args=(name, seconds, seed, folder, counter))
        process.start()
        process.join(seconds + 3 * SECONDS_EACH + 60)
        if process.is_alive():
            process.kill()
            process.join()
            problem = "endless"
        elif (folder / "problem").exists():
            problem = (folder / "problem").read_text(encoding="utf-8")
        else:
            problem = f"ended with {process.exitcode}" if process.exitcode else ""
        failure = None
        if problem:
            current = folder / "current"
            data = current.read_bytes() if current.exists() else b""
            failure = Failure(target=name, problem=problem, data=data)
        return counter.value, failure


def chosen(wanted: str) -> list[str]:
    """Names of the targets that are `wanted` or lie under it."""
    return [name for name in TARGETS if name == wanted or name.startswith(f"{wanted}/")]


def run(
    names: Sequence[str], seconds: float, seed: int
) -> Iterator[tuple[str, int, Failure | None]]:
    """Run targets one after the other, `seconds` in all."""
    for name in names:
        yield (name, *run_target(name, seconds / len(names), seed))


def main() -> int:
    """Run from the command line; 1 if anything broke."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--target", default="readers", help="a target, or a group of them")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--folder", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--replay", type=Path, help="an input to run again")
    parser.add_argument("--list", action="store_true", help="list the targets")
    options = parser.parse_args()
    names = chosen(options.target)
    if options.list or not names:
        print("\n".join(TARGETS))
        return 0 if options.list else 2
    if options.replay:
        return replay(names[0], options.replay)
    failed = 0
    for name, tried, failure in run(names, 60 * options.minutes, options.seed):
        print(f"{name}: {tried:,} inputs" + (", FAILED" if failure else ""), flush=True)
        if failure:
            failed += 1
            options.folder.mkdir(parents=True, exist_ok=True)
            kept = options.folder / f"{name.replace('/', '-')}-{options.seed}".replace(" ", "-")
            kept.write_bytes(failure.data)
            print(f"{failure.problem}\ninput: {kept}", flush=True)
    return 1 if failed else 0


def replay(name: str, path: Path) -> int:
    """Run one input again."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        TARGETS[name].seeds(Path(place))
        problem = attempt(TARGETS[name], path.read_bytes(), Path(place))
    print(problem or "no failure")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
