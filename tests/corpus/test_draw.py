"""Brute force over whole documents is the oracle for the drawing by columns."""

import random

import numpy as np
import pytest

from codekiln.corpus import draw
from codekiln.corpus.draw import drawn, survey
from codekiln.corpus.store import DocumentWriter, copy_documents
from codekiln.errors import SourceError
from codekiln.types import Document, Span

LANGUAGES = ("python", "java", "jsx", "c")  # jsx is a dialect of javascript


def made_documents(count, seed=0, lines=40):
    r = random.Random(seed)
    for number in range(count):
        if number % 5 == 4:
            kind = r.choice(["english", "chinese"])
            text = "".join(
                f"{'中文 ' if kind == 'chinese' else 'word '}{number} {i}\n" for i in range(9)
            )
            yield Document(id=f"t{number}", text=text, source="texts", kind=kind)
            continue
        text, spans = "", []
        for file in range(r.randint(1, 4)):
            header = f"#d{number}/f{file}\n"
            body = "".join(f"é = {number} {file} {i}\n" for i in range(r.randint(0, lines)))
            start, text = len(text), text + header + body
            spans.append(
                Span(
                    path=header[1:-1],
                    language=r.choice(LANGUAGES),
                    start=start,
                    body=start + len(header),
                    end=len(text),
                )
            )
        yield Document(id=f"d{number}", text=text, source=f"s{number}", spans=tuple(spans))


def write(folder, documents, shards=2, row_group_bytes=3000):
    folder.mkdir(exist_ok=True)
    documents = list(documents)
    paths = []
    for shard in range(shards):
        paths.append(folder / f"{shard:05d}.parquet")
        with DocumentWriter(paths[-1], row_group_bytes=row_group_bytes) as writer:
            for document in documents[shard::shards]:
                held = document.id.endswith("7")
                writer.add(document, "held_out" if held else "train")
    return paths


def by_hand(documents, split):
    """group -> (bytes, texts) of all files."""
    found = {}
    for document in documents:
        if ("held_out" if document.id.endswith("7") else "train") != split:
            continue
        files = [(s.language, document.text[s.start : s.end]) for s in document.spans]
        for language, text in files or [("", document.text)]:
            group = document.kind if document.kind != "code" else language
            group = "javascript" if group == "jsx" else group
            found.setdefault(group, []).append(text)
    return found


@pytest.mark.parametrize("split", ["train", "held_out"])
def test_everything_is_found_where_the_budget_covers_it(tmp_path, split):
    documents = list(made_documents(60))
    found = survey(write(tmp_path, documents), 1)
    wanted = by_hand(documents, split)
    sizes = {group: sum(len(t.encode()) for t in texts) for group, texts in wanted.items()}
    # sizes of files are shares of their document: exact where characters are alike, as here
    assert found.bytes(split) == pytest.approx(sizes, rel=0.02)
    bars = found.bars(split, dict.fromkeys(sizes, 10**9))
    texts = {}
    for task in found.tasks:
        for group, text, copies in drawn(task, split, bars):
            assert copies == 1
            texts.setdefault(group, []).append(text)
    assert {g: sorted(t) for g, t in texts.items()} == {g: sorted(t) for g, t in wanted.items()}


def test_the_budget_holds_and_a_larger_one_adds(tmp_path):
    found = survey(write(tmp_path, made_documents(400, lines=12)), 1)
    total = found.bytes("train")["python"]
    before = set()
    for budget in (total // 10, total // 3, total // 2):
        bars = found.bars("train", {"python": budget})
        texts = [text for task in found.tasks for _, text, _ in drawn(task, "train", bars)]
        size = sum(len(text.encode()) for text in texts)
        assert 0.8 * budget < size <= 1.02 * budget
        assert abs(size - found.below("train", bars)) <= 0.02 * size
        assert before <= set(texts)
        before = set(texts)


def test_the_draw_does_not_depend_on_shards_order_or_processes(tmp_path):
    documents = list(made_documents(120))
    results = []
    for name, order, shards, processes in (
        ("a", documents, 1, 1),
        ("b", documents[::-1], 5, 1),
        ("c", random.Random(3).sample(documents, len(documents)), 3, 2),
    ):
        found = survey(write(tmp_path / name, order, shards=shards), processes)
        bars = found.bars("train", {g: n / 3 for g, n in found.bytes("train").items()})
        parts = (p for task in found.tasks for p in drawn(task, "train", bars))
        results.append((bars, sorted(parts)))
    assert results[0][1]
    assert results[0] == results[1] == results[2]


def test_the_draw_is_even_over_the_documents(tmp_path):
    texts = (
        Document(id=f"n{i}", text=f"{i:05d}\n" * 20, source="x", kind="english")
        for i in range(0, 20000, 10)
    )
    found = survey(write(tmp_path, texts, row_group_bytes=50_000), 1)
    bars = found.bars("train", {"english": 400 * 120})
    chosen = [int(text[:5]) for t in found.tasks for _, text, _ in drawn(t, "train", bars)]
    assert 395 <= len(chosen) <= 400
    assert 150 < sum(i < 10000 for i in chosen) < 250  # 200 expected, standard deviation 9


def test_copies_count_and_are_told(tmp_path):
    (path,) = write(tmp_path, list(made_documents(6)), shards=1)
    once = survey([path], 1)
    copies = np.full(6, 3, np.int16)
    copy_documents(path, tmp_path / "three.parquet", splits={}, copies=copies)
    found = survey([tmp_path / "three.parquet"], 1)
    assert found.bytes("train") == {g: 3 * n for g, n in once.bytes("train").items()}
    bars = found.bars("train", found.bytes("train"))
    assert {c for task in found.tasks for _, _, c in drawn(task, "train", bars)} == {3}
    assert found.fingerprint != once.fingerprint


def test_long_files_are_cut_after_lines_and_lose_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(draw, "PIECE_CHARACTERS", 500)
    monkeypatch.setattr(draw, "_LINE_CHARACTERS", 60)
    body = "".join(f"line {i} é\n" for i in range(300)) + "x" * 3000 + "\nend\n"
    spans = (
        Span(path="a.py", language="python", start=0, body=0, end=len(body)),
        Span(path="b.c", language="c", start=len(body), body=len(body), end=len(body) + 2),
    )
    code = Document(id="1", text=body + "y\n", source="x", spans=spans)
    prose = Document(id="2", text="中文\n" * 400, source="y", kind="chinese")
    found = survey(write(tmp_path, [code, prose], shards=1), 1)
    bars = found.bars("train", found.bytes("train"))
    texts = {"python": [], "c": [], "chinese": []}
    for group, text, _ in (p for task in found.tasks for p in drawn(task, "train", bars)):
        texts[group].append(text)
    assert {g: "".join(t) for g, t in texts.items()} == {
        "python": body,
        "c": "y\n",
        "chinese": prose.text,
    }
    assert len(texts["python"]) > 5 and len(texts["chinese"]) > 5
    assert max(map(len, texts["python"])) <= 620
    whole_lines = [t.endswith("\n") for t in texts["python"]]
    assert sum(whole_lines) >= len(whole_lines) - 7  # the long line is cut where it must be


def test_a_language_with_any_budget_gives_a_piece(tmp_path):
    found = survey(write(tmp_path, made_documents(30)), 1)
    bars = found.bars("train", {"java": 1, "c": 0})
    parts = [p for task in found.tasks for p in drawn(task, "train", bars)]
    assert {group for group, _, _ in parts} == {"java"} and len(parts) < 3


def test_nothing_drawn_reads_no_text(tmp_path, monkeypatch):
    found = survey(write(tmp_path, made_documents(30)), 1)
    read = draw.read_row_group

    def no_text(path, number, columns):
        assert "text" not in columns
        return read(path, number, columns)

    monkeypatch.setattr(draw, "read_row_group", no_text)
    survey([task[0] for task in found.tasks], 1)
    assert [p for task in found.tasks for p in drawn(task, "train", {})] == []


def test_a_damaged_shard_is_named(tmp_path):
    paths = write(tmp_path, made_documents(30))
    paths[1].write_bytes(paths[1].read_bytes()[:-200])
    with pytest.raises(SourceError, match=r"00001\.parquet.*cannot be read"):
        survey(paths, 1)


def test_an_empty_corpus_has_no_text(tmp_path):
    found = survey(write(tmp_path, []), 1)
    assert found.bytes("train") == {}
