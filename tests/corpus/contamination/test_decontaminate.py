"""Decontamination against a slow definition, and on real benchmarks where they are at hand."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import sys
import sysconfig
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codekiln.corpus.contamination import testdata
from codekiln.corpus.contamination.decontaminate import Decontaminator, Hit
from codekiln.corpus.contamination.lookup import Lookup
from codekiln.corpus.duplicates.grams import blocks
from codekiln.errors import BenchmarkError

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "benchmarks"
WORD = re.compile(r"(?:[0-9A-Za-z_]|[^\x00-\x7f])+")


def find(test_data: Decontaminator, texts: list[str]) -> dict[int, Hit]:
    hits = {}
    for numbers, found in blocks(t.encode() for t in texts):
        for hit in test_data.check([texts[n] for n in numbers], found):
            hits[numbers[hit.text]] = hit
    return hits


def fold(text: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in text)


def slow(tests: list[str], text: str) -> bool:
    """The rule as documented, in the simplest words."""
    words = WORD.findall(fold(text))
    runs = {tuple(words[i : i + 10]) for i in range(len(words) - 9)}
    for test in tests:
        wanted = WORD.findall(fold(test))
        if len(wanted) >= 10:
            grams = {tuple(wanted[i : i + 10]) for i in range(len(wanted) - 9)}
            if any(not all(w.isdigit() for w in gram) for gram in grams & runs):
                return True
        elif len(wanted) >= 3 and not all(w.isdigit() for w in wanted):
            needle = " ".join(fold(test).split())
            inside = " ".join(fold(text).split())
            pattern = re.escape(needle)
            if WORD.match(needle[0]):
                pattern = r"(?<![0-9A-Za-z_\x80-\U0010ffff])" + pattern
            if WORD.match(needle[-1]):
                pattern += r"(?![0-9A-Za-z_\x80-\U0010ffff])"
            if re.search(pattern, inside):
                return True
    return False


few_words = st.lists(
    st.sampled_from(["a", "B", "b", "1", "22", "é", "(", ")", "\n", "  ", ".", " "]), max_size=40
).map(lambda parts: " ".join(parts))
glued = st.lists(st.sampled_from(["a", "b", "1", "(", " ", "\n", "é"]), max_size=30).map("".join)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.one_of(few_words, glued), min_size=1, max_size=3),
    st.lists(st.one_of(few_words, glued), max_size=4),
)
def test_the_same_files_as_by_definition(tests: list[str], texts: list[str]) -> None:
    test_data = Decontaminator.from_strings([("p", t) for t in tests])
    assert sorted(find(test_data, texts)) == [
        n for n, text in enumerate(texts) if slow(tests, text)
    ]


def test_a_planted_gram_is_found_and_named() -> None:
    secret = "the quick brown fox jumps over the lazy dog and then it naps"
    test_data = Decontaminator.from_strings([("other", "nothing to see " * 9), ("fox", secret)])
    planted = "x = 1\n# The quick brown\n# fox jumps: over the LAZY dog and;\ny = 2\n"
    near = "the quick brown fox jumps over the lazy cat and then it naps\n"
    hits = find(test_data, ["é clean\n" * 50, planted, near])
    assert list(hits) == [1]
    assert (hits[1].problem, hits[1].rule) == ("fox", "10-gram")
    assert hits[1].shared == "The quick brown # fox jumps: over the LAZY dog and"


def test_short_strings_match_exactly_with_punctuation_and_whole_words() -> None:
    test_data = Decontaminator.from_strings([("len", "    return len(string)\n"), ("two", "a b")])
    texts = [
        "def f(string):\n\treturn   LEN(string)\n",
        "return len(string, 1)",
        "return len[string]",
        "xreturn len(string)",
        "a b",
    ]
    hits = find(test_data, texts)
    assert list(hits) == [0]
    assert (hits[0].rule, hits[0].shared) == ("exact", "return len(string)")


def test_the_shortest_match_can_be_raised() -> None:
    pairs = [("three", "return len(string)"), ("four", "return len(a, b)")]
    texts = ["return len(string)", "return len(a, b)"]
    found = [find(Decontaminator.from_strings(pairs, shortest=n), texts) for n in (3, 4, 10)]
    assert [sorted(hits) for hits in found] == [[0, 1], [1], []]


def test_numbers_alone_are_no_evidence() -> None:
    test_data = Decontaminator.from_strings([("p", "assert f(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)")])
    assert not find(test_data, ["x = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"])
    assert find(test_data, ["x = f(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)"])


def test_lookup_finds_all_and_only_members() -> None:
    random_ = np.random.default_rng(0)
    keys = np.unique(random_.integers(0, 2**64, 5000, dtype=np.uint64))
    values = np.concatenate([keys[::7], random_.integers(0, 2**64, 20_000, dtype=np.uint64)])
    places, found = Lookup(keys).find(values)
    assert set(places.tolist()) >= set(range(len(keys[::7])))
    assert (keys[found] == values[places]).all()
    assert len(places) == np.isin(values, keys).sum()


ROWS = [
    {"task_id": "T/1", "prompt": "one", "meta": {"deep": ["two", 3, None, {"x": "three"}]}},
    {"no_name": "four"},
]


def packed(data: bytes) -> bytes:
    return gzip.compress(data)


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


LINES = "\n".join(map(json.dumps, ROWS)).encode()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("d.jsonl", LINES),
        ("d.jsonl.gz", packed(LINES)),
        ("d.json", json.dumps(ROWS).encode()),
        ("d.json", LINES),
        ("d.json.gz", packed(json.dumps({"canary": 5, "rows": ROWS}).encode())),
        ("d.tar.gz", tar_of({"a/rows.jsonl": LINES, "a/picture.png": b"\x89"})),
        ("d.tgz", tar_of({"rows.jsonl.gz": packed(LINES)})),
    ],
)
def test_every_string_of_every_row(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    found = list(testdata.strings(tmp_path / name))
    assert [text for _, text in found] == ["T/1", "one", "two", "three", "four"]
    assert found[1][0].endswith(": T/1")
    assert "#" in found[4][0]


def test_parquet_and_text(tmp_path: Path) -> None:
    table = arrow.table({"id": [1, 2], "x": ["one", "two"], "y": [["three"], []]})
    parquet.write_table(table, tmp_path / "d.parquet")
    found = list(testdata.strings(tmp_path / "d.parquet"))
    assert found == [("d.parquet: 1", "one"), ("d.parquet: 1", "three"), ("d.parquet: 2", "two")]
    (tmp_path / "d.unknown").write_text("plain words")
    assert list(testdata.strings(tmp_path / "d.unknown")) == [("d.unknown", "plain words")]


def test_folders_are_searched_and_other_files_passed_over(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.jsonl").write_bytes(LINES)
    (tmp_path / "README.md").write_text("not test data")
    assert testdata.files_of(str(tmp_path)) == [tmp_path / "deep" / "a.jsonl"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("d.jsonl", b'{"a": 1}\n{"a": \n', "line 2"),
        ("d.json", b"[1,", "not JSON"),
        ("d.jsonl.gz", packed(LINES)[:-9], "cannot be read"),
        ("d.jsonl.gz", LINES, "cannot be read"),
        ("d.parquet", b"PAR1PAR1", "not Parquet"),
        ("d.tar.gz", packed(b"no tar"), "cannot be read"),
        ("d.txt", b"\xff\xfe\x00", "cannot be read"),
        ("d.txt", b"two words", "no text of 3 words"),
    ],
)
def test_damaged_test_data_is_named(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BenchmarkError, match=message) as caught:
        Decontaminator.load([str(tmp_path / name)])
    assert name in str(caught.value)


def test_missing_or_empty_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no such file"):
        Decontaminator.load([str(tmp_path / "absent")])
    with pytest.raises(BenchmarkError, match="0 files, none of test data"):
        Decontaminator.load([str(tmp_path)])


# ---- real benchmarks ----


def standard_library() -> list[str]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = sorted(f for f in folder.glob("*.py")) + sorted(
        (folder / "test").glob("test_[a-f]*.py")
    )
    return [f.read_text(encoding="utf-8", errors="replace") for f in files]


def humaneval() -> list[dict[str, str]]:
    path = SHARED / "humaneval" / "HumanEval.jsonl.gz"
    if not path.exists():
        pytest.skip("HumanEval.jsonl.gz is not at hand")
    return [json.loads(line) for line in gzip.open(path, "rt", encoding="utf-8")]


@pytest.mark.shared
def test_every_planted_humaneval_solution_is_found_and_few_clean_files_are() -> None:
    problems = humaneval()
    test_data = Decontaminator.load([str(SHARED / "humaneval")])
    hosts = standard_library()
    before = find(test_data, hosts)
    # one-liners such as `return x + y` are whole solutions: they hit clean files as well
    assert len(before) / len(hosts) < 0.03
    random_ = random.Random(0)
    clean = [text for number, text in enumerate(hosts) if number not in before]
    planted = []
    for problem in problems:
        lines = clean[random_.randrange(len(clean))].splitlines(keepends=True)
        place = random_.randrange(len(lines) + 1)
        # the solution alone, without the prompt, with its own name and another indent
        body = problem["canonical_solution"].replace("    ", "\t")
        lines.insert(place, f"\ndef helper_{len(planted)}():\n{body}\n")
        planted.append("".join(lines))
    hits = find(test_data, planted)
    assert len(hits) == len(problems) == 164
    print(f"{len(before)} of {len(hosts)} clean files hit", file=sys.stderr)


@pytest.mark.shared
def test_the_hits_name_their_problem() -> None:
    problems = humaneval()
    test_data = Decontaminator.load([str(SHARED / "humaneval" / "HumanEval.jsonl.gz")])
    whole = [p["prompt"] + p["canonical_solution"] for p in problems]
    hits = find(test_data, whole)
    assert len(hits) == 164
    right = sum(hits[n].problem.endswith(p["task_id"]) for n, p in enumerate(problems))
    assert right >= 160  # a few docstrings share their first grams with an earlier problem's
