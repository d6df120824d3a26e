"""Archives: whole ones are read as they are, bad ones are refused or counted."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import shutil
import stat
import struct
import subprocess
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from codekiln.corpus.sources import intake
from codekiln.corpus.sources.declared import declared_licence
from codekiln.corpus.sources.intake import Limits
from codekiln.corpus.sources.metadata import Metadata
from codekiln.corpus.sources.read import Reading, open_repository
from codekiln.errors import SourceError

FILES = {"pkg/a.py": b"a = 1\n", "pkg/sub/b.c": "int é;\n".encode(), "setup.py": b"s = 1\n"}
TEXTS = {path: data.decode() for path, data in FILES.items()}


def make_tar(
    path: Path, files: dict[str, bytes], mode: str = "w:gz", format: int = tarfile.PAX_FORMAT
) -> Path:
    with tarfile.open(path, mode, format=format) as archive:
        for name, data in files.items():
            add(archive, name, data)
    return path


def add(archive: tarfile.TarFile, name: str, data: bytes = b"", **facts: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for key, value in facts.items():
        setattr(member, key, value)
    archive.addfile(member, io.BytesIO(data))


def make_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def under(top: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{top}/{path}": data for path, data in files.items()}


def contents(path: Path, **options: object) -> dict[str, str]:
    return {f.path: f.text for f in open_repository(path, **options)}  # type: ignore[arg-type]


def drops(path: Path, **options: object) -> tuple[dict[str, int], list[str]]:
    reading: Reading = open_repository(path, **options)  # type: ignore[arg-type]
    paths = [file.path for file in reading]
    return dict(reading.tally.dropped), paths


# ---- whole archives ----


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tar(tmp_path: Path, mode: str, format: int) -> None:
    path = make_tar(tmp_path / "thing-1.0.tar", under("thing-1.0", FILES), mode, format)
    reading = open_repository(path)
    assert {f.path: f.text for f in reading} == TEXTS
    assert [f.path for f in reading] == list(FILES)  # as the archive has them
    assert [f.path for f in reading.repository().files] == sorted(FILES)
    assert reading.name == "thing-1.0"
    assert not reading.tally.dropped


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_zip(tmp_path: Path, method: int) -> None:
    path = make_zip(tmp_path / "thing.zip", under("thing-main", FILES), method)
    assert contents(path) == TEXTS
    assert drops(path) == ({}, list(FILES))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("django-5.1.tar.gz", "django-5.1"),
        ("x.tgz", "x"),
        ("a_b-1.0-py3-none-any.whl", "a_b-1.0-py3-none-any"),
        ("no-suffix", "no-suffix"),
    ],
)
def test_names(tmp_path: Path, name: str, wanted: str) -> None:
    make = make_zip if name.endswith(".whl") else make_tar
    assert open_repository(make(tmp_path / name, FILES)).name == wanted


def test_only_a_single_top_folder_is_left_out_of_the_paths(tmp_path: Path) -> None:
    for make in (make_tar, make_zip):
        assert contents(make(tmp_path / "one", under("top", FILES))) == TEXTS
        assert contents(make(tmp_path / "none", FILES)) == TEXTS
        two = {"pkg/a.py": b"a", "pkg-1.dist-info/b.py": b"b"}
        assert set(contents(make(tmp_path / "two", two))) == set(two)
        assert set(contents(make(tmp_path / "flat", {"a.py": b"a"}))) == {"a.py"}
        dotted = {"./top/a.py": b"a", "./top/b/./c.py": b"c"}
        assert set(contents(make(tmp_path / "dotted", dotted))) == {"a.py", "b/c.py"}
        # a file that is not kept counts for where the top is
        other = {"top/a.py": b"a", "photo.png": b"p"}
        assert set(contents(make(tmp_path / "other", other))) == {"top/a.py"}


def test_long_names_and_padded_xz(tmp_path: Path) -> None:
    name = "top/" + "d" * 90 + "/" + "e" * 120 + "/f.py"
    for format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        path = make_tar(tmp_path / "a.tar", {name: b"x = 1\n", "b.py": b"b"}, "w", format)
        assert set(contents(path)) == {name, "b.py"}
    data = path.read_bytes()
    whole = lzma.compress(data[:700]) + lzma.compress(data[700:]) + b"\0" * 8
    (tmp_path / "b.tar.xz").write_bytes(whole)
    assert set(contents(tmp_path / "b.tar.xz")) == {name, "b.py"}


def test_revision_is_of_the_content(tmp_path: Path) -> None:
    first = open_repository(make_zip(tmp_path / "a.zip", FILES)).revision
    assert open_repository((tmp_path / "a.zip").rename(tmp_path / "b.zip")).revision == first
    assert open_repository(make_zip(tmp_path / "c.zip", {"a.py": b"x"})).revision != first


# ---- members that are counted ----


def test_tar_members_that_lead_outside_or_are_no_files(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as archive:
        add(archive, "top/good.py", b"x = 1\n")
        for name in ("../up.py", "top/../../up.py", "/etc/abs.py", "top/..\\..\\up.py", "a/.."):
            add(archive, name, b"x = 1\n")
        add(archive, "top/soft.py", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(archive, "top/hard.py", type=tarfile.LNKTYPE, linkname="top/good.py")
        add(archive, "top/device.py", type=tarfile.CHRTYPE)
        add(archive, "top/pipe.py", type=tarfile.FIFOTYPE)
        add(archive, "top/good.py", b"again = 1\n")
        add(archive, "top/node_modules/x.js", b"x")
        add(archive, "top/large.py", b"x" * 200)
        add(archive, "top/two\nlines.py", b"x")
        add(archive, "top/photo.png", b"x")
        add(archive, "top/folder", type=tarfile.DIRTYPE)
    found, paths = drops(tmp_path / "bad.tar.gz", max_file_bytes=100)
    assert paths == ["good.py"]
    assert found == {
        intake.OUTSIDE: 5,
        intake.LINK: 2,
        intake.NOT_REGULAR: 2,
        intake.DUPLICATE: 1,
        intake.FOREIGN: 1,
        intake.TOO_LARGE: 1,
        intake.UNUSABLE_NAME: 1,
        intake.UNKNOWN: 1,
    }
    assert not list(tmp_path.parent.glob("**/up.py"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_members_that_lead_outside_or_are_no_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("top/good.py", "x = 1\n")
        for name in ("../up.py", "top/../../up.py", "/etc/abs.py", "..\\up.py", "C:\\up.py"):
            archive.writestr(name, "x = 1\n")
        link = zipfile.ZipInfo("top/soft.py")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("top/good.py", "again = 1\n")
        archive.writestr("top/win\\dows.py", "w = 1\n")
        archive.writestr("top/large.py", "x" * 200)
        archive.writestr("top/folder/", "")
    found, paths = drops(tmp_path / "bad.zip", max_file_bytes=100)
    assert paths == ["good.py", "win/dows.py"]
    assert found == {
        intake.OUTSIDE: 5,
        intake.LINK: 1,
        intake.DUPLICATE: 1,
        intake.TOO_LARGE: 1,
    }


def test_damaged_and_encrypted_zip_members_are_counted(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", under("t", FILES), zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[data.index(b"a = 1\n")] = ord("b")  # the checksum no longer fits
    encrypted = data.index(b"PK\x01\x02", data.index(b"t/pkg/sub/b.c", len(data) // 2) - 46)
    data[encrypted + 8] |= 1
    path.write_bytes(data)
    assert drops(path) == ({intake.DAMAGED: 1, intake.ENCRYPTED: 1}, ["setup.py"])


def test_a_zip_member_that_lies_about_its_size_is_counted(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"t/a.py": b"x" * 90_000, "t/b.py": b"b"})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 90_000), struct.pack("<I", 10)))
    assert drops(path) == ({intake.DAMAGED: 1}, ["b.py"])


# ---- archives that are refused ----


@pytest.mark.parametrize("padding", [0, 4, (1 << 18) + 4, None])
def test_padding_between_xz_streams_hides_nothing(tmp_path: Path, padding: int | None) -> None:
    """Streams and zeros in turn; None: zeros up to the end of a block as the reader reads them."""
    plain = make_tar(tmp_path / "p.tar", under("p", FILES), "w").read_bytes()
    cut = 1024  # behind the first file
    first, second = lzma.compress(plain[:cut]), lzma.compress(plain[cut:])
    zeros = -len(first) % (1 << 18) if padding is None else padding
    path = tmp_path / "p.tar.xz"
    path.write_bytes(first + bytes(zeros) + second + bytes(8))
    assert contents(path) == TEXTS


def refused(path: Path, message: str, limits: Limits | None = None) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        list(open_repository(path, limits=limits))
    assert str(path) in str(caught.value)


def many(count: int = 40) -> dict[str, bytes]:
    """Files that do not compress, so that a cut falls into their content."""
    rng = random.Random(0)
    return {f"t/{n}.py": rng.randbytes(3000).hex().encode() for n in range(count)}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("share", [0.0003, 0.3, 0.5, 0.9])
def test_truncated_tar(tmp_path: Path, mode: str, share: float) -> None:
    path = make_tar(tmp_path / "a.tar", many(), mode)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path, "truncated or damaged|not an archive")


def test_plain_tar_cut_anywhere(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", {"t/a.py": b"a" * 700, "t/b.py": b"b"}, "w")
    data = path.read_bytes()
    end = len(data.rstrip(b"\0")) // 512 * 512 + 512
    for cut in sorted({*range(1, end, 97), 512, 1536, 2048, end}):  # headers and members' ends
        path.write_bytes(data[:cut])
        refused(path, "truncated or damaged|not an archive")
    path.write_bytes(data[: end + 512])  # one block of the end mark is enough
    assert set(contents(path)) == {"a.py", "b.py"}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_zip(tmp_path: Path, share: float) -> None:
    path = make_zip(tmp_path / "a.zip", many())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(path, "truncated or damaged")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_damaged_anywhere_is_an_error_or_a_reading_never_a_crash(tmp_path: Path, mode: str) -> None:
    path = make_tar(tmp_path / "a.tar", {"t/a.py": b"a" * 700, "t/b.py": b"b" * 600}, mode)
    data = path.read_bytes()
    rng = random.Random(1)
    for _ in range(150):
        bad = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        path.write_bytes(bad)
        try:
            list(open_repository(path))
        except SourceError:
            continue


def test_damaged_zip_anywhere_is_an_error_or_a_reading_never_a_crash(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"t/a.py": b"a" * 700, "t/b.py": b"b" * 600})
    data = path.read_bytes()
    rng = random.Random(2)
    for _ in range(600):
        bad = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        path.write_bytes(bad)
        try:
            list(open_repository(path))
        except SourceError:
            continue


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_tar_bomb_is_refused_early(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    plain = make_tar(tmp_path / "a.tar", {"t/zeros.py": bytes(64 << 20), "t/a.py": b"a"}, "w")
    (tmp_path / "bomb").write_bytes(pack(plain.read_bytes()))
    plain.unlink()
    tracemalloc.start()
    refused(tmp_path / "bomb", "expands [0-9,]+-fold")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20


def test_a_zip_bomb_is_refused_unread(tmp_path: Path) -> None:
    data = bytes(1 << 20)
    path = make_zip(tmp_path / "bomb.zip", {f"t/{n}.py": data for n in range(32)})
    refused(path, "expands [0-9,]+-fold")


def test_a_modest_bomb_is_only_dropped(tmp_path: Path) -> None:
    for make in (make_zip, make_tar):
        path = make(tmp_path / "bomb", {"t/zeros.py": bytes(2 << 20), "t/a.py": b"a = 1\n"})
        assert drops(path) == ({intake.TOO_LARGE: 1}, ["a.py"])


def test_absolute_limits(tmp_path: Path) -> None:
    for make in (make_tar, make_zip):
        path = make(tmp_path / "a", many(20))
        refused(path, "expands", Limits(max_expanded_bytes=50_000))
        refused(path, "more than 10 members", Limits(max_files=10))
        found, paths = drops(path, limits=Limits(max_repository_bytes=20_000))
        assert (found, len(paths)) == ({intake.FULL: 17}, 3)


def test_a_huge_extended_header_is_not_read_into_memory(tmp_path: Path) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
        header = tarfile.TarInfo("x")
        header.type = kind
        header.size = 1 << 33
        with (tmp_path / "a.tar").open("wb") as file:
            file.write(header.tobuf(tarfile.GNU_FORMAT))
            file.truncate(1 << 33)  # sparse
        refused(tmp_path / "a.tar", "absurd size")


def test_negative_sizes(tmp_path: Path) -> None:
    header = tarfile.TarInfo("t/a.py")
    good = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    good[124:136] = b"\xff" * 12  # -1, in base 256
    good[148:156] = b" " * 8
    good[148:156] = b"%06o\0 " % sum(good)
    (tmp_path / "a.tar").write_bytes(bytes(good) + bytes(1024))
    refused(tmp_path / "a.tar", "absurd size")
    with tarfile.open(tmp_path / "b.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        add(archive, "t/a.py", b"x" * 600, pax_headers={"size": "-1024"})
    refused(tmp_path / "b.tar", "truncated or damaged")


def test_sparse_tar_members_are_counted(tmp_path: Path) -> None:
    header = tarfile.TarInfo("t/sparse.py")
    header.type = tarfile.GNUTYPE_SPARSE
    buffer = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    buffer[386:398] = b"00000000000\0"
    buffer[398:410] = b"00000000000\0"
    buffer[483:495] = b"77777777777\0"  # says that it expands to 8 GiB
    buffer[148:156] = b" " * 8
    buffer[148:156] = b"%06o\0 " % sum(buffer)
    good = make_tar(tmp_path / "good.tar", {"t/a.py": b"a"}, "w").read_bytes()
    (tmp_path / "a.tar").write_bytes(bytes(buffer) + good)
    assert drops(tmp_path / "a.tar") == ({intake.NOT_REGULAR: 1}, ["a.py"])


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.zip", b""),
        ("text.zip", b"just text\n"),
        ("module.py", b"x = 1\n"),
        ("page.tar.zst", b"\x28\xb5\x2f\xfd" + bytes(100)),
        ("a.gz", gzip.compress(b"not a tar archive" * 100)),
        ("a.tar", b"not a tar archive" * 100),
        ("a.tar", bytes(10240)),
        ("a.tar.gz", gzip.compress(bytes(10240))),
        ("a.zip", b"PK\x05\x06" + bytes(18)),
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(100)),
    ],
)
def test_what_is_no_archive_of_files(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    refused(tmp_path / name, "empty file|not an archive|truncated or damaged|without files")


# ---- packages ----


def test_zstandard(tmp_path: Path) -> None:
    plain = make_tar(tmp_path / "t.tar", under("thing-1", FILES), "w").read_bytes()
    packed = pa.Codec("zstd").compress(plain, asbytes=True)
    for name in ("thing-1.tar.zst", "thing-1.tzst"):
        (tmp_path / name).write_bytes(packed)
        assert contents(tmp_path / name) == TEXTS
        assert open_repository(tmp_path / name).name == "thing-1"
    half = len(packed) // 2
    (tmp_path / "frames.tar.zst").write_bytes(
        b"".join(pa.Codec("zstd").compress(p, asbytes=True) for p in (plain[:99], plain[99:]))
    )
    assert contents(tmp_path / "frames.tar.zst") == TEXTS
    (tmp_path / "cut.tar.zst").write_bytes(packed[:half])
    with pytest.raises(SourceError, match="truncated"):
        contents(tmp_path / "cut.tar.zst")


def test_a_zstandard_bomb_is_refused_early(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "bomb.tar", {"a.py": bytes(64 << 20)}, "w")
    path.write_bytes(pa.Codec("zstd").compress(path.read_bytes(), asbytes=True))
    with pytest.raises(SourceError, match="expands"):
        contents(path)


def make_gem(path: Path, files: dict[str, bytes]) -> Path:
    data = make_tar(path.with_suffix(".data"), files).read_bytes()
    outer = {"metadata.gz": gzip.compress(b"--- x\n"), "data.tar.gz": data}
    return make_tar(path, {**outer, "checksums.yaml.gz": gzip.compress(b"---\n")}, "w")


def test_gems(tmp_path: Path) -> None:
    path = make_gem(tmp_path / "thing-1.0.gem", FILES)
    assert contents(path) == TEXTS
    assert open_repository(path).name == "thing-1.0"
    assert open_repository(path).revision
    for length in (100, 600, 1100, 1700):  # data.tar.gz starts at 1536
        cut = tmp_path / "cut.gem"
        cut.write_bytes(path.read_bytes()[:length])
        with pytest.raises(SourceError):
            contents(cut)
    with pytest.raises(SourceError, match=r"without data\.tar\.gz"):
        contents(make_tar(tmp_path / "other.gem", FILES, "w"))
    with pytest.raises(SourceError, match="expands"):
        contents(make_gem(tmp_path / "bomb.gem", {"a.py": bytes(64 << 20)}))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("hello_2.10.orig.tar.xz", "hello_2.10"),
        ("serde-1.0.crate", "serde-1.0"),
        ("thing.orig", "thing"),
        (".orig", ".orig"),
    ],
)
def test_names_of_packages(tmp_path: Path, name: str, wanted: str) -> None:
    assert open_repository(make_tar(tmp_path / name, FILES)).name == wanted


@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
@pytest.mark.parametrize("name", ["thing", "@scope/thing"])
def test_npm_packages(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "project"
    (folder / "lib").mkdir(parents=True)
    description = {"name": name, "version": "1.2.3", "license": "ISC", "main": "index.js"}
    (folder / "package.json").write_text(json.dumps(description))
    (folder / "index.js").write_text("require('./lib/a');\n")
    (folder / "lib/a.js").write_text("exports.a = 1;\n")
    subprocess.run(
        ["npm", "pack", "--ignore-scripts", "--offline", "--pack-destination", str(tmp_path)],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    (packed,) = tmp_path.glob("*.tgz")
    registry = packed.rename(tmp_path / "thing-1.2.3.tgz")  # as the registry names it
    reading = open_repository(registry)
    assert reading.name == f"{name}-1.2.3"
    assert {"index.js", "lib/a.js"} <= {file.path for file in reading}
    assert reading.metadata.licence == "ISC"
    assert reading.metadata.updated is None  # npm writes 1985 for every file


@pytest.mark.parametrize(
    "package", [b"{", b"[]", b'{"name": 1, "version": "1"}', b'{"name": "a\\nb", "version": "1"}']
)
def test_an_npm_package_that_does_not_tell_its_name(tmp_path: Path, package: bytes) -> None:
    path = make_tar(tmp_path / "a-1.tgz", {"package/package.json": package, "package/a.js": b"x"})
    assert open_repository(path).name == "a-1"


def test_what_archives_tell_of_the_repository(tmp_path: Path) -> None:
    def metadata(path: Path) -> Metadata:
        reading = open_repository(path)
        assert list(reading)
        return reading.metadata

    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, "a-1/PKG-INFO", b"Name: a\nLicense: MIT\n\nLicense: no\n", mtime=1.6e9)
        add(archive, "a-1/a.py", b"a\n", mtime=1.7e9)
        add(archive, "a-1/sub/package.json", b'{"license": "GPL-3.0"}', mtime=5)
    assert metadata(path) == Metadata(updated=1.7e9, licence="MIT")

    wheel = tmp_path / "a.whl"
    with zipfile.ZipFile(wheel, "w") as out:
        out.writestr(zipfile.ZipInfo("a.py", (2020, 5, 6, 7, 8, 10)), "a\n")
        text = "License-Expression: Apache-2.0 OR MIT\n"
        out.writestr(zipfile.ZipInfo("a-1.dist-info/METADATA", (1980, 1, 1, 0, 0, 0)), text)
    assert metadata(wheel) == Metadata(updated=1588748890.0, licence="Apache-2.0 OR MIT")
    assert metadata(make_tar(tmp_path / "b.tar", FILES, "w")) == Metadata()


@pytest.mark.parametrize(
    ("path", "data", "wanted"),
    [
        ("x/Cargo.toml", '[package]\nlicense = "MIT"\n', "MIT"),
        ("x/Cargo.toml", "[workspace]\n", None),
        ("x/Cargo.toml", "[", None),
        ("package.json", '{"license": {"type": "MIT"}}', "MIT"),
        ("package.json", '{"licenses": [{"type": "MIT"}, {"type": "ISC"}]}', "ISC AND MIT"),
        ("package.json", "[1]", None),
        ("composer.json", '{"license": ["MIT OR ISC", "Zlib"]}', "(MIT OR ISC) AND Zlib"),
        ("PKG-INFO", "License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n",
         "MIT License"),
        ("PKG-INFO", "License: " + "a long text " * 20, None),
    ],
)  # fmt: skip
def test_licences_that_descriptions_name(path: str, data: str, wanted: str | None) -> None:
    assert declared_licence(path, data.encode()) == wanted


def test_paths_that_differ_by_case_are_both_kept(tmp_path: Path) -> None:
    files = {"a/Readme.py": b"a\n", "a/README.py": b"b\n", "A/readme.py": b"c\n"}
    for make in (make_tar, make_zip):
        assert set(contents(make(tmp_path / "x", files))) == set(files)


def test_a_zip_member_without_a_name_is_counted(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"X": b"x = 1\n", "b.py": b"b\n"})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    at = data.rindex(b"PK\x01\x02", 0, at)  # the entry of X: its name becomes part of the rest
    data[at + 28], data[at + 30] = 0, 1
    path.write_bytes(data)
    dropped, paths = drops(path)
    assert dropped == {intake.UNUSABLE_NAME: 1}
    assert paths == ["b.py"]
