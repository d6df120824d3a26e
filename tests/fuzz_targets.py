"""What the corpus stage reads, and who reads it: the targets of `fuzz_corpus.py`.

A target is its seeds, and what is to be done with an input made from them. Every resolver of the
registry is one.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import random
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from codekiln import registry
from codekiln.errors import CodekilnError

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


@cache
def screen() -> Any:
    """One screen for all inputs of a process: it keeps a parser."""
    from codekiln.corpus.quality.screen import Screen
    from codekiln.corpus.quality.settings import QualitySettings

    return Screen(QualitySettings())


LANGUAGES = ("python", "c", "javascript", "java", "go", "html", "markdown", "shell")


def redacted(data: bytes, folder: Path) -> None:
    """Redact each text twice: what is found once is gone."""
    from codekiln.corpus.privacy.redact import redact
    from codekiln.corpus.privacy.settings import PrivacySettings

    settings = PrivacySettings(phones=True)
    for number, text in enumerate(parts_of(data)):
        found = redact(text, settings, language=LANGUAGES[number % len(LANGUAGES)])
        found.text.encode()
        for hit in found.hits:
            assert 0 <= hit.start < hit.end <= len(text)


def licensed(data: bytes, folder: Path) -> None:
    """Tell the licence of each text, and of a repository with all of them as evidence."""
    from codekiln.corpus.licences import expression
    from codekiln.corpus.licences.detect import Licences

    names = ("LICENSE", "pyproject.toml", "package.json", "Cargo.toml", "pom.xml", "COPYING")
    parts = parts_of(data)
    found = Licences(dict(zip(names, parts, strict=False)), parts[0] if parts else None)
    for text in parts:
        expression.is_permissive(found.of("src/a.py", text).expression)


def screened(data: bytes, folder: Path) -> None:
    """Measure and judge each text in some language."""
    for number, text in enumerate(parts_of(data)):
        language = LANGUAGES[number % len(LANGUAGES)]
        found = screen().assess(text.encode(), language, "a")
        screen().judge(found, language, "a")


def compared(data: bytes, folder: Path) -> None:
    """Look for test data in the texts, and sketch them."""
    from codekiln.corpus.contamination.decontaminate import Decontaminator
    from codekiln.corpus.duplicates.grams import blocks
    from codekiln.corpus.duplicates.sketch import Sketches

    parts = parts_of(data)
    looking = Decontaminator.from_strings([("p", text) for text in parts[:3]], renamed=20)
    sketches = Sketches(64, 5, each=True)
    for numbers, words in blocks(text.encode() for text in parts):
        looking.check([parts[n] for n in numbers], words)
        sketches.add([str(n) for n in numbers], words)
    sketches.signature(map(str, range(len(parts))))


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
    "filters/redaction": Target(seeds=text_seeds, check=redacted, words=WORDS),
    "filters/licences": Target(seeds=text_seeds, check=licensed, words=WORDS),
    "filters/quality": Target(seeds=text_seeds, check=screened, words=WORDS),
    "filters/test data": Target(seeds=text_seeds, check=compared, words=WORDS),
    **{
        f"resolvers/{name}": Target(
            seeds=text_seeds, check=partial(resolve, language=name), words=WORDS
        )
        for name in registry.names("resolvers")
    },
}
