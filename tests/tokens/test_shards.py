import json
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codekiln.errors import ShardError
from codekiln.tokens.shards import Shard, ShardWriter, files_of
from codekiln.tokens.sources import CODE, Source

FACTS = {"tokenizer_sha256": "ab" * 32}
DOCUMENTS = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10]]


def write(prefix: Path, documents=DOCUMENTS, vocab_size=1000):
    with ShardWriter(prefix, vocab_size=vocab_size, facts=FACTS) as writer:
        for i, ids in enumerate(documents):
            writer.add(np.array(ids, dtype=np.int32), text_bytes=10 + i)
    return prefix


def read_megatron(prefix: Path):
    """A reader of Megatron's format written from its description alone."""
    kinds = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f8", 7: "<f4", 8: "<u2"}
    raw = Path(f"{prefix}.idx").read_bytes()
    assert raw[:9] == b"MMIDIDX\x00\x00"
    (version,) = struct.unpack("<Q", raw[9:17])
    (code,) = struct.unpack("<B", raw[17:18])
    sequences, boundaries = struct.unpack("<QQ", raw[18:34])
    at = 34
    sizes = np.frombuffer(raw, "<i4", sequences, at)
    at += sizes.nbytes
    pointers = np.frombuffer(raw, "<i8", sequences, at)
    at += pointers.nbytes
    documents = np.frombuffer(raw, "<i8", boundaries, at)
    assert version == 1 and at + documents.nbytes == len(raw)
    data = Path(f"{prefix}.bin").read_bytes()
    kind = np.dtype(kinds[code])
    rows = [np.frombuffer(data, kind, n, p).tolist() for n, p in zip(sizes, pointers, strict=True)]
    return kind, rows, documents.tolist(), len(data)


@pytest.mark.parametrize(
    ("vocab_size", "kind"), [(1000, "<u2"), (65535, "<u2"), (65536, "<i4"), (102400, "<i4")]
)
def test_megatron_can_read_it(tmp_path, vocab_size, kind):
    documents = [*DOCUMENTS, [vocab_size - 1]]
    found, rows, boundaries, size = read_megatron(write(tmp_path / "s", documents, vocab_size))
    assert found == np.dtype(kind)
    assert rows == documents
    assert boundaries == [0, 1, 2, 3, 4, 5]
    assert size == 11 * found.itemsize


@given(
    documents=st.lists(st.lists(st.integers(0, 69_999), min_size=1, max_size=9), max_size=9),
    vocab_size=st.sampled_from([70_000, 10**6]),
)
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_written_is_read(tmp_path, documents, vocab_size):
    shard = Shard(write(tmp_path / "s", documents, vocab_size))
    assert [shard[i].tolist() for i in range(len(shard))] == documents
    assert shard.tokens.tolist() == [i for d in documents for i in d]
    assert shard.text_bytes.tolist() == [10 + i for i in range(len(documents))]
    assert shard.facts["tokens"] == len(shard.tokens) and shard.facts["documents"] == len(documents)
    assert shard.facts["bytes"] == shard.text_bytes.sum()


def test_tokens_are_mapped_not_read(tmp_path):
    assert isinstance(Shard(write(tmp_path / "s")).tokens, np.memmap)


@pytest.mark.parametrize("ids", [[1000], [-1], [5, 1000, 2]])
def test_ids_out_of_range_are_an_error_and_leave_nothing(tmp_path, ids):
    with pytest.raises(ShardError, match="token id"):
        write(tmp_path / "s", [[1], ids])
    assert list(tmp_path.iterdir()) == []


def test_an_empty_document_is_an_error(tmp_path):
    with pytest.raises(ShardError, match="0 tokens"):
        write(tmp_path / "s", [[]])


def test_a_failed_rewrite_leaves_the_old_shard(tmp_path):
    write(tmp_path / "s")
    with pytest.raises(RuntimeError), ShardWriter(tmp_path / "s", vocab_size=9, facts=FACTS) as w:
        w.add([1], text_bytes=1)
        raise RuntimeError
    shard = Shard(tmp_path / "s")
    assert len(shard) == 4 and len(list(tmp_path.iterdir())) == 8


def test_rows_out_of_range(tmp_path):
    shard = Shard(write(tmp_path / "s"))
    for i in (-1, 4):
        with pytest.raises(IndexError):
            shard[i]


@pytest.mark.parametrize("suffix", [".bin", ".idx", ".bytes.npy", ".json"])
def test_each_file_missing_cut_or_grown_is_an_error(tmp_path, suffix):
    path = Path(f"{write(tmp_path / 's')}{suffix}")
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], b"", None):
        path.unlink(missing_ok=True)
        if damaged is not None:
            path.write_bytes(damaged)
        if suffix == ".json" and damaged == whole[:-1]:
            continue  # only the final newline is lost
        with pytest.raises(ShardError):
            Shard(tmp_path / "s")
    if suffix in (".bin", ".idx"):
        path.write_bytes(whole + b"\0")
        with pytest.raises(ShardError, match="too long"):
            Shard(tmp_path / "s")


@pytest.mark.parametrize(
    ("at", "what"),
    [
        (0, "magic"),
        (9, "version"),
        (17, "type"),
        (18, "sequences"),
        (34, "size"),
        (50, "pointer"),
        (90, "document"),
    ],
)
def test_an_index_that_contradicts_itself_is_an_error(tmp_path, at, what):
    path = Path(f"{write(tmp_path / 's')}.idx")
    content = bytearray(path.read_bytes())
    content[at] ^= 0x40
    path.write_bytes(content)
    with pytest.raises(ShardError):
        Shard(tmp_path / "s")


def test_shards_of_one_packing_are_told_from_another(tmp_path):
    shard = Shard(write(tmp_path / "s"))
    shard.check_tokenizer("ab" * 32)
    with pytest.raises(ShardError, match="another tokenizer"):
        shard.check_tokenizer("cd" * 32)


def test_sidecar_is_the_last_file_in_place(tmp_path):
    assert files_of(tmp_path / "s")[-1].name == "s.json"
    assert json.loads(Path(f"{write(tmp_path / 's')}.json").read_text())["vocab_size"] == 1000


def test_sources_come_back(tmp_path):
    some = [Source(kind="code", language="go"), CODE, Source(kind="english", location="größe")]
    with ShardWriter(tmp_path / "s", vocab_size=9, facts=FACTS) as writer:
        for i in (0, 2, 0, 1):
            writer.add([1], text_bytes=1, source=some[i])
    shard = Shard(tmp_path / "s")
    assert [shard.sources[code] for code in shard.source_codes] == [some[i] for i in (0, 2, 0, 1)]
    assert shard.source_codes.dtype == np.uint16 and len(shard.sources) == 3


def test_more_sources_than_codes_are_an_error(tmp_path):
    with ShardWriter(tmp_path / "s", vocab_size=9, facts=FACTS) as writer:
        for i in range(2**16):
            writer.add([1], text_bytes=1, source=Source(kind="english", location=str(i)))
        with pytest.raises(ShardError, match="fewer"):
            writer.add([1], text_bytes=1, source=CODE)
    assert len(Shard(tmp_path / "s")) == 2**16


@pytest.mark.parametrize(
    "codes", [np.zeros(3, np.uint16), np.zeros(4, np.int64), np.ones(4, np.uint16), None]
)
def test_sources_that_do_not_fit_are_an_error(tmp_path, codes):
    prefix = write(tmp_path / "s")
    path = Path(f"{prefix}.sources.npy")
    path.unlink()
    if codes is not None:
        np.save(path, codes)
    with pytest.raises(ShardError, match="pack the tokens again"):
        Shard(prefix)
